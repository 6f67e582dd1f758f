//! Tests of the whole system: the services run as processes on a local network of their own.

mod api;
mod api_fixture;
mod budgets;
mod example;
mod faults;
mod insurance;
mod mirror;
mod mirror_faults;
mod operations;
mod restarts;
mod schedules;
mod socket;
