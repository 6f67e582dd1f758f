//! Attacks on sales of stakes: by sellers, by buyers, and by both together.

use driftshield_sdk::{
    Address, Ask, DriftShieldError, FeePayee, MarketTerms, address,
    instruction::{self, Bet, Purchase},
};
use driftshield_tests::world::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use solana_instruction_error::InstructionError;
use solana_transaction_error::TransactionError;

/// A market on windows 1 to 3 of a model: 40 tokens on outcome 1 are the seller's, 60 on outcome 0.
struct Scene {
    world: World,
    model: TestModel,
    creator: Wallet,
    market: Address,
    seller: Wallet,
    other: Wallet,
    attacker: Wallet,
}

const STAKE: u64 = 40 * TOKEN;
/// The payout of the seller's stake if outcome 1 wins: it and 97% of the 60 losing tokens.
const WON: u64 = 98_200_000;

impl Scene {
    fn new() -> Self {
        let mut world = World::new();
        let model = world.default_model();
        let creator = world.wallet(0);
        let terms = market_terms(&world, &model);
        let market = world.create_market(&model, &creator, 1, terms).unwrap();
        let [seller, other, attacker] = [(); 3].map(|()| world.wallet(100 * TOKEN));
        world.bet(&market, &seller, 1, STAKE).unwrap();
        world.bet(&market, &other, 0, 60 * TOKEN).unwrap();
        Self {
            world,
            model,
            creator,
            market,
            seller,
            other,
            attacker,
        }
    }

    fn offer(&mut self, amount: u64, price: u32) {
        let (market, seller) = (self.market, self.seller.clone());
        self.world
            .offer(&market, &seller, 1, amount, price)
            .unwrap();
    }

    /// The attacker buys from the seller.
    fn buy(&mut self, amount: u64) -> Outcome {
        let purchase = self.world.purchase(&self.market, 1, amount);
        self.buy_as(purchase)
    }

    fn buy_as(&mut self, purchase: Purchase) -> Outcome {
        let (market, attacker, seller) = (self.market, self.attacker.clone(), self.seller.clone());
        self.world.buy_stake(&market, &attacker, &seller, purchase)
    }

    /// Outcome 1 wins, and everybody claims.
    fn resolve(&mut self) {
        self.world.finalize_with(&self.model, 1, &DRIFTED);
        let market = self.market;
        self.world.settle(&market).unwrap();
        for owner in [&self.seller, &self.other, &self.attacker] {
            if self
                .world
                .exists(&address::position(&market, &owner.address()))
            {
                self.world.claim(&market, &owner.address()).unwrap();
            }
        }
    }

    fn wealth(&self, wallet: &Wallet) -> u64 {
        self.world.tokens(&wallet.tokens)
    }
}

#[track_caller]
fn assert_passed_twice(outcome: Outcome) {
    let err = outcome.map(|sent| sent.events).expect_err("refused").err;
    // Anchor's ConstraintDuplicateMutableAccount.
    let duplicate = InstructionError::Custom(2040);
    assert_eq!(err, TransactionError::InstructionError(0, duplicate));
}

#[test]
fn selling_to_oneself_is_refused_and_with_two_keys_gains_nothing() {
    // Given a seller who buys its own ask, to have its stake counted twice
    let mut s = Scene::new();
    s.offer(STAKE, 1);
    let (market, seller) = (s.market, s.seller.clone());
    let purchase = s.world.purchase(&market, 1, STAKE);
    assert_passed_twice(s.world.buy_stake(&market, &seller, &seller, purchase));

    // And a seller who buys it with a second key, in the smallest parts, back and forth, at any price
    let mut honest = s.world.clone();
    let mut s = s;
    for round in 0..4 {
        let price = [1, 333, 1_001, u32::MAX / 1_000_000][round];
        s.offer(terms().min_bet * 3 + 1, price);
        for _ in 0..2 {
            s.buy(terms().min_bet).unwrap();
        }
        s.buy(terms().min_bet + 1).unwrap();
        let (from, to) = (s.attacker.clone(), s.seller.clone());
        s.world
            .offer(&market, &from, 1, terms().min_bet, price)
            .unwrap();
        let back = s.world.purchase(&market, 1, terms().min_bet);
        s.world.buy_stake(&market, &to, &from, back).unwrap();
    }
    s.resolve();

    // When outcome 1 wins, then both keys together have at most what one key has without sales
    honest.finalize_with(&s.model, 1, &DRIFTED);
    honest.settle(&market).unwrap();
    honest.claim(&market, &seller.address()).unwrap();
    let without = honest.tokens(&seller.tokens) + honest.tokens(&s.attacker.tokens);
    assert_eq!(without, 100 * TOKEN - STAKE + WON + 100 * TOKEN);
    let with = s.wealth(&s.seller) + s.wealth(&s.attacker);
    let loss = without - with; // never negative
    assert!(loss <= 1, "{loss}");
}

#[test]
fn a_payment_from_the_sellers_own_account_is_refused() {
    // Given a seller whose token account delegates one token to the attacker. A transfer of an account to
    // itself moves nothing, and uses up no delegated amount.
    let mut s = Scene::new();
    s.offer(STAKE, 25);
    let approve = spl_token_interface::instruction::approve(
        &spl_token_interface::ID,
        &s.seller.tokens,
        &s.attacker.address(),
        &s.seller.address(),
        &[],
        TOKEN,
    );
    s.world.send(approve.unwrap(), &[&s.seller.key]).unwrap();

    // When the attacker pays the seller from the seller's account, to get a stake worth 98.2 for nothing
    let state = s.world.market(&s.market);
    let purchase = s.world.purchase(&s.market, 1, STAKE);
    let buy = instruction::buy_position(
        s.attacker.address(),
        s.market,
        &state,
        s.seller.tokens,
        s.seller.address(),
        purchase,
    );

    // Then it is refused
    assert_passed_twice(s.world.send(buy, &[&s.attacker.key]));
}

#[test]
fn a_payment_goes_to_the_seller_only() {
    // Given a buyer who pays itself, a friend, or an associated account that the seller has given away
    let mut s = Scene::new();
    s.offer(STAKE, 25);
    let friend = s.other.clone();
    let state = s.world.market(&s.market);
    let purchase = s.world.purchase(&s.market, 1, STAKE);
    let buy = instruction::buy_position(
        s.attacker.address(),
        s.market,
        &state,
        s.attacker.tokens,
        s.seller.address(),
        purchase,
    );
    for wrong in [friend.tokens, state.vault, s.world.treasury()] {
        let diverted = swapped(buy.clone(), &s.seller.tokens, &wrong);
        let outcome = s.world.send(diverted, &[&s.attacker.key]);
        assert_refused(outcome, DriftShieldError::WrongDestination);
    }
    let as_friend = swapped(buy.clone(), &s.seller.address(), &friend.address());
    let outcome = s.world.send(as_friend, &[&s.attacker.key]);
    assert_refused(outcome, DriftShieldError::WrongPayee);
    let seller = s.seller.clone();
    s.world.give_away(&seller, &friend.address());

    // Then it is refused
    let outcome = s.world.send(buy, &[&s.attacker.key]);
    assert_refused(outcome, DriftShieldError::WrongDestination);
}

#[test]
fn asks_do_not_survive_their_position() {
    // Given a seller who sells all of one outcome, and asks for 99% of what is left on the other
    let mut s = Scene::new();
    let (market, seller) = (s.market, s.seller.clone());
    s.offer(STAKE, 1_000);
    let state = s.world.market(&market);
    let purchase = s.world.purchase(&market, 1, STAKE);
    let (attacker, source) = (s.attacker.address(), s.attacker.tokens);
    let buy_from = |seller: &Wallet, purchase| {
        instruction::buy_position(attacker, market, &state, source, seller.address(), purchase)
    };
    let buy = buy_from(&seller, purchase);
    let (key, tokens) = (seller.address(), seller.tokens);
    let bet = instruction::place_bet(key, market, &state, tokens, Bet::unlimited(1, TOKEN));

    // When its position is sold out and created again by a bet in one transaction, and in two
    for together in [true, false] {
        let mut fork = s.world.clone();
        let keys = [&s.attacker.key, &seller.key];
        if together {
            fork.send_all(&[buy.clone(), bet.clone()], &keys).unwrap();
        } else {
            fork.send(buy.clone(), &keys[..1]).unwrap();
            fork.send(bet.clone(), &keys[1..]).unwrap();
        }

        // Then the second position has none of the first one's asks, and nothing of it can be bought
        let position = fork.position(&market, &key);
        assert_eq!((position.seq, position.stakes[1]), (1, TOKEN));
        assert_eq!(position.asks, [Ask::default(); 8]);
        assert_eq!(fork.market(&market).positions, 3);
        let again = fork.send(
            buy_from(&seller, fork.purchase(&market, 1, TOKEN)),
            &keys[..1],
        );
        assert_refused(again, DriftShieldError::NoAsk);
    }

    // And buying it out twice in one transaction is refused
    assert!(
        s.world
            .send_all(&[buy.clone(), buy], &[&s.attacker.key])
            .is_err()
    );
}

#[test]
fn sniping_after_counts_are_public_gains_nothing() {
    // Given an ask at 1.2 for each of 40 staked tokens, set after the first window while its counts are
    // unknown, which stands until the end of the second window
    let mut s = Scene::new();
    s.world.warp_to_end(&s.model, 1);
    s.offer(STAKE, 1_200);

    // When the first oracle submits counts by which outcome 1 has won, then nobody can take the ask
    let mut fork = s.world.clone();
    let model = s.model.clone();
    s.world.submit(&model, 0, 1, &DRIFTED).unwrap();
    assert_refused(s.buy(STAKE), DriftShieldError::AskFallen);
    let before = s.wealth(&s.attacker);
    s.resolve_submitted();
    assert_eq!(s.wealth(&s.attacker), before);
    assert_eq!(s.wealth(&s.seller), 100 * TOKEN - STAKE + WON);

    // And a purchase just before the submission would have gained 50.2 tokens: what the sniper is after
    let purchase = fork.purchase(&s.market, 1, STAKE);
    fork.buy_stake(&s.market, &s.attacker, &s.seller, purchase)
        .unwrap();
    std::mem::swap(&mut s.world, &mut fork);
    s.resolve();
    assert_eq!(s.wealth(&s.attacker), before + WON - STAKE * 12 / 10);
}

impl Scene {
    /// As [`Scene::resolve`], after the first oracle has submitted.
    fn resolve_submitted(&mut self) {
        for oracle in 1..3 {
            self.world.submit(&self.model, oracle, 1, &DRIFTED).unwrap();
        }
        self.world.pass(params().challenge_secs);
        self.world.finalize(&self.model, 1).unwrap();
        let market = self.market;
        self.world.settle(&market).unwrap();
        self.world.claim(&market, &self.seller.address()).unwrap();
    }
}

#[test]
fn sniping_from_a_window_that_has_ended_gains_nothing() {
    // Given an ask that was set in the first window, and a sniper who has measured that window by itself
    let mut s = Scene::new();
    s.world.warp_to_end(&s.model, 1);
    s.world.warp_to(s.world.now() - 1);
    s.offer(STAKE, 1_200);
    let mut fork = s.world.clone();
    let (market, attacker, seller) = (s.market, s.attacker.clone(), s.seller.clone());
    let purchase = fork.purchase(&market, 1, STAKE);
    fork.buy_stake(&market, &attacker, &seller, purchase)
        .unwrap();

    // When the window ends, then the ask has fallen before anybody has submitted
    s.world.pass(1);
    assert_refused(s.buy(STAKE), DriftShieldError::AskFallen);

    // And asks that would outlast the window cannot be set at all
    let late = Ask {
        valid_until: s.world.now() + 365 * DAY,
        ..s.world.ask(&market, STAKE, 1_200)
    };
    let outcome = s.world.set_ask(&market, &seller, 1, late);
    assert_refused(outcome, DriftShieldError::InvalidAskEnd);
}

#[test]
fn a_value_that_nobody_else_confirms_delays_sales_by_one_transaction() {
    // Given an ask at 1 for each of 40 staked tokens, and an oracle that submits counts by which the stake
    // has won, which no other oracle confirms. The ask falls
    let mut s = Scene::new();
    s.world.warp_to_end(&s.model, 1);
    s.offer(STAKE, 1_000);
    let model = s.model.clone();
    s.world.submit(&model, 0, 1, &DRIFTED).unwrap();
    assert_refused(s.buy(STAKE), DriftShieldError::AskFallen);

    // When the seller asks again, then the oracle cannot end this ask by the same value
    s.offer(STAKE, 1_000);
    let again = s.world.submit(&model, 0, 1, &DRIFTED);
    assert_refused(again, DriftShieldError::AlreadySubmitted);

    // And the stake is sold at its price: the oracle has blocked 0 of 40 tokens
    s.buy(STAKE).unwrap();
    assert_eq!(s.wealth(&s.seller), 100 * TOKEN);
}

#[test]
fn a_purchase_into_another_position_is_refused() {
    // Given a buyer that names a position of somebody else, of another market, or an address that is none
    let mut s = Scene::new();
    s.offer(STAKE, 1_000);
    let (test_model, creator, attacker) = (s.model.clone(), s.creator.clone(), s.attacker.clone());
    let terms = market_terms(&s.world, &test_model);
    let elsewhere = s
        .world
        .create_market(&test_model, &creator, 2, terms)
        .unwrap();
    s.world.bet(&elsewhere, &attacker, 0, TOKEN).unwrap();
    let state = s.world.market(&s.market);
    let purchase = s.world.purchase(&s.market, 1, STAKE);
    let (key, seller) = (attacker.address(), s.seller.address());
    let buy = instruction::buy_position(key, s.market, &state, attacker.tokens, seller, purchase);
    let own = address::position(&s.market, &key);

    // Then it is refused, and the stake stays where it is
    for wrong in [
        address::position(&s.market, &s.other.address()),
        address::position(&elsewhere, &key),
        address::position(&elsewhere, &seller),
    ] {
        let diverted = swapped(buy.clone(), &own, &wrong);
        let outcome = s.world.send(diverted, &[&attacker.key]);
        assert_refused(outcome, DriftShieldError::WrongPosition);
    }
    let same = swapped(buy, &own, &address::position(&s.market, &seller));
    assert_passed_twice(s.world.send(same, &[&attacker.key]));
    assert_eq!(s.world.position(&s.market, &seller).stakes[1], STAKE);
}

#[test]
fn sellers_cannot_dump_on_a_purchase_in_flight() {
    // Given a buyer who has read the market and an ask at 1.5, and sends a purchase of 10 tokens
    let mut s = Scene::new();
    s.offer(STAKE, 1_500);
    let signed = Purchase {
        max_price: 1_500,
        ..s.world.purchase(&s.market, 1, 10 * TOKEN)
    };

    // When the seller raises the price to 9 tokens before it arrives, then it is refused: 0 instead of 75 tokens
    let mut raised = s.world.clone();
    let ask = raised.ask(&s.market, STAKE, 9_000);
    raised.set_ask(&s.market, &s.seller, 1, ask).unwrap();
    let outcome = raised.buy_stake(&s.market, &s.attacker, &s.seller, signed);
    assert_refused(outcome, DriftShieldError::PriceTooHigh);

    // And when counts by which the stake has lost arrive first, and the seller asks again at the old price,
    // then it is refused: 0 instead of 15 tokens
    let model = s.model.clone();
    s.world.submit_all(&model, 1, &CALM);
    s.offer(STAKE, 1_500);
    assert_refused(s.buy_as(signed), DriftShieldError::ReportsMismatch);

    // And when the seller moves its stake to another key first, then it is refused
    let friend = s.world.wallet(100 * TOKEN);
    let (market, seller) = (s.market, s.seller.clone());
    let purchase = s.world.purchase(&market, 1, STAKE);
    s.world
        .buy_stake(&market, &friend, &seller, purchase)
        .unwrap();
    assert!(s.buy(10 * TOKEN).is_err());
}

#[test]
fn a_purchase_is_refused_by_a_market_at_the_same_address_with_other_terms() {
    // Given a purchase that was signed for a market, which is then settled and closed, and whose creator
    // opens another one under its id, on an outcome that can hardly occur
    let mut s = Scene::new();
    let signed_for = s.world.market(&s.market);
    s.resolve();
    for payee in [FeePayee::Creator, FeePayee::Treasury] {
        let collect = instruction::collect_fees(s.market, &s.world.market(&s.market), payee);
        s.world.send(collect, &[]).unwrap();
    }
    let close = instruction::close_market(s.market, &s.world.market(&s.market));
    s.world.send(close, &[]).unwrap();
    let model = s.world.model(&s.model.address);
    let terms = MarketTerms {
        thresholds: vec![900_000_000],
        first_window: 9,
        last_window: 9,
        close_ts: model.window_start(9).unwrap(),
        ..market_terms(&s.world, &s.model)
    };
    let (test_model, creator, seller) = (s.model.clone(), s.creator.clone(), s.seller.clone());
    let market = s
        .world
        .create_market(&test_model, &creator, 1, terms)
        .unwrap();
    assert_eq!(market, s.market);
    s.world.bet(&market, &seller, 1, STAKE).unwrap();
    s.offer(STAKE, 1_000);

    // When it arrives, then it is refused: 0 instead of 40 tokens
    let buy = instruction::buy_position(
        s.attacker.address(),
        market,
        &signed_for,
        s.attacker.tokens,
        seller.address(),
        s.world.purchase(&market, 1, STAKE),
    );
    let outcome = s.world.send(buy, &[&s.attacker.key]);
    assert_refused(outcome, DriftShieldError::TermsMismatch);
}

#[test]
fn sales_never_pay_more_than_the_market_has() {
    let mut random = StdRng::seed_from_u64(7);
    for bettor_count in [3, 6, 12, 20] {
        // Given a market with bets of odd amounts by several bettors
        let mut world = World::new();
        let model = world.default_model();
        let creator = world.wallet(0);
        let terms = market_terms(&world, &model);
        let market = world.create_market(&model, &creator, 1, terms).unwrap();
        let bettors: Vec<_> = (0..bettor_count)
            .map(|_| world.wallet(100 * TOKEN))
            .collect();
        for (index, bettor) in bettors[..bettor_count / 2 + 1].iter().enumerate() {
            let amount = random.random_range(10_000..TOKEN);
            let outcome = (index % 2) as u8;
            world.bet(&market, bettor, outcome, amount).unwrap();
        }
        let unsold = world.clone();

        // When stakes change hands at random, also to newcomers
        for _ in 0..40 {
            let seller = &bettors[random.random_range(0..bettors.len())];
            let buyer = &bettors[random.random_range(0..bettors.len())];
            let at = address::position(&market, &seller.address());
            if buyer.address() == seller.address() || !world.exists(&at) {
                continue;
            }
            let outcome = random.random_range(0..2u8);
            let stake = world.position(&market, &seller.address()).stakes[usize::from(outcome)];
            if stake == 0 {
                continue;
            }
            let offered = random.random_range(1..=stake);
            let price = random.random_range(1..5_000);
            world
                .offer(&market, seller, outcome, offered, price)
                .unwrap();
            let part = match random.random_range(10_000..TOKEN) {
                part if part < offered => part,
                _ => offered,
            };
            let purchase = world.purchase(&market, outcome, part);
            world.buy_stake(&market, buyer, seller, purchase).unwrap();
        }

        // Then the payouts of the market with and without sales differ by rounding alone: less than a unit a
        // winner, never more than the market has
        let settle = |mut world: World| {
            world.finalize_with(&model, 1, &DRIFTED);
            world.settle(&market).unwrap();
            let before = world.market(&market).owed;
            for bettor in &bettors {
                if world.exists(&address::position(&market, &bettor.address())) {
                    world.claim(&market, &bettor.address()).unwrap();
                }
            }
            let state = world.market(&market);
            let dust = state.owed - state.protocol_credit - state.creator_credit;
            assert!(dust < bettors.len() as u64);
            (before, state.protocol_credit, state.creator_credit)
        };
        assert_eq!(settle(world), settle(unsold));
    }
}
