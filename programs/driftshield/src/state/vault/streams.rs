//! Premium streams of a vault: a premium, less the protocol's and the manager's part, becomes
//! capital at a constant rate until the end of the bucket in which its term ends.

use anchor_lang::prelude::*;

use super::{BUCKETS, RATE_BITS};
use crate::{math, Stream, Vault};

impl Vault {
    /// Accrues the vault up to `now`: streamed premium becomes capital, or the treasury's credit if
    /// there are no shares; announced terms take effect when due.
    pub fn accrue(&mut self, now: i64) {
        let now = now.max(self.accrued_at); // never back in time
        if 0 < self.terms_at && self.terms_at <= now {
            self.terms = self.next_terms;
            self.terms_at = 0;
        }
        let (streamed, rate) = self.stream_until(now);
        self.accrued_at = now;
        let mut earned = self.unearned; // includes rounding remainders once all streams have ended
        self.fraction = 0;
        if 0 < rate {
            // Streams never yield more than was paid for them.
            earned = earned.min((streamed >> RATE_BITS) as u64);
            self.fraction = streamed as u32;
        }
        self.unearned -= earned;
        // Sums of parts of the token account's balance.
        if self.shares == 0 {
            self.protocol_credit += earned;
        } else {
            self.assets += earned;
        }
    }

    /// Ends streams bucket by bucket up to `now`. Returns the streamed amount, in 2⁻³² base units,
    /// and the rate at `now`.
    fn stream_until(&mut self, now: i64) -> (u128, u128) {
        let mut streamed = u128::from(self.fraction);
        let mut rate = self.rate.get();
        let mut at = self.accrued_at;
        let mut bucket = self.bucket(at) + 1;
        // Every stream ends within the ring, so the rate reaches 0 after at most one round.
        while 0 < rate && at < now {
            let end = bucket * self.bucket_secs;
            let until = end.min(now);
            streamed += rate * (until - at) as u128; // below the unearned premium, scaled
            at = until;
            if end <= now {
                let ends = &mut self.ends[bucket as usize % BUCKETS];
                rate = rate.saturating_sub(ends.get());
                *ends = PodU128::ZERO;
                bucket += 1;
            }
        }
        self.rate = rate.into();
        (streamed, rate)
    }

    /// Returns the number of the bucket in which `at` lies. Divides unsigned numbers, as SBPF has
    /// no signed division; neither number is negative.
    fn bucket(&self, at: i64) -> i64 {
        (at as u64 / self.bucket_secs as u64) as i64
    }

    /// Returns the end of the bucket in which `end` lies. The stream of a term that ends at `end`
    /// runs until then.
    pub fn stream_end(&self, end: i64) -> i64 {
        (self.bucket(end) + 1) * self.bucket_secs
    }

    /// Whether the stream of a term until `end` fits the ring at `now`.
    pub fn has_bucket(&self, end: i64, now: i64) -> bool {
        self.bucket(end) + 1 - self.bucket(now) <= BUCKETS as i64
    }

    /// Starts to stream `part` of a premium over a term that ends at `end`. The vault must be
    /// accrued.
    fn begin_stream(&mut self, part: u64, end: i64) -> Stream {
        let start = self.accrued_at;
        let stream_end = self.stream_end(end);
        let rate = (u128::from(part) << RATE_BITS) / (stream_end - start) as u128;
        self.unearned += part;
        self.rate += rate;
        let ends = &mut self.ends[self.bucket(stream_end) as usize % BUCKETS];
        *ends += rate;
        Stream {
            rate: rate.into(),
            part,
            start,
            end,
        }
    }

    /// Subtracts `refund` from the rest of `stream`. The vault must be accrued.
    pub fn cut_stream(&mut self, stream: &Stream, refund: u64) {
        let stream_end = self.stream_end(stream.end);
        let left = (stream_end - self.accrued_at) as u128; // above 0: there is something to refund
        let cut = (u128::from(refund) << RATE_BITS)
            .div_ceil(left)
            .min(stream.rate.get());
        self.unearned -= refund; // part of it
        self.rate -= cut;
        let ends = &mut self.ends[self.bucket(stream_end) as usize % BUCKETS];
        *ends -= cut;
    }

    /// Splits a premium into the protocol's part, the manager's part, and the rest, which streams.
    pub fn split_premium(&self, premium: u64) -> (u64, u64, u64) {
        let protocol = math::fee(premium, self.protocol_fee_bps);
        let manager = math::fee(premium, self.manager_fee_bps);
        (protocol, manager, premium - protocol - manager)
    }

    /// Books the parts of a paid premium: credits the protocol's and the manager's part, and
    /// streams the rest over a term until `end`.
    pub fn sell(&mut self, protocol: u64, manager: u64, streamed: u64, end: i64) -> Stream {
        self.protocol_credit += protocol;
        self.manager_credit += manager;
        self.begin_stream(streamed, end)
    }
}
