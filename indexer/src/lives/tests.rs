use driftshield_sdk::{
    Aggregate, MarketTerms,
    events::{BetPlaced, Claimed, MarketCancelled, MarketCreated},
};

use super::*;

const MARKET: [u8; 32] = [2; 32];
const POSITION: [u8; 32] = [3; 32];

fn created(number: u64) -> Event {
    Event::MarketCreated(MarketCreated {
        market: MARKET.into(),
        market_seq: number,
        creator: [4; 32].into(),
        id: 1,
        model: [5; 32].into(),
        mint: [6; 32].into(),
        protocol_fee_bps: 200,
        terms_hash: [7; 32],
        terms: MarketTerms {
            model_version: 1,
            thresholds: vec![100, 200],
            aggregate: Aggregate::Max,
            first_window: 4,
            last_window: 9,
            min_observed: 0,
            close_ts: 1_000,
            creator_fee_bps: 100,
            question: "how far?".into(),
        },
    })
}

fn cancelled(number: u64) -> Event {
    Event::MarketCancelled(MarketCancelled {
        market: MARKET.into(),
        market_seq: number,
        creator: [4; 32].into(),
        swept: 0,
    })
}

fn bet(number: u64, stake: u64) -> Event {
    Event::BetPlaced(BetPlaced {
        market: MARKET.into(),
        market_seq: number,
        position: POSITION.into(),
        position_seq: number - 1,
        model: [5; 32].into(),
        model_seq: 50 + number,
        owner: [8; 32].into(),
        outcome: 1,
        amount: stake,
        stake,
        pool: stake,
        total: stake,
        multiple: 1_000,
        market_risk: 0,
        exposure: 0,
        rent: 0,
        pot: driftshield_sdk::PotTotals {
            held: 0,
            waiting: 0,
            unearned: 0,
            until: 0,
        },
    })
}

fn claimed(number: u64) -> Event {
    Event::Claimed(Claimed {
        market: MARKET.into(),
        market_seq: 9,
        position: POSITION.into(),
        position_seq: number,
        owner: [8; 32].into(),
        destination: [9; 32].into(),
        paid: 77,
        owed: 0,
        positions: 0,
    })
}

/// The bytes of a market after its event `seq`.
fn market_bytes(seq: u64, total: u64) -> Vec<u8> {
    let mut account = Account::zeroed(AccountKind::Market);
    if let Account::Market(market) = &mut account {
        (market.seq, market.total, market.pools[1]) = (seq, total, total);
        market.bump = 250;
    }
    account.encode()
}

fn write(write_version: i64, data: Vec<u8>) -> AccountWrite {
    AccountWrite {
        address: MARKET.into(),
        write_version,
        lamports: 5,
        data,
    }
}

fn slot(number: i64, events: Vec<Event>, writes: Vec<AccountWrite>) -> SealedSlot {
    let emitted = |(index, event): (u64, Event)| EmittedEvent {
        id: EventId::new(number.unsigned_abs(), index, 0, 0).unwrap(),
        signature: [index as u8; 64],
        data: vec![],
        event: Some(event),
    };
    SealedSlot {
        slot: number,
        blockhash: [0; 32],
        parent_slot: number - 1,
        parent_blockhash: [0; 32],
        block_time: DateTime::from_timestamp(1_000 + number, 0),
        writes,
        emptied: [].into(),
        events: (0..).zip(events).map(emitted).collect(),
    }
}

fn id(slot: u64, transaction: u64) -> i64 {
    EventId::new(slot, transaction, 0, 0).unwrap().get()
}

/// Applies the slots to lives that are known already. Returns the changed lives at the address.
fn changed_at(
    address: [u8; 32],
    known: Vec<Life>,
    slots: &[SealedSlot],
) -> Vec<(Life, Option<Account>)> {
    let mut lives = Lives::new(known, Mints::new());
    for slot in slots {
        lives.apply(slot);
    }
    let at = lives
        .into_changes()
        .changed
        .into_iter()
        .filter(|changed| changed.life.address == address.into());
    at.map(|changed| {
        let state = changed
            .state
            .map(|state| Account::decode(&state).ok().unwrap());
        (changed.life, state)
    })
    .collect()
}

fn market_of(state: &Option<Account>) -> &Market {
    match state {
        Some(Account::Market(market)) => market,
        _ => panic!("not a market"),
    }
}

#[test]
fn an_open_life_shows_its_bytes() {
    let slots = [slot(
        7,
        vec![created(1)],
        vec![write(3, market_bytes(1, 0))],
    )];
    let [(life, state)] = &changed_at(MARKET, vec![], &slots)[..] else {
        panic!("one life");
    };
    assert_eq!(
        (life.life, life.is_current, life.closed_slot),
        (id(7, 0), true, None)
    );
    assert_eq!((life.slot, life.write_version, life.is_exact), (7, 3, true));
    assert_eq!(market_of(state).bump, 250);
}

#[test]
fn an_account_created_and_closed_in_one_slot_has_a_life() {
    let slots = [slot(7, vec![created(1), cancelled(2)], vec![])];
    let [(life, state)] = &changed_at(MARKET, vec![], &slots)[..] else {
        panic!("one life");
    };
    assert_eq!(
        (life.life, life.closed_slot, life.is_exact),
        (id(7, 0), Some(7), false)
    );
    assert_eq!(life.facts.end, Some(End::Cancelled));
    let market = market_of(state);
    assert_eq!(
        (market.seq, market.creator, market.last_window),
        (2, [4; 32].into(), 9)
    );
    assert_eq!((market.threshold_count, market.thresholds[1]), (2, 200));
}

#[test]
fn an_account_recreated_in_the_slot_of_its_close_has_two_lives() {
    let before = [slot(
        6,
        vec![created(1)],
        vec![write(1, market_bytes(1, 0))],
    )];
    let mut known = changed_at(MARKET, vec![], &before);
    let (known, _) = known.remove(0);
    let slots = [slot(
        7,
        vec![cancelled(2), created(1)],
        vec![write(9, market_bytes(1, 0))],
    )];
    let [(first, _), (second, _)] = &changed_at(MARKET, vec![known], &slots)[..] else {
        panic!("two lives");
    };
    assert_eq!(
        (first.life, first.is_current, first.closed_slot),
        (id(6, 0), false, Some(7))
    );
    assert_eq!(
        (second.life, second.is_current, second.closed_slot),
        (id(7, 1), true, None)
    );
}

#[test]
fn a_write_before_the_close_of_its_slot_does_not_reopen_the_account() {
    // The server sends a write of the slot although the account was closed after it.
    let slots = [
        slot(6, vec![created(1)], vec![write(1, market_bytes(1, 0))]),
        slot(
            7,
            vec![bet(2, 40), cancelled(3)],
            vec![write(9, market_bytes(2, 40))],
        ),
    ];
    let [(life, state)] = &changed_at(MARKET, vec![], &slots)[..] else {
        panic!("one life");
    };
    assert_eq!(
        (life.closed_slot, life.write_version),
        (Some(7), CLOSE_VERSION)
    );
    assert_eq!((market_of(state).seq, market_of(state).total), (3, 40));
    assert_eq!(life.data, market_bytes(2, 40));
}

#[test]
fn the_final_state_of_a_life_contains_the_events_after_its_bytes() {
    let slots = [slot(7, vec![bet(2, 40), claimed(2)], vec![])];
    let [(life, Some(Account::Position(position)))] = &changed_at(POSITION, vec![], &slots)[..]
    else {
        panic!("one position");
    };
    assert_eq!((position.stakes[1], position.seq), (40, 2));
    let facts = &life.facts;
    assert_eq!(
        (facts.payout, facts.destination),
        (Some(77), Some([9; 32].into()))
    );
    assert_eq!((facts.end, life.closed_slot), (Some(End::Claimed), Some(7)));
    assert_eq!(facts.ended_at, DateTime::from_timestamp(1_007, 0));
}

#[test]
fn events_that_the_bytes_include_are_not_folded_in_again() {
    let slots = [
        slot(6, vec![created(1)], vec![write(1, market_bytes(1, 0))]),
        // The bytes were read later than the bet, and have a further bet.
        slot(7, vec![bet(2, 40)], vec![write(9, market_bytes(3, 90))]),
    ];
    let [(_, state)] = &changed_at(MARKET, vec![], &slots)[..] else {
        panic!("one life");
    };
    assert_eq!((market_of(state).seq, market_of(state).total), (3, 90));
}

#[test]
fn events_without_their_write_are_folded_in_until_the_account_is_read_again() {
    let before = [slot(
        6,
        vec![created(1)],
        vec![write(1, market_bytes(1, 0))],
    )];
    let (known, _) = changed_at(MARKET, vec![], &before).remove(0);
    let (known, state) =
        changed_at(MARKET, vec![known], &[slot(7, vec![bet(2, 40)], vec![])]).remove(0);
    assert_eq!((known.is_exact, market_of(&state).pools[1]), (false, 40));
    let later = [slot(8, vec![bet(3, 90)], vec![])];
    let (known, state) = changed_at(MARKET, vec![known], &later).remove(0);
    assert_eq!((known.is_exact, market_of(&state).total), (false, 90));
}

#[test]
fn an_undecoded_close_is_seen_by_the_missing_lamports() {
    let before = [slot(
        6,
        vec![created(1)],
        vec![write(1, market_bytes(1, 0))],
    )];
    let (known, _) = changed_at(MARKET, vec![], &before).remove(0);
    let mut emptied = slot(7, vec![], vec![]);
    emptied.emptied = [MARKET.into()].into();
    let (life, _) = changed_at(MARKET, vec![known.clone()], &[emptied.clone()]).remove(0);
    assert_eq!(life.closed_slot, Some(7));
    // A later write of the slot shows that the account exists.
    emptied.writes = vec![write(4, market_bytes(1, 0))];
    let (life, _) = changed_at(MARKET, vec![known], &[emptied]).remove(0);
    assert_eq!(life.closed_slot, None);
}

#[test]
fn an_account_older_than_the_mirror_has_life_0() {
    let slots = [slot(
        7,
        vec![bet(12, 40)],
        vec![write(1, market_bytes(12, 40))],
    )];
    let (life, _) = changed_at(MARKET, vec![], &slots).remove(0);
    assert_eq!((life.life, life.facts.began_at), (0, None));
}

#[test]
fn a_superseded_life_keeps_its_rows() {
    let before = [slot(6, vec![created(1), cancelled(2)], vec![])];
    let (known, _) = changed_at(MARKET, vec![], &before).remove(0);
    let next = [slot(
        7,
        vec![created(1)],
        vec![write(1, market_bytes(1, 0))],
    )];
    let mut lives = Lives::new(vec![known], Mints::new());
    lives.apply(&next[0]);
    let Changes {
        superseded,
        changed,
    } = lives.into_changes();
    assert_eq!((superseded.len(), changed.len()), (1, 1));
    assert_eq!(
        (superseded[0].life, superseded[0].is_current),
        (id(6, 0), false)
    );
    assert_eq!(changed[0].life.life, id(7, 0));
}

#[test]
fn a_closed_account_that_is_named_again_keeps_its_final_state() {
    let before = [slot(6, vec![created(1), cancelled(2)], vec![])];
    let (known, _) = changed_at(MARKET, vec![], &before).remove(0);
    let mut named = slot(7, vec![], vec![]);
    named.emptied = [MARKET.into()].into();
    assert!(changed_at(MARKET, vec![known], &[named]).is_empty());
}
