//! The scenario of the example: its participants, markets, bets and policies, and when they act.

/// Rows per window. The analysis data are cut into windows in the order of [`ORDER_COLUMN`].
pub const WINDOW_ROWS: u64 = 5_000;
/// Minimum number of scores in a window. A window may have fewer scores than rows, because scores
/// may be missing.
pub const MIN_SAMPLES: u64 = 4_500;
pub const BINS: usize = 10;
pub const COLUMN: &str = "score";
pub const ORDER_COLUMN: &str = "id";

/// Time between the registration of the model and its first window. Bonding, creating the markets
/// and placing the first bets must fit in.
pub const LEAD_SECS: i64 = 25;
/// Periods for submissions, challenges and rulings, short enough for a demonstration.
pub const SUBMIT_SECS: i64 = 10;
pub const CHALLENGE_SECS: i64 = 3;
pub const RULING_SECS: i64 = 3;
/// Time between the last moment at which a receipt of a covered window can become final and the end
/// of the policy.
pub const CLAIM_GRACE_SECS: i64 = 5;
/// Time after the cooldown of a withdrawal request in which it can be paid.
pub const EXIT_SECS: i64 = 60;
/// Time in which the capital that prices cover follows the vault's capital.
pub const SEASON_SECS: i64 = 60;
/// Length of a bucket, in windows. A premium streams until the end of a bucket, at most 63 buckets
/// after the current one: far enough for the longest policy.
pub const BUCKET_WINDOWS: u64 = 2;

/// Tokens that each oracle bonds on the model, and loses if a ruling proves it wrong.
pub const BOND: u64 = 40_000;
/// Tokens that the model's owner pays the oracles for the windows with data.
pub const FUNDING: u64 = 300;
/// Security rent in basis points a year.
pub const SECURITY_RENT_BPS: u64 = 200;
/// Parts of what the bonds secure that stakes and cover may reach, in basis points.
pub const MARKET_BUDGET_BPS: u64 = 2_500;
pub const COVER_BUDGET_BPS: u64 = 7_500;
pub const ORACLES: [&str; 3] = ["oracle-1", "oracle-2", "oracle-3"];
pub const QUORUM: usize = 2;
/// An oracle whose crank stops for a while. It pays for the windows that it misses.
pub const SILENT_ORACLE: &str = "oracle-3";
/// Percentage of the data that must be measured before its crank stops.
pub const SILENT_PERCENT: u64 = 50;
/// Number of windows that the oracle misses: it is silent for as long, and for [`SUBMIT_SECS`] more, in
/// which it could still submit them.
pub const SILENT_WINDOWS: u64 = 4;
pub const BETTORS: [&str; 6] = ["ada", "ben", "cleo", "dan", "eve", "finn"];
pub const MANAGER: &str = "manager";

/// A market of the example.
pub struct Market {
    pub question: &'static str,
    /// Drift as decimal numbers, ascending.
    pub thresholds: &'static [&'static str],
    pub aggregate: &'static str,
    pub windows: ObservedWindows,
    pub bets: &'static [Bet],
}

/// The windows that a market observes.
#[derive(Clone, Copy)]
pub enum ObservedWindows {
    /// All windows with data.
    All,
    /// The last window with data.
    Last,
    /// Two windows after the data end, for which no oracle can submit a receipt.
    AfterData,
}

impl ObservedWindows {
    /// First and last observed window if there are data for `count` windows.
    pub fn bounds(self, count: u64) -> (u64, u64) {
        match self {
            Self::All => (0, count - 1),
            Self::Last => (count - 1, count - 1),
            Self::AfterData => (count, count + 1),
        }
    }
}

pub struct Bet {
    pub bettor: &'static str,
    pub outcome: u8,
    /// Tokens, as a decimal number.
    pub amount: &'static str,
    /// Percentage of the data that must be measured before the bet is placed. 0 is before the first
    /// window begins.
    pub due_percent: u64,
}

const fn bet(bettor: &'static str, outcome: u8, amount: &'static str, due_percent: u64) -> Bet {
    Bet {
        bettor,
        outcome,
        amount,
        due_percent,
    }
}

pub const MARKETS: [Market; 4] = [
    Market {
        question: "Will the score's PSI reach 0.25 in any window?",
        thresholds: &["0.25"],
        aggregate: "max",
        windows: ObservedWindows::All,
        bets: &[
            bet("ada", 0, "400", 0),
            bet("ben", 1, "250.5", 0),
            bet("cleo", 0, "120.000001", 0),
            bet("dan", 1, "99.999999", 0),
            bet("ada", 1, "10", 0),
        ],
    },
    Market {
        question: "Where will the mean PSI of all windows lie?",
        thresholds: &["0.02", "0.05", "0.1"],
        aggregate: "mean",
        windows: ObservedWindows::All,
        bets: &[
            bet("ben", 0, "75", 0),
            bet("cleo", 1, "60.25", 0),
            bet("dan", 2, "33.333333", 0),
            bet("eve", 2, "66.666667", 0),
            bet("finn", 3, "41", 0),
            bet("eve", 0, "12.5", 0),
        ],
    },
    Market {
        question: "Will the last window's PSI be at 0.02 or above?",
        thresholds: &["0.02"],
        aggregate: "last",
        windows: ObservedWindows::Last,
        bets: &[
            bet("ada", 0, "20", 0),
            bet("eve", 1, "35", 10),
            bet("finn", 0, "17.77", 30),
            bet("ben", 1, "80", 65),
            bet("dan", 0, "300", 75),
        ],
    },
    Market {
        question: "Will the PSI reach 0.1 after the data end?",
        thresholds: &["0.1"],
        aggregate: "max",
        windows: ObservedWindows::AfterData,
        bets: &[
            bet("ada", 0, "5", 0),
            bet("eve", 1, "7.000007", 20),
            bet("finn", 1, "9", 50),
            bet("cleo", 0, "3", 80),
        ],
    },
];

/// The sale of a part of a stake: the seller sets an ask, and the buyer takes it.
pub struct Sale {
    /// Index in [`MARKETS`].
    pub market: usize,
    pub seller: &'static str,
    pub buyer: &'static str,
    pub outcome: u8,
    /// Tokens, as a decimal number.
    pub amount: &'static str,
    /// Payment for each staked token, as a decimal number.
    pub price: &'static str,
    /// Percentage of the data that must be measured before the sale.
    pub due_percent: u64,
}

pub const SALES: [Sale; 2] = [
    // All of a position, which is then closed.
    Sale {
        market: 3,
        seller: "ada",
        buyer: "dan",
        outcome: 0,
        amount: "5",
        price: "0.5",
        due_percent: 30,
    },
    // A part of a position, before the end of the market's only window.
    Sale {
        market: 2,
        seller: "eve",
        buyer: "finn",
        outcome: 1,
        amount: "20",
        price: "1.251",
        due_percent: 70,
    },
];

/// The steps of one participant with the vault, in order.
pub struct VaultPlan {
    pub participant: &'static str,
    pub steps: &'static [VaultStep],
}

pub struct VaultStep {
    /// Percentage of the data that must be measured before the step.
    pub due_percent: u64,
    pub action: VaultAction,
}

/// Amounts are tokens, as decimal numbers.
pub enum VaultAction {
    Deposit(&'static str),
    /// Requests the withdrawal of all shares.
    RequestWithdrawal,
    Buy(PolicyOrder),
    CancelPolicy,
    /// Approves this amount for the premiums of renewals.
    ApproveRenewals(&'static str),
    /// Revokes the approval.
    RevokeRenewals,
}

/// The policy to buy. Drift is a decimal number.
pub struct PolicyOrder {
    /// Tokens, as a decimal number.
    pub cover: &'static str,
    pub trigger: &'static str,
    /// The lowest that the model allows if `None`.
    pub exhaustion: Option<&'static str>,
    pub persistence: u8,
    /// Upper limit: the policy is shorter if the data end earlier.
    pub windows: u64,
    pub auto_renew: bool,
}

impl PolicyOrder {
    /// A policy that triggers on a single window and does not renew.
    const fn new(
        cover: &'static str,
        trigger: &'static str,
        exhaustion: Option<&'static str>,
        windows: u64,
    ) -> Self {
        Self {
            cover,
            trigger,
            exhaustion,
            persistence: 1,
            windows,
            auto_renew: false,
        }
    }
}

const fn step(due_percent: u64, action: VaultAction) -> VaultStep {
    VaultStep {
        due_percent,
        action,
    }
}

/// The plans of three liquidity providers, then of seven policy holders. The capital of the first
/// provider alone backs all policies, so the other two can withdraw while the policies are open.
pub const VAULT_PLANS: [VaultPlan; 10] = [
    VaultPlan {
        participant: "gus",
        steps: &[step(0, VaultAction::Deposit("9000"))],
    },
    VaultPlan {
        participant: "hana",
        steps: &[
            step(0, VaultAction::Deposit("3000.5")),
            step(40, VaultAction::RequestWithdrawal),
        ],
    },
    VaultPlan {
        participant: "ivo",
        steps: &[
            step(30, VaultAction::Deposit("4000")),
            step(80, VaultAction::RequestWithdrawal),
        ],
    },
    // Pays all of the cover as soon above the trigger as the model allows.
    VaultPlan {
        participant: "jill",
        steps: &[step(
            20,
            VaultAction::Buy(PolicyOrder::new("1500", "0.25", None, 18)),
        )],
    },
    // Pays a part of the cover, which grows with the drift.
    VaultPlan {
        participant: "kai",
        steps: &[step(
            20,
            VaultAction::Buy(PolicyOrder::new("2000", "0.5", Some("5"), 18)),
        )],
    },
    // Needs two windows in a row. Two overlapping runs cause two claims.
    VaultPlan {
        participant: "lou",
        steps: &[step(
            20,
            VaultAction::Buy(PolicyOrder {
                persistence: 2,
                ..PolicyOrder::new("1200", "0.05", Some("1"), 20)
            }),
        )],
    },
    // Expires: the drift stays below the trigger.
    VaultPlan {
        participant: "mia",
        steps: &[step(
            20,
            VaultAction::Buy(PolicyOrder::new("800", "3.5", Some("4"), 20)),
        )],
    },
    // Renews its term from the approved amount, until the approval is revoked. A shorter term would be
    // on probation until it is too late for a renewal.
    VaultPlan {
        participant: "noor",
        steps: &[
            step(20, VaultAction::ApproveRenewals("10")),
            step(
                20,
                VaultAction::Buy(PolicyOrder {
                    auto_renew: true,
                    ..PolicyOrder::new("1000", "0.1", Some("4"), 10)
                }),
            ),
            step(55, VaultAction::RevokeRenewals),
        ],
    },
    // Cancelled halfway through its term.
    VaultPlan {
        participant: "omar",
        steps: &[
            step(
                20,
                VaultAction::Buy(PolicyOrder::new("600", "0.03", Some("0.3"), 18)),
            ),
            step(55, VaultAction::CancelPolicy),
        ],
    },
    // Void: the drift comes between the purchase and the first covered window.
    VaultPlan {
        participant: "pia",
        steps: &[step(
            58,
            VaultAction::Buy(PolicyOrder::new("300", "0.25", Some("1"), 18)),
        )],
    },
];
