//! Shared code of the tests, and the tools of `scripts` that measure and check the program.

pub mod api_load;
pub mod bench;
pub mod calibration;
pub mod chaos;
pub mod histograms;
pub mod idl;
pub mod ingest;
pub mod insurance;
pub mod motives;
pub mod mutants;
pub mod network;
pub mod noise;
pub mod paths;
pub mod proxy;
pub mod results;
pub mod soak;
pub mod states;
pub mod world;
