//! Sales of stakes: asks, purchases, and their refusals.

use anchor_lang::Address;
use driftshield_sdk::{
    Aggregate, Ask, DriftShieldError, Event, address, events,
    instruction::{self, Purchase},
    pause,
};
use driftshield_tests::world::*;

use super::{Scene, scene};
use crate::admin::update_collateral;

/// A scene in which the yes bettor offers a quarter of its stake of 40 tokens for 1.5 tokens each, and a
/// buyer with 100 tokens.
struct Sale {
    scene: Scene,
    buyer: Wallet,
}

const OFFERED: u64 = 10 * TOKEN;
const PRICE: u32 = 1_500;

fn bought(outcome: Outcome) -> events::PositionBought {
    let sent = outcome.unwrap();
    let Event::PositionBought(event) = sent.event().clone() else {
        panic!("{:?}", sent.event())
    };
    event
}

impl Sale {
    fn new() -> Self {
        let mut scene = scene(Aggregate::Max);
        let buyer = scene.world.wallet(100 * TOKEN);
        scene
            .world
            .offer(&scene.market, &scene.yes, 1, OFFERED, PRICE)
            .unwrap();
        Self { scene, buyer }
    }

    fn purchase(&self, amount: u64) -> Purchase {
        self.scene.world.purchase(&self.scene.market, 1, amount)
    }

    /// The buyer buys from the yes bettor.
    fn buy_as(&mut self, purchase: Purchase) -> Outcome {
        let scene = &mut self.scene;
        let (market, seller) = (scene.market, scene.yes.clone());
        scene
            .world
            .buy_stake(&market, &self.buyer, &seller, purchase)
    }

    fn buy(&mut self, amount: u64) -> Outcome {
        self.buy_as(self.purchase(amount))
    }

    fn ask(&self) -> Ask {
        let position = self
            .scene
            .world
            .position(&self.scene.market, &self.seller());
        position.asks[1]
    }

    fn seller(&self) -> Address {
        self.scene.yes.address()
    }

    fn set(&mut self, outcome: u8, ask: Ask) -> Outcome {
        let (market, seller) = (self.scene.market, self.scene.yes.clone());
        self.scene.world.set_ask(&market, &seller, outcome, ask)
    }
}

#[test]
fn a_stake_moves_to_the_buyer_and_the_payment_to_the_seller() {
    // Given an ask
    let mut sale = Sale::new();
    let market = sale.scene.market;
    let before = sale.scene.world.market(&market);
    let model = sale.scene.world.model(&before.model);
    let seller_tokens = sale.scene.world.tokens(&sale.scene.yes.tokens);

    // When somebody buys a part of it
    let event = bought(sale.buy(4 * TOKEN));

    // Then the buyer pays the seller the price of the ask, and has the stake
    let world = &sale.scene.world;
    assert_eq!(
        (event.amount, event.price, event.paid),
        (4 * TOKEN, PRICE, 6 * TOKEN)
    );
    assert_eq!((event.stake, event.seller_stake), (4 * TOKEN, 36 * TOKEN));
    assert_eq!((event.seller_total, event.positions), (36 * TOKEN, 3));
    assert_eq!(world.tokens(&sale.buyer.tokens), 94 * TOKEN);
    assert_eq!(
        world.tokens(&sale.scene.yes.tokens),
        seller_tokens + 6 * TOKEN
    );
    let left = Ask {
        amount: 6 * TOKEN,
        ..sale.ask()
    };
    assert_eq!((event.seller_ask, sale.ask()), (left, left));
    let position = world.position(&market, &sale.buyer.address());
    assert_eq!(
        (position.stakes[1], position.asks),
        (4 * TOKEN, [Ask::default(); 8])
    );

    // And nothing else of the market and the model has changed
    let after = world.market(&market);
    assert_eq!(
        (after.pools, after.owed, after.total),
        (before.pools, before.owed, before.total)
    );
    assert_eq!(world.tokens(&after.vault), before.owed);
    let risk = world.model(&before.model);
    assert_eq!(
        (risk.market_risk, risk.exposure, risk.seq),
        (model.market_risk, model.exposure, model.seq)
    );
}

#[test]
fn a_payment_is_rounded_up() {
    // Given an ask at a third of the stake
    let mut sale = Sale::new();
    let ask = sale.scene.world.ask(&sale.scene.market, OFFERED, 333);
    sale.set(1, ask).unwrap();

    // When one base unit over the minimum is bought, then 3,330.333 are rounded up
    let event = bought(sale.buy(terms().min_bet + 1));
    assert_eq!(event.paid, 3_331);
}

#[test]
fn a_position_that_is_sold_out_is_closed_and_its_rent_returned() {
    // Given a position whose whole stake is for sale
    let mut sale = Sale::new();
    let (market, seller) = (sale.scene.market, sale.seller());
    let all = sale.scene.world.ask(&market, 40 * TOKEN, 1_000);
    sale.set(1, all).unwrap();
    let position = address::position(&market, &seller);
    let rent = sale.scene.world.lamports(&position);
    let before = sale.scene.world.lamports(&seller);

    // When it is bought in two parts
    sale.buy(15 * TOKEN).unwrap();
    assert!(sale.scene.world.exists(&position));
    let event = bought(sale.buy(25 * TOKEN));

    // Then it is closed, and the rent is the seller's again
    assert_eq!(
        (event.seller_total, event.seller_ask, event.positions),
        (0, Ask::default(), 2)
    );
    assert!(!sale.scene.world.exists(&position));
    assert_eq!(sale.scene.world.lamports(&seller), before + rent);

    // And the buyer is paid what the seller would have been paid
    sale.scene.resolve_yes();
    let buyer = sale.buyer.address();
    assert_eq!(sale.scene.claim(buyer).paid, super::YES_PAID);
    let no = sale.scene.no.address();
    sale.scene.claim(no);
    sale.scene.collect_both();
    assert_eq!(sale.scene.close().swept, 0);
}

#[test]
fn an_ask_needs_a_stake_a_price_and_an_outcome() {
    // Given a bettor with 40 tokens on outcome 1
    let mut sale = Sale::new();
    let market = sale.scene.market;
    let ask = |amount, price, sale: &Sale| sale.scene.world.ask(&market, amount, price);

    // Then more than the stake is refused, also on an outcome without a stake, and so is a price of 0
    let above = ask(40 * TOKEN + 1, 1, &sale);
    assert_refused(sale.set(1, above), DriftShieldError::AskAboveStake);
    let none = ask(1, 1, &sale);
    assert_refused(sale.set(0, none), DriftShieldError::AskAboveStake);
    assert_refused(sale.set(2, none), DriftShieldError::NoSuchOutcome);
    assert_refused(sale.set(u8::MAX, none), DriftShieldError::NoSuchOutcome);
    let free = ask(1, 0, &sale);
    assert_refused(sale.set(1, free), DriftShieldError::ZeroPrice);

    // And the whole stake, the lowest and the highest price are accepted
    for price in [1, u32::MAX] {
        let whole = ask(40 * TOKEN, price, &sale);
        sale.set(1, whole).unwrap();
        assert_eq!(sale.ask(), whole);
    }
}

#[test]
fn an_ask_ends_with_the_next_observed_window() {
    // Given a market on windows 1 to 3, and times before, at and between their ends
    let mut sale = Sale::new();
    let market = sale.scene.market;
    let model = sale.scene.world.model(&sale.scene.model.address);
    let ends = [1, 2, 3].map(|window| model.window_end(window).unwrap());
    let times = [
        (sale.scene.world.now(), ends[0]),
        (ends[0] - 1, ends[0]),
        (ends[0], ends[1]),
        (ends[1] - 1, ends[1]),
        (ends[1], ends[2]),
        (ends[2] - 1, ends[2]),
        (ends[2], i64::MAX),
        (ends[2] + DAY, i64::MAX),
    ];
    for (now, latest) in times {
        sale.scene.world.warp_to(now);
        let at = |valid_until| Ask {
            valid_until,
            ..sale.scene.world.ask(&market, 1, 1)
        };
        let (past, soon, last, late) = (
            at(now),
            at(now + 1),
            at(latest),
            at(latest.saturating_add(1)),
        );

        // Then an ask may end from the next second to the next end of a window, at any time after the last
        assert_refused(sale.set(1, past), DriftShieldError::InvalidAskEnd);
        sale.set(1, soon).unwrap();
        sale.set(1, last).unwrap();
        if latest < i64::MAX {
            assert_refused(sale.set(1, late), DriftShieldError::InvalidAskEnd);
        }
    }
}

#[test]
fn an_ask_on_what_the_seller_has_not_read_is_refused() {
    // Given an ask that is signed before a submission and arrives after it
    let mut sale = Sale::new();
    let market = sale.scene.market;
    sale.scene.world.warp_to_end(&sale.scene.model, 0);
    let ask = sale.scene.world.ask(&market, OFFERED, PRICE);
    sale.scene
        .world
        .submit(&sale.scene.model, 0, 0, &CALM)
        .unwrap();

    // Then it is refused, but its removal is not
    assert_refused(sale.set(1, ask), DriftShieldError::ReportsMismatch);
    let removal = Ask {
        amount: 0,
        valid_until: 0,
        ..ask
    };
    sale.set(1, removal).unwrap();
    assert_eq!(sale.ask(), Ask::default());
    assert_refused(sale.buy(TOKEN), DriftShieldError::NoAsk);
}

#[test]
fn only_the_owner_sets_an_ask() {
    let mut sale = Sale::new();
    let (market, stranger) = (sale.scene.market, sale.buyer.clone());
    let state = sale.scene.world.market(&market);
    let ask = sale.scene.world.ask(&market, TOKEN, 1);
    let set = instruction::set_ask(sale.seller(), market, &state, 1, ask);
    let set = swapped(set, &sale.seller(), &stranger.address());
    let outcome = sale.scene.world.send(set, &[&stranger.key]);
    assert_refused(outcome, DriftShieldError::NotPositionOwner);
}

#[test]
fn a_purchase_is_at_most_the_ask_and_at_least_the_minimum_bet() {
    // Given an ask of which all but half of a minimum bet is bought
    let mut sale = Sale::new();
    let min_bet = terms().min_bet;
    assert_refused(sale.buy(OFFERED + 1), DriftShieldError::AboveAsk);
    for amount in [0, min_bet - 1] {
        assert_refused(sale.buy(amount), DriftShieldError::PurchaseTooSmall);
    }
    sale.buy(min_bet).unwrap();
    sale.buy(OFFERED - min_bet - min_bet / 2).unwrap();

    // Then the rest can be bought as a whole only, and then nothing more
    assert_refused(
        sale.buy(min_bet / 2 - 1),
        DriftShieldError::PurchaseTooSmall,
    );
    sale.buy(min_bet / 2).unwrap();
    for amount in [0, min_bet] {
        assert_refused(sale.buy(amount), DriftShieldError::NoAsk);
    }
}

#[test]
fn a_purchase_above_the_highest_price_is_refused() {
    let mut sale = Sale::new();
    let at_most = |max_price, sale: &Sale| Purchase {
        max_price,
        ..sale.purchase(TOKEN)
    };
    let low = at_most(PRICE - 1, &sale);
    assert_refused(sale.buy_as(low), DriftShieldError::PriceTooHigh);
    let exact = at_most(PRICE, &sale);
    sale.buy_as(exact).unwrap();
}

#[test]
fn a_payment_that_does_not_fit_is_refused() {
    // Given the highest stake and the highest price
    let mut sale = Sale::new();
    let (market, rich) = (sale.scene.market, sale.scene.world.wallet(u64::MAX / 2));
    let model = sale.scene.model.address;
    let mut account = sale.scene.world.svm.get_account(&model).unwrap();
    let multiple = sale
        .scene
        .world
        .model(&model)
        .security_multiple
        .to_le_bytes();
    let at = 8 + std::mem::offset_of!(driftshield_sdk::Model, security_multiple);
    assert_eq!(account.data[at..at + 4], multiple);
    account.data[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    sale.scene.world.svm.set_account(model, account).unwrap();
    let amount = 1 << 58;
    sale.scene.world.bet(&market, &rich, 0, amount).unwrap();
    sale.scene
        .world
        .offer(&market, &rich, 0, amount, u32::MAX)
        .unwrap();

    // When all of it is bought, then it is refused
    let purchase = sale.scene.world.purchase(&market, 0, amount);
    let outcome = sale
        .scene
        .world
        .buy_stake(&market, &sale.buyer, &rich, purchase);
    assert_refused(outcome, DriftShieldError::Overflow);
}

#[test]
fn an_ask_falls_at_its_end() {
    // Given an ask that ends in an hour
    let mut sale = Sale::new();
    let end = sale.scene.world.now() + HOUR;
    let ask = Ask {
        valid_until: end,
        ..sale.ask()
    };
    sale.set(1, ask).unwrap();

    // Then it can be taken in its last second, and not from its end on
    sale.scene.world.warp_to(end - 1);
    sale.buy(TOKEN).unwrap();
    for _ in 0..2 {
        sale.scene.world.pass(1);
        assert_refused(sale.buy(TOKEN), DriftShieldError::AskFallen);
    }
}

#[test]
fn an_ask_falls_with_every_report() {
    // Given a challenger, and the first window of a market
    let mut sale = Sale::new();
    let market = sale.scene.market;
    let model = sale.scene.model.clone();
    let challenger = sale.scene.world.wallet(1_000 * TOKEN);
    sale.scene.world.warp_to_end(&model, 1);
    let reports: [&dyn Fn(&mut World); 5] = [
        &|world| drop(world.submit(&model, 0, 1, &CALM).unwrap()),
        &|world| drop(world.submit(&model, 1, 1, &CALM).unwrap()),
        &|world| drop(world.submit(&model, 2, 1, &CALM).unwrap()),
        &|world| drop(world.challenge(&model, 1, &challenger, &DRIFTED).unwrap()),
        &|world| drop(world.rule(&model, 1, &CALM).unwrap()),
    ];
    for report in reports {
        // When an ask is set, and then somebody submits, challenges or rules
        let world = &mut sale.scene.world;
        let before = world.model(&model.address).reports;
        world
            .offer(&market, &sale.scene.yes, 1, OFFERED, PRICE)
            .unwrap();
        report(world);
        assert_eq!(world.model(&model.address).reports, before + 1);

        // Then the ask has fallen, and a purchase that has not read the report is refused as well
        assert_refused(sale.buy(TOKEN), DriftShieldError::AskFallen);
        let blind = Purchase {
            reports: before,
            ..sale.purchase(TOKEN)
        };
        assert_refused(sale.buy_as(blind), DriftShieldError::ReportsMismatch);
    }
}

#[test]
fn steps_that_report_nothing_leave_an_ask() {
    // Given a receipt that is due, and an ask that is set after its submissions
    let mut sale = Sale::new();
    let (market, model) = (sale.scene.market, sale.scene.model.clone());
    sale.scene.world.submit_all(&model, 1, &CALM);
    let world = &mut sale.scene.world;
    world
        .offer(&market, &sale.scene.yes, 1, OFFERED, PRICE)
        .unwrap();

    // When the receipt becomes Final, the window is settled and somebody bonds, then the ask stands
    world.pass(params().challenge_secs);
    world.finalize(&model, 1).unwrap();
    world.settle(&market).unwrap();
    world.bond(&model, 0, TOKEN).unwrap();
    sale.buy(TOKEN).unwrap();
}

#[test]
fn sales_go_on_until_the_market_is_settled() {
    // Given a market after its last window
    let mut sale = Sale::new();
    let (market, model) = (sale.scene.market, sale.scene.model.clone());
    for window in 1..=3 {
        sale.scene.world.finalize_with(&model, window, &CALM);
    }
    let seller = sale.scene.yes.clone();
    let world = &mut sale.scene.world;
    world.offer(&market, &seller, 1, OFFERED, PRICE).unwrap();

    // When a stake is sold before the market is settled, then it is accepted, and refused after it
    sale.buy(TOKEN).unwrap();
    sale.scene.world.settle(&market).unwrap();
    assert_refused(sale.buy(TOKEN), DriftShieldError::MarketSettled);
    let ask = sale.ask();
    assert_refused(sale.set(1, ask), DriftShieldError::MarketSettled);
}

#[test]
fn a_purchase_takes_no_new_risk_but_can_be_paused() {
    // Given a retired model and a disabled collateral
    let mut sale = Sale::new();
    let owner = sale.scene.model.owner.clone();
    let retire = instruction::retire_model(owner.address(), sale.scene.model.address);
    sale.scene.world.send(retire, &[&owner.key]).unwrap();
    update_collateral(&mut sale.scene.world, terms(), false);

    // Then a purchase is accepted, unless bets are paused
    sale.buy(TOKEN).unwrap();
    sale.scene.world.pause(pause::BETS);
    assert_refused(sale.buy(TOKEN), DriftShieldError::Paused);
    sale.scene.world.pause(u8::MAX >> 2 & !pause::BETS);
    sale.buy(TOKEN).unwrap();

    // And asks can be set and removed while bets are paused
    sale.scene.world.pause(pause::BETS);
    let ask = sale.ask();
    sale.set(1, ask).unwrap();
    sale.set(1, Ask::default()).unwrap();
}

#[test]
fn insiders_cannot_buy() {
    let mut sale = Sale::new();
    let model = sale.scene.model.clone();
    sale.scene.world.mint_to(&model.owner.tokens, 10 * TOKEN);
    for insider in model.oracles.iter().chain([&model.owner]) {
        sale.buyer = insider.clone();
        assert_refused(sale.buy(TOKEN), DriftShieldError::Insider);
    }
}

#[test]
fn a_purchase_on_an_outcome_that_the_market_lacks_is_refused() {
    let mut sale = Sale::new();
    for outcome in [2, 8, u8::MAX] {
        let purchase = Purchase {
            outcome,
            ..sale.purchase(TOKEN)
        };
        assert_refused(sale.buy_as(purchase), DriftShieldError::NoSuchOutcome);
    }
}

#[test]
fn a_buyers_own_asks_stay() {
    // Given a buyer with a stake and an ask on the outcome that it buys
    let mut sale = Sale::new();
    let (market, buyer) = (sale.scene.market, sale.buyer.clone());
    let world = &mut sale.scene.world;
    world.bet(&market, &buyer, 1, 5 * TOKEN).unwrap();
    world.offer(&market, &buyer, 1, 2 * TOKEN, 3_000).unwrap();
    let own = world.position(&market, &buyer.address()).asks;

    // When it buys, then its stake grows and its ask stays
    sale.buy(4 * TOKEN).unwrap();
    let position = sale.scene.world.position(&market, &buyer.address());
    assert_eq!((position.stakes[1], position.asks), (9 * TOKEN, own));
}

#[test]
fn asks_on_several_outcomes_are_independent() {
    // Given a bettor with asks on both outcomes
    let mut sale = Sale::new();
    let (market, seller) = (sale.scene.market, sale.scene.yes.clone());
    let world = &mut sale.scene.world;
    world.bet(&market, &seller, 0, 8 * TOKEN).unwrap();
    world.offer(&market, &seller, 0, 3 * TOKEN, 200).unwrap();

    // When one is taken, then the other stays, and the position too
    let purchase = world.purchase(&market, 0, 3 * TOKEN);
    let event = bought(world.buy_stake(&market, &sale.buyer, &seller, purchase));
    assert_eq!((event.paid, event.seller_stake), (600_000, 5 * TOKEN));
    assert_eq!(event.seller_total, 45 * TOKEN);
    assert_eq!(sale.ask().amount, OFFERED);
    let position = sale.scene.world.position(&market, &seller.address());
    assert_eq!(position.asks[0], Ask::default());
}
