//! Fees, payouts and odds of a parimutuel pool, in base units.

/// 100% in basis points.
pub const BPS: u64 = 10_000;
/// A payout multiple of 1: multiples are in thousandths of the stake.
pub const MULTIPLE_ONE: u64 = 1_000;
/// Maximum number of thresholds of a market.
pub const MAX_THRESHOLDS: usize = 7;
/// Maximum number of outcomes of a market: `n` thresholds separate `n + 1` outcomes.
pub const MAX_OUTCOMES: usize = MAX_THRESHOLDS + 1;

/// Returns `a · b / c`, rounded down. `None` if it doesn't fit 64 bits or `c` is 0.
pub fn mul_div(a: u64, b: u64, c: u64) -> Option<u64> {
    let product = u128::from(a) * u128::from(b);
    u64::try_from(product.checked_div(u128::from(c))?).ok()
}

/// Returns the share `bps` of `amount`, rounded down. `bps` is at most 10 000.
pub fn fee(amount: u64, bps: u16) -> u64 {
    // amount / 10⁴ · bps, exactly, without 128-bit arithmetic.
    let bps = u64::from(bps);
    amount / BPS * bps + amount % BPS * bps / BPS
}

/// Returns the payout of a winning `stake`: the stake plus its share of the losing stakes less
/// fees, rounded down.
///
/// ```
/// // 30 of 40 winning units share 100 of losing stakes less fees.
/// assert_eq!(driftshield_math::payout(30, 40, 100), Some(30 + 75));
/// ```
pub fn payout(stake: u64, winning: u64, losing_less_fees: u64) -> Option<u64> {
    stake.checked_add(mul_div(stake, losing_less_fees, winning)?)
}

/// Returns the payment for `amount` of a stake at `price` thousandths: ⌈amount · price / 1000⌉,
/// rounded up in favour of the seller. `None` if it doesn't fit 64 bits.
///
/// ```
/// assert_eq!(driftshield_math::ask_payment(1_500, 333), Some(500)); // 499.5
/// ```
pub fn ask_payment(amount: u64, price: u32) -> Option<u64> {
    // amount / 1000 · price, exactly, without 128-bit arithmetic.
    let price = u64::from(price);
    let whole = (amount / MULTIPLE_ONE).checked_mul(price)?;
    let rest = amount % MULTIPLE_ONE * price; // below 2⁴²
    whole.checked_add(rest.div_ceil(MULTIPLE_ONE))
}

/// Returns an outcome's payout multiple in thousandths: 1000 + ⌊1000 · (losing − fees) / winning⌋,
/// at most the largest u64. `winning` is above 0.
pub fn multiple(winning: u64, losing_less_fees: u64) -> u64 {
    mul_div(MULTIPLE_ONE, losing_less_fees, winning)
        .and_then(|profit| profit.checked_add(MULTIPLE_ONE))
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_is_rounded_down_for_any_amount() {
        for amount in [0, 1, 49, 50, 9_999, 10_000, 10_001, u64::MAX - 1, u64::MAX] {
            for bps in [0, 1, 200, 1_999, 2_000, 10_000] {
                let exact = u128::from(amount) * u128::from(bps) / 10_000;
                assert_eq!(u128::from(fee(amount, bps)), exact, "{bps} bps of {amount}");
            }
        }
    }

    #[test]
    fn a_payment_for_a_stake_is_rounded_up_for_any_amount() {
        let small = [0, 1, 999, 1_000, 1_001, 123_456_789];
        // At the highest price, the thousands of the last cost all of 64 bits.
        let large = [u64::MAX - 1, u64::MAX, 1_000 * ((1 << 32) + 1) + 1];
        for amount in small.into_iter().chain(large) {
            for price in [1, 2, 999, 1_000, 1_001, u32::MAX - 1, u32::MAX] {
                let exact = (u128::from(amount) * u128::from(price)).div_ceil(1_000);
                let payment = ask_payment(amount, price);
                assert_eq!(payment, u64::try_from(exact).ok(), "{amount} at {price}");
            }
        }
    }

    #[test]
    fn overflow_is_none_and_a_multiple_saturates() {
        assert_eq!(mul_div(u64::MAX, u64::MAX, u64::MAX), Some(u64::MAX));
        assert_eq!(mul_div(u64::MAX, 2, 1), None);
        assert_eq!(mul_div(1, 1, 0), None);
        assert_eq!(multiple(1, u64::MAX), u64::MAX);
        assert_eq!(multiple(1, u64::MAX / MULTIPLE_ONE), u64::MAX);
        assert_eq!(payout(u64::MAX, 1, 1), None);
        assert_eq!(multiple(3, 7), 3_333);
    }
}
