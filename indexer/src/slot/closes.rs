//! Account closes that events report.

use driftshield_sdk::{Event, ReceiptState};

/// Returns the address (base58) of the account that the event closes; `None` if it closes none.
///
/// The account's balance alone does not show every close: anybody can send lamports to an address
/// right after the close.
pub fn closed_account(event: &Event) -> Option<String> {
    let address = match event {
        Event::SeatClosed(event) => event.seat,
        Event::ReceiptFinalized(event)
            if is_settled(event.state) && event.challenger_credit == 0 =>
        {
            event.receipt
        }
        Event::ReceiptRuled(event)
            // What was slashed is held, and owed as long.
            if event.challenger_credit == 0
                && event.treasury_credit == 0
                && event.slashed == 0 =>
        {
            event.receipt
        }
        Event::SlashesReturned(event) if event.owed == 0 => event.receipt,
        Event::ChallengeCollected(event) if event.owed == 0 => event.receipt,
        Event::SeriesClosed(event) => event.series,
        Event::MarketCancelled(event) => event.market,
        Event::MarketClosed(event) => event.market,
        Event::Claimed(event) => event.position,
        Event::PositionBought(event) if event.seller_total == 0 => event.seller_position,
        Event::VaultClosed(event) => event.vault,
        Event::ExposureClosed(event) => event.exposure,
        Event::WithdrawCancelled(event) => event.request,
        Event::Withdrawn(event) if event.value == 0 && event.shares == 0 => event.request,
        Event::PolicyClaimed(event) if event.paid == event.cover => event.policy,
        Event::PolicyCancelled(event) => event.policy,
        Event::PolicyExpired(event) => event.policy,
        Event::PolicyBegun(event) if event.is_over => event.policy,
        _ => return None,
    };
    Some(address.to_string())
}

fn is_settled(state: ReceiptState) -> bool {
    matches!(
        state,
        ReceiptState::Final | ReceiptState::Void | ReceiptState::Thin
    )
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{
        Ask, VaultTotals,
        events::{PolicyClaimed, PositionBought, Withdrawn},
    };

    use super::*;

    const ACCOUNT: [u8; 32] = [2; 32];

    #[test]
    fn an_account_paid_in_parts_is_closed_by_the_last_payment() {
        let account = bs58::encode(&ACCOUNT).into_string();
        let claimed = |paid| {
            let event = PolicyClaimed {
                refund: 0,
                vault: [1; 32].into(),
                vault_seq: 1,
                exposure: [2; 32].into(),
                exposure_seq: 1,
                policy: ACCOUNT.into(),
                policy_seq: 2,
                model: [3; 32].into(),
                model_seq: 1,
                holder: [4; 32].into(),
                destination: [5; 32].into(),
                first_window: 9,
                value: 300_000,
                amount: 4,
                paid,
                cover: 10,
                totals: VaultTotals::default(),
                exposure_cover: 0,
                cover_risk: 0,
                model_exposure: 0,
            };
            closed_account(&Event::PolicyClaimed(event))
        };
        assert_eq!(claimed(4), None);
        assert_eq!(claimed(10), Some(account.clone()));

        let withdrawn = |value, shares| {
            let event = Withdrawn {
                vault: [1; 32].into(),
                vault_seq: 1,
                request: ACCOUNT.into(),
                request_seq: 2,
                owner: [4; 32].into(),
                destination: [5; 32].into(),
                amount: 4,
                value,
                shares,
                is_short: false,
                reserved_until: 0,
                totals: VaultTotals::default(),
            };
            closed_account(&Event::Withdrawn(event))
        };
        assert_eq!(withdrawn(6, 0), None);
        assert_eq!(withdrawn(0, 6), None);
        assert_eq!(withdrawn(0, 0), Some(account.clone()));

        let sold = |seller_total| {
            let event = PositionBought {
                market: [1; 32].into(),
                market_seq: 1,
                seller_position: ACCOUNT.into(),
                seller_position_seq: 2,
                position: [3; 32].into(),
                position_seq: 1,
                seller: [4; 32].into(),
                buyer: [5; 32].into(),
                destination: [6; 32].into(),
                outcome: 0,
                amount: 4,
                price: 1_000,
                paid: 4,
                stake: 4,
                seller_stake: 0,
                seller_ask: Ask::default(),
                seller_total,
                positions: 2,
            };
            closed_account(&Event::PositionBought(event))
        };
        assert_eq!(sold(6), None);
        assert_eq!(sold(0), Some(account));
    }
}
