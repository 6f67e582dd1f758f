//! States of a receipt.

use anchor_lang::bytemuck::Zeroable;
use driftshield_sdk::{
    Address, ChallengePayee, Entry, Event, PAGE_WINDOWS, Policy, Receipt, ReceiptState, Series,
    address, instruction,
};
use driftshield_tests::{insurance::*, world::*};

use super::{StateFixture, Step, assert_complete, check};
use crate::stakeholders::Stakeholders;

/// Drift that the oracles submit, in micro-units: the policy's exhaustion.
const DRIFT: u64 = 300_000;

/// Counts with too few rows for a value.
const THIN: [u32; 2] = [3, 1];

/// The receipt of one window and its page, with a market and a policy that depend on the window.
#[derive(Clone)]
struct ReceiptFixture {
    insured: Insured,
    window: u64,
    challenger: Wallet,
    market: Address,
    /// The policy as it was bought.
    policy: Policy,
    /// The page, which exists before the receipt.
    page: Series,
}

impl ReceiptFixture {
    /// The window is running, and the windows before it are Final.
    fn new() -> Self {
        let mut stakeholders = Stakeholders::new();
        stakeholders.measure_history();
        let Stakeholders {
            mut insured,
            holder,
            market,
            window,
            ..
        } = stakeholders;
        let page = insured.world.series(&insured.model.address, 0);
        Self {
            challenger: insured.world.wallet(CAPITAL),
            policy: insured.policy(&holder, 1),
            insured,
            window,
            market,
            page,
        }
    }

    fn model(&self) -> Address {
        self.insured.model.address
    }

    fn address(&self) -> Address {
        address::receipt(&self.model(), self.window)
    }

    /// The receipt; if it does not exist, one with the fields that name the accounts of instructions.
    fn receipt(&self) -> Receipt {
        if self.insured.world.exists(&self.address()) {
            return self.insured.world.receipt(&self.model(), self.window);
        }
        Receipt {
            model: self.model(),
            payer: self.insured.model.oracles[0].address(),
            window: self.window,
            ..Receipt::zeroed()
        }
    }

    /// Names the state that `receipt` stores.
    fn describe(&self, receipt: &Receipt) -> String {
        let state = ReceiptState::from(receipt.state);
        let has_challenger = receipt.challenger != Address::default();
        let credits = (receipt.challenger_credit, receipt.treasury_credit);
        match state {
            ReceiptState::Challenged if has_challenger => {
                let thin = if 1 < receipt.thin.count_ones() {
                    ", thin"
                } else {
                    ""
                };
                format!("Challenged by somebody{thin}")
            }
            ReceiptState::Challenged => "Challenged by disagreement".into(),
            ReceiptState::Final | ReceiptState::Thin => match credits {
                (0, 0) => format!("{state:?}"),
                (_, 0) => format!("{state:?}, the challenger's credit left"),
                (0, _) => format!("{state:?}, the treasury's credit left"),
                _ => format!("{state:?}, both credits left"),
            },
            ReceiptState::Proposed if 1 < receipt.thin.count_ones() => "Proposed as thin".into(),
            ReceiptState::Collecting => {
                let quorum = self.insured.model().quorum;
                let enough = u32::from(quorum) <= receipt.submitted.count_ones();
                let quorum = match receipt.thin {
                    _ if !enough => "no quorum",
                    0 => "a quorum",
                    _ => "a mixture",
                };
                format!("Collecting, {quorum}")
            }
            state => format!("{state:?}"),
        }
    }

    fn period(&self) -> &'static str {
        let (now, model) = (self.insured.world.now(), self.insured.model());
        if now < model.window_end(self.window).unwrap() {
            "window running"
        } else if now < model.submit_end(self.window).unwrap() {
            "submit period"
        } else if now < model.submit_end(self.window).unwrap() + model.challenge_secs {
            "submit period over"
        } else if now < model.retention_end(PAGE_WINDOWS - 1).unwrap() {
            "challenge period over"
        } else {
            "retention over"
        }
    }

    // Fixtures in their states.

    fn over() -> Self {
        let fixture = Self::new();
        let end = fixture.insured.model().window_end(fixture.window).unwrap();
        fixture.at(end)
    }

    fn at(mut self, time: i64) -> Self {
        self.insured.world.warp_to(time);
        self
    }

    fn later(self, secs: i64) -> Self {
        let now = self.insured.world.now();
        self.at(now + secs)
    }

    fn submitted(mut self, drifts: &[u64]) -> Self {
        for (oracle, drift) in drifts.iter().enumerate() {
            submit(&mut self, oracle, *drift).unwrap();
        }
        self
    }

    fn submit_over(self) -> Self {
        self.later(params().submit_secs)
    }

    fn challenge_over(self) -> Self {
        self.later(params().challenge_secs)
    }

    fn ruling_over(self) -> Self {
        self.later(params().ruling_secs)
    }

    fn retention_over(self) -> Self {
        let end = self.insured.model().retention_end(PAGE_WINDOWS - 1);
        self.at(end.unwrap())
    }

    fn then(mut self, step: fn(&mut Self) -> Outcome) -> Self {
        let sent = step(&mut self).unwrap();
        self.observe(sent.event());
        self
    }

    fn proposed() -> Self {
        Self::over().submitted(&[DRIFT; 3])
    }

    /// The submit period is over, and the only two submissions disagree.
    fn disagreed() -> Self {
        Self::over()
            .submitted(&[DRIFT, DRIFT + 200_000])
            .submit_over()
    }

    /// The third oracle, which has not submitted, requests its bond, so that the receipt no longer waits for
    /// its submission.
    fn without_third_oracle(mut self) -> Self {
        let (model, oracle) = (self.model(), &self.insured.model.oracles[2]);
        let bonded = self.insured.world.seat(&model, &oracle.address()).bonded;
        let unbond = instruction::request_unbond(oracle.address(), model, bonded);
        self.insured.world.send(unbond, &[&oracle.key]).unwrap();
        self
    }
}

impl StateFixture for ReceiptFixture {
    fn state(&self) -> String {
        let period = self.period();
        let world = &self.insured.world;
        if !world.exists(&address::series_page(&self.model(), 0)) {
            return "page closed".into();
        }
        if !world.exists(&self.address()) {
            let closed = match world.entry(&self.model(), self.window) {
                Entry::None => return format!("none, {period}"),
                Entry::Open => "open without a receipt",
                Entry::Final(_) => "Final, closed",
                Entry::Void => "Void, closed",
                Entry::Thin => "Thin, closed",
            };
            let retention = match period {
                "retention over" => ", retention over",
                _ => "",
            };
            return format!("{closed}{retention}");
        }
        let mut receipt = self.receipt();
        let mut state = self.describe(&receipt);
        let now = self.insured.world.now();
        if receipt.advance(&mut self.insured.model(), now).unwrap() {
            state = format!("{state}, due to be {}", self.describe(&receipt));
            if period == "submit period" {
                state += " early";
            }
        }
        if period == "retention over" {
            state += ", retention over";
        }
        state
    }

    fn observe(&mut self, _: &Event) {}
}

// Steps.

fn submit(s: &mut ReceiptFixture, oracle: usize, drift: u64) -> Outcome {
    let world = &mut s.insured.world;
    world.submit(&s.insured.model, oracle, s.window, &share(drift))
}

fn challenge(s: &mut ReceiptFixture) -> Outcome {
    let world = &mut s.insured.world;
    world.challenge(
        &s.insured.model,
        s.window,
        &s.challenger,
        &share(CALM_DRIFT),
    )
}

fn submit_thin(s: &mut ReceiptFixture, oracle: usize) -> Outcome {
    let world = &mut s.insured.world;
    world.submit(&s.insured.model, oracle, s.window, &THIN)
}

fn rule(s: &mut ReceiptFixture, counts: &[u32]) -> Outcome {
    let (model, state) = (s.model(), s.insured.model());
    let rule = instruction::rule_receipt(model, &state, &s.receipt(), Some(counts.to_vec()));
    let arbiter = s.insured.world.arbiter.insecure_clone();
    s.insured.world.send(rule, &[&arbiter])
}

fn uphold(s: &mut ReceiptFixture) -> Outcome {
    rule(s, &share(DRIFT))
}

fn overrule(s: &mut ReceiptFixture) -> Outcome {
    rule(s, &share(CALM_DRIFT))
}

fn finalize(s: &mut ReceiptFixture) -> Outcome {
    let finalize = instruction::finalize_receipt(&s.receipt());
    s.insured.world.send(finalize, &[])
}

fn collect(s: &mut ReceiptFixture, payee: ChallengePayee) -> Outcome {
    let (model, state) = (s.model(), s.insured.model());
    let collect = instruction::collect_challenge(model, &state, &s.receipt(), payee);
    s.insured.world.send(collect, &[])
}

fn collect_treasury(s: &mut ReceiptFixture) -> Outcome {
    collect(s, ChallengePayee::Treasury)
}

fn close(s: &mut ReceiptFixture) -> Outcome {
    let close = instruction::close_series(&s.page);
    s.insured.world.send(close, &[])
}

fn settle(s: &mut ReceiptFixture) -> Outcome {
    let market = s.market;
    s.insured.world.settle(&market)
}

fn claim(s: &mut ReceiptFixture) -> Outcome {
    let claim = instruction::claim_policy(&s.policy, &s.insured.vault(), s.window);
    s.insured.world.send(claim, &[])
}

const STEPS: &[Step<ReceiptFixture>] = &[
    ("submit_receipt of the first oracle", |s| {
        submit(s, 0, DRIFT)
    }),
    ("submit_receipt of the third oracle", |s| {
        submit(s, 2, DRIFT)
    }),
    ("submit_receipt of thin counts", |s| submit_thin(s, 2)),
    ("challenge_receipt", challenge),
    ("rule_receipt for the median", uphold),
    ("rule_receipt against the median", overrule),
    ("rule_receipt for thin", |s| rule(s, &THIN)),
    ("finalize_receipt", finalize),
    ("collect_challenge of the treasury", collect_treasury),
    ("collect_challenge of the challenger", |s| {
        collect(s, ChallengePayee::Challenger)
    }),
    ("close_series", close),
    ("settle_market", settle),
    ("claim_policy", claim),
];

#[test]
fn receipt_instructions_match_the_state_table() {
    assert_complete(STEPS, |accounts| {
        accounts.contains(&"receipt") || accounts.contains(&"series")
    });
    let one = || ReceiptFixture::over().submitted(&[DRIFT]);
    let two = || ReceiptFixture::over().submitted(&[DRIFT; 2]);
    let challenged = || ReceiptFixture::proposed().then(challenge);
    let thin = || {
        let mut fixture = ReceiptFixture::over();
        for oracle in 0..3 {
            submit_thin(&mut fixture, oracle).unwrap();
        }
        fixture
    };
    let thin_challenged = || thin().then(challenge);
    let mixed = || two_of_a_mixture().submit_over();
    let fixtures = [
        ("none, window running", ReceiptFixture::new()),
        ("none, submit period", ReceiptFixture::over()),
        (
            "none, submit period over",
            ReceiptFixture::over().submit_over(),
        ),
        (
            "none, challenge period over",
            ReceiptFixture::over().submit_over().challenge_over(),
        ),
        (
            "none, retention over",
            ReceiptFixture::over().retention_over(),
        ),
        ("Collecting, no quorum", one()),
        ("Collecting, no quorum, due to be Void", one().submit_over()),
        (
            "Collecting, no quorum, due to be Void, retention over",
            one().retention_over(),
        ),
        ("Collecting, a quorum", two()),
        (
            "Collecting, a quorum, due to be Proposed early",
            two().without_third_oracle(),
        ),
        (
            "Collecting, a quorum, due to be Proposed",
            two().submit_over(),
        ),
        (
            "Collecting, a quorum, due to be Final",
            two().submit_over().challenge_over(),
        ),
        ("Collecting, a mixture", two_of_a_mixture()),
        (
            "Collecting, a mixture, due to be Challenged by disagreement",
            mixed(),
        ),
        (
            "Collecting, a quorum, due to be Challenged by disagreement",
            ReceiptFixture::disagreed(),
        ),
        (
            "Collecting, a quorum, due to be Void",
            ReceiptFixture::disagreed().ruling_over(),
        ),
        ("Proposed", ReceiptFixture::proposed()),
        (
            "Proposed, due to be Final",
            ReceiptFixture::proposed().challenge_over(),
        ),
        (
            "Proposed, due to be Final, retention over",
            ReceiptFixture::proposed().retention_over(),
        ),
        ("Proposed as thin", thin()),
        ("Proposed as thin, due to be Thin", thin().challenge_over()),
        ("Challenged by somebody", challenged()),
        ("Challenged by somebody, thin", thin_challenged()),
        (
            "Challenged by somebody, due to be Final, the challenger's credit left",
            challenged().ruling_over(),
        ),
        (
            "Challenged by somebody, thin, due to be Thin, the challenger's credit left",
            thin_challenged().ruling_over(),
        ),
        (
            "Challenged by disagreement",
            ReceiptFixture::disagreed().then(finalize),
        ),
        (
            "Challenged by disagreement, due to be Void",
            ReceiptFixture::disagreed().then(finalize).ruling_over(),
        ),
        ("Final, both credits left", challenged().then(overrule)),
        (
            "Final, the challenger's credit left",
            challenged().ruling_over().then(finalize),
        ),
        (
            "Final, the treasury's credit left",
            challenged().then(uphold),
        ),
        (
            "Final, both credits left, retention over",
            challenged().then(overrule).retention_over(),
        ),
        (
            "Final, the challenger's credit left, retention over",
            challenged().ruling_over().then(finalize).retention_over(),
        ),
        (
            "Final, the treasury's credit left, retention over",
            challenged().then(uphold).retention_over(),
        ),
        (
            "Thin, both credits left",
            challenged().then(|s| rule(s, &THIN)),
        ),
        (
            "Thin, the challenger's credit left",
            thin_challenged().ruling_over().then(finalize),
        ),
        (
            "Thin, the treasury's credit left",
            thin_challenged().then(|s| rule(s, &THIN)),
        ),
        (
            "Final, closed",
            ReceiptFixture::proposed().challenge_over().then(finalize),
        ),
        (
            "Final, closed, retention over",
            ReceiptFixture::proposed().retention_over().then(finalize),
        ),
        ("Void, closed", one().submit_over().then(finalize)),
        (
            "Void, closed, retention over",
            one().retention_over().then(finalize),
        ),
        ("Thin, closed", thin().challenge_over().then(finalize)),
        (
            "page closed",
            one().retention_over().then(finalize).then(close),
        ),
    ];
    check("receipt", &fixtures, STEPS);
}

/// The first two oracles have submitted: one a value, the other too few rows for one.
fn two_of_a_mixture() -> ReceiptFixture {
    let mut fixture = ReceiptFixture::over().submitted(&[DRIFT]);
    submit_thin(&mut fixture, 1).unwrap();
    fixture
}
