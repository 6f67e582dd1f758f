use core::ops::DerefMut;

use anchor_lang::{bytemuck, prelude::*};

use crate::{math, DriftShieldError, Model, Seat, MAX_ORACLES};

#[pod_wrapper]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum ReceiptState {
    /// Accepts submissions.
    Collecting = 0,
    /// Has a value that can be challenged.
    Proposed = 1,
    /// In dispute: the value was challenged, or too few submissions agree with it.
    Challenged = 2,
    /// Its value is final.
    Final = 3,
    /// Has no valid value.
    Void = 4,
}

/// Payee of a dispute's credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum ChallengePayee {
    Treasury = 0,
    Challenger = 1,
}

/// The oracles' submissions for one window of a model, and the drift computed from them.
///
/// Address: PDA of `["receipt", model, window (u64 LE)]`.
/// Arrays are by oracle, in the model's order. Drift is in micro-units.
#[account]
pub struct Receipt {
    pub model: Address,
    /// Account that paid the receipt's rent and receives it back.
    pub payer: Address,
    /// Account that challenged the value; all zeros if none has.
    pub challenger: Address,
    /// SHA-256 of each oracle's evidence document; all zeros if the oracle has not submitted.
    pub evidence: [[u8; 32]; MAX_ORACLES],
    /// Index of the window.
    pub window: u64,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// Drift that the program computed from each oracle's counts.
    pub values: [u64; MAX_ORACLES],
    /// Number of rows that each oracle counted.
    pub samples: [u64; MAX_ORACLES],
    /// Median of the submissions, or the ruling's value.
    pub value: u64,
    /// Unix time at which the current state began.
    pub since: i64,
    /// Amount that the challenger can collect, in base units of the bond mint.
    pub challenger_credit: u64,
    /// Amount that the treasury can collect, in base units of the bond mint.
    pub treasury_credit: u64,
    /// Version of the model.
    pub version: u32,
    /// Bit `i` is set if oracle `i` has submitted.
    pub submitted: u8,
    pub state: PodReceiptState,
    pub bump: u8,
    pub reserved: [u8; 1],
}

const _: () = assert!(core::mem::size_of::<Receipt>() == 3 * 32 + 224 + 20 * 8 + 8);

/// Effects of a ruling, in base units of the bond mint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Amount slashed from the seats of oracles that were wrong.
    pub slashed: u64,
    /// Amount paid into the seat of each submitter.
    pub reward: u64,
    /// Whether the median was within `max_spread` of the ruling.
    pub upheld: bool,
}

impl Receipt {
    /// Whether the running instruction created the account.
    pub fn is_new(&self) -> bool {
        self.seq == 0
    }

    pub fn has_submitted(&self, oracle: usize) -> bool {
        self.submitted & (1 << oracle) != 0
    }

    pub fn submissions(&self) -> usize {
        self.submitted.count_ones() as usize
    }

    /// Returns the indices of the oracles that have submitted.
    pub fn submitters(&self) -> impl Iterator<Item = usize> + '_ {
        (0..MAX_ORACLES).filter(|&oracle| self.has_submitted(oracle))
    }

    /// Whether the receipt is Final or Void, so that its value can't change any more.
    pub fn is_settled(&self) -> bool {
        self.state == ReceiptState::Final || self.state == ReceiptState::Void
    }

    /// Records the submission of the oracle at index `oracle`, and the median of all submissions so
    /// far. Proposes the median, or starts a dispute, once a quorum and every seat that counts have
    /// submitted. The receipt must be Collecting.
    pub fn submit(
        &mut self,
        model: &mut Model,
        oracle: usize,
        value: u64,
        samples: u64,
        evidence_hash: [u8; 32],
        now: i64,
    ) -> Result<()> {
        require!(
            !self.has_submitted(oracle),
            DriftShieldError::AlreadySubmitted
        );
        self.submitted |= 1 << oracle;
        model.tenures[oracle].open_submissions += 1; // once per window
        self.values[oracle] = value;
        self.samples[oracle] = samples;
        self.evidence[oracle] = evidence_hash;
        self.value = self.median();
        if self.is_complete(model) {
            self.propose(model, now);
        }
        Ok(())
    }

    /// Returns the median of all submissions. There must be at least one.
    fn median(&self) -> u64 {
        let mut values = [0; MAX_ORACLES];
        let mut count = 0;
        for oracle in self.submitters() {
            values[count] = self.values[oracle];
            count += 1;
        }
        math::median(&mut values[..count])
    }

    /// Whether a quorum and every seat that counts have submitted.
    fn is_complete(&self, model: &Model) -> bool {
        let awaited = |oracle: usize| model.seat_counts(oracle) && !self.has_submitted(oracle);
        self.has_quorum(model) && !(0..usize::from(model.oracle_count)).any(awaited)
    }

    fn has_quorum(&self, model: &Model) -> bool {
        usize::from(model.quorum) <= self.submissions()
    }

    /// Whether a quorum of submissions lies within `max_spread` of the median.
    fn agrees(&self, model: &Model) -> bool {
        let near = |oracle: &usize| self.values[*oracle].abs_diff(self.value) <= model.max_spread;
        usize::from(model.quorum) <= self.submitters().filter(near).count()
    }

    /// Proposes the median, or starts a dispute if fewer than a quorum agree with it.
    fn propose(&mut self, model: &mut Model, since: i64) {
        self.since = since;
        if self.agrees(model) {
            self.state = ReceiptState::Proposed.into();
            model.record_latest(self.window, self.value);
        } else {
            self.state = ReceiptState::Challenged.into();
        }
    }

    /// Applies every step that is due by `now`. A step that the end of a period causes takes effect
    /// at that end, so that nobody gains by a late call. Returns whether the state changed.
    pub fn advance(&mut self, model: &mut Model, now: i64) -> Result<bool> {
        let before = self.state;
        if self.state == ReceiptState::Collecting {
            let submit_end = model.submit_end(self.window)?;
            if submit_end <= now {
                if self.has_quorum(model) {
                    self.propose(model, submit_end);
                } else {
                    self.settle(model, ReceiptState::Void, submit_end);
                }
            } else if self.is_complete(model) {
                // The last awaited seat stopped counting.
                self.propose(model, now);
            }
        }
        if self.state == ReceiptState::Proposed {
            let decided = self.since + model.challenge_secs;
            if decided <= now {
                self.settle(model, ReceiptState::Final, decided);
            }
        } else if self.state == ReceiptState::Challenged {
            let decided = self.since + model.ruling_secs;
            if decided <= now {
                self.lapse(model, decided);
            }
        }
        Ok(self.state != before)
    }

    /// Settles a dispute on which the arbiter has not ruled in time.
    fn lapse(&mut self, model: &mut Model, decided: i64) {
        if self.is_challenged_by_someone() {
            self.challenger_credit = model.challenge_bond;
        }
        let state = if self.agrees(model) {
            ReceiptState::Final
        } else {
            ReceiptState::Void
        };
        self.settle(model, state, decided);
    }

    fn is_challenged_by_someone(&self) -> bool {
        self.challenger != Address::default()
    }

    /// Challenges the value. Call `advance` first, which makes the receipt Final if its challenge
    /// period is over.
    pub fn challenge(&mut self, challenger: &Address, now: i64) -> Result<()> {
        require!(
            self.state != ReceiptState::Final,
            DriftShieldError::ChallengePeriodOver
        );
        require!(
            self.state == ReceiptState::Proposed,
            DriftShieldError::ReceiptNotProposed
        );
        self.state = ReceiptState::Challenged.into();
        self.since = now;
        self.challenger = *challenger;
        Ok(())
    }

    /// Settles a dispute by the arbiter's `value`. `seats` are the submitters' seats, in the order
    /// of the oracles.
    pub fn rule<S: DerefMut<Target = Seat>>(
        &mut self,
        model: &mut Model,
        seats: &mut [S],
        value: u64,
        now: i64,
    ) -> Result<Ruling> {
        require!(
            self.state == ReceiptState::Challenged,
            DriftShieldError::ReceiptNotChallenged
        );
        let upheld = self.value.abs_diff(value) <= model.max_spread;
        let slashed = self.slash(model, seats, value);
        let challenged = self.is_challenged_by_someone();

        let mut reward = 0;
        if challenged && upheld {
            // Half of the challenger's bond goes to the submitters in equal parts.
            reward = model.challenge_bond / 2 / seats.len() as u64;
            for seat in seats.iter_mut() {
                seat.add(reward);
            }
            let rewards = reward * seats.len() as u64; // at most half of the bond
            self.challenger_credit = slashed / 2;
            // Both terms are part of the bond vault's balance.
            self.treasury_credit = (slashed - slashed / 2) + (model.challenge_bond - rewards);
        } else if challenged {
            self.challenger_credit = slashed / 2 + model.challenge_bond;
            self.treasury_credit = slashed - slashed / 2;
        } else {
            self.treasury_credit = slashed;
        }
        for (oracle, seat) in self.submitters().zip(seats.iter()) {
            model.set_bond(oracle, seat.active(), now);
        }

        self.value = value;
        model.record_latest(self.window, value);
        self.settle(model, ReceiptState::Final, now);
        Ok(Ruling {
            slashed,
            reward,
            upheld,
        })
    }

    /// Slashes each submitter that is further than `max_spread` from `value`. Returns the sum.
    fn slash<S: DerefMut<Target = Seat>>(&self, model: &Model, seats: &mut [S], value: u64) -> u64 {
        let mut slashed = 0;
        for (oracle, seat) in self.submitters().zip(seats) {
            if model.max_spread < self.values[oracle].abs_diff(value) {
                slashed += seat.slash(model.slash_amount); // parts of the bond vault's balance
            }
        }
        slashed
    }

    /// Makes the receipt Final or Void: records it in the model's statistics and chain.
    fn settle(&mut self, model: &mut Model, state: ReceiptState, since: i64) {
        self.state = state.into();
        self.since = since;
        if state == ReceiptState::Final {
            model.record_final(self.window, self.value);
        }
        model.open_receipts = model.open_receipts.saturating_sub(1); // it was counted at creation
        for oracle in self.submitters() {
            model.tenures[oracle].open_submissions -= 1; // it was counted at submission
        }
        model.chain = self.extend_chain(&model.chain);
    }

    /// Returns the next head of the receipt chain: SHA-256 of head ‖ window ‖ state ‖ value ‖ total
    /// samples ‖ the seven evidence hashes by oracle (zeros if none). Numbers are u64 and the state
    /// is u8, little-endian.
    pub fn extend_chain(&self, head: &[u8; 32]) -> [u8; 32] {
        let samples: u64 = self.samples.iter().sum();
        let mut link = [0; 32 + 8 + 1 + 8 + 8 + 32 * MAX_ORACLES];
        let (numbers, evidence) = link.split_at_mut(32 + 8 + 1 + 8 + 8);
        numbers[..32].copy_from_slice(head);
        numbers[32..40].copy_from_slice(&self.window.to_le_bytes());
        numbers[40] = self.state.0;
        numbers[41..49].copy_from_slice(&self.value.to_le_bytes());
        numbers[49..].copy_from_slice(&samples.to_le_bytes());
        evidence.copy_from_slice(bytemuck::bytes_of(&self.evidence));
        sha256(&link)
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}
