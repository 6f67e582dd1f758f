//! Actions on markets: settle, cancel, pay positions, collect fees, close.

use driftshield_sdk::{FeePayee, Position, address, instruction};

use super::action::{Action, Step, create_token_account};
use crate::{
    periods::has_ended,
    snapshot::{MarketSnapshot, ModelSnapshot, Snapshot},
};

pub fn actions(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let markets = model.markets.iter();
    markets
        .flat_map(|market| {
            if market.account.is_settled() {
                payouts_and_closure(snapshot, market)
            } else if market.account.total == 0 {
                cancellation(snapshot, market).into_iter().collect()
            } else {
                settlement(snapshot, model, market).into_iter().collect()
            }
        })
        .collect()
}

/// Settles the next windows: those with a Final or Void receipt, and those without a receipt whose
/// submit period is over. If the next window is past its retention, one window is enough: the
/// market becomes Void.
///
/// Receipts that can be finalized are left to `finalize_receipt`: if `settle_market` finalized
/// them too, the two transactions would race.
fn settlement(
    snapshot: &Snapshot,
    model: &ModelSnapshot,
    market: &MarketSnapshot,
) -> Option<Action> {
    let next_window = market.account.next_window;
    let is_settled = |window: &u64| match model.pending_receipts.get(window) {
        Some(receipt) => receipt.is_settled(),
        None if model.settled_receipts.contains_key(window) => true,
        None => {
            *window < model.receipts_known_until
                && has_ended(model.account.submit_end(*window), snapshot.now)
        }
    };
    let windows = if has_ended(model.account.retention_end(next_window), snapshot.now) {
        1 // makes the market Void: the retention of the next window is over
    } else {
        (next_window..=market.account.last_window)
            .take(instruction::MAX_SETTLE_WINDOWS as usize)
            .take_while(is_settled)
            .count()
    };
    let settle = || instruction::settle_market(market.address, &market.account, windows as u64);
    let step = Step::Settle { next_window };
    (0 < windows).then(|| Action::new(step, market.address, settle()))
}

/// Cancels a market without bets once betting has closed.
fn cancellation(snapshot: &Snapshot, market: &MarketSnapshot) -> Option<Action> {
    let cancel = || instruction::cancel_market(market.address, &market.account, false);
    (market.account.close_ts <= snapshot.now)
        .then(|| Action::new(Step::CancelMarket, market.address, cancel()))
}

/// Pays the positions and fees of a settled market. Closes it once no position and no fee is left.
fn payouts_and_closure(snapshot: &Snapshot, market: &MarketSnapshot) -> Vec<Action> {
    let (address, account) = (market.address, &market.account);
    let collect = |payee| instruction::collect_fees(address, account, payee);
    let positions = market.positions.iter();
    let mut actions: Vec<Action> = positions
        .map(|position| claim(snapshot, market, position))
        .collect();
    if 0 < account.protocol_credit {
        let collect = collect(FeePayee::Treasury);
        actions.push(Action::new(Step::CollectProtocolFee, address, collect));
    }
    if 0 < account.creator_credit {
        let create = create_token_account(
            snapshot,
            &account.creator,
            &account.mint,
            account.token_program,
        );
        let collect = collect(FeePayee::Creator);
        let step = Step::CollectCreatorFee;
        actions.push(Action::with_token_account(step, address, create, collect));
    }
    if account.positions == 0 && account.protocol_credit == 0 && account.creator_credit == 0 {
        let close = instruction::close_market(address, account);
        actions.push(Action::new(Step::CloseMarket, address, close));
    }
    actions
}

fn claim(snapshot: &Snapshot, market: &MarketSnapshot, position: &Position) -> Action {
    let account = address::position(&market.address, &position.owner);
    let claim = instruction::claim(position.owner, market.address, &market.account);
    let mut market = market.account; // a copy
    let paid = market.claim(position);
    if paid.is_ok_and(|paid| paid == 0) {
        return Action::new(Step::Claim, account, claim); // a claim of 0 needs no token account
    }
    let create = create_token_account(
        snapshot,
        &position.owner,
        &market.mint,
        market.token_program,
    );
    Action::with_token_account(Step::Claim, account, create, claim)
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{Market, MarketState, ReceiptState};

    use super::*;
    use crate::{
        due,
        fixtures::{key, receipt, snapshot, steps, zeroed},
    };

    fn market(positions: usize) -> MarketSnapshot {
        let mut market: Market = zeroed();
        market.model = key(9);
        market.creator = key(20);
        market.total = 10;
        market.pools[0] = 10;
        market.owed = 10;
        market.last_window = 29;
        market.threshold_count = 1;
        market.positions = positions as u64;
        let position = |index: usize| {
            let mut position: Position = zeroed();
            position.market = key(10);
            position.owner = key(30 + index as u8);
            position.stakes[index % 2] = 5;
            position
        };
        MarketSnapshot {
            address: key(10),
            account: market,
            positions: (0..positions).map(position).collect(),
        }
    }

    fn with_market(now: i64, market: MarketSnapshot) -> Snapshot {
        let mut snapshot = snapshot(now);
        snapshot.models[0].submissions.clear();
        snapshot.models[0].markets.push(market);
        snapshot
    }

    #[test]
    fn windows_with_settled_or_missing_receipts_are_settled_in_batches() {
        let settle = [Step::Settle { next_window: 0 }];
        // Window 0 accepts submissions until 130.
        assert_eq!(steps(&with_market(129, market(0))), []);
        assert_eq!(steps(&with_market(130, market(0))), settle);
        let mut early = with_market(115, market(0));
        early.models[0]
            .settled_receipts
            .insert(0, receipt(0, ReceiptState::Void, 0, 0));
        assert_eq!(steps(&early), settle);

        let mut open = with_market(150, market(0));
        open.models[0]
            .pending_receipts
            .insert(1, receipt(1, ReceiptState::Proposed, 140, 0b011));
        let actions = due::actions(&open);
        // 4 declared accounts precede the receipts.
        let receipt_count = |action: &Action| action.instructions[0].accounts.len() - 4;
        assert_eq!(receipt_count(&actions[0]), 1);
        let batch = receipt_count(&due::actions(&with_market(500, market(0)))[0]);
        assert_eq!(batch as u64, instruction::MAX_SETTLE_WINDOWS);

        let mut unread = with_market(500, market(0));
        unread.models[0].receipts_known_until = 0;
        assert_eq!(steps(&unread), []);
        assert_eq!(steps(&with_market(1_110, market(0))), settle);
    }

    #[test]
    fn each_position_of_a_settled_market_is_a_separate_action() {
        let mut settled = market(2);
        settled.account.state = MarketState::Resolved.into();
        settled.account.pools = [5, 5, 0, 0, 0, 0, 0, 0];
        settled.account.winnings = 4;
        settled.account.protocol_credit = 1;
        let actions = due::actions(&with_market(500, settled));
        let keys: Vec<_> = actions.iter().map(|action| action.key.step).collect();
        assert_eq!(keys, [Step::Claim, Step::Claim, Step::CollectProtocolFee]);
        // The winner may need a token account, the loser needs none.
        assert_eq!(actions[0].instructions.len(), 2);
        assert_eq!(actions[1].instructions.len(), 1);
        assert_ne!(actions[0].key.account, actions[1].key.account);
    }

    #[test]
    fn settled_markets_that_owe_nothing_are_closed_and_markets_without_bets_cancelled() {
        let mut settled = market(0);
        settled.account.state = MarketState::Void.into();
        assert_eq!(steps(&with_market(500, settled)), [Step::CloseMarket]);

        let mut empty = market(0);
        empty.account.total = 0;
        empty.account.close_ts = 100;
        assert_eq!(steps(&with_market(100, empty)), [Step::CancelMarket]);
        let mut empty = market(0);
        empty.account.total = 0;
        empty.account.close_ts = 100;
        assert_eq!(steps(&with_market(99, empty)), []);
    }
}
