//! Premium streams of a vault: a premium, less the protocol's and the manager's part, becomes
//! capital at a constant rate, until the end of the bucket in which its term ends.

use anchor_lang::prelude::*;

use crate::{
    math::{self, BUCKETS},
    Stream, Vault,
};

/// Fraction bits of stream rates: a rate is in 2⁻³² base units per second.
pub const RATE_BITS: u32 = 32;

impl Vault {
    /// Accrues the vault up to `now`, and bears the losses that are due on the way. Every change of the
    /// capital accrues first.
    #[inline(never)] // one copy keeps the binary small
    pub fn accrue(&mut self, now: i64) {
        let now = now.max(self.accrued_at); // never back in time
        while 0 < self.pending_losses {
            let Some((due, loss)) = self.next_loss(now) else {
                break;
            };
            self.stream_to(due);
            self.bear(loss);
        }
        self.stream_to(now);
    }

    /// Brings the vault to `now`: streamed premium becomes capital, or the treasury's credit as far as
    /// the capital is leaving or nobody has shares; seasoned capital follows; announced terms take
    /// effect when due.
    #[inline(never)] // one copy keeps the binary small
    fn stream_to(&mut self, now: i64) {
        if 0 < self.terms_at && self.terms_at <= now {
            self.terms = self.next_terms;
            self.terms_at = 0;
        }
        let streamed = self.stream_until(now);
        let mut earned = self.unearned; // includes rounding remainders once all streams have ended
        self.fraction = 0;
        if now < self.streams_end {
            // Streams never yield more than was paid for them.
            earned = earned.min((streamed >> RATE_BITS) as u64);
            self.fraction = streamed as u32;
        }
        self.unearned -= earned;
        let kept = if self.shares == 0 {
            0
        } else if self.leaving == 0 {
            earned
        } else {
            // The treasury's part is rounded down. What is leaving is part of the assets.
            let forgone = math::mul_div(earned, self.leaving, self.assets);
            earned - forgone.unwrap_or(0)
        };
        // Sums of parts of the token account's balance.
        self.assets += kept;
        self.protocol_credit += earned - kept;
        self.season(now - self.accrued_at);
        self.accrued_at = now;
    }

    /// Begins and ends streams bucket by bucket up to `now`. Returns the streamed amount, in 2⁻³²
    /// base units.
    fn stream_until(&mut self, now: i64) -> u128 {
        let mut streamed = u128::from(self.fraction);
        let mut rate = self.rate.get();
        let mut at = self.accrued_at;
        let mut bucket = self.bucket(at) + 1;
        // Every stream ends within the ring, so this takes at most one round.
        let last = now.min(self.streams_end);
        while at < last {
            let end = bucket * self.bucket_secs;
            let until = end.min(last);
            streamed += rate * (until - at) as u128; // below the unearned premium, scaled
            at = until;
            if end <= last {
                let change = self.rate_change(end);
                rate = rate.wrapping_add_signed(change.get()); // the rate of what has begun
                *change = PodI128::ZERO;
                bucket += 1;
            }
        }
        self.rate = rate.into();
        streamed
    }

    /// Returns the number of the bucket in which `at` lies. Divides unsigned numbers, as SBPF has
    /// no signed division; neither number is negative.
    fn bucket(&self, at: i64) -> i64 {
        (at as u64 / self.bucket_secs as u64) as i64
    }

    /// The change of the rate at `at`, which is the start of a bucket.
    fn rate_change(&mut self, at: i64) -> &mut PodI128 {
        let bucket = self.bucket(at);
        &mut self.rate_changes[bucket as usize % BUCKETS]
    }

    /// Splits a premium into the protocol's part, the manager's part, and the part that streams.
    pub fn split(&self, premium: u64) -> (u64, u64, u64) {
        let protocol = math::fee(premium, self.protocol_fee_bps);
        let manager = math::fee(premium, self.manager_fee_bps);
        (protocol, manager, premium - protocol - manager)
    }

    /// Streams `part`, which is in the token account, over the paid time from `start` to `end`: from
    /// `from` on, or at once if that is past, until the end of the bucket in which `end` lies, and
    /// for at least one bucket. A stream that begins late flows faster, so that it never jumps. The
    /// vault must be accrued, and `from` be now or the start of a bucket.
    #[inline(never)] // one copy keeps the binary small
    pub fn stream(&mut self, part: u64, start: i64, end: i64, from: i64) -> Stream {
        let begins_at = from.max(self.accrued_at);
        let last = end.max(begins_at + self.bucket_secs - 1);
        let ends_at = (self.bucket(last) + 1) * self.bucket_secs;
        let rate = (u128::from(part) << RATE_BITS) / (ends_at - begins_at) as u128;
        self.unearned += part;
        self.streams_end = self.streams_end.max(ends_at);
        if self.accrued_at < begins_at {
            *self.rate_change(begins_at) += rate as i128; // below 2⁹⁶
        } else {
            self.rate += rate;
        }
        *self.rate_change(ends_at) -= rate as i128;
        Stream {
            rate: rate.into(),
            part,
            start,
            end,
            begins_at,
            ends_at,
        }
    }

    /// Subtracts `refund` from the rest of `stream`. The vault must be accrued.
    pub fn cut_stream(&mut self, stream: &mut Stream, refund: u64) {
        let has_begun = stream.begins_at <= self.accrued_at;
        let from = stream.begins_at.max(self.accrued_at);
        let left = (stream.ends_at - from) as u128; // above 0: there is something to refund
        let cut = (u128::from(refund) << RATE_BITS)
            .div_ceil(left)
            .min(stream.rate.get());
        self.unearned -= refund; // part of it
        if has_begun {
            self.rate -= cut;
        } else {
            *self.rate_change(stream.begins_at) -= cut as i128;
        }
        *self.rate_change(stream.ends_at) += cut as i128;
        stream.rate -= cut;
    }
}
