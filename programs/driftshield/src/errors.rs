use anchor_lang::prelude::*;

/// Codes 6000 onward, in this order: append only, clients match on the number.
#[error_code]
#[derive(Debug, PartialEq, Eq)]
pub enum DriftShieldError {
    // Roles and settings
    #[msg("Only the program's upgrade authority may initialize: sign with it")]
    NotUpgradeAuthority,
    #[msg("Only the admin may do this: sign with the key in Config.admin")]
    NotAdmin,
    #[msg("Only the proposed admin may accept: sign with the key in Config.pending_admin")]
    NotPendingAdmin,
    #[msg("Only the guardian or the admin may pause")]
    NotGuardian,
    #[msg("Only the admin may unpause; the guardian can add flags but not remove them")]
    GuardianCannotUnpause,
    #[msg("Unknown pause flag: use the bits documented on set_pause")]
    UnknownPauseFlag,
    #[msg("This action is paused: wait for the admin to unpause it")]
    Paused,
    #[msg("A setting is out of its range: see the limits on ConfigParams")]
    InvalidConfig,
    #[msg("A collateral term is out of its range: see the limits on CollateralTerms")]
    InvalidCollateralTerms,
    #[msg("The mint is not supported as collateral: use a classic SPL Token mint")]
    UnsupportedMint,
    #[msg("The mint has a freeze authority: the admin must accept it explicitly")]
    FreezeAuthorityNotAccepted,
    #[msg("This collateral is disabled: use another one for new risk")]
    CollateralDisabled,

    // Wrong accounts
    #[msg("The collateral account is not the one of this mint")]
    WrongCollateral,
    #[msg("The mint is not the one this account settles in")]
    WrongMint,
    #[msg("The token account is not the one this account owns")]
    WrongVault,
    #[msg("The treasury is not the one of this collateral")]
    WrongTreasury,
    #[msg("The model is not the one this account belongs to")]
    WrongModel,
    #[msg("The market is not the one this account belongs to")]
    WrongMarket,
    #[msg("The seat is not the one of this model and oracle")]
    WrongSeat,
    #[msg("The receipt is not the one of this model and window")]
    WrongReceipt,
    #[msg("The payee is not the one this account pays")]
    WrongPayee,
    #[msg("The rent goes back to whoever paid it: pass that account")]
    WrongRentPayer,
    #[msg("Pay to the payee's associated token account (create it where it is missing), or have the payee sign")]
    WrongDestination,

    // Models
    #[msg("Only the model's owner may do this")]
    NotModelOwner,
    #[msg("A text is too long, or holds a NUL character: see the account's limits")]
    InvalidText,
    #[msg("Use 2 to 16 bins, and exactly 2 for the error rate")]
    InvalidBins,
    #[msg("The reference is too small: its rows must be at least min_samples")]
    ReferenceTooSmall,
    #[msg("The reference is too sparse: min_samples times its smallest share must be at least 20")]
    SparseReference,
    #[msg("The window length is outside the limits in Config")]
    InvalidWindowLength,
    #[msg("Genesis may not lie in the past, nor more than 31 days ahead")]
    InvalidGenesis,
    #[msg("List 1 to 7 distinct oracles")]
    InvalidOracles,
    #[msg("The quorum must be more than half of the oracles, and fewer than all from three on")]
    InvalidQuorum,
    #[msg("The spread is above the limit in Config")]
    InvalidSpread,
    #[msg("The model is retired: no new risk can be taken on it")]
    ModelRetired,
    #[msg("The model has exposure: wait until its markets and policies have ended")]
    ModelExposed,
    #[msg("A receipt of the model is open: finalize it first")]
    ReceiptOpen,
    #[msg("The model's version is another one: read it again and decide anew")]
    VersionMismatch,

    // Bonds
    #[msg("This key is not among the model's oracles")]
    NotAnOracle,
    #[msg("The amount must be greater than zero")]
    ZeroAmount,
    #[msg("The seat holds less than this beside what is unbonding already")]
    BondTooSmall,
    #[msg("Unbonding this would leave the model's open risk without enough security")]
    SecurityNeeded,
    #[msg("Nothing is unbonding: request it first")]
    NothingUnbonding,
    #[msg("The bond is still unbonding: wait until the seat's release time")]
    StillUnbonding,
    #[msg("The seat is still needed: withdraw its bond, and leave the list or wait until no receipt is open")]
    SeatInUse,

    // Receipts
    #[msg("Count every bin: as many counts as the metric spec has bins")]
    WrongBinCount,
    #[msg("There are fewer samples than the metric spec asks for")]
    TooFewSamples,
    #[msg("The window index is out of range")]
    WindowOutOfRange,
    #[msg("The window is not over yet")]
    WindowNotOver,
    #[msg("The window's submit period is over")]
    SubmitPeriodOver,
    #[msg("The seat's bond is below the minimum beside what is unbonding: bond more")]
    SeatDoesNotCount,
    #[msg("This oracle has submitted for this window already")]
    AlreadySubmitted,
    #[msg("The receipt is past Collecting: this window needs no more submissions")]
    ReceiptNotCollecting,
    #[msg("The receipt is not Proposed: only a proposed value can be challenged")]
    ReceiptNotProposed,
    #[msg("The challenge period is over")]
    ChallengePeriodOver,
    #[msg("The receipt is not in dispute, or its ruling period is over")]
    ReceiptNotChallenged,
    #[msg("Only the model's arbiter may rule")]
    NotArbiter,
    #[msg("Pass the seats of all who submitted, in the model's order of oracles")]
    WrongSeats,
    #[msg("Time has not decided this receipt yet")]
    NothingToFinalize,
    #[msg("There is nothing to collect")]
    NothingToCollect,
    #[msg("The receipt still owes a credit: collect it first")]
    CreditLeft,
    #[msg("The receipt may still be needed: it can be closed when its retention is over")]
    ReceiptStillNeeded,

    // Markets
    #[msg("Give 1 to 7 thresholds in ascending order")]
    InvalidThresholds,
    #[msg("A threshold lies under the model's noise floor: nobody may bet on sampling noise")]
    BelowNoiseFloor,
    #[msg("Observe 1 to 366 windows that end within 400 days")]
    InvalidWindows,
    #[msg("Betting must close in the future and no later than the first observed window begins")]
    InvalidCloseTime,
    #[msg("The protocol's and the creator's fee may be 20% together at most")]
    FeesTooHigh,
    #[msg("Betting is closed")]
    BettingClosed,
    #[msg("There is no such outcome in this market")]
    NoSuchOutcome,
    #[msg("The bet is below the collateral's minimum")]
    BetTooSmall,
    #[msg("The model's oracles and its owner may not bet on it")]
    Insider,
    #[msg("The bet would pass what the oracles' bonds secure: bet less or wait for more bonds")]
    AboveSecurityLimit,
    #[msg("The payout multiple has fallen under min_multiple: read the odds again")]
    MultipleTooLow,
    #[msg("The market's terms are not those that the bet names: read the market again")]
    TermsMismatch,
    #[msg("The market is settled already")]
    MarketSettled,
    #[msg("The market is not settled yet")]
    MarketNotSettled,
    #[msg("Settle the windows in order, beginning with the market's next_window")]
    SettleOutOfOrder,
    #[msg("A receipt is not final yet: settle its window later")]
    ReceiptNotFinal,
    #[msg("Pass at least one receipt")]
    NoReceipts,
    #[msg("The market has bets: it can no longer be cancelled")]
    MarketHasBets,
    #[msg("Only the creator may cancel before betting closes")]
    NotCreator,
    #[msg("Positions are left: claim them first")]
    PositionsLeft,
    #[msg("Fees are left: collect them first")]
    FeesLeft,

    // Arithmetic
    #[msg("A total does not fit its type: use smaller amounts")]
    Overflow,
    #[msg("The token account holds less than is owed: this is a bug, please report it")]
    Insolvent,
}
