//! Actions on markets: settle, cancel, pay positions, collect fees, close.

use driftshield_sdk::{FeePayee, Market, Position, Series, address, instruction};

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

/// Settles the next windows, if the program would settle any.
fn settlement(
    snapshot: &Snapshot,
    model: &ModelSnapshot,
    market: &MarketSnapshot,
) -> Option<Action> {
    let (address, account) = (market.address, &market.account);
    let next_window = account.next_window;
    let settle = || instruction::settle_market(address, account);
    is_settlement_due(snapshot, model, account)
        .then(|| Action::new(Step::Settle { next_window }, address, settle()))
}

/// Whether the market's next window is decided, or can't be decided any more because the series
/// doesn't show it after its retention.
fn is_settlement_due(snapshot: &Snapshot, model: &ModelSnapshot, market: &Market) -> bool {
    let (now, next_window) = (snapshot.now, market.next_window);
    let page = model.series.get(&Series::page_of(next_window));
    if page.is_none() && has_ended(model.account.retention_end(next_window), now) {
        return true;
    }
    let undecided = model.account.first_undecided(now).min(model.known_until);
    let mut settled = *market; // a copy
    settled.settle(page, undecided);
    settled.next_window != next_window
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
    use driftshield_sdk::{Entry, MarketState};

    use super::*;
    use crate::{
        due,
        fixtures::{key, set_entry, snapshot, steps, zeroed},
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
    fn windows_that_are_decided_are_settled() {
        let settle = [Step::Settle { next_window: 0 }];
        // Window 0 can be submitted until 130, and challenged until 150.
        assert_eq!(steps(&with_market(149, market(0))), []);
        assert_eq!(steps(&with_market(150, market(0))), settle);
        for entry in [Entry::Final(1), Entry::Void, Entry::Thin] {
            let mut early = with_market(115, market(0));
            set_entry(&mut early.models[0], 0, entry);
            assert_eq!(steps(&early), settle);
        }
        let mut open = with_market(500, market(0));
        set_entry(&mut open.models[0], 0, Entry::Open);
        assert_eq!(steps(&open), []);
        set_entry(&mut open.models[0], 1, Entry::Final(1));
        assert_eq!(steps(&open), []);

        let mut unread = with_market(500, market(0));
        unread.models[0].known_until = 0;
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
