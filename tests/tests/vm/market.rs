//! Markets: creation, bets, settlement, claims, fees, closing and cancellation.

mod betting;
mod claiming;
mod creation;
mod ending;
mod expected;
mod pages;
mod random;
mod resolution;
mod sales;
mod settlement;

use anchor_lang::Address;
use driftshield_sdk::{Aggregate, Entry, Event, FeePayee, MarketTerms, events, instruction};
use driftshield_tests::world::*;
use solana_instruction_error::InstructionError;
use solana_transaction_error::TransactionError;

/// A yes/no market, and a bettor on each outcome with 100 tokens.
#[derive(Clone)]
struct Scene {
    world: World,
    model: TestModel,
    creator: Wallet,
    market: Address,
    yes: Wallet,
    no: Wallet,
}

/// A scene in `world`, in which the bettors have bet `yes_bet` and `no_bet`.
fn scene_with(mut world: World, aggregate: Aggregate, yes_bet: u64, no_bet: u64) -> Scene {
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = MarketTerms {
        aggregate,
        ..market_terms(&world, &model)
    };
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let yes = world.wallet(100 * TOKEN);
    let no = world.wallet(100 * TOKEN);
    for (bettor, outcome, amount) in [(&yes, 1, yes_bet), (&no, 0, no_bet)] {
        if amount > 0 {
            world.bet(&market, bettor, outcome, amount).unwrap();
        }
    }
    Scene {
        world,
        model,
        creator,
        market,
        yes,
        no,
    }
}

/// A scene with bets of 40 tokens on yes and 60 on no.
fn scene(aggregate: Aggregate) -> Scene {
    scene_with(World::new(), aggregate, 40 * TOKEN, 60 * TOKEN)
}

/// The event of a successful settlement.
fn settled(outcome: Outcome) -> events::MarketSettled {
    let sent = outcome.unwrap();
    let Event::MarketSettled(event) = sent.event().clone() else {
        panic!("{:?}", sent.event())
    };
    event
}

/// The event of a successful claim.
fn claimed(outcome: Outcome) -> events::Claimed {
    let sent = outcome.unwrap();
    let Event::Claimed(event) = sent.event().clone() else {
        panic!("{:?}", sent.event())
    };
    event
}

impl Scene {
    /// The drift reaches the threshold in the first window, and a market by `Max` resolves to yes.
    fn resolve_yes(&mut self) {
        self.world.finalize_with(&self.model, 1, &DRIFTED);
        let event = settled(self.world.settle(&self.market));
        assert_eq!(event.outcome, Some(1));
    }

    /// The Final drift of a window.
    fn value(&self, window: u64) -> u64 {
        match self.world.entry(&self.model.address, window) {
            Entry::Final(value) => value,
            other => panic!("{other:?}"),
        }
    }

    fn claim(&mut self, owner: Address) -> events::Claimed {
        claimed(self.world.claim(&self.market, &owner))
    }

    fn claim_both(&mut self) {
        self.claim(self.yes.address());
        self.claim(self.no.address());
    }

    fn collect(&mut self, payee: FeePayee) -> Outcome {
        let state = self.world.market(&self.market);
        let collect = instruction::collect_fees(self.market, &state, payee);
        self.world.send(collect, &[])
    }

    fn collect_both(&mut self) {
        self.collect(FeePayee::Treasury).unwrap();
        self.collect(FeePayee::Creator).unwrap();
    }

    /// All windows pass without a receipt, and the market becomes void.
    fn void(&mut self) -> events::MarketSettled {
        self.world.warp_to_end(&self.model, 3);
        self.world
            .pass(params().submit_secs + params().challenge_secs);
        settled(self.world.settle(&self.market))
    }

    /// Creates another market with the same terms on the same model.
    fn second_market(&mut self) -> Address {
        let terms = market_terms(&self.world, &self.model);
        self.world
            .create_market(&self.model, &self.creator, 2, terms)
            .unwrap()
    }

    fn close(&mut self) -> events::MarketClosed {
        let state = self.world.market(&self.market);
        let close = instruction::close_market(self.market, &state);
        let sent = self.world.send(close, &[]).unwrap();
        let Event::MarketClosed(event) = sent.event().clone() else {
            panic!("{:?}", sent.event())
        };
        event
    }
}

/// The payout of the yes bettor after [`Scene::resolve_yes`]. The fees are 3% of the losing 60
/// tokens.
const YES_PAID: u64 = 40 * TOKEN + 60 * TOKEN * 97 / 100;

/// Asserts that the instruction with index `instruction` was refused because one of its accounts is closed.
#[track_caller]
pub(crate) fn assert_gone(outcome: Outcome, instruction: u8) {
    let err = outcome.map(|sent| sent.events).expect_err("refused").err;
    assert_eq!(
        err,
        TransactionError::InstructionError(instruction, InstructionError::AccountDataTooSmall)
    );
}

/// Creates a market on `model`, with a bet of `amount` on its first outcome. Returns the market and
/// the bettor.
pub(crate) fn market_with_bet(
    world: &mut World,
    model: &TestModel,
    amount: u64,
) -> (Address, Wallet) {
    let creator = world.wallet(0);
    let terms = market_terms(world, model);
    let market = world.create_market(model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(amount);
    world.bet(&market, &bettor, 0, amount).unwrap();
    (market, bettor)
}

/// A scene without bets.
fn open_scene() -> Scene {
    scene_with(World::new(), Aggregate::Max, 0, 0)
}
