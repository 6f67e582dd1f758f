use driftshield_sdk::{FeePayee, Instruction, MarketTerms, instruction};
use driftshield_tests::{insurance::CALM_DRIFT, world::*};

use crate::matrix::town::{FIRST, LAST, Town};

pub fn create_market(town: &mut Town) -> Instruction {
    let site = town.here();
    let state = town.world.model(&site.model.address);
    let terms = MarketTerms {
        first_window: 20,
        last_window: 21,
        ..market_terms(&town.world, &site.model)
    };
    let terms = MarketTerms {
        close_ts: state.window_start(20).unwrap(),
        ..terms
    };
    instruction::create_market(site.creator.address(), 3, site.model.address, &state, terms)
}

pub fn cancel_market(town: &mut Town) -> Instruction {
    let market = town.here().idle_market;
    instruction::cancel_market(market, &town.world.market(&market), true)
}

pub fn cancel_market_by_anyone(town: &mut Town) -> Instruction {
    let market = town.here().idle_market;
    let state = town.world.market(&market);
    town.world.warp_to(state.close_ts);
    instruction::cancel_market(market, &state, false)
}

pub fn place_bet(town: &mut Town) -> Instruction {
    let (market, bettor) = (town.here().market, &town.here().winner);
    let state = town.world.market(&market);
    instruction::place_bet(bettor.address(), market, &state, bettor.tokens, 0, TOKEN, 0)
}

pub fn place_bet_first(town: &mut Town) -> Instruction {
    let (market, bettor) = (town.here().idle_market, &town.here().winner);
    let state = town.world.market(&market);
    instruction::place_bet(bettor.address(), market, &state, bettor.tokens, 0, TOKEN, 0)
}

/// By a Final receipt, one that time has made Final, and one that there isn't.
pub fn settle_market(town: &mut Town) -> Instruction {
    town.measure_to(FIRST, CALM_DRIFT);
    town.submit(CALM_DRIFT);
    let state = town.world.model(&town.here().model.address);
    town.world.warp_to(state.submit_end(LAST).unwrap());
    let market = town.here().market;
    instruction::settle_market(market, &town.world.market(&market), 3)
}

pub fn claim(town: &mut Town) -> Instruction {
    town.settle();
    let site = town.here();
    let state = town.world.market(&site.market);
    instruction::claim(site.winner.address(), site.market, &state)
}

/// Of a position that is paid nothing.
pub fn claim_lost(town: &mut Town) -> Instruction {
    town.settle();
    let site = town.here();
    let state = town.world.market(&site.market);
    instruction::claim(site.loser.address(), site.market, &state)
}

/// Signed by the owner, who may then be paid anywhere.
pub fn claim_signed(town: &mut Town) -> Instruction {
    let mut claim = claim(town);
    claim.accounts[0].is_signer = true;
    claim
}

fn collect(town: &mut Town, payee: FeePayee) -> Instruction {
    town.settle();
    let market = town.here().market;
    instruction::collect_fees(market, &town.world.market(&market), payee)
}

pub fn collect_fees(town: &mut Town) -> Instruction {
    collect(town, FeePayee::Creator)
}

pub fn collect_fees_treasury(town: &mut Town) -> Instruction {
    collect(town, FeePayee::Treasury)
}

pub fn close_market(town: &mut Town) -> Instruction {
    town.settle();
    town.everywhere(|insured, site| {
        let (world, market) = (&mut insured.world, site.market);
        for owner in [&site.winner, &site.loser] {
            world.claim(&market, &owner.address()).unwrap();
        }
        for payee in [FeePayee::Creator, FeePayee::Treasury] {
            let collect = instruction::collect_fees(market, &world.market(&market), payee);
            world.send(collect, &[]).unwrap();
        }
    });
    let market = town.here().market;
    instruction::close_market(market, &town.world.market(&market))
}
