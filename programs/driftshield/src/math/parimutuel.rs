//! Fees, payouts and odds of a parimutuel pool, in base units.

/// Basis points in a whole.
pub const BPS: u64 = 10_000;
/// Payout multiples are in thousandths of the stake.
pub const MULTIPLE_ONE: u64 = 1_000;

/// `a · b / c`, rounded down. `None` where it does not fit 64 bits or `c` is 0.
pub fn mul_div(a: u64, b: u64, c: u64) -> Option<u64> {
    let product = u128::from(a) * u128::from(b);
    u64::try_from(product.checked_div(u128::from(c))?).ok()
}

/// The share `bps` of `amount`, rounded down; `bps` is at most a whole.
pub fn fee(amount: u64, bps: u16) -> u64 {
    // amount / 10⁴ · bps, exactly, without 128 bits.
    let bps = u64::from(bps);
    amount / BPS * bps + amount % BPS * bps / BPS
}

/// What a winner of `stake` is paid: the stake, and its share of what the losers
/// leave after fees, rounded down.
pub fn payout(stake: u64, winning: u64, losing_less_fees: u64) -> Option<u64> {
    stake.checked_add(mul_div(stake, losing_less_fees, winning)?)
}

/// The payout multiple of an outcome in thousandths: 1000 + ⌊1000 · (losing − fees) / winning⌋,
/// at most what 64 bits hold. `winning` is above 0.
pub fn multiple(winning: u64, losing_less_fees: u64) -> u64 {
    mul_div(MULTIPLE_ONE, losing_less_fees, winning)
        .and_then(|profit| profit.checked_add(MULTIPLE_ONE))
        .unwrap_or(u64::MAX)
}
