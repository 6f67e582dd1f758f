//! Every test in one binary: it links once.

mod builtins;

mod metric;
