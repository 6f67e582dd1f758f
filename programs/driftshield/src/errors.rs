use anchor_lang::prelude::*;

/// The program's errors, numbered from 6000 in this order. Append only: clients match on the
/// number. A message says what happened, then what to do.
#[error_code]
#[derive(Debug, PartialEq, Eq)]
pub enum DriftShieldError {
    // Roles and parameters.
    #[msg("Only the program's upgrade authority may initialize: sign with that key")]
    NotUpgradeAuthority,
    #[msg("Only the admin may do this: sign with the key in Config.admin")]
    NotAdmin,
    #[msg("Only the proposed admin may accept: sign with the key in Config.pending_admin")]
    NotPendingAdmin,
    #[msg("Only the guardian or the admin may pause: sign with one of these keys")]
    NotGuardian,
    #[msg("The guardian cannot remove pause flags: have the admin unpause")]
    GuardianCannotUnpause,
    #[msg("Unknown pause flag: use the flags documented at set_pause")]
    UnknownPauseFlag,
    #[msg("This action is paused: wait until the admin unpauses it")]
    Paused,
    #[msg("A parameter is out of range: see the limits at ConfigParams")]
    InvalidConfig,
    #[msg("A collateral term is out of range: see the limits at CollateralTerms")]
    InvalidCollateralTerms,
    #[msg("The mint is not supported as collateral: use a mint of SPL Token, or of Token-2022 with no extensions other than metadata, group, member and their pointers")]
    UnsupportedMint,
    #[msg("The mint has a freeze authority: set accepts_freeze to accept it")]
    FreezeAuthorityNotAccepted,
    #[msg("The collateral is disabled for new risk: use another collateral")]
    CollateralDisabled,

    // Accounts that don't match.
    #[msg("The collateral account belongs to another mint: pass the collateral account of the mint in use")]
    WrongCollateral,
    #[msg("The mint does not match the other accounts: pass the mint in which they settle")]
    WrongMint,
    #[msg("The token account is not the one recorded in the model, market or vault: pass the recorded address")]
    WrongVault,
    #[msg(
        "The treasury does not belong to the collateral: pass the address in Collateral.treasury"
    )]
    WrongTreasury,
    #[msg("The model does not match the other accounts: pass the model that they belong to")]
    WrongModel,
    #[msg("The market does not match the position: pass the address in Position.market")]
    WrongMarket,
    #[msg(
        "The seat does not belong to this model and oracle: pass the oracle's seat on the model"
    )]
    WrongSeat,
    #[msg("The account is not the page of the model's series that these windows need: pass the pages in order, starting with the page of the first window")]
    WrongSeries,
    #[msg("The payee is not the one recorded in the account that pays: pass the recorded address")]
    WrongPayee,
    #[msg("The rent would go to another account than the one that paid it: pass the payer recorded in the closed account")]
    WrongRentPayer,
    #[msg("The payee has not signed and the destination is not its associated token account: pay to that account (create it if it is missing) or have the payee sign")]
    WrongDestination,

    // Models.
    #[msg("Only the model's owner may do this: sign with the key in Model.owner")]
    NotModelOwner,
    #[msg("A text is too long or contains a NUL character: see the limits of the argument")]
    InvalidText,
    #[msg("The reference has an invalid number of bins: use 2 to 16, and exactly 2 for the error rate")]
    InvalidBins,
    #[msg("The reference has fewer rows than min_samples, or min_samples is 0: add rows or change min_samples")]
    ReferenceTooSmall,
    #[msg("The reference is too sparse: raise min_samples or merge bins until min_samples times the smallest share is at least 50")]
    SparseReference,
    #[msg("The window length is outside the limits: see min_window_secs and max_window_secs in Config")]
    InvalidWindowLength,
    #[msg("Genesis is in the past or more than 31 days ahead: choose a time in between")]
    InvalidGenesis,
    #[msg("The list of oracles is invalid: list 1 to 7 distinct keys")]
    InvalidOracles,
    #[msg("The quorum is invalid: use more than half of the oracles, and fewer than all of them if there are three or more")]
    InvalidQuorum,
    #[msg("The spread is above the limit: use at most max_spread_limit in Config")]
    InvalidSpread,
    #[msg("The model is retired and takes no new risk: choose another model")]
    ModelRetired,
    #[msg("The model has exposure: wait until its markets and policies have ended")]
    ModelExposed,
    #[msg("A receipt of the model is open: wait until all its receipts are settled")]
    ReceiptOpen,
    #[msg("The model's version differs from the expected one: read the model again")]
    VersionMismatch,

    // Bonds.
    #[msg("The signer is not one of the model's oracles, or not the oracle of the seat: sign with that oracle's key")]
    NotAnOracle,
    #[msg("The amount is zero: use a greater amount")]
    ZeroAmount,
    #[msg("The seat's bond less its unbonding amount is smaller than the amount: request less")]
    BondTooSmall,
    #[msg("The remaining bonds would not secure the model's open risk: unbond less, wait until risk has ended, or call leave_seat and unbond after its notice")]
    SecurityNeeded,
    #[msg("Nothing is unbonding: call request_unbond first")]
    NothingUnbonding,
    #[msg("The bond is still unbonding: wait until the seat's release_at")]
    StillUnbonding,
    #[msg("The seat is still needed: withdraw its bond, collect its reward, and wait until no receipt to which the oracle has submitted is open")]
    SeatInUse,

    // Receipts.
    #[msg("The number of counts differs from the model's number of bins: submit one count for each bin")]
    WrongBinCount,
    #[msg("The window index is too large: use a smaller one")]
    WindowOutOfRange,
    #[msg("The window is not over: wait until its end")]
    WindowNotOver,
    #[msg("The window's submit period is over: submit for a later window")]
    SubmitPeriodOver,
    #[msg("The seat does not count: bond until its bond less its unbonding amount is the model's min_bond")]
    SeatDoesNotCount,
    #[msg("This oracle has already submitted for this window: nothing is left to do")]
    AlreadySubmitted,
    #[msg("The receipt is past Collecting: this window needs no more submissions")]
    ReceiptNotCollecting,
    #[msg("The window is settled: it needs no more submissions")]
    WindowSettled,
    #[msg("The receipt is Collecting: challenge it once it is Proposed or Challenged")]
    ReceiptNotProposed,
    #[msg("The challenge period is over: challenge a window within challenge_secs of its proposal, or of the start of its dispute")]
    ChallengePeriodOver,
    #[msg("The receipt is not Challenged: rule on a dispute before its ruling period is over")]
    ReceiptNotChallenged,
    #[msg("Only the model's arbiter may rule: sign with the key in Model.arbiter")]
    NotArbiter,
    #[msg("The seats do not match: pass those of all submitters for a ruling, or of all slashed oracles for a return, in the order of the model's oracles")]
    WrongSeats,
    #[msg("No step of this receipt is due: wait until its current period is over")]
    NothingToFinalize,
    #[msg("The payee's credit is zero: nothing is left to collect")]
    NothingToCollect,
    #[msg("The page may still be needed: close it once the retention of its last window is over and none of its receipts is open")]
    SeriesStillNeeded,

    // Markets.
    #[msg("The thresholds are invalid: use 1 to 7 in ascending order")]
    InvalidThresholds,
    #[msg("A threshold or trigger is below the model's noise floor, which sampling noise alone can reach: choose a higher one")]
    BelowNoiseFloor,
    #[msg("The observed windows are invalid: use 1 to 366 windows that end within 400 days")]
    InvalidWindows,
    #[msg("The close time is invalid: choose one in the future, no later than the start of the first observed window")]
    InvalidCloseTime,
    #[msg("The fees are too high: the protocol's and the creator's or manager's may be at most 2000 bps together")]
    FeesTooHigh,
    #[msg("Betting is closed: choose another market")]
    BettingClosed,
    #[msg("The market has no such outcome: use an index below its number of outcomes")]
    NoSuchOutcome,
    #[msg("The bet is below the collateral's min_bet: bet more")]
    BetTooSmall,
    #[msg("Insiders are refused: a model's owner and oracles may not bet on it or buy its cover, nor a manager cover of its own vault")]
    Insider,
    #[msg(
        "The amount would exceed what the oracles' bonds secure within the model's budget for markets or cover: use less or wait for more bonds"
    )]
    AboveSecurityLimit,
    #[msg(
        "The payout multiple is below min_multiple: read the market again and lower min_multiple"
    )]
    MultipleTooLow,
    #[msg("The market's terms differ from terms_hash: read the market again")]
    TermsMismatch,
    #[msg("The market is already settled: claim its positions")]
    MarketSettled,
    #[msg("The market is not settled: settle it first")]
    MarketNotSettled,
    #[msg("The window is not decided: finalize its receipt first, or wait until it can get none")]
    WindowUndecided,
    #[msg("No series page was passed: pass at least the one of the market's next_window")]
    NoSeries,
    #[msg("The market has bets and cannot be cancelled: settle it instead")]
    MarketHasBets,
    #[msg("Only the creator may cancel before betting closes: have the creator sign, or wait until close_ts")]
    NotCreator,
    #[msg("The market has unclaimed positions: claim them first")]
    PositionsLeft,
    #[msg("Fees are not collected: call collect_fees for a market, or collect_manager_fees for a vault, first")]
    FeesLeft,

    // Arithmetic and solvency.
    #[msg("A number does not fit 64 bits: use smaller amounts")]
    Overflow,
    #[msg("The token account holds less than it owes, or the vault locks more than its capital: this is a bug, please report it")]
    Insolvent,

    // Mints.
    #[msg("The mint differs from the accepted collateral and takes no deposits: use another collateral")]
    MintChanged,

    // Vaults.
    #[msg("A term of the vault is out of range: see the limits at VaultTerms")]
    InvalidVaultTerms,
    #[msg("The cooldown is out of range: use 1 second to 126 days")]
    InvalidCooldown,
    #[msg("Only the vault's manager may do this: sign with the key in Vault.manager")]
    NotManager,
    #[msg("The vault does not match the other accounts: pass the vault that they belong to")]
    WrongInsuranceVault,
    #[msg("The share mint does not belong to this vault: pass the address in Vault.share_mint")]
    WrongShares,
    #[msg("The model settles too slowly for this vault: as many windows as max_persistence plus the submit, challenge and ruling periods must fit into the cooldown")]
    ModelTooSlow,
    #[msg("The vault was wiped out and takes no more deposits: choose another vault")]
    VaultWipedOut,
    #[msg("The amount buys less than one share: deposit more")]
    ZeroShares,
    #[msg("The deposit would buy fewer shares than min_shares: read the vault again and lower min_shares")]
    TooFewShares,
    #[msg("Only the owner of the request may do this: sign with the key in WithdrawRequest.owner")]
    NotShareOwner,
    #[msg("The request is still in its cooldown: wait until the request's unlock_at")]
    StillCoolingDown,
    #[msg("The capital backs policies and too little is free: withdraw once policies have ended or more is deposited")]
    CapitalLocked,
    #[msg("The vault is in use: close it once it has no circulating shares, requests, exposures and policies; without the manager's signature, also wait until its notice period is over")]
    VaultInUse,
    #[msg("The exposure is in use: wait until its policies have ended, and the model is unlisted, retired or changed, or the vault is abandoned")]
    ExposureInUse,

    // Policies.
    #[msg("The vault does not list this model: have its manager list it")]
    ModelNotListed,
    #[msg("The listing has not taken effect: wait until the exposure's active_at")]
    ListingNotActive,
    #[msg("The model has fewer than 8 Final receipts of this version: wait for more")]
    TooLittleHistory,
    #[msg("The model's newest Final receipt is too old: wait for a new one")]
    StaleHistory,
    #[msg("The exhaustion is too close to the trigger: use at least the trigger plus eight times the model's max_spread")]
    InvalidExhaustion,
    #[msg("The trigger is below the listing's lowest_trigger: choose a higher one")]
    TriggerTooLow,
    #[msg("The trigger is not far enough above the model's drift: choose one that is above it by more than twice max_spread")]
    TriggerReached,
    #[msg("The persistence is invalid: use 1 to 4, and at most the number of windows")]
    InvalidPersistence,
    #[msg("The first window begins too soon: choose the first that begins at least the vault's waiting_secs from now")]
    WindowsBegan,
    #[msg("The first window is later than the first that can be covered: choose an earlier one")]
    WindowsTooLate,
    #[msg("The cover is outside the vault's limits: see min_cover and max_cover in Vault.terms")]
    CoverOutOfLimits,
    #[msg("The duration is outside the vault's limits: see min_duration_secs and max_duration_secs in Vault.terms")]
    DurationOutOfLimits,
    #[msg("The last window ends too late: choose one that ends within 400 days and 63 of the vault's buckets")]
    EndTooFar,
    #[msg("The cover would exceed the vault's utilisation limit, current or announced: use less cover or wait for capital (capital that is requested for withdrawal or reserved does not count)")]
    UtilisationTooHigh,
    #[msg("The cover would exceed the vault's cap for this model: use less cover or wait until policies end")]
    ExposureFull,
    #[msg(
        "The premium is above max_premium: raise max_premium, or wait until the premium is lower"
    )]
    PremiumTooHigh,
    #[msg(
        "The policy owes nothing: call examine_policy first, or claim after a run of higher drift"
    )]
    NothingDue,
    #[msg("The policy's claim grace is not over: expire it then")]
    PolicyNotExpired,
    #[msg("Only the policy's holder may do this: sign with the key in Policy.holder")]
    NotHolder,
    #[msg("The policy has no auto_renew: have its holder sign")]
    NotAutoRenewed,
    #[msg("The policy has paid or owes a claim and can no longer be renewed: buy a new one")]
    PolicyTriggered,
    #[msg("The holder's token account delegates less than the premium to the renewal authority: approve more")]
    TooLittleDelegated,

    // Vaults, appended later.
    #[msg("The manager has changed a listing or announced terms since the vault was read: read the vault and its exposures again")]
    VaultChanged,
    #[msg("The request's exit window is over and it has become shares: request them again, or cancel the request to get them")]
    RequestLapsed,

    // The oracles' pay, appended later.
    #[msg("The security rent is outside the limits: see min_security_rent_bps and max_security_rent_bps in Config")]
    InvalidSecurityRent,
    #[msg("The budgets are too high: market_budget_bps and cover_budget_bps may be at most 10000 together")]
    InvalidBudgets,
    #[msg("The security rent is above max_rent: raise max_rent or bet less")]
    RentTooHigh,
    #[msg(
        "The end of the funding is invalid: choose a time in the future, at most 400 days ahead"
    )]
    InvalidFundingEnd,
    #[msg("The pot can still pay oracles: collect it one epoch after its stream has ended, or once the model is retired and has neither exposure nor an open receipt")]
    PotInUse,
    #[msg("The seats do not match the removed oracles with rewards or open penalties: pass their seats in the order of the model's oracles")]
    WrongRewardSeats,

    // Markets, appended later.
    #[msg("The position does not belong to this market and bettor: pass the address of the bettor's position in the market")]
    WrongPosition,

    // Sales of stakes.
    #[msg("Only the position's owner may do this: sign with the key in Position.owner")]
    NotPositionOwner,
    #[msg("The ask is above the stake on the outcome: offer at most the stake")]
    AskAboveStake,
    #[msg("The price is zero: ask for at least 1 thousandth of the stake")]
    ZeroPrice,
    #[msg("The ask's valid_until is not after now, or after the next end of a window that the market observes: choose a time in between")]
    InvalidAskEnd,
    #[msg("An oracle, a challenger or the arbiter has reported since the model was read: read Model.reports again and reconsider the price")]
    ReportsMismatch,
    #[msg("The position has no ask on the outcome: choose another position")]
    NoAsk,
    #[msg("The ask has fallen, because it has ended or the model was reported on since it was set: choose another, or have the seller ask again")]
    AskFallen,
    #[msg("The ask is smaller than the amount: buy less")]
    AboveAsk,
    #[msg("The purchase is below the collateral's min_bet: buy more, or the whole ask")]
    PurchaseTooSmall,
    #[msg("The price of the ask is above max_price: read the position again and raise max_price")]
    PriceTooHigh,

    // Seats, appended later.
    #[msg("The spread is above an eighth of the model's noise floor: use at most that")]
    SpreadAboveNoise,
    #[msg(
        "The seat does not count, so nothing at risk holds its bond: call request_unbond instead"
    )]
    NothingToLeave,
    #[msg("The seat is already leaving: call request_unbond from its leave_at on")]
    AlreadyLeaving,
    #[msg("Nothing depends on the model: replace its oracles by update_model")]
    ModelNotExposed,
    #[msg("The replaced key is not one of the model's oracles: name one in Model.oracles")]
    NotListed,
    #[msg("The oracle's seat counts, or has not been without counting for the model's replace_secs: wait until it has")]
    SeatNotVacant,
    #[msg("A receipt to which the oracle has submitted is open: finalize it first")]
    SubmissionOpen,
    #[msg("As many oracles are replaced as the model allows while it is exposed: wait until its markets and policies have ended")]
    TooManyReplaced,
    #[msg("The window began before the oracle was listed: submit for a later window")]
    ListedTooLate,
    #[msg("Only the arbiter may propose its successor: sign with the key in Config.arbiter")]
    NotCurrentArbiter,
    #[msg("Only the proposed arbiter may accept: sign with the key in Config.pending_arbiter")]
    NotPendingArbiter,
    #[msg("min_observed is above the number of observed windows: use at most that number")]
    InvalidMinObserved,

    // Disputes and silence, appended later.
    #[msg("Somebody has already challenged this window: wait for the ruling")]
    AlreadyChallenged,
    #[msg("The asserted counts agree with what is proposed: assert counts whose drift is more than max_spread away, or leave the proposal as it is")]
    AssertionAgrees,
    #[msg("The asserted counts have fewer rows than min_samples: assert at least that many for a window to which nobody has submitted")]
    AssertionThin,
    #[msg("Nobody has submitted, and oracles still can: challenge the window once its submit period is over")]
    SubmitPeriodOpen,
    #[msg("No market and no policy made before the window began depends on it: challenge a window that one observes or covers")]
    WindowNotObserved,
    #[msg("A quorum has submitted, so there is data: rule by counts")]
    QuorumSubmitted,
    #[msg("The receipt holds nothing that could be returned: nothing was slashed, or it was returned or credited")]
    NothingHeld,
    #[msg("The time for an appeal is over: what was slashed stays with the challenger and the treasury")]
    AppealPeriodOver,
    #[msg("The seat has no open penalties: nothing is left to pay")]
    NoPenaltyOpen,

    // Accounts that may be created, appended later.
    #[msg("The receipt is not the one of this window: pass the address of [\"receipt\", model, window]")]
    WrongReceipt,
    #[msg("The exposure is not the vault's to this model: pass the address of [\"exposure\", vault, model]")]
    WrongExposure,
    #[msg("The request is not the owner's in this vault: pass the address of [\"withdraw\", vault, owner]")]
    WrongRequest,

    // Policies, appended later.
    #[msg("The listing is of another version of the model: have the vault's manager list the model again")]
    ListingOutdated,
    #[msg("The persistence is above the listing's max_persistence: choose fewer windows")]
    PersistenceTooLong,
    #[msg("Only the holder may renew this early: have the holder sign, or wait until a quarter of the term before the last time for a renewal")]
    RenewalTooEarly,
    #[msg("The price has risen by more than a quarter since the term before: have the holder sign, or wait until it is lower")]
    RenewalTooDear,

    // Probation, appended later.
    #[msg("A term of the policy is on probation: call begin_policy once the windows of its probation are decided")]
    TermPending,
    #[msg("No term of the policy is on probation: nothing is left to begin")]
    NothingPending,
    #[msg("The policy spans too many windows: from the oldest undecided window to the last covered one, use at most 2048")]
    TooManyWindows,
    #[msg("The vault's waiting_secs is too short for this model: use a vault that waits at least one window plus the submit period")]
    WaitingTooShort,

    // Premium of unmeasured windows and cancel fees, appended later.
    #[msg("No covered window has been decided since the last examination, or no page was passed: call again when one is")]
    NothingToExamine,
    #[msg("The vault's cancel fee is above max_cancel_fee_bps: read the vault again, and accept its fee or leave the purchase")]
    CancelFeeTooHigh,
    #[msg("The vault has more pending losses than max_pending_losses, and the deposit would bear its part: wait until they are borne, or accept more")]
    LossesPending,
}
