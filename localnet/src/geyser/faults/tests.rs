//! Each fault as a client sees it.

mod answers;
mod control;
mod node;
mod stream;
