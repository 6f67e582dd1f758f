//! Who takes part in the example, what they bet on and cover, and when.

/// Rows of a window: the analysis is cut into windows of as many rows, in order of `id`.
pub const WINDOW_ROWS: u64 = 5_000;
/// Fewest scores that a window's value stands on: some may be missing.
pub const MIN_SAMPLES: u64 = 4_500;
pub const BINS: usize = 10;
pub const COLUMN: &str = "score";
pub const ORDER: &str = "id";

/// Tokens that each oracle bonds on the model.
pub const BOND: u64 = 20_000;
pub const ORACLES: [&str; 3] = ["oracle-1", "oracle-2", "oracle-3"];
pub const QUORUM: usize = 2;
pub const BETTORS: [&str; 6] = ["ada", "ben", "cleo", "dan", "eve", "finn"];
pub const MANAGER: &str = "manager";

/// A market of the example.
pub struct Market {
    pub question: &'static str,
    /// Drift as a decimal number, ascending.
    pub thresholds: &'static [&'static str],
    pub aggregate: &'static str,
    pub windows: Windows,
    pub bets: &'static [Bet],
}

/// Which windows a market observes.
#[derive(Clone, Copy)]
pub enum Windows {
    /// All that there is data for.
    All,
    /// The last that there is data for.
    Last,
    /// Those after it: nobody can count them.
    Beyond,
}

impl Windows {
    /// The first and the last of the market, of a model with data for `count` windows.
    pub fn range(self, count: u64) -> (u64, u64) {
        match self {
            Self::All => (0, count - 1),
            Self::Last => (count - 1, count - 1),
            Self::Beyond => (count, count + 1),
        }
    }
}

pub struct Bet {
    pub bettor: &'static str,
    pub outcome: u8,
    /// Tokens, as a decimal number.
    pub amount: &'static str,
    /// How much of the data has been measured when the bet is placed, in percent; 0 is before the
    /// first window begins.
    pub at: u64,
}

const fn bet(bettor: &'static str, outcome: u8, amount: &'static str, at: u64) -> Bet {
    Bet {
        bettor,
        outcome,
        amount,
        at,
    }
}

pub const MARKETS: [Market; 4] = [
    Market {
        question: "Will the score's PSI reach 0.25 in any window?",
        thresholds: &["0.25"],
        aggregate: "max",
        windows: Windows::All,
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
        windows: Windows::All,
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
        windows: Windows::Last,
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
        windows: Windows::Beyond,
        bets: &[
            bet("ada", 0, "5", 0),
            bet("eve", 1, "7.000007", 20),
            bet("finn", 1, "9", 50),
            bet("cleo", 0, "3", 80),
        ],
    },
];

/// What somebody does with the vault, one step after the other.
pub struct Plan {
    pub person: &'static str,
    pub steps: &'static [Step],
}

pub struct Step {
    /// How much of the data has been measured when it is due, in percent.
    pub at: u64,
    pub act: Act,
}

/// Amounts are tokens, as decimal numbers.
pub enum Act {
    Deposit(&'static str),
    /// Asks all shares back.
    Leave,
    Buy(Cover),
    Cancel,
    /// Lets so much be taken for renewals.
    Approve(&'static str),
    /// Lets nothing more be taken.
    Revoke,
}

/// A policy of the example. Drift is a decimal number.
pub struct Cover {
    pub amount: &'static str,
    pub trigger: &'static str,
    pub exhaustion: &'static str,
    pub persistence: u8,
    /// At most: fewer where the data end before.
    pub windows: u64,
    /// Whether it is renewed by whoever comes.
    pub auto_renew: bool,
}

impl Cover {
    const fn of(
        amount: &'static str,
        trigger: &'static str,
        exhaustion: &'static str,
        windows: u64,
    ) -> Self {
        Self {
            amount,
            trigger,
            exhaustion,
            persistence: 1,
            windows,
            auto_renew: false,
        }
    }
}

const fn step(at: u64, act: Act) -> Step {
    Step { at, act }
}

/// The first three put up the capital, the others buy cover of it: no more than what the first one bears
/// alone when the other two have asked theirs back.
pub const PLANS: [Plan; 9] = [
    Plan {
        person: "gus",
        steps: &[step(0, Act::Deposit("9000"))],
    },
    Plan {
        person: "hana",
        steps: &[step(0, Act::Deposit("3000.5")), step(40, Act::Leave)],
    },
    Plan {
        person: "ivo",
        steps: &[step(30, Act::Deposit("4000")), step(80, Act::Leave)],
    },
    // All of the cover, as soon as the trigger is reached.
    Plan {
        person: "jill",
        steps: &[step(20, Act::Buy(Cover::of("1500", "0.25", "0.25", 18)))],
    },
    // A part of it, the larger the further the drift goes.
    Plan {
        person: "kai",
        steps: &[step(20, Act::Buy(Cover::of("2000", "0.5", "5", 18)))],
    },
    // Two windows in a row; two runs that overlap pay one after the other.
    Plan {
        person: "lou",
        steps: &[step(
            20,
            Act::Buy(Cover {
                persistence: 2,
                ..Cover::of("1200", "0.05", "1", 20)
            }),
        )],
    },
    // A trigger too far off.
    Plan {
        person: "mia",
        steps: &[step(20, Act::Buy(Cover::of("800", "3.5", "4", 20)))],
    },
    // Short terms, as many as there is an allowance for, and none once it is taken back.
    Plan {
        person: "noor",
        steps: &[
            step(20, Act::Approve("10")),
            step(
                20,
                Act::Buy(Cover {
                    auto_renew: true,
                    ..Cover::of("1000", "0.1", "4", 4)
                }),
            ),
            step(55, Act::Revoke),
        ],
    },
    // Given up half-way.
    Plan {
        person: "omar",
        steps: &[
            step(20, Act::Buy(Cover::of("600", "0.03", "0.3", 18))),
            step(45, Act::Cancel),
        ],
    },
];
