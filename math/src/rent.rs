//! Security rent, and the times for which it is paid.

use crate::{BPS, YEAR_SECS};

/// Returns the rent for securing `amount` during `secs` at `rent_bps` a year:
/// `⌈amount · rent_bps · secs / (10 000 · 365 days)⌉`, at least 1. `None` if it doesn't fit 64 bits.
///
/// ```
/// use driftshield_math::{rent, YEAR_SECS};
/// assert_eq!(rent(1_000_000, 200, YEAR_SECS / 4), Some(5_000));
/// assert_eq!(rent(1, 1, 1), Some(1));
/// ```
pub fn rent(amount: u64, rent_bps: u16, secs: u64) -> Option<u64> {
    let year = u128::from(BPS) * u128::from(YEAR_SECS);
    let rate = u128::from(rent_bps) * u128::from(secs);
    let product = u128::from(amount).checked_mul(rate)?;
    let rent = u64::try_from(product.checked_add(year - 1)? / year).ok()?;
    Some(rent.max(1))
}

/// Returns the mean of two times, weighted by amounts: `⌊(a · x + b · y) / (a + b)⌋`, and `y` if
/// both amounts are 0. The times are below 2⁶³, and the sum of the amounts fits 64 bits.
pub fn mean(a: u64, x: u64, b: u64, y: u64) -> u64 {
    if a == 0 || x == y {
        return y;
    }
    let sum = u128::from(a) * u128::from(x) + u128::from(b) * u128::from(y);
    (sum / u128::from(a + b)) as u64 // between x and y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rent_is_rounded_up_for_any_amount() {
        for amount in [1, 2, 999, 1 << 40, u64::MAX / 3, u64::MAX] {
            for bps in [1, 200, u16::MAX] {
                for secs in [1, 86_400, 2 * YEAR_SECS] {
                    let product = u128::from(amount) * u128::from(bps) * u128::from(secs);
                    let exact = product.div_ceil(u128::from(BPS * YEAR_SECS));
                    assert_eq!(
                        rent(amount, bps, secs).map(u128::from),
                        u64::try_from(exact).ok().map(u128::from)
                    );
                }
            }
        }
    }

    #[test]
    fn rent_is_at_least_a_base_unit() {
        assert_eq!(rent(1, 1, 1), Some(1));
        assert_eq!(rent(1, 0, 1), Some(1));
        let year = BPS * YEAR_SECS;
        assert_eq!(rent(year, 1, 1), Some(1));
        assert_eq!(rent(year + 1, 1, 1), Some(2));
    }

    #[test]
    fn rent_beyond_the_largest_numbers_is_none() {
        assert_eq!(rent(u64::MAX, u16::MAX, 10 * YEAR_SECS), None);
        // The product is 2¹²⁸, then 4 less.
        assert_eq!(rent(1 << 63, 4, 1 << 63), None);
        assert_eq!(rent(u64::MAX - 1, 2, (1 << 63) + 1), None);
    }

    #[test]
    fn a_mean_lies_between_its_times() {
        assert_eq!(mean(0, 0, 0, 7), 7);
        assert_eq!(mean(1, 10, 1, 21), 15);
        assert_eq!(mean(u64::MAX - 1, 1 << 62, 1, 0), (1 << 62) - 1);
        assert_eq!(mean(3, 5, u64::MAX - 3, 5), 5);
    }
}
