//! Models, and the bonds of those who measure them.

use std::collections::BTreeMap;

use driftshield_sdk::{Address, ConfigParams, Metric, MetricSpec, ModelTerms, address};

use super::{Amount, Books, DAY, HORIZON, Ruled, Seen, State, fits, limits, require, roles::flag};

#[derive(Clone, Debug)]
pub struct Model {
    pub owner: Address,
    pub id: u64,
    pub mint: Address,
    pub arbiter: Address,
    pub metric: Metric,
    pub reference: Vec<u32>,
    pub min_samples: u64,
    pub genesis: i64,
    pub window_secs: i64,
    pub noise_floor: u64,
    pub oracles: Vec<Address>,
    pub quorum: usize,
    pub max_spread: u64,
    pub version: u32,
    pub is_retired: bool,

    // Copied when it was registered.
    pub periods: ConfigParams,
    pub min_bond: Amount,
    pub slash_amount: Amount,
    pub challenge_bond: Amount,

    /// Of every listed oracle, the bond that it stands for beside what is unbonding.
    pub standing: BTreeMap<Address, Amount>,
    /// This version's Final receipts, window and value, as they became so.
    pub finals: Vec<(u64, u64)>,
    /// The latest window proposed or ruled on, and its value.
    pub latest: Option<(u64, u64)>,
    /// Head of the receipt chain.
    pub chain: [u8; 32],
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

/// Statistics of Final receipts, told from the first to the last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    pub count: usize,
    pub last_window: u64,
    pub last: u64,
    pub max: u64,
    pub ewma: u64,
}

impl Model {
    pub fn index(&self, oracle: &Address) -> Option<usize> {
        self.oracles.iter().position(|listed| listed == oracle)
    }

    pub fn is_insider(&self, who: &Address) -> bool {
        self.owner == *who || self.oracles.contains(who)
    }

    /// Whether the seat of a listed oracle counts.
    pub fn counts(&self, oracle: &Address) -> bool {
        self.standing
            .get(oracle)
            .is_some_and(|bond| self.min_bond <= *bond)
    }

    /// ½ Σ min(bond, slash) over the ⌈quorum/2⌉ smallest seats that count, 0 if fewer than a quorum do.
    pub fn security(&self) -> Amount {
        let counting = self.oracles.iter().filter(|oracle| self.counts(oracle));
        let mut costs: Vec<Amount> = counting
            .map(|oracle| self.standing[oracle].min(self.slash_amount))
            .collect();
        if costs.len() < self.quorum {
            return 0;
        }
        costs.sort();
        let bending = self.quorum.div_ceil(2);
        let half = costs[..bending].iter().sum::<Amount>() / 2;
        half.min(u64::MAX.into())
    }

    pub fn secures(&self, at_risk: Amount) -> bool {
        at_risk <= self.security() * Amount::from(self.periods.security_multiple)
    }

    pub fn statistics(&self) -> Statistics {
        let mut told = Statistics::default();
        for &(window, value) in &self.finals {
            told.max = told.max.max(value);
            if told.count == 0 {
                told.ewma = value;
            } else if told.last_window < window {
                told.ewma = (7 * told.ewma + value) / 8;
            }
            if told.count == 0 || told.last_window < window {
                (told.last_window, told.last) = (window, value);
            }
            told.count += 1;
        }
        told
    }

    /// How long after its window's end a receipt can still become Final.
    pub fn dispute_secs(&self) -> i64 {
        self.periods.submit_secs + self.periods.challenge_secs + self.periods.ruling_secs
    }

    pub fn window_end(&self, window: u64) -> Ruled<i64> {
        let end = i128::from(self.genesis)
            + (i128::from(window) + 1).saturating_mul(self.window_secs.into());
        let most = i64::MAX - 100 * HORIZON; // there is room for every period after it
        require(end <= i128::from(most), "a window out of range")?;
        require(
            i64::try_from(window).is_ok_and(|w| w < i64::MAX),
            "a window out of range",
        )?;
        Ok(end as i64)
    }

    pub fn window_start(&self, window: u64) -> Ruled<i64> {
        Ok(self.window_end(window)? - self.window_secs)
    }

    pub fn submit_end(&self, window: u64) -> Ruled<i64> {
        Ok(self.window_end(window)? + self.periods.submit_secs)
    }

    pub fn retention_end(&self, window: u64) -> Ruled<i64> {
        Ok(self.window_end(window)? + self.periods.retention_secs)
    }

    /// The first window that begins at `at` or later.
    pub fn window_from(&self, at: i64) -> u64 {
        let ahead = (at - self.genesis).max(0) as u64;
        ahead.div_ceil(self.window_secs as u64)
    }
}

impl Books {
    pub(super) fn model(&self, model: &Address) -> Ruled<&Model> {
        self.models.get(model).ok_or("is no model")
    }

    pub(super) fn model_mut(&mut self, model: &Address) -> Ruled<&mut Model> {
        self.models.get_mut(model).ok_or("is no model")
    }

    // What the page defines as sums.

    /// Unsettled stakes, and cover less what it was paid.
    pub fn at_risk(&self, model: &Address) -> Amount {
        self.risks(model).sum()
    }

    /// Unsettled markets with a bet, and policies that haven't ended.
    pub fn exposure_of(&self, model: &Address) -> usize {
        self.risks(model).count()
    }

    fn risks<'a>(&'a self, model: &'a Address) -> impl Iterator<Item = Amount> + 'a {
        let markets = self.markets.values();
        let stakes = markets
            .filter(move |market| market.model == *model && market.end.is_none())
            .map(|market| market.total())
            .filter(|total| 0 < *total);
        let policies = self.policies.values();
        let cover = policies
            .filter(move |policy| policy.model == *model)
            .map(|policy| policy.cover - policy.paid);
        stakes.chain(cover)
    }

    pub fn open_receipts(&self, model: &Address) -> usize {
        let receipts = self.receipts.values();
        receipts
            .filter(|receipt| receipt.model == *model && !receipt.is_settled())
            .count()
    }

    /// Bonds, challenge bonds, and what is credited but not collected.
    pub fn held(&self, model: &Address) -> Amount {
        let seats = self.seats.values().filter(|seat| seat.model == *model);
        let bonds: Amount = seats.map(|seat| seat.bonded).sum();
        let challenge_bond = self.models[model].challenge_bond;
        let receipts = self.receipts.values();
        let disputes = receipts
            .filter(|receipt| receipt.model == *model)
            .map(|receipt| {
                let disputed = receipt.state == State::Challenged && receipt.challenger.is_some();
                let bond = if disputed { challenge_bond } else { 0 };
                bond + receipt.challenger_credit + receipt.treasury_credit
            });
        bonds + disputes.sum::<Amount>()
    }

    // Models.

    pub(super) fn register_model(
        &mut self,
        who: &Address,
        id: u64,
        mint: &Address,
        spec: &MetricSpec,
        terms: &ModelTerms,
        seen: &Seen,
    ) -> Ruled {
        self.require_running(flag::MODELS)?;
        let bonds = self.enabled(mint)?.terms;
        let config = self.config()?;
        let periods = config.params;
        let arbiter = config.arbiter;
        limits::of_spec(spec)?;
        limits::of_model(terms, periods.max_spread_limit)?;
        require(
            (periods.min_window_secs..=periods.max_window_secs).contains(&spec.window_secs),
            "the window's length is out of range",
        )?;
        let ahead = i128::from(spec.genesis) - i128::from(self.now);
        require(
            (0..=i128::from(31 * DAY)).contains(&ahead),
            "genesis is past or too far ahead",
        )?;
        let at = address::model(who, id);
        require(!self.models.contains_key(&at), "exists already")?;
        let model = Model {
            owner: *who,
            id,
            mint: *mint,
            arbiter,
            metric: spec.metric,
            reference: spec.reference.clone(),
            min_samples: spec.min_samples,
            genesis: spec.genesis,
            window_secs: spec.window_secs,
            noise_floor: seen.noise_floor.unwrap_or(1),
            oracles: terms.oracles.clone(),
            quorum: terms.quorum.into(),
            max_spread: terms.max_spread,
            version: 1,
            is_retired: false,
            periods,
            min_bond: bonds.min_bond.into(),
            slash_amount: bonds.slash_amount.into(),
            challenge_bond: bonds.challenge_bond.into(),
            standing: terms.oracles.iter().map(|oracle| (*oracle, 0)).collect(),
            finals: vec![],
            latest: None,
            chain: [0; 32],
        };
        self.models.insert(at, model);
        self.open(address::bond_vault(&at), mint, &at)
    }

    pub(super) fn update_model(
        &mut self,
        who: &Address,
        at: &Address,
        terms: &ModelTerms,
    ) -> Ruled {
        let limit = self.config()?.params.max_spread_limit;
        require(self.model(at)?.owner == *who, "only the owner may")?;
        require(self.exposure_of(at) == 0, "the model has exposure")?;
        require(self.open_receipts(at) == 0, "a receipt is open")?;
        limits::of_model(terms, limit)?;
        let model = self.model_mut(at)?;
        model.version = model.version.checked_add(1).ok_or("does not fit")?;
        let before = &model.standing;
        let keeps = |oracle: &Address| (*oracle, before.get(oracle).copied().unwrap_or(0));
        model.standing = terms.oracles.iter().map(keeps).collect();
        model.oracles = terms.oracles.clone();
        model.quorum = terms.quorum.into();
        model.max_spread = terms.max_spread;
        model.finals.clear();
        model.latest = None;
        Ok(())
    }

    pub(super) fn retire_model(&mut self, who: &Address, at: &Address) -> Ruled {
        let model = self.model_mut(at)?;
        require(model.owner == *who, "only the owner may")?;
        require(!model.is_retired, "is retired already")?;
        model.is_retired = true;
        Ok(())
    }

    // Bonds.

    pub(super) fn bond(
        &mut self,
        who: &Address,
        at: &Address,
        source: &Address,
        amount: u64,
    ) -> Ruled {
        let model = self.model(at)?;
        require(model.index(who).is_some(), "is not listed")?;
        require(0 < amount, "is nothing")?;
        let (mint, vault) = (model.mint, address::bond_vault(at));
        self.transfer(who, source, &vault, &mint, amount.into())?;
        let new = Seat {
            model: *at,
            oracle: *who,
            bonded: 0,
            unbonding: 0,
            release_at: 0,
            submissions: 0,
            slashes: 0,
        };
        let seat = self.seats.entry(address::seat(at, who)).or_insert(new);
        seat.bonded = fits(seat.bonded + Amount::from(amount))?;
        let active = seat.active();
        self.model_mut(at)?.standing.insert(*who, active);
        fits(self.held(at))?;
        Ok(())
    }

    pub(super) fn request_unbond(&mut self, who: &Address, at: &Address, amount: u64) -> Ruled {
        let release_at = self.now + self.model(at)?.periods.unbond_secs;
        let seat = self.seats.get_mut(&address::seat(at, who));
        let seat = seat.ok_or("has no seat")?;
        require(0 < amount, "is nothing")?;
        require(Amount::from(amount) <= seat.active(), "bonds less")?;
        seat.unbonding += Amount::from(amount);
        seat.release_at = release_at;
        let active = seat.active();
        let at_risk = self.at_risk(at);
        let model = self.model_mut(at)?;
        let before = model.security();
        if let Some(standing) = model.standing.get_mut(who) {
            *standing = active.min(*standing);
        }
        require(
            before <= model.security() || model.secures(at_risk),
            "the bond secures what is at risk",
        )
    }

    pub(super) fn withdraw_bond(
        &mut self,
        oracle: &Address,
        at: &Address,
        destination: &Address,
        signed: bool,
    ) -> Ruled {
        let now = self.now;
        let seat = self.seats.get_mut(&address::seat(at, oracle));
        let seat = seat.ok_or("has no seat")?;
        let amount = seat.unbonding;
        require(0 < amount, "nothing is unbonding")?;
        require(seat.release_at <= now, "is still unbonding")?;
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

    pub(super) fn close_seat(&mut self, oracle: &Address, at: &Address) -> Ruled {
        let seat_at = address::seat(at, oracle);
        let seat = self.seats.get(&seat_at).ok_or("has no seat")?;
        require(seat.bonded == 0, "has a bond")?;
        let is_listed = self.model(at)?.index(oracle).is_some();
        require(
            !is_listed || self.open_receipts(at) == 0,
            "an open receipt may need it",
        )?;
        self.seats.remove(&seat_at);
        Ok(())
    }
}
