//! A market from its creation to its end.

use driftshield_sdk::{Event, FeePayee, MarketState, instruction};
use driftshield_tests::world::*;

#[test]
fn a_market_pays_its_winners() {
    // Given a market with bets on both outcomes
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let yes = world.wallet(100 * TOKEN);
    let no = world.wallet(100 * TOKEN);
    world.bet(&market, &yes, 1, 40 * TOKEN).unwrap();
    world.bet(&market, &no, 0, 60 * TOKEN).unwrap();
    world.bet(&market, &no, 0, 10 * TOKEN).unwrap();

    // When the drift reaches the threshold in the second of three windows
    world.finalize_with(&model, 1, &CALM);
    world.settle(&market, 1).unwrap();
    world.finalize_with(&model, 2, &DRIFTED);
    let sent = world.settle(&market, 1).unwrap();

    // Then it is decided, and the winner gets the losers' stakes less 3%
    let Event::MarketSettled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.outcome, Some(1));
    assert_eq!(world.market(&market).state, MarketState::Resolved);
    world.claim(&market, &yes.address()).unwrap();
    world.claim(&market, &no.address()).unwrap();
    assert_eq!(world.tokens(&yes.tokens), 100 * TOKEN + 70 * TOKEN * 97 / 100);
    assert_eq!(world.tokens(&no.tokens), 30 * TOKEN);
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let collect = instruction::collect_fees(market, &world.market(&market), payee);
        world.send(collect, &[]).unwrap();
    }
    let close = instruction::close_market(market, &world.market(&market));
    world.send(close, &[]).unwrap();
    assert_eq!(world.tokens(&creator.tokens), 70 * TOKEN / 100);
    assert_eq!(world.tokens(&world.treasury()), 70 * TOKEN * 2 / 100);
    assert_eq!(world.model(&model.address).at_risk, 0);
}
