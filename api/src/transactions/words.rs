//! What a transaction does, in words: a sentence for each event of its simulation.

use chrono::DateTime;
use driftshield_sdk::{
    Event, MarketState,
    events::{
        AskSet, BetPlaced, MarketSettled, PolicyBought, PolicyCancelled, PolicyClaimed,
        PolicyRenewed, PositionBought, WithdrawRequested, Withdrawn,
    },
    math,
};

use crate::values::scaled;

/// The sentence for `event`; `None` for events of which the routes say nothing. Amounts are of a mint
/// with `decimals`.
pub fn sentence(event: &Event, decimals: u8) -> Option<String> {
    let words = Words { decimals };
    Some(match event {
        Event::BetPlaced(event) => words.bet(event),
        Event::AskSet(event) => words.ask(event),
        Event::PositionBought(event) => words.bought(event),
        Event::MarketSettled(event) => settled(event),
        Event::PolicyBought(event) => words.policy(event),
        Event::PolicyClaimed(event) => words.policy_claimed(event),
        Event::PolicyCancelled(event) => words.policy_cancelled(event),
        Event::PolicyRenewed(event) => words.policy_renewed(event),
        Event::WithdrawRequested(event) => words.requested(event),
        Event::Withdrawn(event) => words.withdrawn(event),
        other => words.short(other)?,
    })
}

struct Words {
    decimals: u8,
}

impl Words {
    fn tokens(&self, amount: u64) -> String {
        format!("{} tokens", scaled(amount.into(), self.decimals))
    }

    fn shares(&self, shares: u64) -> String {
        let decimals = self.decimals.saturating_add(math::SHARE_DECIMALS);
        format!("{} shares", scaled(shares.into(), decimals))
    }

    fn bet(&self, event: &BetPlaced) -> String {
        let mut text = format!(
            "Bets {} on outcome {} of market {}, which pays {} times the stake if nobody else bets.",
            self.tokens(event.amount),
            event.outcome,
            event.market,
            multiple(event.multiple),
        );
        if 0 < event.rent {
            text += &format!(" Pays a security rent of {}.", self.tokens(event.rent));
        }
        text
    }

    fn ask(&self, event: &AskSet) -> String {
        let (outcome, market) = (event.outcome, event.market);
        if event.ask.amount == 0 {
            return format!("Removes the ask on outcome {outcome} of market {market}.");
        }
        format!(
            "Offers {} of the stake on outcome {outcome} of market {market} for {} tokens each, \
             until {} or the next report on the model.",
            self.tokens(event.ask.amount),
            multiple(event.ask.price.into()),
            time(event.ask.valid_until),
        )
    }

    fn bought(&self, event: &PositionBought) -> String {
        format!(
            "Buys {} of stake on outcome {} of market {} from {} for {}.",
            self.tokens(event.amount),
            event.outcome,
            event.market,
            event.seller,
            self.tokens(event.paid),
        )
    }

    fn policy(&self, event: &PolicyBought) -> String {
        format!(
            "Buys cover of up to {} on model {} from vault {}: windows {} to {}, paid from a drift of \
             {} on. It costs a premium of {} and a security rent of {}. The cover is on probation \
             until its first window begins.",
            self.tokens(event.terms.cover),
            event.model,
            event.vault,
            event.terms.first_window,
            event.last_window,
            drift(event.terms.trigger),
            self.tokens(event.premium),
            self.tokens(event.rent),
        )
    }

    fn policy_claimed(&self, event: &PolicyClaimed) -> String {
        let mut text = format!(
            "Pays {} of policy {} to its holder {}, for a drift of {}.",
            self.tokens(event.amount),
            event.policy,
            event.holder,
            drift(event.value),
        );
        if 0 < event.refund {
            text += &format!(" Refunds {} of premium.", self.tokens(event.refund));
        }
        if event.paid == event.cover {
            text += " All cover is paid out, so the policy ends.";
        }
        text
    }

    fn policy_cancelled(&self, event: &PolicyCancelled) -> String {
        format!(
            "Ends policy {} and its cover, refunds {} of premium and pays {} that the policy is worth.",
            event.policy,
            self.tokens(event.refund),
            self.tokens(event.paid),
        )
    }

    fn policy_renewed(&self, event: &PolicyRenewed) -> String {
        format!(
            "Renews policy {} up to window {}, which ends at {}. It costs a premium of {} and a \
             security rent of {}.",
            event.policy,
            event.last_window,
            time(event.end),
            self.tokens(event.premium),
            self.tokens(event.rent),
        )
    }

    fn requested(&self, event: &WithdrawRequested) -> String {
        format!(
            "Requests the withdrawal of {} from vault {}: {} in all. They can be withdrawn from {} to \
             {}, less what the vault loses until then.",
            self.shares(event.shares),
            event.vault,
            self.tokens(event.value),
            time(event.unlock_at),
            time(event.lapses_at),
        )
    }

    fn withdrawn(&self, event: &Withdrawn) -> String {
        let mut text = format!(
            "Withdraws {} from vault {}.",
            self.tokens(event.amount),
            event.vault
        );
        if event.is_short && 0 < event.value {
            text += " The rest of the request waits for free capital.";
        }
        if 0 < event.shares {
            text += &format!(
                " What was not paid in time becomes {} again.",
                self.shares(event.shares)
            );
        }
        text
    }

    /// Sentences that need no more than a few fields.
    fn short(&self, event: &Event) -> Option<String> {
        Some(match event {
            Event::Claimed(event) => format!(
                "Pays {} to {} and closes the position in market {}.",
                self.tokens(event.paid),
                event.owner,
                event.market
            ),
            Event::MarketCreated(event) => format!(
                "Creates market {} on windows {} to {} of model {}; bets are accepted until {}.",
                event.market,
                event.terms.first_window,
                event.terms.last_window,
                event.model,
                time(event.terms.close_ts),
            ),
            Event::PolicyExamined(event) => format!(
                "Examines the windows of policy {} before window {}, which adds {} to its worth.",
                event.policy,
                event.examined_until,
                self.tokens(event.amount)
            ),
            Event::Deposited(event) => format!(
                "Deposits {} into vault {} for {}.",
                self.tokens(event.amount),
                event.vault,
                self.shares(event.shares)
            ),
            Event::VaultCreated(event) => format!(
                "Creates vault {} for cover in tokens of mint {}.",
                event.vault, event.mint
            ),
            Event::ModelRegistered(event) => format!(
                "Registers model {} with {} oracles and a noise floor of {}.",
                event.model,
                event.terms.oracles.len(),
                drift(event.noise_floor),
            ),
            Event::ModelUpdated(event) => format!(
                "Changes model {}, which becomes version {} and restarts its statistics.",
                event.model, event.version
            ),
            Event::ModelRetired(event) => format!(
                "Retires model {} for good: it takes no new markets, bets or cover.",
                event.model
            ),
            Event::OraclesFunded(event) => format!(
                "Adds {} to the pay of the oracles of model {} until {}.",
                self.tokens(event.amount),
                event.model,
                time(event.until)
            ),
            Event::RewardCollected(event) => format!(
                "Pays {} of rewards to oracle {} of model {}.",
                self.tokens(event.amount),
                event.oracle,
                event.model
            ),
            _ => return None,
        })
    }
}

fn settled(event: &MarketSettled) -> String {
    let (market, next) = (event.market, event.next_window);
    let result = match (event.state, event.outcome) {
        (MarketState::Resolved, Some(outcome)) => format!(
            "The market resolves to outcome {outcome}, at a value of {}.",
            drift(event.value)
        ),
        (MarketState::Void, _) => "The market is void and refunds all stakes.".to_owned(),
        _ => "The market stays open for the windows that are left.".to_owned(),
    };
    format!("Settles the windows of market {market} before window {next}. {result}")
}

fn multiple(thousandths: u64) -> String {
    scaled(thousandths.into(), 3)
}

fn drift(micro_units: u64) -> String {
    scaled(micro_units.into(), 6)
}

/// RFC 3339; the number for times after all calendars.
fn time(unix: i64) -> String {
    DateTime::from_timestamp(unix, 0).map_or_else(
        || unix.to_string(),
        |time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    )
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{ID, events::Claimed};

    use super::*;

    #[test]
    fn amounts_are_in_tokens_and_times_in_rfc_3339() {
        let claimed = Event::Claimed(Claimed {
            market: ID,
            market_seq: 1,
            position: ID,
            position_seq: 1,
            owner: ID,
            destination: ID,
            paid: 1_500_000,
            owed: 0,
            positions: 0,
        });
        let text = sentence(&claimed, 6).unwrap();
        assert!(text.starts_with("Pays 1.5 tokens to DriftSh1"), "{text}");
        assert_eq!(time(1_796_083_200), "2026-12-01T00:00:00Z");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn a_settlement_says_what_becomes_of_the_market() {
        let event = |state, outcome| MarketSettled {
            market: ID,
            market_seq: 1,
            model: ID,
            model_seq: 1,
            next_window: 8,
            observed: 8,
            accumulator: 250_000,
            state,
            outcome,
            value: 250_000,
            protocol_fee: 0,
            creator_fee: 0,
            winnings: 0,
            market_risk: 0,
            exposure: 0,
        };
        let text = settled(&event(MarketState::Resolved, Some(1)));
        assert!(text.contains("before window 8"), "{text}");
        assert!(text.ends_with("outcome 1, at a value of 0.25."), "{text}");
        assert!(settled(&event(MarketState::Void, None)).contains("refunds"));
        assert!(settled(&event(MarketState::Open, None)).contains("stays open"));
    }
}
