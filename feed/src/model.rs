//! A model, and what its newest values say.

use core::ops::RangeInclusive;

use crate::{
    layout::{field, model as layout},
    Account, Address, Error, Page, Window,
};

/// The model that a consumer relies on. Store it when you have reviewed the model, and never take it
/// from whoever calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Address of the model account.
    pub model: Address,
    /// The owner of a model can replace its oracles, which starts a new version.
    pub version: u32,
}

/// What a consumer demands of a value before it acts on it. There is no default: both depend on what
/// a false or late decision costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The newest final window ended at most this many seconds ago. Less than
    /// [`Model::usual_age_secs`] refuses a model whose oracles are in time.
    pub max_age_secs: u64,
    /// The least that a false value costs its authors, in base units of the model's token.
    pub min_security: u64,
}

/// The drift of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub window: u64,
    /// Unix time at which the window ended.
    pub ended_at: i64,
    /// Drift in micro-units: 1,000,000 is 1.0. A higher value is always worse.
    pub value: u64,
}

/// Values of a model that are as new and as secure as the consumer demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    /// The newest final window. Nobody can dispute it any more.
    pub last: Reading,
    /// The newest window that has a value. A dispute may still change the value, or take it away.
    pub latest: Reading,
    /// Exponentially weighted mean of the final values, with a weight of an eighth for the newest.
    pub ewma: u64,
    /// The largest final value.
    pub max: u64,
    /// Number of final windows of this version.
    pub final_count: u64,
}

/// A model account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    address: Address,
    version: u32,
    is_retired: bool,
    genesis: i64,
    window_secs: i64,
    submit_secs: i64,
    challenge_secs: i64,
    noise_floor: u64,
    security: u64,
    statistics: Statistics,
}

/// What the model has counted since its version began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Statistics {
    final_count: u64,
    last_value: u64,
    last_window: u64,
    latest: u64,
    latest_window: u64,
    max_value: u64,
    ewma: u64,
}

impl Model {
    /// Reads the pinned model.
    ///
    /// Refuses an account of another program or type, another model, and another version.
    pub fn load(account: Account, pin: &Pin) -> Result<Self, Error> {
        let model = Self::load_any(account)?;
        if model.address != pin.model {
            return Err(Error::OtherModel);
        }
        if model.version != pin.version {
            return Err(Error::OtherVersion);
        }
        Ok(model)
    }

    /// Reads any model, in any version: to show it, or to choose what to pin. Anybody can register a
    /// model with oracles of its own, so nothing may depend on a model that was loaded in this way.
    pub fn load_any(account: Account) -> Result<Self, Error> {
        let data = account.data_of(&layout::DISCRIMINATOR, Error::NotAModel)?;
        let data: &[u8; layout::SIZE] = data;
        let number = |offset| u64::from_le_bytes(field(data, offset));
        let time = |offset| i64::from_le_bytes(field(data, offset));
        Ok(Self {
            address: *account.address,
            version: u32::from_le_bytes(field(data, layout::VERSION)),
            is_retired: data[layout::STATUS] != 0,
            genesis: time(layout::GENESIS),
            window_secs: time(layout::WINDOW_SECS),
            submit_secs: time(layout::SUBMIT_SECS),
            challenge_secs: time(layout::CHALLENGE_SECS),
            noise_floor: number(layout::NOISE_FLOOR),
            security: number(layout::SECURITY),
            statistics: Statistics {
                final_count: number(layout::FINAL_COUNT),
                last_value: number(layout::LAST_VALUE),
                last_window: number(layout::LAST_WINDOW),
                latest: number(layout::LATEST),
                latest_window: number(layout::LATEST_WINDOW),
                max_value: number(layout::MAX_VALUE),
                ewma: number(layout::EWMA),
            },
        })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn version(&self) -> u32 {
        self.version
    }

    pub fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// Drift, in micro-units, that a model without drift rarely reaches. A limit below it acts on
    /// noise.
    pub fn noise_floor(&self) -> u64 {
        self.noise_floor
    }

    /// The least that a false value costs its authors now, in base units of the model's token. 0
    /// while fewer than a quorum of oracles is bonded.
    pub fn security(&self) -> u64 {
        self.security
    }

    pub fn window_secs(&self) -> i64 {
        self.window_secs
    }

    /// Unix time at which a window ends.
    pub fn window_end(&self, window: u64) -> Result<i64, Error> {
        let end = |window: u64| {
            let index = i64::try_from(window.checked_add(1)?).ok()?;
            self.window_secs
                .checked_mul(index)?
                .checked_add(self.genesis)
        };
        end(window).ok_or(Error::WindowOutOfRange)
    }

    /// Age that the newest final window reaches before the next one is final, if oracles submit at
    /// the end of their period and nobody disputes.
    pub fn usual_age_secs(&self) -> u64 {
        let age = self
            .window_secs
            .saturating_add(self.submit_secs)
            .saturating_add(self.challenge_secs);
        age.try_into().unwrap_or(0) // no period is negative
    }

    /// The newest values. `now` is the time of the cluster's clock, in Unix seconds.
    ///
    /// Refuses a retired model, a model without a final value, values older than the limit, and
    /// values that are less secure.
    pub fn current(&self, now: i64, limits: &Limits) -> Result<Current, Error> {
        let statistics = &self.statistics;
        if self.is_retired {
            return Err(Error::Retired);
        }
        if statistics.final_count == 0 {
            return Err(Error::NoValue);
        }
        if self.security < limits.min_security {
            return Err(Error::Insecure);
        }
        let last = self.reading(statistics.last_window, statistics.last_value)?;
        let age = now.checked_sub(last.ended_at).ok_or(Error::Stale)?;
        let age = u64::try_from(age).map_err(|_| Error::WrongClock)?;
        if limits.max_age_secs < age {
            return Err(Error::Stale);
        }
        Ok(Current {
            last,
            latest: self.reading(statistics.latest_window, statistics.latest)?,
            ewma: statistics.ewma,
            max: statistics.max_value,
            final_count: statistics.final_count,
        })
    }

    fn reading(&self, window: u64, value: u64) -> Result<Reading, Error> {
        Ok(Reading {
            window,
            ended_at: self.window_end(window)?,
            value,
        })
    }

    /// What became of a window. Refuses if none of `pages` is this model's page of the window.
    ///
    /// The history has the windows of all versions.
    pub fn window(&self, pages: &[Page], window: u64) -> Result<Window, Error> {
        let page = pages
            .iter()
            .find(|page| page.belongs_to(&self.address) && page.holds(window));
        page.ok_or(Error::MissingPage)?.window(window)
    }
}

impl Current {
    /// The last `count` windows up to the newest final one. Each window is final, open, void, thin
    /// or none: read it by [`Model::window`].
    ///
    /// Refuses more windows than this version has final values, and none.
    pub fn windows(&self, count: u64) -> Result<RangeInclusive<u64>, Error> {
        let last = self.last.window;
        if count == 0 || self.final_count < count {
            return Err(Error::TooFewWindows);
        }
        let first = last.checked_sub(count - 1).ok_or(Error::TooFewWindows)?;
        Ok(first..=last)
    }
}
