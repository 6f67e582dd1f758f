//! What the tests share.

pub mod histograms;
pub mod world;
