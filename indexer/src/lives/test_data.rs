//! Events and slots for tests.

use chrono::DateTime;
use driftshield_sdk::{
    Account, AccountKind, Aggregate, Event, MarketTerms,
    events::{BetPlaced, Claimed, MarketCancelled, MarketCreated},
};

use crate::{
    event_id::EventId,
    slot::{AccountWrite, EmittedEvent, SealedSlot},
};

pub const MARKET: [u8; 32] = [2; 32];
pub const POSITION: [u8; 32] = [3; 32];

pub fn created(number: u64) -> Event {
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

pub fn cancelled(number: u64) -> Event {
    Event::MarketCancelled(MarketCancelled {
        market: MARKET.into(),
        market_seq: number,
        creator: [4; 32].into(),
        swept: 0,
    })
}

pub fn bet(number: u64, stake: u64) -> Event {
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

pub fn claimed(number: u64) -> Event {
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
pub fn market_bytes(seq: u64, total: u64) -> Vec<u8> {
    let mut account = Account::zeroed(AccountKind::Market);
    if let Account::Market(market) = &mut account {
        (market.seq, market.total, market.pools[1]) = (seq, total, total);
        market.bump = 250;
    }
    account.encode()
}

pub fn write(write_version: i64, data: Vec<u8>) -> AccountWrite {
    AccountWrite {
        address: MARKET.into(),
        write_version,
        lamports: 5,
        data,
    }
}

pub fn slot(number: i64, events: Vec<Event>, writes: Vec<AccountWrite>) -> SealedSlot {
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

pub fn id(slot: u64, transaction: u64) -> i64 {
    EventId::new(slot, transaction, 0, 0).unwrap().get()
}
