//! What the tests share.

pub mod bench;
pub mod histograms;
pub mod idl;
pub mod network;
pub mod proxy;
pub mod world;
