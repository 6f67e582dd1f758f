//! Actions on oracle seats: withdraw unbonded amounts, close seats without a bond.

use driftshield_sdk::{Seat, address, instruction};

use super::action::{Action, Step, create_token_account};
use crate::snapshot::{ModelSnapshot, Snapshot};

/// Withdrawals of unbonding amounts whose unbonding period is over.
pub fn bond_withdrawals(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let is_released = |seat: &&Seat| 0 < seat.unbonding && seat.release_at <= snapshot.now;
    let withdraw = |seat: &Seat| {
        let account = address::seat(&model.address, &seat.oracle);
        let create = create_token_account(
            snapshot,
            &seat.oracle,
            &model.account.bond_mint,
            model.account.token_program,
        );
        let withdraw = instruction::withdraw_bond(seat.oracle, model.address, &model.account);
        Action::with_token_account(Step::WithdrawBond, account, create, withdraw)
    };
    let seats = model.seats.iter();
    seats.filter(is_released).map(withdraw).collect()
}

/// Closures of seats without a bond. A ruling can need the seat of a listed oracle while a receipt
/// to which it has submitted is open.
pub fn closures(model: &ModelSnapshot) -> Vec<Action> {
    let is_needed = |seat: &Seat| {
        let index = model.account.oracle_index(&seat.oracle);
        index.is_some_and(|index| 0 < model.account.tenures[index].open_submissions)
    };
    let seats = model.seats.iter();
    seats
        .filter(|seat| seat.bonded == 0 && !is_needed(seat))
        .map(|seat| {
            let account = address::seat(&model.address, &seat.oracle);
            let close = instruction::close_seat(seat.oracle, model.address);
            Action::new(Step::CloseSeat, account, close)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{key, snapshot, steps, zeroed};

    #[test]
    fn unbonded_amounts_are_withdrawn_and_seats_without_a_bond_closed() {
        let with_seat = |now, oracle, bonded, unbonding| {
            let mut seat: Seat = zeroed();
            seat.model = key(9);
            seat.oracle = key(oracle);
            (seat.bonded, seat.unbonding, seat.release_at) = (bonded, unbonding, 50);
            let mut snapshot = snapshot(now);
            snapshot.models[0].seats.push(seat);
            snapshot
        };
        assert_eq!(steps(&with_seat(49, 1, 5, 5)), []);
        assert_eq!(steps(&with_seat(50, 1, 5, 5)), [Step::WithdrawBond]);
        assert_eq!(steps(&with_seat(50, 1, 5, 0)), []);
        let mut empty = with_seat(50, 1, 0, 0);
        assert_eq!(steps(&empty), [Step::CloseSeat]);
        empty.models[0].account.tenures[1].open_submissions = 1;
        assert_eq!(steps(&empty), [Step::CloseSeat]);
        empty.models[0].account.tenures[0].open_submissions = 1;
        assert_eq!(steps(&empty), []);
        let mut unlisted = with_seat(50, 40, 0, 0);
        unlisted.models[0].account.tenures[0].open_submissions = 1;
        assert_eq!(steps(&unlisted), [Step::CloseSeat]);
    }
}
