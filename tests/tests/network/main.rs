//! Tests of the whole system: the services run as processes on a local network of their own.

mod api;
mod api_fixture;
mod budgets;
mod continuity;
mod example;
mod faults;
mod insurance;
mod limits;
mod lives;
mod lost_slots;
mod mirror;
mod mirror_faults;
mod missing_events;
mod operations;
mod other_cluster;
mod plans;
mod polling;
mod redecode;
mod refusals;
mod restarts;
mod schedules;
mod socket;
mod tampering;
mod transactions;
mod undo;
