//! The states of a market.

use driftshield_sdk::{
    Address, Event, FeePayee, Market, MarketState, MarketTerms, address, instruction,
};
use driftshield_tests::world::*;

use super::{Scene, Step, assert_complete, check};

/// A market on three windows, who opens it, and who bets on it.
#[derive(Clone)]
struct Betting {
    world: World,
    model: TestModel,
    creator: Wallet,
    winner: Wallet,
    loser: Wallet,
    newcomer: Wallet,
    terms: MarketTerms,
    market: Address,
    /// As it is made.
    made: Market,
    ended: Option<&'static str>,
}

impl Betting {
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
            made: fork.market(&market),
            ended: None,
        }
    }

    fn account(&self) -> Market {
        if self.world.exists(&self.market) {
            self.world.market(&self.market)
        } else {
            self.made
        }
    }

    /// Whether time has decided the next window.
    fn is_window_due(&self, market: &Market) -> bool {
        let (now, window) = (self.world.now(), market.next_window);
        let mut model = self.world.model(&self.model.address);
        if !self
            .world
            .exists(&address::receipt(&self.model.address, window))
        {
            return model.submit_end(window).unwrap() <= now;
        }
        let mut receipt = self.world.receipt(&self.model.address, window);
        receipt.advance(&mut model, now).unwrap();
        receipt.is_settled()
    }

    fn unsettled(&self, market: &Market) -> &'static str {
        let now = self.world.now();
        let model = self.world.model(&self.model.address);
        let partly = market.first_window < market.next_window;
        if model.retention_end(market.next_window).unwrap() <= now {
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

    // How a scene comes about.

    fn opened() -> Self {
        let mut scene = Self::new();
        create(&mut scene).unwrap();
        scene
    }

    fn with_bets() -> Self {
        let mut scene = Self::opened();
        for (bettor, outcome) in [(scene.winner.clone(), 0), (scene.loser.clone(), 1)] {
            let market = scene.market;
            scene
                .world
                .bet(&market, &bettor, outcome, 10 * TOKEN)
                .unwrap();
        }
        scene
    }

    fn after_betting(mut self) -> Self {
        self.world.warp_to(self.made.close_ts);
        self
    }

    fn measured(mut self, windows: std::ops::RangeInclusive<u64>) -> Self {
        for window in windows {
            self.world.finalize_with(&self.model, window, &CALM);
        }
        self
    }

    fn settled(mut self, windows: u64) -> Self {
        let market = self.market;
        self.world.settle(&market, windows).unwrap();
        self
    }

    fn past_retention(mut self) -> Self {
        let model = self.world.model(&self.model.address);
        let next = self.account().next_window;
        self.world.warp_to(model.retention_end(next).unwrap());
        self
    }

    fn resolved() -> Self {
        Self::with_bets().measured(1..=3).settled(3)
    }

    fn void() -> Self {
        Self::with_bets().past_retention().settled(0)
    }

    fn then(mut self, steps: &[fn(&mut Self) -> Outcome]) -> Self {
        for step in steps {
            let sent = step(&mut self).unwrap();
            self.watch(sent.event());
        }
        self
    }
}

impl Scene for Betting {
    fn state(&self) -> String {
        if !self.world.exists(&self.market) {
            return self.ended.unwrap_or("none").into();
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

    fn watch(&mut self, event: &Event) {
        self.ended = match event {
            Event::MarketClosed(_) => Some("closed"),
            Event::MarketCancelled(_) => Some("cancelled"),
            _ => None,
        };
    }
}

// Steps.

fn create(s: &mut Betting) -> Outcome {
    let model = s.model.address;
    let state = s.world.model(&model);
    let creator = s.creator.address();
    let create = instruction::create_market(creator, 1, model, &state, s.terms.clone());
    s.world.send(create, &[&s.creator.key])
}

fn bet(s: &mut Betting) -> Outcome {
    let bettor = &s.newcomer;
    let (key, source) = (bettor.address(), bettor.tokens);
    let bet = instruction::place_bet(key, s.market, &s.made, source, 1, TOKEN, 0);
    s.world.send(bet, &[&bettor.key])
}

fn settle(s: &mut Betting, windows: u64) -> Outcome {
    let settle = instruction::settle_market(s.market, &s.account(), windows);
    s.world.send(settle, &[])
}

fn claim(s: &mut Betting, owner: Address) -> Outcome {
    let claim = instruction::claim(owner, s.market, &s.made);
    s.world.send(claim, &[])
}

fn claim_winner(s: &mut Betting) -> Outcome {
    claim(s, s.winner.address())
}

fn claim_loser(s: &mut Betting) -> Outcome {
    claim(s, s.loser.address())
}

fn collect(s: &mut Betting, payee: FeePayee) -> Outcome {
    let collect = instruction::collect_fees(s.market, &s.made, payee);
    s.world.send(collect, &[])
}

fn collect_treasurys(s: &mut Betting) -> Outcome {
    collect(s, FeePayee::Treasury)
}

fn collect_creators(s: &mut Betting) -> Outcome {
    collect(s, FeePayee::Creator)
}

fn close(s: &mut Betting) -> Outcome {
    let close = instruction::close_market(s.market, &s.made);
    s.world.send(close, &[])
}

fn cancel_signed(s: &mut Betting) -> Outcome {
    let cancel = instruction::cancel_market(s.market, &s.made, true);
    s.world.send(cancel, &[&s.creator.key])
}

fn cancel_unsigned(s: &mut Betting) -> Outcome {
    let cancel = instruction::cancel_market(s.market, &s.made, false);
    s.world.send(cancel, &[])
}

const STEPS: &[Step<Betting>] = &[
    ("create_market", create),
    ("place_bet", bet),
    ("settle_market without receipts", |s| settle(s, 0)),
    ("settle_market by one receipt", |s| settle(s, 1)),
    ("settle_market by all receipts", |s| settle(s, u64::MAX)),
    ("claim of the winner", claim_winner),
    ("claim of the loser", claim_loser),
    ("collect_fees of the treasury", collect_treasurys),
    ("collect_fees of the creator", collect_creators),
    ("close_market", close),
    ("cancel_market by its creator", cancel_signed),
    ("cancel_market by anyone", cancel_unsigned),
];

#[test]
fn a_market_does_in_every_state_what_its_table_says() {
    assert_complete(STEPS, |accounts| accounts.contains(&"market"));
    let scenes = [
        ("none", Betting::new()),
        ("betting open, no bets", Betting::opened()),
        ("betting open, bets", Betting::with_bets()),
        ("betting closed, no bets", Betting::opened().after_betting()),
        ("betting closed, bets", Betting::with_bets().after_betting()),
        ("window due, no bets", Betting::opened().measured(1..=1)),
        ("window due, bets", Betting::with_bets().measured(1..=1)),
        (
            "partly settled, no bets",
            Betting::opened().measured(1..=2).settled(2),
        ),
        (
            "partly settled, bets",
            Betting::with_bets().measured(1..=2).settled(2),
        ),
        (
            "partly settled, window due, no bets",
            Betting::opened().measured(1..=3).settled(1),
        ),
        (
            "partly settled, window due, bets",
            Betting::with_bets().measured(1..=3).settled(1),
        ),
        (
            "past retention, no bets",
            Betting::opened().past_retention(),
        ),
        (
            "past retention, bets",
            Betting::with_bets().past_retention(),
        ),
        ("resolved, positions and fees left", Betting::resolved()),
        (
            "resolved, positions left",
            Betting::resolved().then(&[collect_treasurys, collect_creators]),
        ),
        (
            "resolved, fees left",
            Betting::resolved().then(&[claim_winner, claim_loser]),
        ),
        (
            "resolved, nothing left",
            Betting::resolved().then(&[
                claim_winner,
                claim_loser,
                collect_treasurys,
                collect_creators,
            ]),
        ),
        (
            "void, never bet on",
            Betting::opened().measured(1..=3).settled(3),
        ),
        ("void, positions left", Betting::void()),
        (
            "void, nothing left",
            Betting::void().then(&[claim_winner, claim_loser]),
        ),
        (
            "closed",
            Betting::void().then(&[claim_winner, claim_loser, close]),
        ),
        ("cancelled", Betting::opened().then(&[cancel_signed])),
    ];
    check("market", &scenes, STEPS);
}
