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
    #[msg("The mint is not supported as collateral: use one of SPL Token, or of Token-2022 with no extensions but metadata, group, member and their pointers")]
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
    #[msg("A threshold or trigger lies under the model's noise floor: nobody may bet on sampling noise")]
    BelowNoiseFloor,
    #[msg("Observe 1 to 366 windows that end within 400 days")]
    InvalidWindows,
    #[msg("Betting must close in the future and no later than the first observed window begins")]
    InvalidCloseTime,
    #[msg("The protocol's part and the creator's or manager's may be 20% together at most")]
    FeesTooHigh,
    #[msg("Betting is closed")]
    BettingClosed,
    #[msg("There is no such outcome in this market")]
    NoSuchOutcome,
    #[msg("The bet is below the collateral's minimum")]
    BetTooSmall,
    #[msg("A model's oracles and its owner may not bet on it or buy its cover, nor a manager its own vault's")]
    Insider,
    #[msg("This would pass what the oracles' bonds secure: take less or wait for more bonds")]
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

    // Mints
    #[msg("The mint is no longer what was accepted as collateral: no money is taken in it")]
    MintChanged,

    // Vaults
    #[msg("A price or limit is out of its range: see the limits on VaultTerms")]
    InvalidVaultTerms,
    #[msg("The cooldown must be 1 second to 121 days")]
    InvalidCooldown,
    #[msg("Only the vault's manager may do this")]
    NotManager,
    #[msg("The vault is not the one this account belongs to")]
    WrongInsuranceVault,
    #[msg("The share mint or the escrow is not the one of this vault")]
    WrongShares,
    #[msg("The model is measured more slowly than the vault's cooldown: its window plus submit, challenge and ruling must fit in it")]
    ModelTooSlow,
    #[msg("The vault has been wiped out: it takes no deposits any more")]
    VaultWipedOut,
    #[msg("The amount buys less than a share: deposit more")]
    ZeroShares,
    #[msg("The deposit would buy fewer shares than min_shares: read the vault again")]
    TooFewShares,
    #[msg("Only the owner of these shares may do this")]
    NotShareOwner,
    #[msg("The shares are still in their cooldown: wait until the request's unlock time")]
    StillCoolingDown,
    #[msg("The capital backs policies: withdraw when some have ended or more was deposited")]
    CapitalLocked,
    #[msg("The vault is in use: its shares, requests, exposures and policies must have ended first, and without its manager's signature its notice too")]
    VaultInUse,
    #[msg(
        "The exposure is in use: its policies must have ended, and it must be off the list or dead"
    )]
    ExposureInUse,

    // Policies
    #[msg("The vault does not cover this model: have its manager list it")]
    ModelNotListed,
    #[msg("The listing has not taken effect: wait until the exposure's active_at")]
    ListingNotActive,
    #[msg("The model has fewer than 8 Final receipts of this version: wait for more")]
    TooLittleHistory,
    #[msg("The model's newest Final receipt is too old: wait for a new one")]
    StaleHistory,
    #[msg("The exhaustion must not lie under the trigger")]
    InvalidExhaustion,
    #[msg("The trigger lies under the lowest that the vault sells on this model")]
    TriggerTooLow,
    #[msg("The model has drifted to the trigger already: choose a higher one")]
    TriggerReached,
    #[msg("Choose a persistence of 1 to 4 windows, and at least as many windows")]
    InvalidPersistence,
    #[msg("The first window has begun or begins too soon: read the vault and the clock again")]
    WindowsBegan,
    #[msg("Cover begins with the first window that can be covered: choose an earlier one")]
    WindowsTooLate,
    #[msg("The cover is outside the vault's limits: see min_cover and max_cover")]
    CoverOutOfLimits,
    #[msg(
        "The duration is outside the vault's limits: see min_duration_secs and max_duration_secs"
    )]
    DurationOutOfLimits,
    #[msg("The last window ends too far ahead: within 400 days, and 63 of the vault's buckets")]
    EndTooFar,
    #[msg("The vault has no capital: wait for a deposit")]
    NoCapital,
    #[msg(
        "Beyond the vault's max_utilisation, or one that is announced, of the capital that nobody has asked back: cover less or wait for capital"
    )]
    UtilisationTooHigh,
    #[msg("The vault's cap for this model would be passed: buy less or wait until policies end")]
    ExposureFull,
    #[msg("The premium is above max_premium: read the vault again")]
    PremiumTooHigh,
    #[msg("Pass as many receipts as the policy's persistence, of consecutive windows in order")]
    WrongRunLength,
    #[msg("The window is not one that the policy covers")]
    WindowNotCovered,
    #[msg("The windows are not consecutive, or one has no value: a run must be whole")]
    BrokenRun,
    #[msg("The drift of a window lies under the policy's trigger")]
    BelowTrigger,
    #[msg("The policy was paid this much already")]
    AlreadyPaid,
    #[msg("The policy has expired: it can no longer be claimed or renewed")]
    PolicyExpired,
    #[msg("The policy can still be claimed: expire it when its grace is over")]
    PolicyNotExpired,
    #[msg("Only the policy's holder may do this")]
    NotHolder,
    #[msg("The policy is not set to renew by itself: have its holder sign")]
    NotAutoRenewed,
    #[msg("The policy was renewed in this term already: renew it again when the term has begun")]
    AlreadyRenewed,
    #[msg("The policy has been paid: it can no longer be renewed")]
    PolicyPaid,
    #[msg("The holder's token account delegates less than the premium to its renewal authority: approve more")]
    TooLittleDelegated,

    // Vaults, later
    #[msg("The vault has listed a model since its count of listings was read: read the vault and its exposures again")]
    ListingsChanged,
}
