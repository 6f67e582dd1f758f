//! Tests of the whole system: the services as processes, on a local network of their own.

mod api;
mod cover;
mod example;
mod restarts;
mod scene;
