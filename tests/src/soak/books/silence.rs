//! Silence: which oracles owe a submission for a window, and what it costs them to make none.

use driftshield_sdk::{Address, address};

use super::{Amount, Books, Model, Receipt, Verdict, require, seats::Standing};

/// The windows of everything that was made on a model since its exposure was last 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Episode {
    pub since: i64,
    pub first: u64,
    pub last: u64,
}

/// What depends on a model when a receipt is settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Risk {
    pub is_exposed: bool,
    pub amount: Amount,
}

impl Standing {
    /// Whether the seat counted from `start` to `end`: in the time before it last started, or since then.
    fn counted(&self, start: i64, end: i64) -> bool {
        let before = |(from, until): (i64, i64)| from <= start && end <= until;
        let since = self.started_at.is_some_and(|from| from <= start);
        let until_end = self.counts || self.stopped_at.is_some_and(|until| end <= until);
        self.before.is_some_and(before) || since && until_end
    }
}

impl Model {
    /// Whether the oracles owe submissions for `window`.
    pub(super) fn observes(&self, window: u64, is_exposed: bool) -> Verdict<bool> {
        let episode = self.episode;
        let is_within = episode.first <= window && window <= episode.last;
        Ok(is_exposed && is_within && episode.since < self.window_start(window)?)
    }

    /// Takes the penalties of a receipt that has become Final or Thin.
    pub(super) fn penalise(&mut self, receipt: &mut Receipt, risk: Risk, now: i64) -> Verdict {
        if !self.observes(receipt.window, risk.is_exposed)? {
            return Ok(());
        }
        let start = self.window_start(receipt.window)?;
        let end = self.submit_end(receipt.window)?;
        let owes = |index: &usize| {
            let standing = self.standings[&self.oracles[*index]];
            !receipt.submissions.contains_key(index) && standing.counted(start, end)
        };
        let silent: Vec<usize> = (0..self.oracles.len()).filter(owes).collect();
        for index in &silent {
            let oracle = self.oracles[*index];
            let bond = self.active_bonds[&oracle];
            let share = risk.amount / silent.len() as Amount;
            let penalty = self.absence_penalty.min(share).min(bond);
            receipt.penalties.insert(*index, penalty);
            if 0 < penalty {
                *self.penalties.entry(oracle).or_default() += penalty;
                self.pot.forfeit(penalty);
                self.set_active_bond(&oracle, bond - penalty, false, now);
            }
        }
        Ok(())
    }
}

impl Books {
    pub(super) fn risk(&self, at: &Address) -> Risk {
        Risk {
            is_exposed: 0 < self.exposure_of(at),
            amount: self.market_risk(at) + self.cover_risk(at),
        }
    }

    /// Notes that a market or a policy on these windows depends on the model. Call it before the market or
    /// policy is part of the exposure.
    pub(super) fn expose(&mut self, at: &Address, first: u64, last: u64) -> Verdict {
        let is_new = self.exposure_of(at) == 0;
        let since = self.now;
        let episode = &mut self.model_mut(at)?.episode;
        if is_new {
            *episode = Episode { since, first, last };
        }
        episode.first = episode.first.min(first);
        episode.last = episode.last.max(last);
        Ok(())
    }

    /// Takes the open penalties of a listed oracle from its seat. Returns them.
    pub(super) fn pay_penalty(&mut self, at: &Address, oracle: &Address) -> Verdict<Amount> {
        let penalty = self.model_mut(at)?.penalties.remove(oracle).unwrap_or(0);
        if 0 < penalty {
            let seat = self.seats.get_mut(&address::seat(at, oracle));
            seat.ok_or("the oracle has no seat")?.bonded -= penalty;
        }
        Ok(penalty)
    }

    pub(super) fn sync_seat(&mut self, oracle: &Address, at: &Address) -> Verdict {
        let seat = self.seats.get(&address::seat(at, oracle));
        seat.ok_or("the oracle has no seat")?;
        let is_listed = self.model(at)?.index(oracle).is_some();
        require(is_listed, "the oracle is not listed")?;
        let penalty = self.pay_penalty(at, oracle)?;
        require(0 < penalty, "no penalty is open")?;
        self.rare_events.seats_synced += 1;
        Ok(())
    }
}
