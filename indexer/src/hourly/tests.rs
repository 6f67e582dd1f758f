use chrono::DateTime;
use driftshield_sdk::{
    Event, ReceiptState,
    events::{OracleReplaced, Penalty, PositionBought, ReceiptFinalized},
};

use super::{Subject::*, *};
use crate::{
    lives::{Lives, Mints, test_data::*},
    slot::SealedSlot,
};

const MODEL: [u8; 32] = [5; 32];
const MINT: [u8; 32] = [6; 32];
const OWNER: [u8; 32] = [8; 32];
/// Token of a model whose registration the mirror lacks.
const NO_MINT: [u8; 32] = [0; 32];
const HOUR: i64 = 60 * 60;

/// What slots of an empty mirror count.
fn count(slots: &[SealedSlot]) -> Added {
    let mut lives = Lives::new(vec![], Mints::new());
    let mut counter = Counter::default();
    for slot in slots {
        lives.apply(slot, |emitted, lives| {
            let event = emitted.event.as_ref().unwrap();
            counter.count(slot.block_time, event, lives, &lives.earners(event));
        });
    }
    counter.into_added()
}

fn at(time: i64, number: i64, events: Vec<Event>) -> SealedSlot {
    SealedSlot {
        block_time: DateTime::from_timestamp(time, 0),
        ..slot(number, events, vec![])
    }
}

fn key(subject: Subject, mint: [u8; 32], hour: i64) -> Key {
    Key {
        subject,
        mint: mint.into(),
        hour: DateTime::from_timestamp(hour, 0),
    }
}

#[test]
fn a_bet_counts_once_for_each_subject_in_its_hour() {
    let bets = count(&[
        at(2 * HOUR - 1, 7, vec![created(1), bet(2, 30)]),
        at(2 * HOUR, 8, vec![bet(3, 12)]),
    ]);
    for subject in [
        Platform,
        Model(MODEL.into()),
        Market(MARKET.into()),
        Wallet(OWNER.into()),
    ] {
        let of = |hour| &bets[&key(subject, MINT, hour)];
        assert_eq!((of(HOUR).bets, of(HOUR).staked), (1, 30), "{subject:?}");
        assert_eq!((of(2 * HOUR).bets, of(2 * HOUR).staked), (1, 12));
    }
    // The market's creator.
    assert_eq!(bets[&key(Wallet([4; 32].into()), MINT, HOUR)].markets, 1);
    assert_eq!(bets.len(), 9);
}

#[test]
fn events_of_a_block_without_a_time_count_before_all_time() {
    let slot = SealedSlot {
        block_time: None,
        ..slot(7, vec![created(1), bet(2, 30)], vec![])
    };
    let bets = count(&[slot]);
    let of_platform = |(key, _): &(&Key, &Totals)| key.subject == Platform;
    let (key, totals) = bets.iter().find(of_platform).unwrap();
    assert_eq!((key.hour, totals.staked), (None, 30));
}

/// A bettor sells a third of a stake of 30 for 13. Its buyer gets 77 for the claim.
#[test]
fn realised_profits_are_what_wallets_got_less_what_they_paid() {
    let buyer = [10; 32];
    let bought = Event::PositionBought(PositionBought {
        market: MARKET.into(),
        market_seq: 3,
        seller_position: [11; 32].into(),
        seller_position_seq: 2,
        position: POSITION.into(),
        position_seq: 1,
        seller: OWNER.into(),
        buyer: buyer.into(),
        destination: [12; 32].into(),
        outcome: 1,
        amount: 10,
        price: 1_300,
        paid: 13,
        stake: 10,
        seller_stake: 20,
        seller_ask: driftshield_sdk::Ask {
            amount: 0,
            valid_until: 0,
            price: 0,
            reports: 0,
        },
        seller_total: 20,
        positions: 2,
    });
    let claim = |e: Event| match e {
        Event::Claimed(e) => Event::Claimed(driftshield_sdk::events::Claimed {
            owner: buyer.into(),
            ..e
        }),
        _ => unreachable!(),
    };
    let added = count(&[
        at(0, 7, vec![created(1), bought]),
        at(1, 8, vec![claim(claimed(2))]),
    ]);
    let profit = |wallet: [u8; 32]| {
        let t = &added[&key(Wallet(wallet.into()), MINT, 0)];
        (t.payouts + t.sold_for + t.bought) as i128 - (t.settled + t.sold + t.bought_for) as i128
    };
    assert_eq!(profit(OWNER), 13 - 10);
    assert_eq!(profit(buyer), 77 - 13);
}

/// An oracle takes the place `slot` of the model's oracles.
fn listed(slot: u8, oracle: u8) -> Event {
    Event::OracleReplaced(OracleReplaced {
        model: MODEL.into(),
        model_seq: u64::from(slot) + 1,
        owner: OWNER.into(),
        slot,
        oracle: [1; 32].into(),
        successor: [oracle; 32].into(),
        replaced: slot,
        seats: vec![],
    })
}

fn finalized(window: u64, value: u64) -> Event {
    Event::ReceiptFinalized(ReceiptFinalized {
        model: MODEL.into(),
        model_seq: window + 1,
        receipt: [13; 32].into(),
        receipt_seq: 2,
        window,
        series: [14; 32].into(),
        series_seq: window + 1,
        state: ReceiptState::Final,
        value,
        challenger_credit: 0,
        pay: 100,
        earners: 0b101,
        penalties: vec![Penalty {
            oracle: [21; 32].into(),
            amount: 9,
        }],
        security: 0,
        lasting_security: 0,
        chain: [0; 32],
    })
}

#[test]
fn a_final_receipt_counts_its_drift_and_what_its_oracles_earned_and_lost() {
    let slots = [
        at(0, 7, vec![listed(0, 20), listed(1, 21), listed(2, 22)]),
        at(1, 8, vec![finalized(3, 700), finalized(4, 200)]),
    ];
    let added = count(&slots);
    let model = &added[&key(Model(MODEL.into()), NO_MINT, 0)];
    assert_eq!((model.finals, model.drift_sum), (2, 900));
    assert_eq!(
        (model.drift_max, model.drift, model.drift_window),
        (Some(700), Some(200), Some(4))
    );
    let of = |oracle| &added[&key(Wallet([oracle; 32].into()), NO_MINT, 0)];
    assert_eq!((of(20).earnings, of(20).earned), (2, 100));
    assert_eq!((of(21).silences, of(21).penalties), (2, 18));
    assert_eq!((of(21).earnings, of(22).earned), (0, 100));
    let platform = &added[&key(Platform, NO_MINT, 0)];
    assert_eq!((platform.earned, platform.drift_max), (200, None));
}
