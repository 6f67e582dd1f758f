//! States of a market.

use driftshield_sdk::{
    Address, Ask, Entry, Event, FeePayee, Market, MarketState, MarketTerms, address,
    instruction::{self, Purchase},
};
use driftshield_tests::world::*;

use super::{StateFixture, Step, assert_complete, check};

/// A market on three windows, its creator and its bettors.
#[derive(Clone)]
struct MarketFixture {
    world: World,
    model: TestModel,
    creator: Wallet,
    winner: Wallet,
    loser: Wallet,
    /// Places the bet of step `place_bet`.
    newcomer: Wallet,
    terms: MarketTerms,
    market: Address,
    /// The market as it is created: names the accounts of instructions when the market does not exist.
    initial: Market,
    /// State after the market was closed.
    end_state: Option<&'static str>,
}

impl MarketFixture {
    fn new() -> Self {
        let mut world = World::new();
        let model = world.default_model();
        let creator = world.wallet(0);
        let [winner, loser, newcomer] = [(); 3].map(|()| world.wallet(100 * TOKEN));
        let terms = market_terms(&world, &model);
        let mut fork = world.clone();
        let market = fork.create_market(&model, &creator, 1, terms.clone());
        let market = market.expect("create_market");
        Self {
            world,
            model,
            creator,
            winner,
            loser,
            newcomer,
            terms,
            market,
            initial: fork.market(&market),
            end_state: None,
        }
    }

    fn account(&self) -> Market {
        if self.world.exists(&self.market) {
            self.world.market(&self.market)
        } else {
            self.initial
        }
    }

    /// Whether the next window can be settled: it is decided, or its receipt can no longer be created.
    fn is_window_due(&self, market: &Market) -> bool {
        let model = self.world.model(&self.model.address);
        match self.world.entry(&self.model.address, market.next_window) {
            Entry::Open => false,
            Entry::None => market.next_window < model.first_undecided(self.world.now()),
            Entry::Final(_) | Entry::Void | Entry::Thin => true,
        }
    }

    fn unsettled(&self, market: &Market) -> &'static str {
        let now = self.world.now();
        let model = self.world.model(&self.model.address);
        let partly = market.first_window < market.next_window;
        let page = address::series(&self.model.address, market.next_window);
        if !self.world.exists(&page) && model.retention_end(market.next_window).unwrap() <= now {
            "past retention"
        } else if now < market.close_ts {
            "betting open"
        } else {
            match (partly, self.is_window_due(market)) {
                (false, false) => "betting closed",
                (false, true) => "window due",
                (true, false) => "partly settled",
                (true, true) => "partly settled, window due",
            }
        }
    }

    // Fixtures in their states.

    fn opened() -> Self {
        let mut fixture = Self::new();
        create(&mut fixture).unwrap();
        fixture
    }

    fn with_bets() -> Self {
        let mut fixture = Self::opened();
        for (bettor, outcome) in [(fixture.winner.clone(), 0), (fixture.loser.clone(), 1)] {
            let market = fixture.market;
            fixture
                .world
                .bet(&market, &bettor, outcome, 10 * TOKEN)
                .unwrap();
        }
        fixture
    }

    fn after_betting(mut self) -> Self {
        self.world.warp_to(self.initial.close_ts);
        self
    }

    fn measured(mut self, windows: std::ops::RangeInclusive<u64>) -> Self {
        for window in windows {
            self.world.finalize_with(&self.model, window, &CALM);
        }
        self
    }

    fn settled(mut self) -> Self {
        let market = self.market;
        self.world.settle(&market).unwrap();
        self
    }

    fn past_retention(mut self) -> Self {
        let model = self.world.model(&self.model.address);
        let next = self.account().next_window;
        self.world.warp_to(model.retention_end(next).unwrap());
        self
    }

    fn resolved() -> Self {
        Self::with_bets().measured(1..=3).settled()
    }

    fn void() -> Self {
        Self::with_bets().past_retention().settled()
    }

    fn then(mut self, steps: &[fn(&mut Self) -> Outcome]) -> Self {
        for step in steps {
            let sent = step(&mut self).unwrap();
            self.observe(sent.event());
        }
        self
    }
}

impl StateFixture for MarketFixture {
    fn state(&self) -> String {
        if !self.world.exists(&self.market) {
            return self.end_state.unwrap_or("none").into();
        }
        let market = self.world.market(&self.market);
        let fees = market.protocol_credit + market.creator_credit;
        let left = match (market.positions, fees) {
            (0, 0) => "nothing left",
            (0, _) => "fees left",
            (_, 0) => "positions left",
            _ => "positions and fees left",
        };
        match market.state.into() {
            MarketState::Open => {
                let bets = if market.total == 0 { "no bets" } else { "bets" };
                format!("{}, {bets}", self.unsettled(&market))
            }
            MarketState::Resolved => format!("resolved, {left}"),
            MarketState::Void if market.total == 0 => "void, never bet on".into(),
            MarketState::Void => format!("void, {left}"),
        }
    }

    fn observe(&mut self, event: &Event) {
        self.end_state = match event {
            Event::MarketClosed(_) => Some("closed"),
            Event::MarketCancelled(_) => Some("cancelled"),
            _ => None,
        };
    }
}

// Steps.

fn create(s: &mut MarketFixture) -> Outcome {
    let model = s.model.address;
    let state = s.world.model(&model);
    let creator = s.creator.address();
    let create = instruction::create_market(creator, 1, model, &state, s.terms.clone());
    s.world.send(create, &[&s.creator.key])
}

fn bet(s: &mut MarketFixture) -> Outcome {
    let bettor = &s.newcomer;
    let (key, source) = (bettor.address(), bettor.tokens);
    let bet = instruction::place_bet(
        key,
        s.market,
        &s.initial,
        source,
        instruction::Bet::unlimited(1, TOKEN),
    );
    s.world.send(bet, &[&bettor.key])
}

/// The winner offers a part of its stake.
fn ask(s: &mut MarketFixture) -> Outcome {
    let model = s.world.model(&s.model.address);
    let ask = Ask {
        amount: TOKEN,
        valid_until: s.initial.latest_ask_end(&model, s.world.now()).unwrap(),
        price: 900,
        reports: model.reports,
    };
    let set = instruction::set_ask(s.winner.address(), s.market, &s.initial, 0, ask);
    s.world.send(set, &[&s.winner.key])
}

/// The newcomer buys what the winner offers, if the winner can offer it.
fn buy(s: &mut MarketFixture) -> Outcome {
    let _ = ask(s);
    let buyer = &s.newcomer;
    let purchase = Purchase {
        outcome: 0,
        amount: TOKEN,
        max_price: 900,
        reports: s.world.model(&s.model.address).reports,
    };
    let (key, source, seller) = (buyer.address(), buyer.tokens, s.winner.address());
    let buy = instruction::buy_position(key, s.market, &s.initial, source, seller, purchase);
    s.world.send(buy, &[&buyer.key])
}

fn settle(s: &mut MarketFixture) -> Outcome {
    let settle = instruction::settle_market(s.market, &s.account());
    s.world.send(settle, &[])
}

/// Index of the first page among the accounts of `settle_market`.
const PAGES_FROM: usize = 4;

fn settle_without_pages(s: &mut MarketFixture) -> Outcome {
    let mut settle = instruction::settle_market(s.market, &s.account());
    settle.accounts.truncate(PAGES_FROM);
    s.world.send(settle, &[])
}

fn claim(s: &mut MarketFixture, owner: Address) -> Outcome {
    let claim = instruction::claim(owner, s.market, &s.initial);
    s.world.send(claim, &[])
}

fn claim_winner(s: &mut MarketFixture) -> Outcome {
    claim(s, s.winner.address())
}

fn claim_loser(s: &mut MarketFixture) -> Outcome {
    claim(s, s.loser.address())
}

fn collect(s: &mut MarketFixture, payee: FeePayee) -> Outcome {
    let collect = instruction::collect_fees(s.market, &s.initial, payee);
    s.world.send(collect, &[])
}

fn collect_treasury(s: &mut MarketFixture) -> Outcome {
    collect(s, FeePayee::Treasury)
}

fn collect_creator(s: &mut MarketFixture) -> Outcome {
    collect(s, FeePayee::Creator)
}

fn close(s: &mut MarketFixture) -> Outcome {
    let close = instruction::close_market(s.market, &s.initial);
    s.world.send(close, &[])
}

fn cancel_signed(s: &mut MarketFixture) -> Outcome {
    let cancel = instruction::cancel_market(s.market, &s.initial, true);
    s.world.send(cancel, &[&s.creator.key])
}

fn cancel_unsigned(s: &mut MarketFixture) -> Outcome {
    let cancel = instruction::cancel_market(s.market, &s.initial, false);
    s.world.send(cancel, &[])
}

const STEPS: &[Step<MarketFixture>] = &[
    ("create_market", create),
    ("place_bet", bet),
    ("set_ask", ask),
    ("buy_position", buy),
    ("settle_market without pages", settle_without_pages),
    ("settle_market", settle),
    ("claim of the winner", claim_winner),
    ("claim of the loser", claim_loser),
    ("collect_fees of the treasury", collect_treasury),
    ("collect_fees of the creator", collect_creator),
    ("close_market", close),
    ("cancel_market by its creator", cancel_signed),
    ("cancel_market by anyone", cancel_unsigned),
];

#[test]
fn market_instructions_match_the_state_table() {
    assert_complete(STEPS, |accounts| accounts.contains(&"market"));
    let fixtures = [
        ("none", MarketFixture::new()),
        ("betting open, no bets", MarketFixture::opened()),
        ("betting open, bets", MarketFixture::with_bets()),
        (
            "betting closed, no bets",
            MarketFixture::opened().after_betting(),
        ),
        (
            "betting closed, bets",
            MarketFixture::with_bets().after_betting(),
        ),
        (
            "window due, no bets",
            MarketFixture::opened().measured(1..=1),
        ),
        (
            "window due, bets",
            MarketFixture::with_bets().measured(1..=1),
        ),
        (
            "partly settled, no bets",
            MarketFixture::opened().measured(1..=2).settled(),
        ),
        (
            "partly settled, bets",
            MarketFixture::with_bets().measured(1..=2).settled(),
        ),
        (
            "partly settled, window due, no bets",
            MarketFixture::opened()
                .measured(1..=2)
                .settled()
                .measured(3..=3),
        ),
        (
            "partly settled, window due, bets",
            MarketFixture::with_bets()
                .measured(1..=2)
                .settled()
                .measured(3..=3),
        ),
        (
            "past retention, no bets",
            MarketFixture::opened().past_retention(),
        ),
        (
            "past retention, bets",
            MarketFixture::with_bets().past_retention(),
        ),
        (
            "resolved, positions and fees left",
            MarketFixture::resolved(),
        ),
        (
            "resolved, positions left",
            MarketFixture::resolved().then(&[collect_treasury, collect_creator]),
        ),
        (
            "resolved, fees left",
            MarketFixture::resolved().then(&[claim_winner, claim_loser]),
        ),
        (
            "resolved, nothing left",
            MarketFixture::resolved().then(&[
                claim_winner,
                claim_loser,
                collect_treasury,
                collect_creator,
            ]),
        ),
        (
            "void, never bet on",
            MarketFixture::opened().measured(1..=3).settled(),
        ),
        ("void, positions left", MarketFixture::void()),
        (
            "void, nothing left",
            MarketFixture::void().then(&[claim_winner, claim_loser]),
        ),
        (
            "closed",
            MarketFixture::void().then(&[claim_winner, claim_loser, close]),
        ),
        ("cancelled", MarketFixture::opened().then(&[cancel_signed])),
    ];
    check("market", &fixtures, STEPS);
}
