//! The attack matrix: every account slot of every instruction, changed in every way that an attacker
//! could change it.
//!
//! The slots are the accounts that the IDL declares and the remaining accounts. For each instruction
//! there is at least one scene, in which it succeeds. A file in `tests/matrix` lists the outcome of
//! every mutation of a scene. A refused mutation changes nothing on chain; one that succeeds costs
//! nobody who did not sign it.

mod attacker;
mod balances;
mod check;
mod events;
mod fixture;
mod kind;
mod mutation;
mod outcome;
mod recreation;
mod scene;
mod scenes;
mod seeds;
mod table;
