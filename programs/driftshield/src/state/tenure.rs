//! When an oracle's seat counts, leaves, and may be given to another oracle.

use anchor_lang::{bytemuck, prelude::*};

use crate::{DriftShieldError, Model};

/// What a model remembers of one of its oracles. Times are Unix times in seconds.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    AnchorSerialize,
    AnchorDeserialize,
    IdlType,
    bytemuck::Pod,
    bytemuck::Zeroable,
)]
#[bytemuck(crate = "anchor_lang::bytemuck")]
#[repr(C)]
pub struct Tenure {
    /// When the oracle was listed. It submits for windows that begin from then on.
    pub listed_at: i64,
    /// When the seat last began to count; 0 if it never has.
    pub counts_since: i64,
    /// When the seat last stopped counting; 0 if it never has.
    pub stopped_at: i64,
    /// Start of the time before `counts_since` in which the seat counted.
    pub counted_since: i64,
    /// End of the time before `counts_since` in which the seat counted; 0 if it began only once.
    pub counted_until: i64,
    /// From when the bond may go whatever is at risk; 0 if the seat isn't leaving.
    pub leave_at: i64,
    /// Number of open receipts to which the oracle has submitted.
    pub open_submissions: u32,
    /// 1 if the seat counts, else 0.
    pub counts: u8,
    pub reserved: [u8; 3],
}

impl Tenure {
    /// Returns the tenure of an oracle that is listed at `now`.
    pub fn new(now: i64) -> Self {
        Self {
            listed_at: now,
            ..bytemuck::Zeroable::zeroed()
        }
    }

    /// Starts or stops the counting of the seat. Whoever stops isn't leaving any more.
    /// `undecided_secs` is the longest time from the end of a submit period until its window is
    /// settled.
    fn set_counts(&mut self, counts: bool, undecided_secs: i64, now: i64) {
        self.counts = counts.into();
        if !counts {
            self.stopped_at = now;
            self.leave_at = 0;
            return;
        }
        // A window of the time before may be undecided. Whoever stops and begins again and again
        // therefore counts as if it had never stopped.
        if self.counted_until + undecided_secs < now {
            self.counted_since = self.counts_since;
        }
        self.counted_until = self.stopped_at;
        self.counts_since = now;
    }

    /// Whether the seat counted from `start` to `end`.
    pub(super) fn counted(&self, start: i64, end: i64) -> bool {
        let stopped = self.counts == 0 && self.stopped_at < end;
        let before = self.counted_since <= start && end <= self.counted_until;
        before || 0 < self.counts_since && self.counts_since <= start && !stopped
    }
}

impl Model {
    /// Whether the seat of the oracle at `index` counts. It starts when its bond, less what is
    /// unbonding, reaches `min_bond`. It stops when an unbonding leaves less than that, or a slash
    /// less than half of it.
    pub fn seat_counts(&self, index: usize) -> bool {
        self.tenures[index].counts != 0
    }

    /// Sets the bond, less what is unbonding, of the oracle at `index`, after an addition or a
    /// slash. A seat that counts goes on down to half of `min_bond`, so one slash doesn't end it.
    pub fn set_bond(&mut self, index: usize, bond: u64, now: i64) {
        let least = if self.seat_counts(index) {
            self.min_bond.div_ceil(2) // rounded up, against the oracle
        } else {
            self.min_bond
        };
        self.record_bond(index, bond, least, now);
    }

    /// Records a bond with which the seat at `index` counts if it is at least `least`.
    fn record_bond(&mut self, index: usize, bond: u64, least: u64, now: i64) {
        self.bonds[index] = bond;
        let counts = least <= bond;
        if counts != self.seat_counts(index) {
            let undecided_secs = self.challenge_secs + self.ruling_secs;
            self.tenures[index].set_counts(counts, undecided_secs, now);
        }
        self.refresh_security();
    }

    fn is_leaving(&self, index: usize) -> bool {
        self.tenures[index].leave_at != 0
    }

    /// Sets both securities. A seat that counts holds at least `slash_amount`, which is at most half
    /// of `min_bond`.
    pub(super) fn refresh_security(&mut self) {
        let (mut counting, mut lasting) = (0, 0);
        for index in 0..usize::from(self.oracle_count) {
            if self.seat_counts(index) {
                counting += 1;
                lasting += u8::from(!self.is_leaving(index));
            }
        }
        self.security = self.security_of(counting);
        self.lasting_security = self.security_of(lasting);
    }

    /// Returns half of what ⌈quorum/2⌉ slashes take, rounded down, or 0 if `seats` are fewer than a
    /// quorum.
    fn security_of(&self, seats: u8) -> u64 {
        if seats < self.quorum {
            return 0;
        }
        let cost = u128::from(self.slash_amount) * u128::from(self.quorum.div_ceil(2));
        // Half of at most four slashes, each at most half of the largest u64.
        (cost / 2) as u64
    }

    /// Lowers the bond of the oracle at `index` to `bond`, because an amount starts to unbond.
    /// The seat stops counting if less than `min_bond` stays, so that nobody unbonds down to where
    /// the next slash ends the seat. Refused if it lowers a security that the model's risk needs,
    /// unless the seat's notice is over.
    pub fn unbond(&mut self, index: usize, bond: u64, now: i64) -> Result<()> {
        let before = (self.security, self.lasting_security);
        let leave_at = self.tenures[index].leave_at;
        self.record_bond(index, bond, self.min_bond, now);
        let has_left = leave_at != 0 && leave_at <= now;
        // An unbonding that lowers neither security is allowed even if slashes or leaving seats
        // have left too little.
        let lowers = self.security < before.0 || self.lasting_security < before.1;
        require!(
            has_left || !lowers || self.is_secure(),
            DriftShieldError::SecurityNeeded
        );
        Ok(())
    }

    /// Starts the leaving of the oracle at `index`. From `leave_at` on, its bond may go whatever is
    /// at risk. Until then the seat counts, but secures no new risk. Only a seat that stops counting
    /// isn't leaving any more.
    pub fn leave(&mut self, index: usize, now: i64) -> Result<()> {
        require!(self.seat_counts(index), DriftShieldError::NothingToLeave);
        require!(!self.is_leaving(index), DriftShieldError::AlreadyLeaving);
        self.tenures[index].leave_at = now + self.leave_secs;
        self.refresh_security();
        Ok(())
    }

    /// Lists `successor` in place of the oracle at `index`, whose seat has not counted for
    /// `replace_secs`, while the model is exposed. Nothing of the slot passes on to the successor; a
    /// reward must have been moved to the oracle's seat.
    pub fn replace(&mut self, index: usize, successor: &Address, now: i64) -> Result<()> {
        require!(0 < self.exposure, DriftShieldError::ModelNotExposed);
        require!(
            self.oracle_index(successor).is_none(),
            DriftShieldError::InvalidOracles
        );
        let tenure = &self.tenures[index];
        let vacant_since = tenure.stopped_at.max(tenure.listed_at);
        require!(
            !self.seat_counts(index) && vacant_since + self.replace_secs <= now,
            DriftShieldError::SeatNotVacant
        );
        require!(
            tenure.open_submissions == 0,
            DriftShieldError::SubmissionOpen
        );
        // Fewer than the ⌈quorum/2⌉ oracles who could bend a median.
        require!(
            self.replaced + 1 < self.quorum.div_ceil(2),
            DriftShieldError::TooManyReplaced
        );
        self.replaced += 1;
        self.oracles[index] = *successor;
        self.bonds[index] = 0;
        self.tenures[index] = Tenure::new(now);
        Ok(())
    }

    /// Whether the oracle at `index` was listed when `window` began.
    pub fn was_listed(&self, index: usize, window: u64) -> Result<bool> {
        Ok(self.tenures[index].listed_at <= self.window_start(window)?)
    }

    /// Refuses a window that began before the oracle at `index` was listed.
    pub fn require_listed(&self, index: usize, window: u64) -> Result<()> {
        require!(
            self.was_listed(index, window)?,
            DriftShieldError::ListedTooLate
        );
        Ok(())
    }
}
