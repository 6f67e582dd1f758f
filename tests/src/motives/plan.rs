//! What a seed decides before a run: the truth, who is in the coalition, and how it lies.

use driftshield_sdk::Measurement;
use rand::{
    Rng, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};

use super::{
    motive::{Bound, Interest, Lie, Motive},
    truth::{CALM_LONGER_UNTIL, CALM_UNTIL, END, TRIGGER, Truth, reaches},
};

/// The spread of the models: the widest one that [`crate::world::spread`] allows.
pub const SPREAD: u64 = 10_000;

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub motive: Motive,
    pub interest: Interest,
    /// Number of the model's oracles, 3 to 5.
    pub oracles: usize,
    /// The oracles of the coalition.
    pub corrupt: Vec<usize>,
    /// Whether the arbiter rules at once, or as late as it can.
    pub is_prompt: bool,
    /// Whether the vault's manager is in the coalition.
    pub has_manager: bool,
    /// The most windows about which they lie: the fewer, the less it costs them.
    pub most_lies: u64,
    /// Whether they ask for their bonds as soon as they have lied.
    pub flees: bool,
    /// How far they bend a value.
    bend: u64,
    pub truth: Truth,
}

impl Plan {
    pub fn draw(seed: u64) -> Self {
        let motive = Motive::of(seed);
        let mut random = StdRng::seed_from_u64(seed);
        let random = &mut random;
        let calm_until = match motive {
            Motive::RenewOnRunning | Motive::BuyStakes => CALM_LONGER_UNTIL,
            Motive::SellCheaply => CALM_UNTIL + 10, // the announced terms have taken effect by then
            _ => CALM_UNTIL,
        };
        let truth = Truth::draw(random, calm_until, SPREAD);
        let oracles = random.random_range(3..=5);
        let mut order: Vec<usize> = (0..oracles).collect();
        order.shuffle(random);
        order.truncate(draw_size(random, motive, oracles));
        Self {
            seed,
            motive,
            interest: motive.draw_interest(random),
            oracles,
            corrupt: order,
            is_prompt: match motive {
                Motive::LeaveAndWithhold | Motive::LeaveAndChallenge => false,
                _ => random.random(),
            },
            has_manager: match motive {
                Motive::SellCheaply => true,
                _ => random.random(),
            },
            most_lies: *[1, 2, END].choose(random).expect("some"),
            flees: motive.bound() == Bound::Nothing && random.random_ratio(1, 4),
            bend: *[SPREAD + 1, 3 * SPREAD, 2 * TRIGGER]
                .choose(random)
                .expect("some"),
            truth,
        }
    }

    /// Random numbers for what others do in `window`, the same in all runs of the plan.
    pub fn random(&self, window: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed << 16 | window)
    }

    /// Whether the coalition would gain if `window` was measured otherwise.
    pub fn dislikes(&self, window: u64) -> bool {
        self.interest == Interest::CoverAndCapital
            || self.truth.drifts(window) != self.interest.wants_drift()
    }

    /// What the coalition says about a window in place of the truth. `None` if it says the truth.
    pub fn lie(&self, window: u64, lie: Lie) -> Option<Report> {
        let truth = self.truth.at(window);
        let report = match (lie, truth) {
            (Lie::Silence, Measurement::Value(_)) => Report::Nothing,
            (Lie::Thin, Measurement::Value(_)) => Report::Counted(Measurement::Thin),
            (Lie::Drift, Measurement::Thin) => Report::Counted(Measurement::Value(2 * TRIGGER)),
            (Lie::Bend, Measurement::Value(value)) => Report::bent(self, value, self.bend),
            (Lie::Spread, Measurement::Value(value)) => Report::bent(self, value, SPREAD),
            _ => return None,
        };
        let is_lie = match (lie, report) {
            (Lie::Bend, Report::Counted(said)) => !said.agrees(truth, SPREAD),
            _ => true,
        };
        // A bend within the spread costs nothing, and any value of a thin window is a gain of drift.
        let helps = self.dislikes(window) || matches!(lie, Lie::Spread | Lie::Drift);
        (is_lie && helps).then_some(report)
    }

    /// What the coalition wants a ruling to find.
    pub fn wish(&self, window: u64) -> Option<Measurement> {
        let drift = if self.interest.wants_drift() {
            4 * TRIGGER
        } else {
            TRIGGER / 4
        };
        let wish = Measurement::Value(drift);
        let helps = reaches(wish) != self.truth.drifts(window);
        helps.then_some(wish)
    }
}

/// What an oracle does about a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    Nothing,
    Counted(Measurement),
}

impl Report {
    /// `value`, moved by `by` to where the coalition wants it.
    fn bent(plan: &Plan, value: u64, by: u64) -> Self {
        let bent = if plan.interest.wants_drift() {
            (value + by).min(1_000_000)
        } else {
            value.saturating_sub(by)
        };
        Self::Counted(Measurement::Value(bent))
    }
}

/// How many oracles take part: as few as the lie needs, or more.
fn draw_size(random: &mut StdRng, motive: Motive, oracles: usize) -> usize {
    let quorum = oracles / 2 + 1;
    match motive {
        Motive::RuleFalsely => 0, // a ruling against the honest needs none
        // If anybody submits, there is a dispute, on which the arbiter rules, watched or not.
        Motive::WithholdUnwatched => oracles,
        Motive::Withhold | Motive::BuyAndWithhold | Motive::LeaveAndWithhold => {
            *[oracles - (quorum - 1), oracles]
                .choose(random)
                .expect("some")
        }
        Motive::Bend | Motive::ChallengeOwn | Motive::BendAndReturn => {
            random.random_range(quorum.div_ceil(2)..=oracles)
        }
        // Fewer than a quorum cause one, too.
        _ => random.random_range(quorum..=oracles),
    }
}
