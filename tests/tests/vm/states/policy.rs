//! States of a policy.

use driftshield_sdk::{
    Entry, Event, Examination, Policy, PolicyTerms, Probation, TokenProgram, address, first_window,
    instruction, math,
};
use driftshield_tests::{insurance::*, world::*};

use super::{StateFixture, Step, assert_complete, check};

const WINDOWS: u64 = 4;
/// Drift that pays half of the cover, in micro-units.
const PART: u64 = 200_000;
/// Drift that pays the whole cover, in micro-units.
const FULL: u64 = 300_000;

/// A policy on four windows, with automatic renewal.
#[derive(Clone)]
struct PolicyFixture {
    insured: Insured,
    holder: Wallet,
    terms: PolicyTerms,
    /// The policy as it is bought: names the accounts of instructions when the policy does not exist.
    initial: Policy,
    /// State after the policy was closed.
    end_state: Option<&'static str>,
}

impl PolicyFixture {
    fn new() -> Self {
        let mut insured = Insured::new();
        let holder = insured.world.wallet(CAPITAL);
        let mint = insured.world.mint;
        let (owner, program) = (holder.address(), TokenProgram::SplToken);
        let approve = instruction::approve_renewals(&owner, &mint, program, CAPITAL);
        insured.world.send(approve, &[&holder.key]).unwrap();
        let terms = PolicyTerms {
            windows: WINDOWS,
            auto_renew: true,
            ..insured.terms()
        };
        let mut fork = insured.clone();
        fork.buy(&holder, 1, terms).unwrap();
        Self {
            initial: fork.policy(&holder, 1),
            insured,
            holder,
            terms,
            end_state: None,
        }
    }

    fn policy(&self) -> Policy {
        if self.exists() {
            self.insured.policy(&self.holder, 1)
        } else {
            self.initial
        }
    }

    fn exists(&self) -> bool {
        let vault = self.insured.vault;
        let address = address::policy(&vault, &self.holder.address(), 1);
        self.insured.world.exists(&address)
    }

    /// The Final drift of a window.
    fn drift(&self, window: u64) -> Option<u64> {
        match self
            .insured
            .world
            .entry(&self.insured.model.address, window)
        {
            Entry::Final(drift) => Some(drift),
            _ => None,
        }
    }

    /// The covered window with the largest drift; the last measured window if no covered window is Final.
    fn best_window(&self) -> u64 {
        let policy = self.policy();
        let covered = (policy.first_window..=policy.last_window)
            .filter_map(|window| Some((self.drift(window)?, window)));
        covered
            .max()
            .map_or(self.insured.window - 1, |(_, window)| window)
    }

    fn phase(&self, policy: &Policy) -> &'static str {
        let (now, vault, model) = (
            self.insured.world.now(),
            self.insured.vault(),
            self.insured.model(),
        );
        let pending = if policy.is_pending() {
            policy.windows
        } else {
            0
        };
        let last = policy.last_window + pending;
        if policy.expires_at(&model).unwrap() <= now {
            "past its grace"
        } else if policy.last_window < policy.first_window {
            "on probation"
        } else if model.window_end(last).unwrap() <= now {
            "in its grace"
        } else if !policy.is_pending() && last + 1 < first_window(&vault, &model, now) {
            "in its last window"
        } else {
            "in its windows"
        }
    }

    /// Names the term on probation.
    fn pending(&self, policy: &Policy) -> &'static str {
        match (
            policy.is_pending(),
            policy.first_window <= policy.last_window,
        ) {
            (false, _) => "",
            (true, false) => "not begun, ",
            (true, true) => "renewed, ",
        }
    }

    /// Describes how the probation of a pending term ends, if it can be decided now.
    fn probation(&self, policy: &Policy) -> &'static str {
        if !policy.is_pending() {
            return "";
        }
        let (model, now) = (self.insured.model(), self.insured.world.now());
        let vault = self.insured.vault_now();
        let mut policy = *policy; // a copy
        let windows = policy.windows_to_begin();
        let mut examination = Examination::new(&mut policy, &vault, &model, true).unwrap();
        for window in windows {
            let entry = self
                .insured
                .world
                .entry(&self.insured.model.address, window);
            let can_get_one = entry == Entry::None && model.first_undecided(now) <= window;
            let entry = if can_get_one { Entry::Open } else { entry };
            examination.visit(window, entry);
        }
        match examination.finish().probation() {
            Ok(Probation::Passed) => ", passed",
            Ok(Probation::Failed) => ", failed",
            Ok(Probation::Unmeasured) => ", unmeasured",
            Err(_) => "",
        }
    }

    /// Describes whether a claim was paid, and how much another claim would pay now, or once the windows have
    /// been examined.
    fn payment(&self, policy: &Policy) -> String {
        let best = self.best_window();
        let covered = policy.first_window..=policy.last_window;
        let drift = self.drift(best).filter(|_| covered.contains(&best));
        let more = drift.and_then(|drift| {
            let (trigger, exhaustion) = (policy.trigger, policy.exhaustion);
            let worth = math::worth(policy.cover, trigger, exhaustion, drift);
            (trigger <= drift && policy.paid < worth).then(|| policy.cover - worth)
        });
        let is_examined = policy.due().is_ok();
        let more = match more {
            None => "",
            Some(0) if is_examined => ", owes all of it",
            Some(_) if is_examined => ", owes a part",
            Some(0) => ", worth all of it",
            Some(_) => ", worth a part",
        };
        let paid = if policy.paid == 0 {
            ""
        } else {
            ", paid a part"
        };
        format!("{paid}{more}")
    }

    // Fixtures in their states.

    fn bought() -> Self {
        Self::new().then(buy)
    }

    /// A policy that has begun, in its first window.
    fn begun() -> Self {
        let mut fixture = Self::bought();
        while fixture.insured.window < fixture.terms.first_window {
            fixture.insured.measure(CALM_DRIFT);
        }
        fixture.then(begin)
    }

    /// A policy whose first window has no value, as is certain.
    fn silent() -> Self {
        let mut fixture = Self::begun();
        fixture.insured.skip_window();
        fixture.measured(&[CALM_DRIFT; 2])
    }

    /// A policy whose probation nobody has measured.
    fn unmeasured() -> Self {
        let mut fixture = Self::bought();
        let model = fixture.insured.model();
        let end = model.window_end(fixture.policy().last_window).unwrap();
        let decided = end + model.submit_secs + model.challenge_secs;
        fixture.insured.world.warp_to(decided);
        fixture
    }

    fn measured(mut self, drifts: &[u64]) -> Self {
        for drift in drifts {
            self.insured.measure(*drift);
        }
        self
    }

    fn then(mut self, step: fn(&mut Self) -> Outcome) -> Self {
        let sent = step(&mut self).unwrap();
        self.observe(sent.event());
        self
    }

    fn past_grace(mut self) -> Self {
        let end = self.policy().expires_at(&self.insured.model()).unwrap();
        self.insured.world.warp_to(end);
        self
    }
}

impl StateFixture for PolicyFixture {
    fn state(&self) -> String {
        if !self.exists() {
            return self.end_state.unwrap_or("none").into();
        }
        let policy = self.policy();
        format!(
            "{}{}{}{}{}",
            self.pending(&policy),
            self.phase(&policy),
            self.probation(&policy),
            self.payment(&policy),
            if policy.worth < policy.unmeasured {
                ", premium set aside"
            } else {
                ""
            }
        )
    }

    fn observe(&mut self, event: &Event) {
        self.end_state = match event {
            Event::PolicyClaimed(_) => Some("ended, all paid"),
            Event::PolicyCancelled(_) => Some("ended, cancelled"),
            Event::PolicyExpired(_) => Some("ended, expired"),
            Event::PolicyBegun(event) if event.is_over => Some("ended, void"),
            _ => None,
        };
    }
}

// Steps.

fn buy(s: &mut PolicyFixture) -> Outcome {
    let (vault, now) = (s.insured.vault(), s.insured.world.now());
    let terms = PolicyTerms {
        first_window: first_window(&vault, &s.insured.model(), now),
        ..s.terms
    };
    s.insured.buy(&s.holder, 1, terms)
}

fn claim(s: &mut PolicyFixture) -> Outcome {
    let claim = instruction::claim_policy(&s.policy(), &s.insured.vault());
    s.insured.world.send(claim, &[])
}

fn cancel(s: &mut PolicyFixture) -> Outcome {
    let cancel = instruction::cancel_policy(&s.policy(), &s.insured.vault());
    s.insured.world.send(cancel, &[&s.holder.key])
}

fn cancel_unsigned(s: &mut PolicyFixture) -> Outcome {
    let mut cancel = instruction::cancel_policy(&s.policy(), &s.insured.vault());
    cancel.accounts[0].is_signer = false;
    s.insured.world.send(cancel, &[])
}

fn renew(s: &mut PolicyFixture, signs: bool) -> Outcome {
    let (policy, vault) = (s.policy(), s.insured.vault());
    let renew = instruction::renew_policy(&policy, &vault, s.holder.tokens, signs);
    let signers = if signs { vec![&s.holder.key] } else { vec![] };
    s.insured.world.send(renew, &signers)
}

fn renew_signed(s: &mut PolicyFixture) -> Outcome {
    renew(s, true)
}

fn expire(s: &mut PolicyFixture) -> Outcome {
    let expire = instruction::expire_policy(&s.policy(), &s.insured.vault());
    s.insured.world.send(expire, &[])
}

fn begin(s: &mut PolicyFixture) -> Outcome {
    let begin = instruction::begin_policy(&s.policy(), &s.insured.vault());
    s.insured.world.send(begin, &[])
}

fn examine(s: &mut PolicyFixture) -> Outcome {
    let policy = s.policy();
    let (model, now) = (s.insured.model(), s.insured.world.now());
    let windows = policy.windows_to_examine(&model, now, usize::MAX);
    let examine = instruction::examine_policy(&policy, windows);
    s.insured.world.send(examine, &[])
}

const STEPS: &[Step<PolicyFixture>] = &[
    ("buy_policy", buy),
    ("claim_policy", claim),
    ("cancel_policy by its holder", cancel),
    ("cancel_policy by anyone", cancel_unsigned),
    ("renew_policy by its holder", renew_signed),
    ("renew_policy by anyone", |s| renew(s, false)),
    ("expire_policy", expire),
    ("begin_policy", begin),
    ("examine_policy", examine),
];

#[test]
fn policy_instructions_match_the_state_table() {
    const CALM: u64 = CALM_DRIFT;
    assert_complete(STEPS, |accounts| accounts.contains(&"policy"));
    let begun = PolicyFixture::begun;
    let paid = || begun().measured(&[PART]).then(examine).then(claim);
    let renewed = || begun().measured(&[CALM]).then(renew_signed);
    let fixtures = [
        ("none", PolicyFixture::new()),
        ("not begun, on probation", PolicyFixture::bought()),
        (
            "not begun, on probation, passed",
            PolicyFixture::bought().measured(&[CALM; 2]),
        ),
        (
            "not begun, on probation, failed",
            PolicyFixture::bought().measured(&[PART]),
        ),
        (
            "not begun, on probation, unmeasured",
            PolicyFixture::unmeasured(),
        ),
        (
            "not begun, past its grace, passed",
            PolicyFixture::bought().measured(&[CALM; 2]).past_grace(),
        ),
        (
            "not begun, past its grace, failed",
            PolicyFixture::bought().measured(&[PART]).past_grace(),
        ),
        ("in its windows", begun().measured(&[CALM])),
        ("in its windows, worth a part", begun().measured(&[PART])),
        ("in its windows, worth all of it", begun().measured(&[FULL])),
        ("in its windows, paid a part", paid()),
        (
            "in its windows, paid a part, worth all of it",
            paid().measured(&[FULL]),
        ),
        (
            "in its windows, paid a part, owes all of it",
            paid().measured(&[FULL]).then(examine),
        ),
        (
            "in its last window, premium set aside",
            PolicyFixture::silent().then(examine),
        ),
        (
            "past its grace, premium set aside",
            PolicyFixture::silent()
                .then(examine)
                .measured(&[CALM])
                .past_grace(),
        ),
        (
            "in its windows, owes a part",
            begun().measured(&[PART]).then(examine),
        ),
        (
            "in its windows, owes all of it",
            begun().measured(&[FULL]).then(examine),
        ),
        (
            "renewed, in its windows, failed, owes a part",
            renewed().measured(&[PART]).then(examine),
        ),
        (
            "renewed, in its windows, failed, owes all of it",
            renewed().measured(&[FULL]).then(examine),
        ),
        (
            "in its last window, owes a part",
            begun().measured(&[CALM, CALM, PART]).then(examine),
        ),
        (
            "in its grace, owes a part",
            begun().measured(&[CALM, CALM, CALM, PART]).then(examine),
        ),
        (
            "in its grace, paid a part, owes all of it",
            paid().measured(&[CALM, CALM, FULL]).then(examine),
        ),
        (
            "past its grace, owes a part",
            begun().measured(&[PART]).past_grace().then(examine),
        ),
        ("renewed, in its windows", renewed()),
        (
            "renewed, in its windows, failed, worth a part",
            renewed().measured(&[PART]),
        ),
        (
            "renewed, in its windows, failed, worth all of it",
            renewed().measured(&[FULL]),
        ),
        (
            "renewed, in its windows, failed, paid a part",
            renewed().measured(&[PART]).then(examine).then(claim),
        ),
        (
            "renewed, in its windows, passed",
            renewed().measured(&[CALM; 3]),
        ),
        (
            "renewed, past its grace, passed",
            renewed().measured(&[CALM; 3]).past_grace(),
        ),
        ("in its last window", begun().measured(&[CALM; 3])),
        (
            "in its last window, worth a part",
            begun().measured(&[CALM, CALM, PART]),
        ),
        (
            "in its last window, paid a part",
            paid().measured(&[CALM; 2]),
        ),
        ("in its grace", begun().measured(&[CALM; 4])),
        (
            "in its grace, worth a part",
            begun().measured(&[CALM, CALM, CALM, PART]),
        ),
        ("in its grace, paid a part", paid().measured(&[CALM; 3])),
        (
            "in its grace, paid a part, worth all of it",
            paid().measured(&[CALM, CALM, FULL]),
        ),
        ("past its grace", begun().measured(&[CALM; 4]).past_grace()),
        (
            "past its grace, worth a part",
            begun().measured(&[PART]).past_grace(),
        ),
        ("past its grace, paid a part", paid().past_grace()),
        (
            "ended, all paid",
            begun()
                .measured(&[FULL])
                .then(examine)
                .then(claim)
                .measured(&[CALM]),
        ),
        ("ended, cancelled", PolicyFixture::bought().then(cancel)),
        (
            "ended, void",
            PolicyFixture::bought().measured(&[PART]).then(begin),
        ),
        (
            "ended, expired",
            begun().measured(&[CALM; 4]).past_grace().then(expire),
        ),
    ];
    check("policy", &fixtures, STEPS);
}
