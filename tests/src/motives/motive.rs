//! What members of a coalition are after, and which rules they break for it.

use rand::{Rng, rngs::StdRng};

/// Why a coalition does what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Motive {
    // Against the rules, while somebody recounts and the arbiter is honest.
    /// Oracles leave out windows: all of them, or all but one less than a quorum.
    Withhold,
    /// Oracles submit values that are further than the spread from the truth.
    Bend,
    /// Oracles call windows with enough rows thin.
    CallThin,
    /// Oracles give thin windows a value.
    InventDrift,
    /// A friend challenges what is right.
    ChallengeFalsely,
    /// A friend challenges what its own oracles bent, before anybody else does.
    ChallengeOwn,
    /// The admin returns to oracles what they lost for bending.
    BendAndReturn,
    /// A buyer knows that the running window drifts, and oracles leave out the windows of the probation
    /// that do.
    BuyAndWithhold,
    /// A provider leaves at the sight of drift, and oracles leave out the windows that drift, so that they
    /// become final later.
    LeaveAndWithhold,
    /// A provider leaves at the sight of drift, and challenges the windows that drift, so that they become
    /// final later.
    LeaveAndChallenge,

    // With a part of the trust that users place in somebody.
    /// The arbiter doesn't rule on what oracles bent.
    RuleLate,
    /// A friend challenges what is right, and the arbiter rules as it asserts.
    RuleFalsely,
    /// The arbiter rules for the oracles that bend, against an honest challenger.
    RuleForLiars,
    /// Nobody recounts what oracles leave out.
    WithholdUnwatched,
    /// Nobody recounts what oracles bend.
    BendUnwatched,
    /// Nobody recounts what oracles call thin.
    CallThinUnwatched,

    // Within the rules.
    /// Oracles bend values by at most the spread.
    BendWithinSpread,
    /// A buyer knows that the running window drifts.
    BuyOnRunning,
    /// A buyer knows that a coming window drifts.
    BuyOnComing,
    /// A bettor knows how a market will end, and buys the winner's stake.
    BuyStakes,
    /// A provider sees a window's receipt before it is final, and leaves.
    LeaveFirst,
    /// A provider who knows that no further window drifts deposits.
    DepositLate,
    /// A provider deposits much, and requests it back at once.
    DepositAndRequest,
    /// Oracles and a provider renew somebody's cover when they know that the running window drifts.
    RenewOnRunning,
    /// A vault's manager lowers its prices for a friend.
    SellCheaply,
    /// A model's owner tries what an owner can: to update the model, to replace an honest oracle, to
    /// retire the model.
    UseOwnersPowers,
}

/// How much a coalition may gain, compared with keeping the rules or with doing nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Not a base unit.
    Nothing,
    /// What is at risk on the model: open stakes and open cover. And the pay of the oracles who would have
    /// agreed with the truth, which those share who agree with what becomes final.
    RiskAndPay,
    /// The same, and twice the challenge bond for every ruling.
    RiskAndBonds,
    /// Open stakes.
    Stakes,
    /// Open stakes, and the part of the cover that the spread is of the distance from trigger to
    /// exhaustion.
    Spread,
    /// What the bonds secure: the budget for stakes and that for cover.
    Budget,
    /// What the vault's capital bears after the coalition has left it.
    LaterLosses,
    /// The premium that the others have paid and that has not streamed yet.
    Unearned,
    /// The security rent of the renewal, and its cancel fee.
    Renewal,
    /// The premium that its own cover would have cost.
    OwnPremium,
}

impl Motive {
    pub const ALL: [Self; 26] = [
        Self::Withhold,
        Self::Bend,
        Self::CallThin,
        Self::InventDrift,
        Self::ChallengeFalsely,
        Self::ChallengeOwn,
        Self::BendAndReturn,
        Self::BuyAndWithhold,
        Self::LeaveAndWithhold,
        Self::LeaveAndChallenge,
        Self::RuleLate,
        Self::RuleFalsely,
        Self::RuleForLiars,
        Self::WithholdUnwatched,
        Self::BendUnwatched,
        Self::CallThinUnwatched,
        Self::BendWithinSpread,
        Self::BuyOnRunning,
        Self::BuyOnComing,
        Self::BuyStakes,
        Self::LeaveFirst,
        Self::DepositLate,
        Self::DepositAndRequest,
        Self::RenewOnRunning,
        Self::SellCheaply,
        Self::UseOwnersPowers,
    ];

    /// The motive of the coalition of a seed.
    pub fn of(seed: u64) -> Self {
        Self::ALL[(seed % Self::ALL.len() as u64) as usize]
    }

    /// The most that the protocol's page and SECURITY.md leave to be gained.
    pub fn bound(self) -> Bound {
        match self {
            Self::Withhold
            | Self::Bend
            | Self::CallThin
            | Self::InventDrift
            | Self::ChallengeFalsely
            | Self::ChallengeOwn
            | Self::BendAndReturn
            | Self::BuyAndWithhold
            | Self::LeaveAndWithhold
            | Self::LeaveAndChallenge
            | Self::BuyOnRunning
            | Self::DepositAndRequest
            | Self::UseOwnersPowers => Bound::Nothing,
            Self::RuleLate
            | Self::WithholdUnwatched
            | Self::BendUnwatched
            | Self::CallThinUnwatched => Bound::RiskAndPay,
            Self::RuleFalsely | Self::RuleForLiars => Bound::RiskAndBonds,
            Self::BendWithinSpread => Bound::Spread,
            Self::BuyOnComing => Bound::Budget,
            Self::BuyStakes => Bound::Stakes,
            Self::LeaveFirst => Bound::LaterLosses,
            Self::DepositLate => Bound::Unearned,
            Self::RenewOnRunning => Bound::Renewal,
            Self::SellCheaply => Bound::OwnPremium,
        }
    }

    /// What the coalition's oracles do to windows that they dislike.
    pub fn lie(self) -> Option<Lie> {
        match self {
            Self::Withhold
            | Self::WithholdUnwatched
            | Self::BuyAndWithhold
            | Self::LeaveAndWithhold => Some(Lie::Silence),
            Self::Bend
            | Self::ChallengeOwn
            | Self::BendAndReturn
            | Self::RuleLate
            | Self::RuleForLiars
            | Self::BendUnwatched => Some(Lie::Bend),
            Self::CallThin | Self::CallThinUnwatched => Some(Lie::Thin),
            Self::InventDrift => Some(Lie::Drift),
            Self::BendWithinSpread => Some(Lie::Spread),
            _ => None,
        }
    }

    /// Whether somebody recounts every window and challenges what is wrong.
    pub fn is_watched(self) -> bool {
        let unwatched = [
            Self::WithholdUnwatched,
            Self::BendUnwatched,
            Self::CallThinUnwatched,
        ];
        !unwatched.contains(&self)
    }

    /// What the coalition has at stake before it does anything.
    pub fn draw_interest(self, random: &mut StdRng) -> Interest {
        match self {
            Self::InventDrift => Interest::pick(random, &[Interest::Cover, Interest::High]),
            Self::LeaveFirst
            | Self::LeaveAndWithhold
            | Self::LeaveAndChallenge
            | Self::RenewOnRunning => Interest::Capital,
            Self::Withhold | Self::WithholdUnwatched | Self::CallThin | Self::CallThinUnwatched => {
                Interest::pick(random, &Interest::UNMEASURED)
            }
            Self::BuyOnRunning
            | Self::BuyAndWithhold
            | Self::BuyOnComing
            | Self::BuyStakes
            | Self::DepositLate
            | Self::DepositAndRequest
            | Self::SellCheaply => Interest::None,
            _ => Interest::pick(random, &Interest::SIDES),
        }
    }
}

/// What an oracle does to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// It doesn't submit.
    Silence,
    /// It submits a value further than the spread from the truth.
    Bend,
    /// It calls a window thin that isn't.
    Thin,
    /// It gives a thin window a value.
    Drift,
    /// It submits a value that is off by the spread.
    Spread,
}

/// What a coalition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Cover: it wants drift, or no measurement.
    Cover,
    /// Capital of the vault: it wants no drift.
    Capital,
    /// A stake on drift.
    High,
    /// A stake on no drift.
    Low,
    /// Cover, and most of the vault's capital: it wants no measurement, which returns the premium that
    /// its capital has earned.
    CoverAndCapital,
    /// Nothing before it does what it is after.
    None,
}

impl Interest {
    /// Those that gain by one side of the trigger.
    const SIDES: [Self; 4] = [Self::Cover, Self::Capital, Self::High, Self::Low];
    /// Those that gain by windows without a value: cover gets its premium back.
    const UNMEASURED: [Self; 4] = [Self::Cover, Self::Capital, Self::Low, Self::CoverAndCapital];

    fn pick(random: &mut StdRng, among: &[Self]) -> Self {
        among[random.random_range(0..among.len())]
    }

    /// Whether it gains by drift.
    pub fn wants_drift(self) -> bool {
        matches!(self, Self::Cover | Self::High)
    }

    pub fn has_cover(self) -> bool {
        matches!(self, Self::Cover | Self::CoverAndCapital)
    }

    pub fn has_capital(self) -> bool {
        matches!(self, Self::Capital | Self::CoverAndCapital)
    }
}
