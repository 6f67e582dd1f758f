//! Models, and what their bond vaults hold.

use std::collections::BTreeMap;

use driftshield_sdk::{Address, ConfigParams, Metric, MetricSpec, ModelTerms, address};

use super::{
    Amount, BPS, Books, DAY, Episode, EventValues, HORIZON, Pot, Standing, Verdict, limits,
    require, roles::flag,
};

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
    pub rent_bps: u16,
    pub market_budget_bps: u16,
    pub cover_budget_bps: u16,
    pub version: u32,
    pub is_retired: bool,

    // Copied at registration from the config and the collateral.
    pub periods: ConfigParams,
    pub min_bond: Amount,
    pub slash_amount: Amount,
    pub challenge_bond: Amount,
    pub absence_penalty: Amount,

    /// The bond of each listed oracle without the unbonding part; 0 after a new listing, until the oracle
    /// bonds again.
    pub active_bonds: BTreeMap<Address, Amount>,
    /// By listed oracle.
    pub standings: BTreeMap<Address, Standing>,
    /// Replacements since the exposure was last 0.
    pub replaced: usize,
    /// Penalties that the oracles' seats have not paid.
    pub penalties: BTreeMap<Address, Amount>,
    pub episode: Episode,
    /// Uncollected rewards.
    pub rewards: BTreeMap<Address, Amount>,
    pub pot: Pot,
    /// Window and value of this version's Final receipts, in the order in which they became Final.
    pub final_receipts: Vec<(u64, u64)>,
    /// The latest window whose receipt was proposed or ruled on, and its value.
    pub latest: Option<(u64, u64)>,
    /// Number of submissions, challenges and rulings.
    pub reports: u32,
    /// Head of the receipt chain.
    pub chain: [u8; 32],
}

/// Statistics of a model's Final receipts.
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

    pub fn is_insider(&self, address: &Address) -> bool {
        self.owner == *address || self.oracles.contains(address)
    }

    /// The stakes that the bonds secure.
    pub fn secured_stakes(&self) -> Amount {
        self.secured() * Amount::from(self.market_budget_bps) / BPS
    }

    /// The cover that the bonds secure.
    pub fn secured_cover(&self) -> Amount {
        self.secured() * Amount::from(self.cover_budget_bps) / BPS
    }

    fn secured(&self) -> Amount {
        self.lasting_security() * Amount::from(self.periods.security_multiple)
    }

    pub fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::default();
        for &(window, value) in &self.final_receipts {
            let is_first = statistics.count == 0;
            let is_later = is_first || statistics.last_window < window;
            statistics.max = statistics.max.max(value);
            if is_first {
                statistics.ewma = value;
            } else if is_later {
                statistics.ewma = (7 * statistics.ewma + value) / 8;
            }
            if is_later {
                (statistics.last_window, statistics.last) = (window, value);
            }
            statistics.count += 1;
        }
        statistics
    }

    /// The higher of the last Final value and the latest proposed or ruled one.
    pub fn current_drift(&self) -> u64 {
        let latest = self.latest.map_or(0, |(_, value)| value);
        self.statistics().last.max(latest)
    }

    /// The lowest trigger of cover on the model now.
    pub fn lowest_trigger(&self) -> u64 {
        self.noise_floor
            .max(self.current_drift() + 2 * self.max_spread + 1)
    }

    /// The window that contains `now`; before genesis, the first window.
    pub fn running_window(&self, now: i64) -> u64 {
        ((now - self.genesis).max(0) / self.window_secs) as u64
    }

    /// The number of windows that a dispute takes, rounded up.
    pub fn dispute_windows(&self) -> u64 {
        (self.dispute_secs() as u64).div_ceil(self.window_secs as u64)
    }

    /// Maximum seconds from the end of a window until its receipt is Final.
    pub fn dispute_secs(&self) -> i64 {
        self.periods.submit_secs + self.periods.challenge_secs + self.periods.ruling_secs
    }

    /// The last time at which a window can be decided.
    pub fn decided_by(&self, window: u64) -> Verdict<i64> {
        Ok(self.window_end(window)? + self.dispute_secs())
    }

    pub fn window_end(&self, window: u64) -> Verdict<i64> {
        let end = i128::from(self.genesis)
            + (i128::from(window) + 1).saturating_mul(self.window_secs.into());
        let latest = i64::MAX - 100 * HORIZON; // leaves room for every period after it
        require(end <= i128::from(latest), "the window is out of range")?;
        require(
            i64::try_from(window).is_ok_and(|w| w < i64::MAX),
            "the window is out of range",
        )?;
        Ok(end as i64)
    }

    pub fn window_start(&self, window: u64) -> Verdict<i64> {
        Ok(self.window_end(window)? - self.window_secs)
    }

    pub fn submit_end(&self, window: u64) -> Verdict<i64> {
        Ok(self.window_end(window)? + self.periods.submit_secs)
    }

    pub fn retention_end(&self, window: u64) -> Verdict<i64> {
        Ok(self.window_end(window)? + self.periods.retention_secs)
    }

    /// The first window that starts at `at` or later.
    pub fn window_from(&self, at: i64) -> u64 {
        let ahead = (at - self.genesis).max(0) as u64;
        ahead.div_ceil(self.window_secs as u64)
    }
}

impl Books {
    pub(super) fn model(&self, model: &Address) -> Verdict<&Model> {
        self.models.get(model).ok_or("there is no such model")
    }

    pub(super) fn model_mut(&mut self, model: &Address) -> Verdict<&mut Model> {
        self.models.get_mut(model).ok_or("there is no such model")
    }

    // Values that the protocol defines as sums.

    /// The stakes in unsettled markets.
    pub fn market_risk(&self, model: &Address) -> Amount {
        self.stakes(model).sum()
    }

    /// The open cover.
    pub fn cover_risk(&self, model: &Address) -> Amount {
        self.covers(model).sum()
    }

    /// The number of unsettled markets with a bet, and of open policies.
    pub fn exposure_of(&self, model: &Address) -> usize {
        self.stakes(model).count() + self.covers(model).count()
    }

    fn stakes<'a>(&'a self, model: &'a Address) -> impl Iterator<Item = Amount> + 'a {
        let markets = self.markets.values();
        markets
            .filter(move |market| market.model == *model && market.end.is_none())
            .map(|market| market.total())
            .filter(|total| 0 < *total)
    }

    fn covers<'a>(&'a self, model: &'a Address) -> impl Iterator<Item = Amount> + 'a {
        let policies = self.policies.values();
        policies
            .filter(move |policy| policy.model == *model)
            .map(|policy| policy.open_cover())
    }

    pub fn open_receipts(&self, model: &Address) -> usize {
        let receipts = self.receipts.values();
        receipts
            .filter(|receipt| receipt.model == *model)
            .filter(|receipt| !receipt.is_settled() || receipt.appeal_until.is_some())
            .count()
    }

    /// The amount that the model's bond vault owes: bonds, challenge bonds, uncollected credits and
    /// rewards, the pay of open receipts, and the pot.
    pub fn held(&self, model: &Address) -> Amount {
        let seats = self.seats.values().filter(|seat| seat.model == *model);
        let bonds: Amount = seats.map(|seat| seat.bonded).sum();
        let state = &self.models[model];
        let challenge_bond = state.challenge_bond;
        let pay =
            state.rewards.values().sum::<Amount>() + state.pot.waiting() + state.pot.unearned();
        let receipts = self.receipts.values();
        let disputes = receipts
            .filter(|receipt| receipt.model == *model)
            .map(|receipt| receipt.held(challenge_bond));
        // Open penalties are part of the bonds and of the unearned pay.
        let penalties: Amount = state.penalties.values().sum();
        bonds + pay + disputes.sum::<Amount>() - penalties
    }

    // Models.

    pub(super) fn register_model(
        &mut self,
        signer: &Address,
        id: u64,
        mint: &Address,
        spec: &MetricSpec,
        terms: &ModelTerms,
        values: &EventValues,
    ) -> Verdict {
        self.require_running(flag::MODELS)?;
        let bonds = self.enabled(mint)?.terms;
        let config = self.config()?;
        let periods = config.params;
        let arbiter = config.arbiter;
        limits::check_spec(spec)?;
        let noise_floor = values.noise_floor.ok_or("the noise floor is unknown")?;
        limits::check_model(terms, &periods, noise_floor)?;
        require(
            (periods.min_window_secs..=periods.max_window_secs).contains(&spec.window_secs),
            "the window length is out of range",
        )?;
        let ahead = i128::from(spec.genesis) - i128::from(self.now);
        require(
            (0..=i128::from(31 * DAY)).contains(&ahead),
            "genesis is in the past or too far ahead",
        )?;
        let at = address::model(signer, id);
        require(!self.models.contains_key(&at), "the model exists already")?;
        let model = Model {
            owner: *signer,
            id,
            mint: *mint,
            arbiter,
            metric: spec.metric,
            reference: spec.reference.clone(),
            min_samples: spec.min_samples,
            genesis: spec.genesis,
            window_secs: spec.window_secs,
            noise_floor,
            oracles: terms.oracles.clone(),
            quorum: terms.quorum.into(),
            max_spread: terms.max_spread,
            rent_bps: terms.security_rent_bps,
            market_budget_bps: terms.market_budget_bps,
            cover_budget_bps: terms.cover_budget_bps,
            version: 1,
            is_retired: false,
            periods,
            min_bond: bonds.min_bond.into(),
            slash_amount: bonds.slash_amount.into(),
            challenge_bond: bonds.challenge_bond.into(),
            absence_penalty: bonds.absence_penalty.into(),
            active_bonds: terms.oracles.iter().map(|oracle| (*oracle, 0)).collect(),
            standings: terms
                .oracles
                .iter()
                .map(|oracle| (*oracle, Standing::listed(self.now)))
                .collect(),
            replaced: 0,
            penalties: BTreeMap::new(),
            episode: Episode::default(),
            rewards: BTreeMap::new(),
            pot: Pot::new(
                spec.genesis,
                spec.window_secs,
                periods.submit_secs + periods.challenge_secs,
            ),
            final_receipts: vec![],
            latest: None,
            reports: 0,
            chain: [0; 32],
        };
        self.models.insert(at, model);
        self.open_account(address::bond_vault(&at), mint, &at)
    }

    pub(super) fn update_model(
        &mut self,
        signer: &Address,
        at: &Address,
        terms: &ModelTerms,
    ) -> Verdict {
        let (params, arbiter) = (self.config()?.params, self.config()?.arbiter);
        let now = self.now;
        require(
            self.model(at)?.owner == *signer,
            "only the owner may update the model",
        )?;
        require(self.exposure_of(at) == 0, "the model has exposure")?;
        require(self.open_receipts(at) == 0, "a receipt is open")?;
        limits::check_model(terms, &params, self.model(at)?.noise_floor)?;
        for oracle in self.model(at)?.oracles.clone() {
            if !terms.oracles.contains(&oracle) {
                self.move_reward(at, &oracle)?;
            }
        }
        let model = self.model_mut(at)?;
        model.arbiter = arbiter;
        let version = model.version.checked_add(1);
        model.version = version.ok_or("the version overflows")?;
        let before = &model.active_bonds;
        let keeps = |oracle: &Address| (*oracle, before.get(oracle).copied().unwrap_or(0));
        model.active_bonds = terms.oracles.iter().map(keeps).collect();
        let before = &model.standings;
        let keeps = |oracle: &Address| {
            let standing = before.get(oracle).copied();
            (*oracle, standing.unwrap_or(Standing::listed(now)))
        };
        model.standings = terms.oracles.iter().map(keeps).collect();
        model.oracles = terms.oracles.clone();
        model.quorum = terms.quorum.into();
        model.max_spread = terms.max_spread;
        model.rent_bps = terms.security_rent_bps;
        model.market_budget_bps = terms.market_budget_bps;
        model.cover_budget_bps = terms.cover_budget_bps;
        model.final_receipts.clear();
        model.latest = None;
        Ok(())
    }

    pub(super) fn retire_model(&mut self, signer: &Address, at: &Address) -> Verdict {
        let model = self.model_mut(at)?;
        require(
            model.owner == *signer,
            "only the owner may retire the model",
        )?;
        require(!model.is_retired, "the model is retired already")?;
        model.is_retired = true;
        Ok(())
    }
}
