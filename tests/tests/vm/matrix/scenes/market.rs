//! Scenes of the instructions on markets.

use driftshield_sdk::{FeePayee, Instruction, instruction};
use driftshield_tests::{insurance::CALM_DRIFT, world::*};

use crate::{
    matrix::fixture::{AccountSet, FIRST_WINDOW, Fixture, LAST_WINDOW, STAKE},
    stakeholders::market_terms_on,
};

pub fn create_market(fixture: &mut Fixture) -> Instruction {
    let set = fixture.target();
    let state = fixture.world.model(&set.model.address);
    let terms = market_terms_on(&fixture.world, &set.model, 20, 21);
    instruction::create_market(set.creator.address(), 3, set.model.address, &state, terms)
}

pub fn cancel_market(fixture: &mut Fixture) -> Instruction {
    let market = fixture.target().idle_market;
    instruction::cancel_market(market, &fixture.world.market(&market), true)
}

pub fn cancel_market_by_anyone(fixture: &mut Fixture) -> Instruction {
    let market = fixture.target().idle_market;
    let state = fixture.world.market(&market);
    fixture.world.warp_to(state.close_ts);
    instruction::cancel_market(market, &state, false)
}

pub fn place_bet(fixture: &mut Fixture) -> Instruction {
    let (market, bettor) = (fixture.target().market, &fixture.target().winner);
    let state = fixture.world.market(&market);
    instruction::place_bet(
        bettor.address(),
        market,
        &state,
        bettor.tokens,
        instruction::Bet::unlimited(0, TOKEN),
    )
}

pub fn place_bet_first(fixture: &mut Fixture) -> Instruction {
    let (market, bettor) = (fixture.target().idle_market, &fixture.target().winner);
    let state = fixture.world.market(&market);
    instruction::place_bet(
        bettor.address(),
        market,
        &state,
        bettor.tokens,
        instruction::Bet::unlimited(0, TOKEN),
    )
}

pub fn set_ask(fixture: &mut Fixture) -> Instruction {
    let set = fixture.target();
    let (market, owner) = (set.market, set.winner.address());
    let state = fixture.world.market(&market);
    let ask = fixture.world.ask(&market, TOKEN, 900);
    instruction::set_ask(owner, market, &state, 0, ask)
}

/// The winner of each set offers its whole stake, and `buyer` buys `amount` of that of set `a`.
fn buy(fixture: &mut Fixture, buyer: fn(&AccountSet) -> &Wallet, amount: u64) -> Instruction {
    fixture.for_each_set(|insured, set| {
        let world = &mut insured.world;
        world
            .offer(&set.market, &set.winner, 0, STAKE, 1_000)
            .unwrap();
    });
    let set = fixture.target();
    let (market, seller, buyer) = (set.market, set.winner.address(), buyer(set));
    let state = fixture.world.market(&market);
    let purchase = fixture.world.purchase(&market, 0, amount);
    instruction::buy_position(
        buyer.address(),
        market,
        &state,
        buyer.tokens,
        seller,
        purchase,
    )
}

/// Buys a part, into a position that exists.
pub fn buy_position(fixture: &mut Fixture) -> Instruction {
    buy(fixture, |set| &set.loser, TOKEN)
}

/// Buys everything, into a new position. The seller's position is closed.
pub fn buy_position_first(fixture: &mut Fixture) -> Instruction {
    buy(fixture, |set| &set.holder, STAKE)
}

/// Signed by the seller, which allows any destination.
pub fn buy_position_signed(fixture: &mut Fixture) -> Instruction {
    let mut buy = buy_position(fixture);
    let seller = fixture.target().winner.address();
    for account in &mut buy.accounts {
        account.is_signer |= account.pubkey == seller;
    }
    buy
}

/// Settles by the page of the market's windows: one that is Final, and others without a receipt.
pub fn settle_market(fixture: &mut Fixture) -> Instruction {
    fixture.measure_through(FIRST_WINDOW, CALM_DRIFT);
    let state = fixture.world.model(&fixture.target().model.address);
    let decided = state.submit_end(LAST_WINDOW).unwrap() + state.challenge_secs;
    fixture.world.warp_to(decided);
    let market = fixture.target().market;
    instruction::settle_market(market, &fixture.world.market(&market))
}

pub fn claim(fixture: &mut Fixture) -> Instruction {
    fixture.settle_markets();
    let set = fixture.target();
    let state = fixture.world.market(&set.market);
    instruction::claim(set.winner.address(), set.market, &state)
}

/// Claims a losing position, which is paid nothing.
pub fn claim_lost(fixture: &mut Fixture) -> Instruction {
    fixture.settle_markets();
    let set = fixture.target();
    let state = fixture.world.market(&set.market);
    instruction::claim(set.loser.address(), set.market, &state)
}

/// Signed by the owner, which allows any destination.
pub fn claim_signed(fixture: &mut Fixture) -> Instruction {
    let mut claim = claim(fixture);
    claim.accounts[0].is_signer = true;
    claim
}

fn collect(fixture: &mut Fixture, payee: FeePayee) -> Instruction {
    fixture.settle_markets();
    let market = fixture.target().market;
    instruction::collect_fees(market, &fixture.world.market(&market), payee)
}

pub fn collect_fees(fixture: &mut Fixture) -> Instruction {
    collect(fixture, FeePayee::Creator)
}

pub fn collect_fees_treasury(fixture: &mut Fixture) -> Instruction {
    collect(fixture, FeePayee::Treasury)
}

pub fn close_market(fixture: &mut Fixture) -> Instruction {
    fixture.settle_markets();
    fixture.for_each_set(|insured, set| {
        let (world, market) = (&mut insured.world, set.market);
        for owner in [&set.winner, &set.loser] {
            world.claim(&market, &owner.address()).unwrap();
        }
        for payee in [FeePayee::Creator, FeePayee::Treasury] {
            let collect = instruction::collect_fees(market, &world.market(&market), payee);
            world.send(collect, &[]).unwrap();
        }
    });
    let market = fixture.target().market;
    instruction::close_market(market, &fixture.world.market(&market))
}
