//! The program's arithmetic of amounts, tested exhaustively over small domains, against independent
//! formulas in exact fractions.

use driftshield::math::{
    BPS, Curve, Premium, YEAR_SECS, ask_payment, assets_for, fee, payout, shares_for, worth,
};

/// `⌈a / b⌉`, also of a negative `a`.
fn ceil(a: i128, b: i128) -> i128 {
    a.div_euclid(b) + i128::from(a.rem_euclid(b) != 0)
}

#[test]
fn payouts_fees_and_dust_add_up_to_the_stakes() {
    // Given every set of up to five winning stakes of 1 to 8 units, and losing stakes of 0 to 48
    for winners in stakes(5, 8) {
        let winning: u64 = winners.iter().sum();
        for losing in 0..=48 {
            for bps in [0, 1, 416, 2_000] {
                // When all winners are paid
                let winnings = losing - fee(losing, bps);
                let payouts = winners
                    .iter()
                    .map(|&stake| payout(stake, winning, winnings).expect("no overflow"));
                // Then nobody gets less than the stake, and dust is less than a unit per winner
                let mut paid = 0;
                for (payout, stake) in payouts.zip(&winners) {
                    assert!(*stake <= payout);
                    paid += payout;
                }
                let dust = winning + winnings - paid;
                assert!(dust < winners.len() as u64, "{winners:?} {losing} {bps}");
            }
        }
    }
}

#[test]
fn splitting_a_stake_never_pays_more_and_no_holders_are_paid_more_than_the_market_has() {
    // Given every winning pool of up to 10 units, and winnings of 0 to 40
    for winning in 1..=10u64 {
        for winnings in 0..=40 {
            let paid = |stake| payout(stake, winning, winnings).expect("no overflow");
            // When a stake is split in every way, then both parts are paid at most what it is paid, and less
            // than a unit less
            for stake in 0..=winning {
                for part in 0..=stake {
                    let (parts, whole) = (paid(part) + paid(stake - part), paid(stake));
                    assert!(parts <= whole && whole <= parts + 1);
                }
            }
            // And in whatever way the pool is held, nobody is paid from the stakes of others: one holder
            // of everything gets all of it, and any holders together at most that
            assert_eq!(paid(winning), winning + winnings);
        }
    }
    for holders in stakes(6, 6) {
        let winning: u64 = holders.iter().sum();
        for winnings in 0..=40 {
            let paid = |stake: &u64| payout(*stake, winning, winnings).expect("no overflow");
            assert!(holders.iter().map(paid).sum::<u64>() <= winning + winnings);
        }
    }
}

#[test]
fn a_payment_for_a_stake_is_its_price_rounded_up_and_buying_in_parts_is_no_cheaper() {
    for price in [1, 2, 333, 999, 1_000, 1_001, 2_500, u32::MAX] {
        for amount in 0..=60u64 {
            let payment = ask_payment(amount, price).expect("no overflow");
            let exact = i128::from(amount) * i128::from(price);
            assert_eq!(i128::from(payment), ceil(exact, 1_000));
            for part in 0..=amount {
                let rest = ask_payment(amount - part, price).expect("no overflow");
                let first = ask_payment(part, price).expect("no overflow");
                assert!(payment <= first + rest);
            }
        }
    }
}

/// All multisets of 1 to `max_count` stakes of 1 to `largest`, each in ascending order.
fn stakes(max_count: usize, largest: u64) -> Vec<Vec<u64>> {
    let mut all: Vec<Vec<u64>> = (1..=largest).map(|stake| vec![stake]).collect();
    let mut longest = all.clone();
    for _ in 1..max_count {
        longest = longest
            .iter()
            .flat_map(|stakes| {
                let least = *stakes.last().expect("never empty");
                (least..=largest).map(|stake| [&stakes[..], &[stake]].concat())
            })
            .collect();
        all.extend(longest.iter().cloned());
    }
    all
}

#[test]
fn no_deposit_or_withdrawal_lowers_the_price_of_a_share() {
    // The price of a share is (assets + 1) / (supply + 1000).
    let not_lower = |before: (u64, u64), after: (u64, u64)| {
        let [before, after] = [before, after]
            .map(|(assets, supply)| (u128::from(assets) + 1, u128::from(supply) + 1_000));
        before.0 * after.1 <= after.0 * before.1
    };
    for assets in 0..=12 {
        for supply in (0..=14_000).step_by(499) {
            for amount in 1..=12 {
                let bought = shares_for(amount, supply, assets).expect("no overflow");
                let (assets_now, supply_now) = (assets + amount, supply + bought);
                assert!(not_lower((assets, supply), (assets_now, supply_now)));
                // Withdrawing at once, in one part or in two, is no gain.
                for first in (0..=bought).step_by(bought.div_ceil(5).max(1) as usize) {
                    let first_part = assets_for(first, supply_now, assets_now);
                    let (assets_left, supply_left) = (assets_now - first_part, supply_now - first);
                    assert!(not_lower(
                        (assets_now, supply_now),
                        (assets_left, supply_left)
                    ));
                    let second_part = assets_for(bought - first, supply_left, assets_left);
                    assert!(
                        first_part + second_part <= amount,
                        "{assets} {supply} {amount} {first}"
                    );
                }
            }
        }
    }
}

#[test]
fn cover_is_worth_its_floored_share_but_at_least_a_unit() {
    for cover in 1..=30u64 {
        for trigger in 1..=9u64 {
            for exhaustion in trigger..=trigger + 12 {
                let mut least = 1;
                for value in trigger..=exhaustion + 1 {
                    let is_exhausted = exhaustion <= value;
                    let share = if is_exhausted {
                        cover
                    } else {
                        cover * (value - trigger) / (exhaustion - trigger)
                    };
                    let worth = worth(cover, trigger, exhaustion, value);
                    assert_eq!(worth, share.max(1));
                    assert!(
                        least <= worth && worth <= cover,
                        "the worth falls as the drift grows"
                    );
                    least = worth;
                }
            }
        }
    }
}

#[test]
fn premiums_equal_the_formula_rounded_up() {
    let mut curves = Vec::new();
    for kink_bps in [1, 3_333, 8_000, 9_999] {
        for (slope1_bps, slope2_bps) in [(0, 0), (400, 6_000), (0, u16::MAX), (u16::MAX, 1)] {
            curves.push(Curve {
                slope1_bps,
                slope2_bps,
                kink_bps,
            });
        }
    }
    // Locked cover can exceed the seasoned capital, which can be 0.
    for seasoned in 0..=16 {
        for locked in 0..=seasoned + 2 {
            for cover in 1..=18 - locked {
                for &curve in &curves {
                    check_premiums(seasoned, locked, cover, curve);
                }
            }
        }
    }
}

/// Checks premiums for a few rates, drifts and durations of up to a year.
fn check_premiums(seasoned: u64, locked: u64, cover: u64, curve: Curve) {
    for (base_bps, risk_slope_bps) in [(0, 0), (100, 0), (65_535, 1_000)] {
        for (drift, trigger, exhaustion, persistence_bps) in
            [(0, 1, 1, 10_000), (1, 3, 3, 10_000), (4, 3, 7, 9_999)]
        {
            for duration_secs in [1, YEAR_SECS / 3, YEAR_SECS] {
                let premium = Premium {
                    cover,
                    base_bps,
                    curve,
                    risk_slope_bps,
                    persistence_bps,
                    drift,
                    trigger,
                    exhaustion,
                    seasoned,
                    locked,
                    duration_secs,
                };
                let (numerator, denominator) = exact(&premium);
                // Before it is rounded up, the premium is at most 2⁻¹⁵ units above the formula.
                let scaled = numerator << 15;
                let bounds = [scaled, scaled + denominator]
                    .map(|scaled| ceil(scaled, denominator << 15).max(1));
                let charged = i128::from(premium.charge().expect("no overflow"));
                assert!(
                    (bounds[0]..=bounds[1]).contains(&charged),
                    "{premium:?} costs {charged}, not {bounds:?}"
                );
            }
        }
    }
}

/// `cover · (base + utilisation + risk · shape) · duration / (10 000 · 365 days)` as numerator and denominator.
fn exact(premium: &Premium) -> (i128, i128) {
    let wide = |number: u64| i128::from(number);
    let (bps, kink) = (wide(BPS), i128::from(premium.curve.kink_bps));
    let (assets, cover) = (wide(premium.seasoned).max(1), wide(premium.cover));
    let (trigger, drift) = (
        wide(premium.trigger),
        wide(premium.drift.min(premium.trigger)),
    );
    let denominator = 2 * assets * bps * kink * (bps - kink);
    let highest = i128::from(premium.curve.slope1_bps) + i128::from(premium.curve.slope2_bps);
    // The numerator of assets · ∫ curve from 0 to locked / assets, and the highest rate beyond.
    let integral = |locked: u64| {
        let beyond = locked.saturating_sub(premium.seasoned);
        let locked = wide(locked - beyond);
        let beyond_all = highest * wide(beyond) * denominator;
        let slope1 = i128::from(premium.curve.slope1_bps) * (bps - kink);
        let beyond = locked * bps - assets * kink;
        if beyond <= 0 {
            return beyond_all + slope1 * locked * locked * bps * bps;
        }
        beyond_all
            + slope1 * assets * kink * (assets * kink + 2 * beyond)
            + i128::from(premium.curve.slope2_bps) * beyond * beyond * kink
    };
    let utilisation = integral(premium.locked + premium.cover) - integral(premium.locked);
    let base = i128::from(premium.base_bps) * cover * denominator;
    let risk = i128::from(premium.risk_slope_bps) * cover * drift * denominator;
    // The shape of the risk, as numerator and denominator.
    let shape = i128::from(premium.persistence_bps) * (trigger + wide(premium.exhaustion));
    let whole = 2 * wide(premium.exhaustion) * bps;
    let annual = (base + utilisation) * trigger * whole + risk * shape;
    (
        annual * wide(premium.duration_secs),
        denominator * trigger * whole * bps * wide(YEAR_SECS),
    )
}
