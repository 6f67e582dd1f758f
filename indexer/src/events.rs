//! Storage of the program's events and of the rows derived from them.

pub mod pools;
pub mod rows;
pub mod slot_event;
pub mod store;
