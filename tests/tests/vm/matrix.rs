//! The attack matrix: mutations of every account slot of every instruction, and of every instruction as a
//! whole.
//!
//! Account slots are the positions of the accounts that the IDL declares, and of the remaining accounts.
//! For each instruction there is at least one scene, in which the instruction succeeds. A table in
//! `tests/matrix` lists the outcomes of a scene's mutations. A refused mutation changes nothing on chain but
//! the fee payer's balance; a successful one costs nobody who did not sign it. Mutations with several
//! accounts of another account set are exempt from the second rule, and listed only if they succeed.

mod balances;
mod check;
mod events;
mod fake_programs;
mod fixture;
mod kind;
mod mutation;
mod outcome;
mod recreation;
mod scene;
mod scenes;
mod seeds;
mod table;
