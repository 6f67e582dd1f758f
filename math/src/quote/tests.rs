use super::*;

const DAY: i64 = 24 * 60 * 60;
const NOW: i64 = 101 * DAY;
/// The first window that a purchase at [`NOW`] covers.
const FIRST: u64 = 102;

/// A model with windows of a day from the start of Unix time, whose bonds secure everything.
fn model() -> ModelState {
    ModelState {
        is_active: true,
        version: 1,
        genesis: 0,
        window_secs: DAY,
        dispute_secs: DAY,
        noise_floor: 1,
        max_spread: 1,
        final_count: MIN_HISTORY,
        last_window: 99,
        drift: 0,
        ewma: 0,
        cover_risk: 0,
        cover_limit: u64::MAX,
        security_rent_bps: 1,
    }
}

fn listing() -> Listing {
    Listing {
        model_version: 1,
        active_at: 0,
        cap: u64::MAX,
        cover: 0,
        lowest_trigger: 0,
        max_persistence: MAX_PERSISTENCE,
    }
}

/// A vault without limits that sells cover for 1% a year.
fn seller() -> Seller {
    Seller {
        waiting_secs: DAY,
        bucket_secs: 30 * DAY,
        assets: u64::MAX,
        staying: u64::MAX,
        seasoned: u64::MAX,
        locked: 0,
        max_utilisation_bps: 10_000,
        purchase_utilisation_bps: 10_000,
        protocol_fee_bps: 0,
        manager_fee_bps: 0,
        min_cover: 1,
        max_cover: u64::MAX,
        min_duration_secs: 1,
        max_duration_secs: i64::MAX,
        base_bps: 100,
        curve: Curve {
            slope1_bps: 0,
            slope2_bps: 0,
            kink_bps: 5_000,
        },
        risk_slope_bps: 0,
        cancel_fee_bps: 0,
        persistence_bps: [10_000; MAX_PERSISTENCE as usize],
    }
}

/// Cover for a hundred windows.
fn wanted(cover: u64) -> Wanted {
    Wanted {
        model_version: 1,
        cover,
        trigger: 1_000,
        exhaustion: 2_000,
        persistence: 1,
        first_window: FIRST,
        windows: 100,
        max_premium: u64::MAX,
        max_cancel_fee_bps: 0,
    }
}

#[test]
fn the_end_of_a_window_that_is_too_far_ahead_is_none() {
    let end = |window_secs, genesis, window| {
        let model = ModelState {
            window_secs,
            genesis,
            ..model()
        };
        model.window_end(window)
    };
    assert_eq!(end(DAY, 7, 0), Some(7 + DAY));
    // The number of windows, then the product, then the sum is too large.
    assert_eq!(end(DAY, 0, u64::MAX), None);
    assert_eq!(end(DAY, 0, i64::MAX as u64), None);
    assert_eq!(end(2, 0, i64::MAX as u64 - 1), None);
    assert_eq!(end(1, 1, i64::MAX as u64 - 1), None);
    assert_eq!(end(1, 0, i64::MAX as u64 - 1), None);
}

#[test]
fn a_price_beyond_64_bits_is_refused() {
    // Given a premium and a rent of some 60% of the largest number each
    let seller = Seller {
        base_bps: 21_600,
        ..seller()
    };
    let model = ModelState {
        security_rent_bps: 21_600,
        ..model()
    };
    let price = |cover| quote(&seller, &listing(), &model, &wanted(cover), None, NOW);
    assert_eq!(price(u64::MAX), Err(OVERFLOW));

    // Then half of the cover is sold.
    let half = price(u64::MAX / 2).unwrap();
    assert!(u64::MAX / 2 < half.price());
}

#[test]
fn a_renewal_may_cost_a_quarter_more_without_the_holders_signature() {
    // Given a policy whose term of a hundred days ends in ten days
    let term = |part| Term {
        part,
        start: NOW - 90 * DAY,
        end: NOW + 10 * DAY,
        stream_end: NOW + 30 * DAY,
    };
    let renewal = |part, is_signed| {
        let wanted = Wanted {
            first_window: FIRST + 9,
            ..wanted(1_000_000)
        };
        let renewed = Renewed {
            term: term(part),
            worth: 0,
            is_pending: false,
            is_signed,
        };
        quote(
            &seller(),
            &listing(),
            &model(),
            &wanted,
            Some(&renewed),
            NOW,
        )
    };
    // 1% a year for a hundred days, rounded up.
    assert_eq!(renewal(2_192, false).unwrap().streamed_part, 2_740);
    let refusal = Refusal {
        rule: Rule::RenewalTooDear,
        limit: 2_738,
    };
    assert_eq!(renewal(2_191, false), Err(refusal));
    assert!(renewal(2_191, true).is_ok());
}
