//! What the tests share.

pub mod bench;
pub mod histograms;
pub mod idl;
pub mod insurance;
pub mod mutants;
pub mod network;
pub mod proxy;
pub mod soak;
pub mod world;
