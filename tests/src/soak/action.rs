//! What happens next, as plain data: a kind and dice. What it comes to is found out when it runs, from
//! the state that it finds; so a sequence replays exactly, and any part of one is a sequence.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    pub does: Does,
    pub dice: u64,
    pub twist: Option<Twist>,
}

/// How a call is bent into one that has to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Somebody else signs.
    Impostor,
    /// Who has to sign doesn't.
    Unsigned,
    /// Another account is in the place of one.
    Swapped,
    /// An account that changes is passed as one that doesn't.
    ReadOnly,
}

const TWISTS: [Twist; 4] = [
    Twist::Impostor,
    Twist::Unsigned,
    Twist::Swapped,
    Twist::ReadOnly,
];
/// One call in so many is twisted.
const TWISTED: u32 = 9;

macro_rules! kinds {
    ($($name:ident $weight:literal)*) => {
        /// A kind of action.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Does {
            $($name,)*
        }

        /// How often each kind comes.
        const WEIGHTS: &[(Does, u32)] = &[$((Does::$name, $weight),)*];
    };
}

kinds! {
    Pass 110
    Measure 60
    Dispute 14
    Strike 30

    Initialize 2
    UpdateConfig 6
    ProposeAdmin 6
    AcceptAdmin 6
    SetPause 30
    RegisterCollateral 5
    UpdateCollateral 8
    WithdrawTreasury 10

    RegisterModel 6
    UpdateModel 6
    RetireModel 4
    Bond 30
    RequestUnbond 22
    WithdrawBond 20
    CloseSeat 12

    SubmitReceipt 20
    ChallengeReceipt 16
    RuleReceipt 22
    FinalizeReceipt 24
    CollectChallenge 22
    CloseReceipt 8

    CreateMarket 12
    CancelMarket 8
    PlaceBet 110
    SettleMarket 30
    Claim 36
    CollectFees 14
    CloseMarket 12

    CreateVault 6
    UpdateVault 8
    ListModel 14
    Deposit 34
    RequestWithdraw 26
    CancelWithdraw 10
    Withdraw 24
    CollectManagerFees 14
    CloseExposure 8
    CloseVault 8

    BuyPolicy 80
    ClaimPolicy 40
    CancelPolicy 12
    RenewPolicy 40
    ExpirePolicy 14

    Donate 8
    BurnShares 2
    MoveShares 8
    Approve 10
    Revoke 4
    GiveAway 14
    SendLamports 4
}

/// The actions of a seed.
pub fn actions(seed: u64, count: usize) -> Vec<Action> {
    let mut dice = StdRng::seed_from_u64(seed);
    let next = |_| Action {
        does: WEIGHTS
            .choose_weighted(&mut dice, |kind| kind.1)
            .expect("weights")
            .0,
        dice: dice.random(),
        twist: dice
            .random_ratio(1, TWISTED)
            .then(|| *TWISTS.choose(&mut dice).expect("some")),
    };
    (0..count).map(next).collect()
}
