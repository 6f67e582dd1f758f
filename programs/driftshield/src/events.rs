//! What the program tells: one event an instruction, by a call to itself.
//!
//! An event carries the `seq` of every account whose counter it advances, and the totals after
//! the change: history can be rebuilt from events alone, and a gap in it shows.

use anchor_lang::{
    pinocchio::instruction::InstructionAccount, prelude::*, unchecked_invoke_signed_fixed,
};

use crate::{
    ChallengePayee, CollateralTerms, ConfigParams, FeePayee, ListingTerms, MarketState,
    MarketTerms, MetricSpec, ModelTerms, PolicyTerms, PremiumPayee, ReceiptState, TokenProgram,
    VaultTerms, VaultTotals,
};

/// Emits an event, as its `data()`, by a call of the program to itself: unlike a log it can't be
/// cut off.
///
/// The same bytes as Anchor's `emit_cpi!`, built in place for a fraction of its units. One copy
/// for all events keeps the binary small.
#[inline(never)]
pub fn emit_by_cpi(event_authority: &UncheckedAccount, bump: u8, event: &[u8]) {
    let mut data = Vec::with_capacity(8 + event.len());
    data.extend_from_slice(anchor_lang::event::EVENT_IX_TAG_LE);
    data.extend_from_slice(event);

    let authority = event_authority.cpi_handle();
    unchecked_invoke_signed_fixed(
        &crate::ID,
        &data,
        &[InstructionAccount::readonly_signer(authority.address())],
        &[authority],
        &[&[b"__event_authority", &[bump]]],
    );
}

/// Emits the event that the instruction's method returned.
macro_rules! emit_event {
    ($ctx:ident, $event:expr) => {{
        let event = $event;
        $crate::events::emit_by_cpi(
            &$ctx.accounts.event_authority,
            $ctx.bumps.event_authority,
            &anchor_lang::Event::data(&event),
        );
        Ok(())
    }};
}
pub(crate) use emit_event;

/// A submitter's seat after a ruling.
#[derive(AnchorSerialize, AnchorDeserialize, IdlType, Clone, Debug, PartialEq, Eq)]
pub struct SeatRuled {
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
    pub bonded: u64,
    pub unbonding: u64,
}

/// A receipt that a settlement finalized on its way.
#[derive(AnchorSerialize, AnchorDeserialize, IdlType, Clone, Debug, PartialEq, Eq)]
pub struct ReceiptSettled {
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    pub state: ReceiptState,
    pub value: u64,
    pub challenger_credit: u64,
}

/// The program was set up.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Initialized {
    pub config_seq: u64,
    pub admin: Address,
    pub guardian: Address,
    pub arbiter: Address,
    pub params: ConfigParams,
}

/// The admin changed what new objects copy.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ConfigUpdated {
    pub config_seq: u64,
    pub guardian: Address,
    pub arbiter: Address,
    pub params: ConfigParams,
}

/// The admin offered its role.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct AdminProposed {
    pub config_seq: u64,
    pub admin: Address,
    pub pending_admin: Address,
}

/// The proposed admin took the role.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct AdminAccepted {
    pub config_seq: u64,
    pub admin: Address,
}

/// New risk was stopped or allowed.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct PauseSet {
    pub config_seq: u64,
    pub authority: Address,
    /// What is paused, added up: 1 models, 2 markets, 4 bets, 8 deposits, 16 policies, 32 renewals.
    pub paused: u8,
}

/// A token may settle markets, cover and bonds.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct CollateralRegistered {
    pub collateral: Address,
    pub collateral_seq: u64,
    pub mint: Address,
    pub token_program: TokenProgram,
    /// Bits by Token-2022's numbers of the types.
    pub extensions: u32,
    pub treasury: Address,
    pub decimals: u8,
    pub accepts_freeze: bool,
    pub terms: CollateralTerms,
}

/// The terms of a token changed for new objects.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct CollateralUpdated {
    pub collateral: Address,
    pub collateral_seq: u64,
    pub mint: Address,
    pub enabled: bool,
    pub terms: CollateralTerms,
}

/// The admin took out the protocol's earnings.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct TreasuryWithdrawn {
    pub collateral: Address,
    pub collateral_seq: u64,
    pub mint: Address,
    pub destination: Address,
    pub amount: u64,
    pub remaining: u64,
}

/// A model and its measure were pinned.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ModelRegistered {
    pub model: Address,
    pub model_seq: u64,
    pub owner: Address,
    pub id: u64,
    pub bond_mint: Address,
    pub arbiter: Address,
    pub noise_floor: u64,
    pub version: u32,
    pub spec: MetricSpec,
    pub terms: ModelTerms,
}

/// An owner changed who measures its model or how it is presented.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ModelUpdated {
    pub model: Address,
    pub model_seq: u64,
    pub owner: Address,
    pub version: u32,
    pub security: u64,
    pub terms: ModelTerms,
}

/// A model takes no new risk any more.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ModelRetired {
    pub model: Address,
    pub model_seq: u64,
    pub owner: Address,
}

/// An oracle put up a bond.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Bonded {
    pub model: Address,
    pub model_seq: u64,
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
    pub amount: u64,
    pub bonded: u64,
    pub unbonding: u64,
    pub security: u64,
    pub held: u64,
}

/// An oracle asked a part of its bond back.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct UnbondRequested {
    pub model: Address,
    pub model_seq: u64,
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
    pub amount: u64,
    pub bonded: u64,
    pub unbonding: u64,
    pub release_at: i64,
    pub security: u64,
}

/// What had unbonded was paid to the oracle.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct BondWithdrawn {
    pub model: Address,
    pub model_seq: u64,
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
    pub destination: Address,
    pub amount: u64,
    pub bonded: u64,
    pub held: u64,
}

/// An empty seat was closed.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct SeatClosed {
    pub model: Address,
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
}

/// An oracle counted a window. The first submission makes the receipt.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReceiptSubmitted {
    pub model: Address,
    pub model_seq: u64,
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
    pub version: u32,
    /// Rows by bin.
    pub counts: Vec<u32>,
    pub samples: u64,
    /// The drift of these counts.
    pub submission: u64,
    pub evidence_hash: [u8; 32],
    pub evidence_uri: String,
    pub state: ReceiptState,
    /// The median of all submissions so far.
    pub value: u64,
    /// Bit `i` is set once oracle `i` has submitted.
    pub submitted: u8,
}

/// Somebody put up a bond against a proposed value.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReceiptChallenged {
    pub model: Address,
    pub model_seq: u64,
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    pub challenger: Address,
    pub bond: u64,
    pub value: u64,
    pub held: u64,
}

/// The arbiter ended a dispute.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRuled {
    pub model: Address,
    pub model_seq: u64,
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    pub arbiter: Address,
    pub counts: Vec<u32>,
    pub value: u64,
    /// Whether the median was within the model's spread of the ruling.
    pub upheld: bool,
    pub slashed: u64,
    /// Paid into each submitter's seat.
    pub reward: u64,
    pub challenger_credit: u64,
    pub treasury_credit: u64,
    pub security: u64,
    pub chain: [u8; 32],
    /// Of the submitters, in the model's order.
    pub seats: Vec<SeatRuled>,
}

/// Time moved a receipt on.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReceiptFinalized {
    pub model: Address,
    pub model_seq: u64,
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    pub state: ReceiptState,
    pub value: u64,
    pub challenger_credit: u64,
    pub chain: [u8; 32],
}

/// A dispute's credit was paid out.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ChallengeCollected {
    pub model: Address,
    pub model_seq: u64,
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    pub payee: ChallengePayee,
    pub destination: Address,
    pub amount: u64,
    pub held: u64,
}

/// A receipt that nobody can need any more was closed.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReceiptClosed {
    pub model: Address,
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    pub payer: Address,
}

/// A market opened.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct MarketCreated {
    pub market: Address,
    pub market_seq: u64,
    pub creator: Address,
    pub id: u64,
    pub model: Address,
    pub mint: Address,
    pub protocol_fee_bps: u16,
    pub terms_hash: [u8; 32],
    pub terms: MarketTerms,
}

/// A market without bets was closed.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct MarketCancelled {
    pub market: Address,
    pub market_seq: u64,
    pub creator: Address,
    /// Donations, to the treasury.
    pub swept: u64,
}

/// Somebody bet. The first bet makes the position.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct BetPlaced {
    pub market: Address,
    pub market_seq: u64,
    pub position: Address,
    pub position_seq: u64,
    pub model: Address,
    pub model_seq: u64,
    pub owner: Address,
    pub outcome: u8,
    pub amount: u64,
    /// The owner's, on this outcome.
    pub stake: u64,
    /// Everybody's, on this outcome.
    pub pool: u64,
    pub total: u64,
    /// Payout of this outcome as things stand, in thousandths of a stake.
    pub multiple: u64,
    pub at_risk: u64,
    pub exposure: u64,
}

/// Windows of a market were settled, the last one with the market.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct MarketSettled {
    pub market: Address,
    pub market_seq: u64,
    pub model: Address,
    pub model_seq: u64,
    pub next_window: u64,
    pub observed: u64,
    pub accumulator: u64,
    pub state: MarketState,
    pub outcome: Option<u8>,
    pub value: u64,
    pub protocol_fee: u64,
    pub creator_fee: u64,
    pub winnings: u64,
    pub at_risk: u64,
    pub exposure: u64,
    pub chain: [u8; 32],
    /// Those that time had decided but nobody had finalized.
    pub receipts: Vec<ReceiptSettled>,
}

/// A position was paid and closed.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub market: Address,
    pub market_seq: u64,
    pub position: Address,
    pub position_seq: u64,
    pub owner: Address,
    pub destination: Address,
    pub paid: u64,
    pub owed: u64,
    pub positions: u64,
}

/// A fee was paid out.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct FeesCollected {
    pub market: Address,
    pub market_seq: u64,
    pub payee: FeePayee,
    pub destination: Address,
    pub amount: u64,
    pub owed: u64,
}

/// A market that owes nothing any more was closed.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct MarketClosed {
    pub market: Address,
    pub market_seq: u64,
    pub creator: Address,
    /// Dust and donations, to the treasury.
    pub swept: u64,
}

// Vaults and policies. `totals` is the vault's money after the change.

/// A vault opened.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct VaultCreated {
    pub vault: Address,
    pub vault_seq: u64,
    pub manager: Address,
    pub id: u64,
    pub mint: Address,
    pub share_mint: Address,
    pub cooldown_secs: i64,
    pub waiting_secs: i64,
    pub claim_grace_secs: i64,
    pub bucket_secs: i64,
    pub protocol_fee_bps: u16,
    pub manager_fee_bps: u16,
    pub terms: VaultTerms,
}

/// A manager announced other terms.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct VaultUpdated {
    pub vault: Address,
    pub vault_seq: u64,
    pub manager: Address,
    pub terms: VaultTerms,
    /// When they take effect.
    pub terms_at: i64,
    pub totals: VaultTotals,
}

/// A manager listed a model, or changed on what terms.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ModelListed {
    pub vault: Address,
    pub vault_seq: u64,
    pub exposure: Address,
    pub exposure_seq: u64,
    pub manager: Address,
    pub model: Address,
    pub terms: ListingTerms,
    /// No cover is sold earlier.
    pub active_at: i64,
}

/// Somebody put up capital.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Deposited {
    pub vault: Address,
    pub vault_seq: u64,
    pub owner: Address,
    pub amount: u64,
    /// Made for it.
    pub shares: u64,
    pub totals: VaultTotals,
}

/// Shares were asked back.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct WithdrawRequested {
    pub vault: Address,
    pub vault_seq: u64,
    pub request: Address,
    pub request_seq: u64,
    pub owner: Address,
    pub shares: u64,
    /// All shares of the request, and what they are worth at most.
    pub requested: u64,
    pub value: u64,
    pub unlock_at: i64,
    pub totals: VaultTotals,
}

/// A request was given up.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct WithdrawCancelled {
    pub vault: Address,
    pub vault_seq: u64,
    pub request: Address,
    pub request_seq: u64,
    pub owner: Address,
    pub shares: u64,
    /// Of these, what the owner got back.
    pub returned: u64,
    pub totals: VaultTotals,
}

/// Shares were paid out.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    pub vault: Address,
    pub vault_seq: u64,
    pub request: Address,
    pub request_seq: u64,
    pub owner: Address,
    pub destination: Address,
    pub shares: u64,
    pub amount: u64,
    /// What is left of the request, which is closed when nothing is.
    pub requested: u64,
    pub value: u64,
    pub totals: VaultTotals,
}

/// The protocol's or the manager's part of premiums was paid out.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ManagerFeesCollected {
    pub vault: Address,
    pub vault_seq: u64,
    pub payee: PremiumPayee,
    pub destination: Address,
    pub amount: u64,
    pub totals: VaultTotals,
}

/// A model went off a vault's list.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ExposureClosed {
    pub vault: Address,
    pub vault_seq: u64,
    pub exposure: Address,
    pub exposure_seq: u64,
    pub model: Address,
    pub manager: Address,
}

/// A vault that owes nothing any more was closed.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct VaultClosed {
    pub vault: Address,
    pub vault_seq: u64,
    pub manager: Address,
    /// Residue and donations, to the treasury.
    pub swept: u64,
}

/// Somebody bought cover.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct PolicyBought {
    pub vault: Address,
    pub vault_seq: u64,
    pub exposure: Address,
    pub exposure_seq: u64,
    pub policy: Address,
    pub policy_seq: u64,
    pub model: Address,
    pub model_seq: u64,
    pub holder: Address,
    pub id: u64,
    pub terms: PolicyTerms,
    pub last_window: u64,
    /// When the last window ends.
    pub end: i64,
    pub premium: u64,
    pub protocol_part: u64,
    pub manager_part: u64,
    /// Streams to the vault.
    pub streamed_part: u64,
    pub totals: VaultTotals,
    /// The exposure's cover.
    pub exposure_cover: u64,
    pub at_risk: u64,
    /// The model's unsettled markets and open policies.
    pub model_exposure: u64,
}

/// A policy was paid. It is closed when all of its cover was.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct PolicyClaimed {
    pub vault: Address,
    pub vault_seq: u64,
    pub exposure: Address,
    pub exposure_seq: u64,
    pub policy: Address,
    pub policy_seq: u64,
    pub model: Address,
    pub model_seq: u64,
    pub holder: Address,
    pub destination: Address,
    /// The first window of the run.
    pub first_window: u64,
    /// The lowest value of the run.
    pub value: u64,
    pub amount: u64,
    /// All that was paid so far.
    pub paid: u64,
    pub cover: u64,
    pub totals: VaultTotals,
    pub exposure_cover: u64,
    pub at_risk: u64,
    pub model_exposure: u64,
}

/// A holder gave a policy up.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct PolicyCancelled {
    pub vault: Address,
    pub vault_seq: u64,
    pub exposure: Address,
    pub exposure_seq: u64,
    pub policy: Address,
    pub policy_seq: u64,
    pub model: Address,
    pub model_seq: u64,
    pub holder: Address,
    pub destination: Address,
    pub refund: u64,
    pub paid: u64,
    pub totals: VaultTotals,
    pub exposure_cover: u64,
    pub at_risk: u64,
    pub model_exposure: u64,
}

/// A policy got as many windows more.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct PolicyRenewed {
    pub vault: Address,
    pub vault_seq: u64,
    pub exposure: Address,
    pub exposure_seq: u64,
    pub policy: Address,
    pub policy_seq: u64,
    pub model: Address,
    pub model_seq: u64,
    pub holder: Address,
    pub last_window: u64,
    /// When the last window ends.
    pub end: i64,
    pub premium: u64,
    pub protocol_part: u64,
    pub manager_part: u64,
    /// Streams to the vault.
    pub streamed_part: u64,
    pub totals: VaultTotals,
}

/// A policy ended without another payment.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct PolicyExpired {
    pub vault: Address,
    pub vault_seq: u64,
    pub exposure: Address,
    pub exposure_seq: u64,
    pub policy: Address,
    pub policy_seq: u64,
    pub model: Address,
    pub model_seq: u64,
    pub holder: Address,
    pub paid: u64,
    pub totals: VaultTotals,
    pub exposure_cover: u64,
    pub at_risk: u64,
    pub model_exposure: u64,
}
