//! States of a receipt.

use anchor_lang::bytemuck::Zeroable;
use driftshield_sdk::{
    Address, ChallengePayee, Entry, Event, PAGE_WINDOWS, Policy, Receipt, ReceiptState, Series,
    address, instruction,
};
use driftshield_tests::{insurance::*, world::*};
use solana_signer::Signer;

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
        let quorum = u32::from(self.insured.model().quorum);
        match state {
            ReceiptState::Challenged => {
                let by = if has_challenger {
                    "by somebody"
                } else if receipt.submitted.count_ones() < quorum {
                    "by silence"
                } else {
                    "by disagreement"
                };
                let submissions = match receipt.submitted.count_ones() {
                    _ if !has_challenger => "",
                    0 => ", missing",
                    count if count < quorum => ", no quorum",
                    _ if 1 < receipt.thin.count_ones() => ", thin",
                    _ => "",
                };
                format!("Challenged {by}{submissions}")
            }
            ReceiptState::Final | ReceiptState::Thin | ReceiptState::Void => {
                let credits = match credits {
                    (0, 0) => "",
                    (_, 0) => ", the challenger's credit left",
                    (0, _) => ", the treasury's credit left",
                    _ => ", both credits left",
                };
                let held = match receipt.held() {
                    0 => "",
                    _ if self.insured.world.now() < receipt.appeal_until => ", slashes held",
                    _ => ", appeal over",
                };
                format!("{state:?}{credits}{held}")
            }
            ReceiptState::Proposed if 1 < receipt.thin.count_ones() => "Proposed as thin".into(),
            ReceiptState::Collecting => {
                let enough = quorum <= receipt.submitted.count_ones();
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

    fn appeal_over(self) -> Self {
        self.later(params().appeal_secs)
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
    rule_any(s, Some(counts))
}

fn rule_no_data(s: &mut ReceiptFixture) -> Outcome {
    rule_any(s, None)
}

fn rule_any(s: &mut ReceiptFixture, counts: Option<&[u32]>) -> Outcome {
    let (model, state) = (s.model(), s.insured.model());
    let counts = counts.map(<[u32]>::to_vec);
    let rule = instruction::rule_receipt(model, &state, &s.receipt(), counts);
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

fn collect_challenger(s: &mut ReceiptFixture) -> Outcome {
    collect(s, ChallengePayee::Challenger)
}

fn return_slashes(s: &mut ReceiptFixture) -> Outcome {
    let (model, state) = (s.model(), s.insured.model());
    let admin = s.insured.world.admin.insecure_clone();
    let give_back = instruction::return_slashes(admin.pubkey(), model, &state, &s.receipt());
    s.insured.world.send(give_back, &[&admin])
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
    let claim = instruction::claim_policy(&s.policy, &s.insured.vault());
    s.insured.world.send(claim, &[])
}

fn examine(s: &mut ReceiptFixture) -> Outcome {
    let examine = instruction::examine_policy(&s.policy, s.window..=s.window);
    s.insured.world.send(examine, &[])
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
    ("rule_receipt for no data", rule_no_data),
    ("finalize_receipt", finalize),
    ("return_slashes", return_slashes),
    ("collect_challenge of the treasury", collect_treasury),
    ("collect_challenge of the challenger", collect_challenger),
    ("close_series", close),
    ("settle_market", settle),
    ("examine_policy", examine),
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
    let disputed = || ReceiptFixture::disagreed().then(finalize);
    let lone = || one().submit_over().then(finalize);
    let missing = || ReceiptFixture::over().submit_over().then(challenge);
    let overruled = || challenged().then(overrule);
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
        (
            "Collecting, no quorum, due to be Challenged by silence",
            one().submit_over(),
        ),
        (
            "Collecting, no quorum, due to be Void",
            one().submit_over().challenge_over().ruling_over(),
        ),
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
            ReceiptFixture::disagreed().challenge_over().ruling_over(),
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
        ("Challenged by disagreement", disputed()),
        (
            "Challenged by disagreement, due to be Void",
            disputed().challenge_over().ruling_over(),
        ),
        ("Challenged by silence", lone()),
        (
            "Challenged by silence, due to be Void",
            lone().challenge_over().ruling_over(),
        ),
        ("Challenged by somebody, no quorum", lone().then(challenge)),
        (
            "Challenged by somebody, no quorum, due to be Void, the challenger's credit left",
            lone().then(challenge).ruling_over(),
        ),
        ("Challenged by somebody, missing", missing()),
        (
            "Challenged by somebody, missing, due to be Void, the challenger's credit left",
            missing().ruling_over(),
        ),
        (
            "Final, the challenger's credit left, slashes held",
            overruled(),
        ),
        (
            "Final, the challenger's credit left, appeal over",
            overruled().appeal_over(),
        ),
        ("Final, slashes held", overruled().then(collect_challenger)),
        (
            "Final, appeal over",
            overruled().then(collect_challenger).appeal_over(),
        ),
        (
            "Final, the challenger's credit left",
            challenged().ruling_over().then(finalize),
        ),
        (
            "Final, the treasury's credit left",
            challenged().then(uphold),
        ),
        (
            "Final, the challenger's credit left, appeal over, retention over",
            overruled().retention_over(),
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
            "Thin, the treasury's credit left, slashes held",
            challenged().then(|s| rule(s, &THIN)),
        ),
        (
            "Thin, the treasury's credit left, appeal over",
            challenged().then(|s| rule(s, &THIN)).appeal_over(),
        ),
        ("Thin, slashes held", lone().then(|s| rule(s, &THIN))),
        (
            "Thin, appeal over",
            lone().then(|s| rule(s, &THIN)).appeal_over(),
        ),
        (
            "Final, the treasury's credit left, slashes held",
            thin_challenged().then(uphold),
        ),
        (
            "Final, the treasury's credit left, appeal over",
            thin_challenged().then(uphold).appeal_over(),
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
            "Void, the challenger's credit left",
            missing().ruling_over().then(finalize),
        ),
        (
            "Void, the treasury's credit left",
            missing().then(rule_no_data),
        ),
        (
            "Final, closed",
            ReceiptFixture::proposed().challenge_over().then(finalize),
        ),
        (
            "Final, closed, retention over",
            ReceiptFixture::proposed().retention_over().then(finalize),
        ),
        (
            "Void, closed",
            lone().challenge_over().ruling_over().then(finalize),
        ),
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
