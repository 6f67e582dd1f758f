//! Actions: what a run does next, as plain data.
//!
//! An action is a kind, a random seed and sometimes a tampering. The state in which an action runs decides
//! its calls. So a sequence of actions replays exactly, and any subsequence can run as well.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    pub kind: ActionKind,
    pub seed: u64,
    pub tampering: Option<Tampering>,
}

/// A way to change a call so that the program has to refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampering {
    /// Another actor signs.
    Impostor,
    /// The required signature is missing.
    Unsigned,
    /// An account is replaced by another.
    Swapped,
    /// A writable account is passed as read-only.
    ReadOnly,
}

const TAMPERINGS: [Tampering; 4] = [
    Tampering::Impostor,
    Tampering::Unsigned,
    Tampering::Swapped,
    Tampering::ReadOnly,
];
/// One action in this many has a tampering.
const TAMPERED_ONE_IN: u32 = 9;

macro_rules! kinds {
    ($($name:ident $weight:literal)*) => {
        /// A kind of action.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ActionKind {
            $($name,)*
        }

        /// The relative frequency of each kind.
        const WEIGHTS: &[(ActionKind, u32)] = &[$((ActionKind::$name, $weight),)*];
    };
}

kinds! {
    Pass 110
    Measure 60
    Dispute 14
    TriggerPolicy 30

    Initialize 2
    UpdateConfig 6
    ProposeAdmin 6
    AcceptAdmin 6
    ProposeArbiter 4
    AcceptArbiter 4
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
    LeaveSeat 6
    SyncSeat 10
    ReplaceOracle 14
    FundOracles 16
    CollectReward 24

    SubmitReceipt 20
    ChallengeReceipt 16
    RuleReceipt 22
    ReturnSlashes 8
    FinalizeReceipt 24
    CollectChallenge 22
    CloseSeries 8

    CreateMarket 12
    CancelMarket 8
    PlaceBet 110
    SetAsk 10
    BuyPosition 60
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
    ClaimPolicy 20
    CancelPolicy 12
    RenewPolicy 40
    ExpirePolicy 14
    BeginPolicy 90
    ExaminePolicy 40

    Donate 8
    BurnShares 2
    MoveShares 8
    Approve 10
    Revoke 4
    GiveAway 14
    SendLamports 4
    ChangeRent 12
}

/// The first `count` actions of a seed.
pub fn actions(seed: u64, count: usize) -> Vec<Action> {
    let mut rng = StdRng::seed_from_u64(seed);
    let next = |_| Action {
        kind: WEIGHTS
            .choose_weighted(&mut rng, |kind| kind.1)
            .expect("weights")
            .0,
        seed: rng.random(),
        tampering: rng
            .random_ratio(1, TAMPERED_ONE_IN)
            .then(|| *TAMPERINGS.choose(&mut rng).expect("some")),
    };
    (0..count).map(next).collect()
}
