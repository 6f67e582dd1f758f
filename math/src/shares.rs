//! Shares of a vault, and their value in base units.
//!
//! A share's price is `(assets + 1) / (supply + 1000)`, as if there were one base unit and a
//! thousand shares that nobody owns. A first depositor therefore can't raise the price of a share
//! so far that the next deposit rounds down to nothing.

/// Decimals of a share beyond those of the token: initially a base unit buys a thousand shares.
pub const SHARE_DECIMALS: u8 = 3;
/// Virtual shares, which nobody owns.
pub const VIRTUAL_SHARES: u64 = 1_000;
/// Virtual base units, which nobody owns.
pub const VIRTUAL_ASSETS: u64 = 1;

/// Returns the number of shares that `amount` base units buy, rounded down. `None` if it doesn't
/// fit 64 bits.
///
/// ```
/// assert_eq!(driftshield_math::shares_for(5, 0, 0), Some(5_000));
/// ```
pub fn shares_for(amount: u64, supply: u64, assets: u64) -> Option<u64> {
    let supply = u128::from(supply) + u128::from(VIRTUAL_SHARES);
    let assets = u128::from(assets) + u128::from(VIRTUAL_ASSETS);
    u64::try_from(u128::from(amount).checked_mul(supply)? / assets).ok()
}

/// Returns the value of `shares` of `supply` in base units, rounded down, and never more than
/// `assets`.
pub fn assets_for(shares: u64, supply: u64, assets: u64) -> u64 {
    let supply = u128::from(supply) + u128::from(VIRTUAL_SHARES);
    // At most (2⁶⁴ − 1) · 2⁶⁴.
    let value = u128::from(shares) * (u128::from(assets) + u128::from(VIRTUAL_ASSETS)) / supply;
    u64::try_from(value).unwrap_or(u64::MAX).min(assets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deposit_never_gains_value() {
        let amounts = [1, 2, 999, 1_000_000, 1 << 40, (1 << 53) - 1];
        for supply in [0, 1, 1_000, 999_999_937, 1 << 50] {
            for assets in [0, 1, 7, 1_000_003, 1 << 40] {
                for amount in amounts {
                    let Some(shares) = shares_for(amount, supply, assets) else {
                        continue;
                    };
                    let Some(after) = supply.checked_add(shares) else {
                        continue;
                    };
                    assert!(assets_for(shares, after, assets + amount) <= amount);
                }
            }
        }
    }

    #[test]
    fn the_largest_numbers_are_exact_or_none() {
        assert_eq!(shares_for(u64::MAX, u64::MAX, 0), None);
        assert_eq!(shares_for(u64::MAX, u64::MAX, u64::MAX), None);
        assert_eq!(shares_for(u64::MAX, 0, u64::MAX), Some(999));
        assert_eq!(
            assets_for(u64::MAX, u64::MAX, u64::MAX),
            18_446_744_073_709_550_616
        );
        assert_eq!(assets_for(5_000, 5_000, 0), 0);
    }
}
