//! Seats of oracles: bonds, when seats count, leaving and replacing.

use driftshield_sdk::{Address, address};

use super::{Amount, Books, Model, Verdict, fits, require};

/// Since when an oracle is listed, counts, and leaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    pub listed_at: i64,
    pub counts: bool,
    /// When the seat last started and last stopped counting.
    pub started_at: Option<i64>,
    pub stopped_at: Option<i64>,
    /// When it started and stopped before that. Starts that follow a stop too soon don't move the start.
    pub before: Option<(i64, i64)>,
    /// When the notice of a leaving seat is over.
    pub leaves_at: Option<i64>,
}

impl Standing {
    pub fn listed(listed_at: i64) -> Self {
        Self {
            listed_at,
            ..Self::default()
        }
    }
}

#[derive(Clone, Debug)]
pub struct Seat {
    pub model: Address,
    pub oracle: Address,
    pub bonded: Amount,
    pub unbonding: Amount,
    pub release_at: i64,
    pub submissions: u64,
    pub slashes: u64,
}

impl Seat {
    pub fn active(&self) -> Amount {
        self.bonded - self.unbonding
    }
}

impl Model {
    /// Whether the seat of a listed oracle counts.
    pub fn counts(&self, oracle: &Address) -> bool {
        self.standings
            .get(oracle)
            .is_some_and(|standing| standing.counts)
    }

    /// Sets the active bond of a listed oracle. Its seat counts from the minimum bond on, until an
    /// unbonding leaves less than that, or a slash less than half of it.
    pub(super) fn set_active_bond(
        &mut self,
        oracle: &Address,
        bond: Amount,
        unbonds: bool,
        now: i64,
    ) {
        self.active_bonds.insert(*oracle, bond);
        let undecided_secs = self.periods.challenge_secs + self.periods.ruling_secs;
        let (min_bond, standing) = (self.min_bond, self.standings.get_mut(oracle));
        let standing = standing.expect("a listed oracle has a standing");
        let counts = min_bond <= bond || (standing.counts && !unbonds && min_bond <= 2 * bond);
        if counts && !standing.counts {
            if let (Some(started), Some(stopped)) = (standing.started_at, standing.stopped_at) {
                // A window of the time before that may still be undecided.
                let kept = standing.before;
                let kept = kept.filter(|(_, until)| now <= until + undecided_secs);
                standing.before = Some((kept.map_or(started, |(from, _)| from), stopped));
            }
            standing.started_at = Some(now);
        } else if standing.counts && !counts {
            standing.stopped_at = Some(now);
            standing.leaves_at = None;
        }
        standing.counts = counts;
    }

    /// Half of the slashes of the ⌈quorum/2⌉ oracles who bend a median, 0 if fewer than a quorum count.
    pub fn security(&self) -> Amount {
        self.security_of(|_| true)
    }

    /// The security without the seats that are leaving.
    pub fn lasting_security(&self) -> Amount {
        self.security_of(|standing| standing.leaves_at.is_none())
    }

    fn security_of(&self, includes: impl Fn(&Standing) -> bool) -> Amount {
        let counting = self.standings.values().filter(|standing| standing.counts);
        // A seat that counts has at least half of the minimum bond, which is at least the slash.
        let costs = vec![self.slash_amount; counting.filter(|standing| includes(standing)).count()];
        if costs.len() < self.quorum {
            return 0;
        }
        costs[..self.quorum.div_ceil(2)].iter().sum::<Amount>() / 2
    }
}

impl Books {
    /// The number of open receipts to which an oracle has submitted.
    pub fn open_submissions(&self, at: &Address, oracle: &Address) -> usize {
        let Some(index) = self.models[at].index(oracle) else {
            return 0;
        };
        let receipts = self.receipts.values();
        receipts
            .filter(|receipt| receipt.model == *at)
            .filter(|receipt| !receipt.is_settled() || receipt.appeal_until.is_some())
            .filter(|receipt| receipt.submissions.contains_key(&index))
            .count()
    }

    pub(super) fn replace_oracle(
        &mut self,
        signer: &Address,
        at: &Address,
        oracle: &Address,
        successor: &Address,
    ) -> Verdict {
        let now = self.now;
        require(
            self.model(at)?.owner == *signer,
            "only the owner may replace an oracle",
        )?;
        require(0 < self.exposure_of(at), "the model is not exposed")?;
        let open = self.open_submissions(at, oracle);
        let model = self.model_mut(at)?;
        let slot = model.index(oracle).ok_or("the oracle is not listed")?;
        require(
            model.index(successor).is_none(),
            "the successor is listed already",
        )?;
        let standing = model.standings[oracle];
        require(!standing.counts, "the seat counts")?;
        let vacant_since = standing.stopped_at.unwrap_or(standing.listed_at);
        require(
            vacant_since + model.periods.replace_secs <= now,
            "the seat has not been without counting for long enough",
        )?;
        require(open == 0, "a submission of the oracle is open")?;
        model.replaced += 1;
        require(
            model.replaced < model.quorum.div_ceil(2),
            "too many oracles are replaced",
        )?;
        model.oracles[slot] = *successor;
        model.active_bonds.remove(oracle);
        model.active_bonds.insert(*successor, 0);
        model.standings.remove(oracle);
        model.standings.insert(*successor, Standing::listed(now));
        self.move_reward(at, oracle)?;
        self.rare_events.oracles_replaced += 1;
        Ok(())
    }

    /// Takes the open penalties of an oracle that is removed from its bond, and adds its reward.
    pub(super) fn move_reward(&mut self, at: &Address, oracle: &Address) -> Verdict {
        self.pay_penalty(at, oracle)?;
        if let Some(reward) = self.model_mut(at)?.rewards.remove(oracle) {
            let seat = self.seats.get_mut(&address::seat(at, oracle));
            seat.ok_or("the oracle has no seat")?.bonded += reward;
        }
        Ok(())
    }

    pub(super) fn leave_seat(&mut self, signer: &Address, at: &Address) -> Verdict {
        let now = self.now;
        let model = self.model_mut(at)?;
        let leave_secs = model.periods.leave_secs;
        let standing = model.standings.get_mut(signer);
        let standing = standing.ok_or("the oracle is not listed")?;
        require(standing.counts, "the seat does not count")?;
        require(standing.leaves_at.is_none(), "the seat is leaving already")?;
        standing.leaves_at = Some(now + leave_secs);
        Ok(())
    }

    pub(super) fn bond(
        &mut self,
        signer: &Address,
        at: &Address,
        source: &Address,
        amount: u64,
    ) -> Verdict {
        let model = self.model(at)?;
        require(model.index(signer).is_some(), "the oracle is not listed")?;
        require(0 < amount, "the amount is 0")?;
        let (mint, vault) = (model.mint, address::bond_vault(at));
        self.transfer(signer, source, &vault, &mint, amount.into())?;
        let new = Seat {
            model: *at,
            oracle: *signer,
            bonded: 0,
            unbonding: 0,
            release_at: 0,
            submissions: 0,
            slashes: 0,
        };
        self.seats.entry(address::seat(at, signer)).or_insert(new);
        self.pay_penalty(at, signer)?;
        let seat = self
            .seats
            .get_mut(&address::seat(at, signer))
            .expect("inserted");
        seat.bonded = fits(seat.bonded + Amount::from(amount))?;
        let active = seat.active();
        let now = self.now;
        self.model_mut(at)?
            .set_active_bond(signer, active, false, now);
        fits(self.held(at))?;
        Ok(())
    }

    pub(super) fn request_unbond(
        &mut self,
        signer: &Address,
        at: &Address,
        amount: u64,
    ) -> Verdict {
        let now = self.now;
        let release_at = now + self.model(at)?.periods.unbond_secs;
        self.pay_penalty(at, signer)?;
        let seat = self.seats.get_mut(&address::seat(at, signer));
        let seat = seat.ok_or("the oracle has no seat")?;
        require(0 < amount, "the amount is 0")?;
        require(
            Amount::from(amount) <= seat.active(),
            "the active bond is lower",
        )?;
        seat.unbonding += Amount::from(amount);
        seat.release_at = release_at;
        let active = seat.active();
        let (stakes, cover) = (self.market_risk(at), self.cover_risk(at));
        let model = self.model_mut(at)?;
        let Some(counted) = model.active_bonds.get(signer).copied() else {
            return Ok(());
        };
        let securities = |model: &Model| [model.security(), model.lasting_security()];
        let before = securities(model);
        let has_left = model.standings[signer]
            .leaves_at
            .is_some_and(|leaves_at| leaves_at <= now);
        model.set_active_bond(signer, active.min(counted), true, now);
        let is_lower = std::iter::zip(securities(model), before).any(|(now, before)| now < before);
        let is_secure = stakes <= model.secured_stakes() && cover <= model.secured_cover();
        if is_lower && !is_secure {
            require(has_left, "the bond is needed to secure what is at risk")?;
            self.rare_events.oracles_left += 1;
        }
        Ok(())
    }

    pub(super) fn withdraw_bond(
        &mut self,
        oracle: &Address,
        at: &Address,
        destination: &Address,
        signed: bool,
    ) -> Verdict {
        let now = self.now;
        let seat = self.seats.get_mut(&address::seat(at, oracle));
        let seat = seat.ok_or("the oracle has no seat")?;
        let amount = seat.unbonding;
        require(0 < amount, "nothing is unbonding")?;
        require(seat.release_at <= now, "the unbonding period is not over")?;
        seat.bonded -= amount;
        seat.unbonding = 0;
        seat.release_at = 0;
        self.pay(
            &address::bond_vault(at),
            oracle,
            signed,
            destination,
            amount,
        )
    }

    pub(super) fn close_seat(&mut self, oracle: &Address, at: &Address) -> Verdict {
        let seat_at = address::seat(at, oracle);
        let seat = self.seats.get(&seat_at).ok_or("the oracle has no seat")?;
        require(seat.bonded == 0, "the seat has a bond")?;
        self.model(at)?;
        let has_reward = self.model(at)?.rewards.contains_key(oracle);
        require(!has_reward, "the oracle's reward is not collected")?;
        require(
            self.open_submissions(at, oracle) == 0,
            "an open receipt may need the seat",
        )?;
        self.seats.remove(&seat_at);
        Ok(())
    }
}
