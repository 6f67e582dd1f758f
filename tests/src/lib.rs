//! What the tests share.

pub mod histograms;
