//! Premiums that stream to the liquidity providers.

use driftshield_sdk::{Event, PolicyTerms, PremiumPayee, instruction};
use driftshield_tests::{insurance::*, world::*};

use super::{depositor, value_of, year_terms};

const YEAR: i64 = 365 * DAY;

#[test]
fn a_days_deposit_earns_its_part_of_a_days_premium() {
    // Given a policy of a year, and a vault with a single liquidity provider
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let terms = year_terms(&scene);
    let quote = scene.quote(&terms).unwrap();
    scene.buy(&holder, 1, terms).unwrap();
    scene.start(&holder, 1);
    let begun = scene.world.now();
    let bucket = params().bucket_secs;
    let stream_end = (quote.end / bucket + 1) * bucket;
    scene.world.pass(100 * DAY);

    // When somebody else deposits as much for a day
    let as_much = value_of(&scene, &scene.lp);
    let guest = depositor(&mut scene, as_much);
    let before = value_of(&scene, &guest);
    scene.world.pass(DAY);
    let earned = value_of(&scene, &guest) - before;

    // Then the deposit earns half of that day's premium, up to rounding
    let day = u128::from(quote.streamed_part) * DAY as u128 / (stream_end - begun) as u128;
    assert!((day / 2).abs_diff(earned.into()) <= 2, "{earned} of {day}");
    assert!(300 * DAY < quote.end - begun && 1_000 < day);
}

#[test]
fn a_premium_streams_completely() {
    // Given a policy
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    scene.start(&holder, 1);
    let premium = scene.policy(&holder, 1).premium;
    let (protocol, manager) = (premium / 20, premium / 10);

    // When the last bucket of its stream is over
    scene.world.pass(30 * DAY);

    // Then every unit of the premium belongs to the treasury, the manager or the liquidity
    // providers
    let vault = scene.vault_now();
    assert_eq!(vault.unearned, 0);
    assert_eq!(vault.rate.get(), 0);
    assert_eq!(vault.protocol_credit, protocol);
    assert_eq!(vault.manager_credit, manager);
    assert_eq!(vault.assets, CAPITAL + premium - protocol - manager);
}

#[test]
fn premiums_that_stream_without_shares_go_to_the_treasury() {
    // Given a vault without shares, with the premium of an ended policy still streaming
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, year_terms(&scene)).unwrap();
    let sent = scene.cancel(&holder, 1).unwrap();
    let Event::PolicyCancelled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert!(0 < event.totals.unearned);
    let owner = scene.provider();
    scene.leave(&owner);
    let before = scene.vault();
    assert_eq!((before.shares, before.assets), (0, 0));

    // When the rest of the premium streams
    scene.world.pass(400 * DAY);

    // Then it is credited to the treasury
    let after = scene.vault_now();
    assert_eq!(after.assets, 0);
    assert_eq!(
        after.protocol_credit,
        before.protocol_credit + before.unearned
    );
    let collect = instruction::collect_manager_fees(scene.vault, &after, PremiumPayee::Treasury);
    scene.world.send(collect, &[]).unwrap();
    assert_eq!(
        scene.world.tokens(&scene.world.treasury()),
        after.protocol_credit
    );
}

#[test]
fn the_longest_policy_fits_the_ring_of_streams() {
    // The ring has 64 buckets of a week. A policy of 398 windows of a day ends within it.
    let scene = Insured::new();
    let terms = PolicyTerms {
        windows: 398,
        ..scene.terms()
    };
    let quote = scene.quote(&terms).unwrap();
    assert!(YEAR + 30 * DAY < quote.end - scene.world.now());
}
