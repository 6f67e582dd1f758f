//! Actions on oracles: pay rewards and unbonded amounts, close seats without a bond.

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

/// Payments of open penalties. A seat pays them with its oracle's next call too; this frees what waits
/// for them, the replacement of an oracle and the closing of an empty seat, when the oracle is gone.
pub fn penalty_payments(_: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let state = &model.account;
    let owes = |seat: &&Seat| {
        let index = state.oracle_index(&seat.oracle);
        index.is_some_and(|index| 0 < state.penalties[index] && !state.seat_counts(index))
    };
    let sync = |seat: &Seat| {
        let account = address::seat(&model.address, &seat.oracle);
        let sync = instruction::sync_seat(seat.oracle, model.address);
        Action::new(Step::SyncSeat, account, sync)
    };
    model.seats.iter().filter(owes).map(sync).collect()
}

/// Collections of the oracles' rewards, and of what is left of the pot once nobody can earn it.
///
/// A reward below the model's `min_reward` waits while more can follow: until the oracle's seat no
/// longer counts, or nobody can earn anything any more.
pub fn reward_collections(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let (at, state) = (model.address, &model.account);
    let mut actions = vec![];
    let left = {
        let mut state = *state; // a copy
        state.drain_pot(snapshot.now).ok()
    };
    for (index, oracle) in state.oracles.iter().enumerate() {
        let reward = state.rewards[index];
        let is_last = left.is_some() || !state.seat_counts(index);
        if 0 < reward && (is_last || model.min_reward <= reward) {
            let seat = address::seat(&at, oracle);
            let (mint, program) = (&state.bond_mint, state.token_program);
            let create = create_token_account(snapshot, oracle, mint, program);
            let collect = instruction::collect_reward(at, state, index);
            let step = Step::CollectReward;
            actions.push(Action::with_token_account(step, seat, create, collect));
        }
    }
    if left.is_some_and(|left| 0 < left) {
        let collect = instruction::collect_pot(at, state);
        actions.push(Action::new(Step::CollectPot, at, collect));
    }
    actions
}

/// Closures of seats without a bond. A ruling can need the seat of a listed oracle while a receipt
/// to which it has submitted is open.
pub fn closures(model: &ModelSnapshot) -> Vec<Action> {
    let state = &model.account;
    let is_needed = |seat: &Seat| {
        state.oracle_index(&seat.oracle).is_some_and(|index| {
            0 < state.tenures[index].open_submissions || 0 < state.rewards[index]
        })
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
    use driftshield_sdk::ModelStatus;

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
        let mut rewarded = with_seat(50, 1, 0, 0);
        rewarded.models[0].account.rewards[0] = 1;
        assert_eq!(steps(&rewarded), [Step::CollectReward]);
    }

    #[test]
    fn a_seat_that_does_not_count_pays_its_penalties() {
        let mut snapshot = snapshot(50);
        let mut seat: Seat = zeroed();
        (seat.oracle, seat.bonded) = (key(2), 9);
        snapshot.models[0].seats.push(seat);
        snapshot.models[0].account.penalties[1] = 4;
        assert_eq!(steps(&snapshot), []);
        snapshot.models[0].account.set_bond(1, 0, 50);
        assert_eq!(steps(&snapshot), [Step::SyncSeat]);
        snapshot.models[0].account.penalties[1] = 0;
        assert_eq!(steps(&snapshot), []);
    }

    #[test]
    fn a_small_reward_waits_while_more_can_follow() {
        let with_reward = |reward| {
            let mut snapshot = snapshot(105); // in the pot's epoch 1
            let model = &mut snapshot.models[0];
            model.min_reward = 10;
            model.account.rewards[1] = reward;
            model.account.pot.end_epoch = 9;
            snapshot
        };
        assert_eq!(steps(&with_reward(0)), []);
        assert_eq!(steps(&with_reward(9)), []);
        assert_eq!(steps(&with_reward(10)), [Step::CollectReward]);
        // The seat no longer counts.
        let mut leaving = with_reward(9);
        leaving.models[0].account.tenures[1].counts = 0;
        assert_eq!(steps(&leaving), [Step::CollectReward]);
        // The stream is over, so nothing follows.
        let mut over = with_reward(9);
        over.models[0].account.pot.end_epoch = 0;
        assert_eq!(steps(&over), [Step::CollectReward]);
        // Retired: nothing follows once no receipt is open.
        let mut retired = with_reward(9);
        let state = &mut retired.models[0].account;
        (state.status, state.open_receipts) = (ModelStatus::Retired.into(), 1);
        assert_eq!(steps(&retired), []);
        retired.models[0].account.open_receipts = 0;
        assert_eq!(steps(&retired), [Step::CollectReward]);
    }

    #[test]
    fn by_default_a_reward_is_worth_a_ten_thousandth_of_the_smallest_bond() {
        let mut model = crate::fixtures::model();
        model.min_bond = 70_000;
        let min_reward = |given| ModelSnapshot::new(key(9), model, given).min_reward;
        assert_eq!([None, Some(0), Some(3)].map(min_reward), [7, 0, 3]);
    }

    #[test]
    fn the_pot_is_collected_once_nobody_can_earn_it() {
        let mut snapshot = snapshot(50);
        let state = &mut snapshot.models[0].account;
        state.pot.end_epoch = 9;
        (state.pot.waiting, state.exposure, state.open_receipts) = (3, 1, 1);
        state.status = ModelStatus::Retired.into();
        assert_eq!(steps(&snapshot), []);
        snapshot.models[0].account.exposure = 0;
        assert_eq!(steps(&snapshot), []);
        snapshot.models[0].account.open_receipts = 0;
        assert_eq!(steps(&snapshot), [Step::CollectPot]);
        snapshot.models[0].account.pot.waiting = 0;
        assert_eq!(steps(&snapshot), []);
    }
}
