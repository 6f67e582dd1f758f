//! What the tests share.

pub mod bench;
pub mod histograms;
pub mod world;
