//! Attacks by the rules: every step is allowed, and the question is who gains how much by it, and who
//! pays. Some of them pay. Such a test states the attacker's gain in numbers, so that a change of the
//! rules that ends or enlarges it is noticed.

mod delays;
mod holders;
mod models;
mod providers;
