//! The program's events: one per instruction, emitted by self-CPI.
//!
//! An event carries the sequence number (`…_seq`) of every account that the instruction changes,
//! and the totals after the change. History can therefore be rebuilt from events alone, and a
//! missing event leaves a gap in a sequence.

use core::mem::MaybeUninit;

use anchor_lang::{
    event::EVENT_IX_TAG_LE,
    pinocchio::instruction::InstructionAccount,
    prelude::*,
    unchecked_invoke_signed_fixed,
    wincode::{config::serialize_into, io::Writer, SchemaWrite},
    BorshConfig, Discriminator, BORSH_CONFIG,
};

use crate::{
    Ask, ChallengePayee, CollateralTerms, ConfigParams, FeePayee, ListingTerms, MarketState,
    MarketTerms, MetricSpec, ModelTerms, PolicyTerms, PotTotals, PremiumPayee, Probation,
    ReceiptState, RewardPayee, TokenProgram, VaultTerms, VaultTotals,
};

/// Space for an encoded event with its tags, in bytes. The largest event has 1,235: a `ModelUpdated` in which
/// seven oracles replace seven others, with the longest texts.
const MAX_BYTES: usize = 1_280;

/// Emits an event by self-CPI. Inner instructions, unlike logs, are never truncated.
///
/// Sends the same bytes as Anchor's `emit_cpi!`. They are encoded on the stack: an allocation for each event
/// takes more compute units, and more code.
#[inline(always)]
pub(crate) fn emit<E>(event_authority: &UncheckedAccount, bump: u8, event: &E)
where
    E: Discriminator + SchemaWrite<BorshConfig, Src = E>,
{
    let mut data = [MaybeUninit::uninit(); MAX_BYTES];
    let length = encode(&mut data, event);
    // SAFETY: `encode` has written the first `length` bytes.
    let data = unsafe { core::slice::from_raw_parts(data.as_ptr().cast(), length) };
    invoke_self(event_authority, bump, data);
}

/// Writes an event with its tags to the start of `data`, and returns the number of bytes. Aborts if they
/// don't fit.
#[inline(always)]
fn encode<E>(data: &mut [MaybeUninit<u8>], event: &E) -> usize
where
    E: Discriminator + SchemaWrite<BorshConfig, Src = E>,
{
    let space = data.len();
    let mut rest = data;
    for tag in [EVENT_IX_TAG_LE, E::DISCRIMINATOR] {
        rest.write(tag).expect("the tags fit");
    }
    serialize_into(&mut rest, event, BORSH_CONFIG).expect("the event fits");
    space - rest.len()
}

/// Calls this program with an encoded event. Not inlined: one copy for all events keeps the binary small.
#[inline(never)]
fn invoke_self(event_authority: &UncheckedAccount, bump: u8, data: &[u8]) {
    let authority = event_authority.cpi_handle();
    unchecked_invoke_signed_fixed(
        &crate::ID,
        data,
        &[InstructionAccount::readonly_signer(authority.address())],
        &[authority],
        &[&[b"__event_authority", &[bump]]],
    );
}

/// Emits the event that the instruction's method returned.
macro_rules! emit_event {
    ($ctx:ident, $event:expr) => {{
        let event = $event;
        $crate::events::emit(
            &$ctx.accounts.event_authority,
            $ctx.bumps.event_authority,
            &event,
        );
        Ok(())
    }};
}
pub(crate) use emit_event;

/// State of a seat after a ruling, after the return of what a ruling slashed, or after a removed
/// oracle's reward was added to its bond. Open penalties are paid.
#[derive(AnchorSerialize, AnchorDeserialize, IdlType, Clone, Debug, PartialEq, Eq)]
pub struct SeatRuled {
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
    /// The seat's whole bond, including what is unbonding, in base units.
    pub bonded: u64,
    /// Part of the bond that is unbonding, in base units.
    pub unbonding: u64,
}

/// What an oracle lost for its silence.
#[derive(AnchorSerialize, AnchorDeserialize, IdlType, Clone, Debug, PartialEq, Eq)]
pub struct Penalty {
    pub oracle: Address,
    /// In base units.
    pub amount: u64,
}

/// The program was initialized.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Initialized {
    pub config_seq: u64,
    pub admin: Address,
    pub guardian: Address,
    pub arbiter: Address,
    pub params: ConfigParams,
}

/// The admin replaced the parameters and the guardian.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ConfigUpdated {
    pub config_seq: u64,
    pub guardian: Address,
    pub params: ConfigParams,
}

/// The admin proposed a successor.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct AdminProposed {
    pub config_seq: u64,
    pub admin: Address,
    pub pending_admin: Address,
}

/// The proposed admin accepted the role.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct AdminAccepted {
    pub config_seq: u64,
    pub admin: Address,
}

/// The arbiter proposed a successor.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ArbiterProposed {
    pub config_seq: u64,
    pub arbiter: Address,
    pub pending_arbiter: Address,
}

/// The proposed arbiter accepted the role.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ArbiterAccepted {
    pub config_seq: u64,
    pub arbiter: Address,
}

/// The pause flags were set.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct PauseSet {
    pub config_seq: u64,
    pub authority: Address,
    /// Sum of the pause flags: 1 models, 2 markets, 4 bets, 8 deposits, 16 policies, 32 renewals.
    pub paused: u8,
}

/// A token was registered as collateral.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct CollateralRegistered {
    pub collateral: Address,
    pub collateral_seq: u64,
    pub mint: Address,
    pub token_program: TokenProgram,
    /// The mint's Token-2022 extensions: bit `n` is set for extension type `n`.
    pub extensions: u32,
    pub treasury: Address,
    pub decimals: u8,
    pub accepts_freeze: bool,
    pub terms: CollateralTerms,
}

/// The admin replaced a collateral's terms and set whether the collateral is enabled.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct CollateralUpdated {
    pub collateral: Address,
    pub collateral_seq: u64,
    pub mint: Address,
    pub enabled: bool,
    pub terms: CollateralTerms,
}

/// The admin withdrew from a treasury.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct TreasuryWithdrawn {
    pub collateral: Address,
    pub collateral_seq: u64,
    pub mint: Address,
    pub destination: Address,
    /// In base units.
    pub amount: u64,
    /// The treasury's balance after the withdrawal, in base units.
    pub remaining: u64,
}

/// A model was registered.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ModelRegistered {
    pub model: Address,
    pub model_seq: u64,
    pub owner: Address,
    pub id: u64,
    pub bond_mint: Address,
    pub arbiter: Address,
    /// Lowest allowed threshold of a market and lowest allowed trigger of a policy, in micro-units.
    pub noise_floor: u64,
    pub version: u32,
    pub spec: MetricSpec,
    pub terms: ModelTerms,
}

/// A model's owner replaced the model's terms, which started a new version.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ModelUpdated {
    pub model: Address,
    pub model_seq: u64,
    pub owner: Address,
    pub version: u32,
    /// The model's arbiter, copied from Config.
    pub arbiter: Address,
    /// The model's security, in base units.
    pub security: u64,
    /// The model's security without the seats that are leaving, in base units.
    pub lasting_security: u64,
    pub terms: ModelTerms,
    /// Seats of removed oracles, to whose bonds their rewards were added, in the order of the
    /// model's previous oracles.
    pub seats: Vec<SeatRuled>,
}

/// A model was retired.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ModelRetired {
    pub model: Address,
    pub model_seq: u64,
    pub owner: Address,
}

/// An oracle added to its bond.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Bonded {
    pub model: Address,
    pub model_seq: u64,
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
    /// In base units.
    pub amount: u64,
    /// The seat's whole bond, including what is unbonding, in base units.
    pub bonded: u64,
    /// Part of the bond that is unbonding, in base units.
    pub unbonding: u64,
    /// The model's security, in base units.
    pub security: u64,
    /// The model's security without the seats that are leaving, in base units.
    pub lasting_security: u64,
    /// Amount that the model's bond vault holds for oracles, challengers and the treasury, in base
    /// units. Donations don't count.
    pub held: u64,
}

/// An oracle started to unbond some or all of its bond.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct UnbondRequested {
    pub model: Address,
    pub model_seq: u64,
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
    /// In base units.
    pub amount: u64,
    /// The seat's whole bond, including what is unbonding, in base units.
    pub bonded: u64,
    /// Part of the bond that is unbonding, in base units.
    pub unbonding: u64,
    /// Unix time from which the unbonding amount can be withdrawn.
    pub release_at: i64,
    /// The model's security, in base units.
    pub security: u64,
    /// The model's security without the seats that are leaving, in base units.
    pub lasting_security: u64,
}

/// An unbonded amount was paid to its oracle.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct BondWithdrawn {
    pub model: Address,
    pub model_seq: u64,
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
    pub destination: Address,
    /// In base units.
    pub amount: u64,
    /// The seat's whole bond, including what is unbonding, in base units.
    pub bonded: u64,
    /// Amount that the model's bond vault holds for oracles, challengers and the treasury, in base
    /// units. Donations don't count.
    pub held: u64,
}

/// An oracle started to leave.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct LeaveRequested {
    pub model: Address,
    pub model_seq: u64,
    pub oracle: Address,
    /// Unix time from which the bond may go whatever is at risk.
    pub leave_at: i64,
    /// The model's security without the seats that are leaving, in base units.
    pub lasting_security: u64,
}

/// A model's owner listed another oracle in place of one whose seat didn't count.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct OracleReplaced {
    pub model: Address,
    pub model_seq: u64,
    pub owner: Address,
    /// Index in the model's oracles.
    pub slot: u8,
    /// The removed oracle.
    pub oracle: Address,
    /// The oracle that was listed.
    pub successor: Address,
    /// Number of oracles replaced since the model's exposure was last 0.
    pub replaced: u8,
    /// The removed oracle's seat, if its reward was added to its bond.
    pub seats: Vec<SeatRuled>,
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

/// An oracle submitted its counts of a window. The first submission creates the receipt and, for the
/// first window of a page, the page of the series.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReceiptSubmitted {
    pub model: Address,
    pub model_seq: u64,
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    /// Page of the model's series that holds the window.
    pub series: Address,
    pub series_seq: u64,
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
    /// Version of the model.
    pub version: u32,
    /// Rows by bin.
    pub counts: Vec<u32>,
    /// Number of counted rows.
    pub samples: u64,
    /// Drift that the program computed from these counts, in micro-units; 0 if they are thin.
    pub submission: u64,
    /// SHA-256 of the evidence document.
    pub evidence_hash: [u8; 32],
    /// Location of the evidence document.
    pub evidence_uri: String,
    /// The receipt's state after this submission.
    pub state: ReceiptState,
    /// Median of all submitted values so far, in micro-units; 0 if there is none.
    pub value: u64,
    /// Bit `i` is set if oracle `i` has submitted.
    pub submitted: u8,
    /// Bit `i` is set if oracle `i` has submitted fewer rows than the model's `min_samples`.
    pub thin: u8,
    /// Pay for the window, in base units.
    pub pay: u64,
}

/// A seat paid its open penalties.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct SeatSynced {
    pub model: Address,
    pub model_seq: u64,
    pub seat: Address,
    pub seat_seq: u64,
    pub oracle: Address,
    /// Penalties that left the bond, in base units.
    pub penalty: u64,
    /// The seat's whole bond, including what is unbonding, in base units.
    pub bonded: u64,
    /// Part of the bond that is unbonding, in base units.
    pub unbonding: u64,
}

/// A proposal, a dispute or a missing window was challenged. The challenge of a missing window creates
/// its receipt and, if needed, the page of the series.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReceiptChallenged {
    pub model: Address,
    pub model_seq: u64,
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    /// Page of the model's series that holds the window.
    pub series: Address,
    pub series_seq: u64,
    /// Version of the model.
    pub version: u32,
    pub challenger: Address,
    /// The challenger's counts, in rows by bin.
    pub counts: Vec<u32>,
    /// Drift of these counts, in micro-units; 0 if they are thin.
    pub asserted: u64,
    /// Whether these counts have fewer rows than the model's `min_samples`.
    pub asserts_thin: bool,
    /// The challenger's bond, in base units.
    pub bond: u64,
    /// Median of the submitted values, in micro-units; 0 if there is none.
    pub value: u64,
    /// Amount that the model's bond vault holds for oracles, challengers and the treasury, in base
    /// units. Donations don't count.
    pub held: u64,
}

/// The arbiter ruled on a dispute. The receipt is Final, Thin or Void; it is closed if nothing was
/// slashed and both credits are 0.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRuled {
    pub model: Address,
    pub model_seq: u64,
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    /// Page of the model's series that holds the window.
    pub series: Address,
    pub series_seq: u64,
    pub arbiter: Address,
    /// The arbiter's counts, in rows by bin; `None` if there is no data.
    pub counts: Option<Vec<u32>>,
    pub state: ReceiptState,
    /// Drift of the arbiter's counts, in micro-units; 0 if they are thin. Without data: median of the
    /// submitted values, or 0 if there is none.
    pub value: u64,
    /// Whether there is a challenger and it was right, so that it gets its bond back.
    pub vindicated: bool,
    /// Amount slashed from the submitters' seats, in base units. It is held until `appeal_until`.
    pub slashed: u64,
    /// Unix time until which the admin can return what was slashed; 0 if nothing was.
    pub appeal_until: i64,
    /// Part of `slashed` that the challenger gets unless it is returned, in base units.
    pub reward: u64,
    /// Part of the challenger's bond that was paid into the seat of each submitter who agrees with
    /// the ruling, in base units.
    pub compensation: u64,
    /// Oracles that owed a submission and were silent, in the order of the model's oracles.
    pub penalties: Vec<Penalty>,
    /// Amount that the challenger can collect, in base units.
    pub challenger_credit: u64,
    /// Amount that the treasury can collect, in base units.
    pub treasury_credit: u64,
    /// The model's security, in base units.
    pub security: u64,
    /// The model's security without the seats that are leaving, in base units.
    pub lasting_security: u64,
    /// Pay for the window, in base units.
    pub pay: u64,
    /// Bit `i` is set if oracle `i` earned an equal part of `pay`, rounded down.
    pub earners: u8,
    /// Head of the model's receipt chain.
    pub chain: [u8; 32],
    /// Seats of the submitters, in the order of the model's oracles.
    pub seats: Vec<SeatRuled>,
}

/// A receipt changed its state because a period ended, or because every oracle whose seat counts
/// had submitted. The new state is Proposed, Challenged, Final, Void or Thin; in the last three, the
/// receipt is closed if `challenger_credit` is 0.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReceiptFinalized {
    pub model: Address,
    pub model_seq: u64,
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    /// Page of the model's series that holds the window.
    pub series: Address,
    pub series_seq: u64,
    pub state: ReceiptState,
    /// Median of the submitted values, in micro-units; 0 if there is none, or if the receipt is Thin.
    pub value: u64,
    /// Amount that the challenger can collect, in base units.
    pub challenger_credit: u64,
    /// Pay for the window, in base units.
    pub pay: u64,
    /// Bit `i` is set if oracle `i` earned an equal part of `pay`, rounded down.
    pub earners: u8,
    /// Oracles that owed a submission and were silent, in the order of the model's oracles.
    pub penalties: Vec<Penalty>,
    /// The model's security, in base units.
    pub security: u64,
    /// The model's security without the seats that are leaving, in base units.
    pub lasting_security: u64,
    /// Head of the model's receipt chain.
    pub chain: [u8; 32],
}

/// The admin returned what a ruling slashed. The receipt is closed if `owed` is 0.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct SlashesReturned {
    pub model: Address,
    pub model_seq: u64,
    pub receipt: Address,
    pub receipt_seq: u64,
    pub window: u64,
    pub admin: Address,
    /// Amount returned to the seats, in base units.
    pub amount: u64,
    /// Amount that the receipt still owes, in base units.
    pub owed: u64,
    /// The model's security, in base units.
    pub security: u64,
    /// The model's security without the seats that are leaving, in base units.
    pub lasting_security: u64,
    /// Seats of the slashed oracles, in the order of the model's oracles.
    pub seats: Vec<SeatRuled>,
}

/// Somebody added to the pay of a model's oracles.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct OraclesFunded {
    pub model: Address,
    pub model_seq: u64,
    pub funder: Address,
    /// In base units.
    pub amount: u64,
    /// Unix time until which the amount is paid.
    pub until: i64,
    pub totals: PotTotals,
}

/// An oracle's reward was paid, or what was left of the oracles' pay.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct RewardCollected {
    pub model: Address,
    pub model_seq: u64,
    pub payee: RewardPayee,
    /// The oracle whose reward was paid. If the treasury is the payee: any of the model's oracles.
    pub oracle: Address,
    pub destination: Address,
    /// In base units.
    pub amount: u64,
    pub totals: PotTotals,
}

/// The challenger's or the treasury's credit of a dispute was paid.
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
    /// In base units.
    pub amount: u64,
    /// Amount that the receipt still owes, in base units; at 0 the receipt is closed.
    pub owed: u64,
    /// Amount that the model's bond vault holds for oracles, challengers and the treasury, in base
    /// units. Donations don't count.
    pub held: u64,
}

/// A page of a model's series was closed after its retention.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct SeriesClosed {
    pub model: Address,
    pub series: Address,
    pub series_seq: u64,
    /// Index of the page.
    pub page: u64,
    /// Account that paid the page's rent and receives it back.
    pub payer: Address,
}

/// A market was opened.
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
    /// SHA-256 of the terms in Borsh, followed by `protocol_fee_bps` (u16, little-endian).
    pub terms_hash: [u8; 32],
    pub terms: MarketTerms,
}

/// A market without bets was cancelled, which closed it.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct MarketCancelled {
    pub market: Address,
    pub market_seq: u64,
    pub creator: Address,
    /// Donations moved from the market's vault to the treasury, in base units.
    pub swept: u64,
}

/// A bet was placed. The owner's first bet in a market creates the position.
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
    /// In base units.
    pub amount: u64,
    /// The owner's stake on this outcome, in base units.
    pub stake: u64,
    /// All stakes on this outcome, in base units.
    pub pool: u64,
    /// All stakes in the market, in base units.
    pub total: u64,
    /// Payout multiple of this outcome after the bet, in thousandths of the stake.
    pub multiple: u64,
    /// Unsettled stakes on the model, in base units.
    pub market_risk: u64,
    /// Number of the model's open policies plus its unsettled markets that have a bet.
    pub exposure: u64,
    /// Security rent that was paid in addition, in base units.
    pub rent: u64,
    /// The pot of the model's oracles.
    pub pot: PotTotals,
}

/// An owner set the ask on an outcome, or removed it.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct AskSet {
    pub market: Address,
    pub market_seq: u64,
    pub position: Address,
    pub position_seq: u64,
    pub owner: Address,
    pub outcome: u8,
    /// The owner's stake on this outcome, in base units.
    pub stake: u64,
    /// The ask; its amount is 0 if it was removed.
    pub ask: Ask,
}

/// A buyer took an ask. The stake moved from the seller's position to the buyer's.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct PositionBought {
    pub market: Address,
    pub market_seq: u64,
    pub seller_position: Address,
    pub seller_position_seq: u64,
    /// The buyer's position.
    pub position: Address,
    pub position_seq: u64,
    pub seller: Address,
    pub buyer: Address,
    /// The token account that received the payment.
    pub destination: Address,
    pub outcome: u8,
    /// The part of the stake that was sold, in base units.
    pub amount: u64,
    /// Price in thousandths of the stake.
    pub price: u32,
    /// The buyer's payment, in base units.
    pub paid: u64,
    /// The buyer's stake on this outcome, in base units.
    pub stake: u64,
    /// The seller's stake on this outcome, in base units.
    pub seller_stake: u64,
    /// What is left of the ask; its amount is 0 once all of it is sold.
    pub seller_ask: Ask,
    /// The seller's stakes on all outcomes, in base units; at 0 the position is closed.
    pub seller_total: u64,
    /// Number of positions in the market.
    pub positions: u64,
}

/// Windows of a market were settled, or the market became Void because the retention of its next
/// window was over. `state` tells whether the market is open, resolved or void.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct MarketSettled {
    pub market: Address,
    pub market_seq: u64,
    pub model: Address,
    pub model_seq: u64,
    /// Next window to settle.
    pub next_window: u64,
    /// Number of settled windows with a final value.
    pub observed: u64,
    /// Running aggregate in micro-units: the maximum, the latest or the sum of the observed values,
    /// depending on the market's aggregate.
    pub accumulator: u64,
    pub state: MarketState,
    /// The winning outcome, if the market is resolved.
    pub outcome: Option<u8>,
    /// Aggregate of the observed values, in micro-units. 0 while the market is open, and if the
    /// market became Void because no window was observed or the retention of a window was over.
    pub value: u64,
    /// The protocol's fee in base units; 0 unless the market is resolved.
    pub protocol_fee: u64,
    /// The creator's fee in base units; 0 unless the market is resolved.
    pub creator_fee: u64,
    /// The losing stakes less fees in base units; 0 unless the market is resolved.
    pub winnings: u64,
    /// Unsettled stakes on the model, in base units.
    pub market_risk: u64,
    /// Number of the model's open policies plus its unsettled markets that have a bet.
    pub exposure: u64,
}

/// A position's payout was paid, and the position was closed.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub market: Address,
    pub market_seq: u64,
    pub position: Address,
    pub position_seq: u64,
    pub owner: Address,
    pub destination: Address,
    /// Payout in base units; 0 if the position won nothing.
    pub paid: u64,
    /// Amount that the market still owes, in base units.
    pub owed: u64,
    /// Number of positions left in the market.
    pub positions: u64,
}

/// A market's protocol fee or creator fee was paid.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct FeesCollected {
    pub market: Address,
    pub market_seq: u64,
    pub payee: FeePayee,
    pub destination: Address,
    /// In base units.
    pub amount: u64,
    /// Amount that the market still owes, in base units.
    pub owed: u64,
}

/// A settled market was closed.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct MarketClosed {
    pub market: Address,
    pub market_seq: u64,
    pub creator: Address,
    /// Dust and donations moved from the market's vault to the treasury, in base units.
    pub swept: u64,
}

// Vaults and policies.

/// A vault was opened.
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
    pub exit_secs: i64,
    pub season_secs: i64,
    pub protocol_fee_bps: u16,
    pub manager_fee_bps: u16,
    pub terms: VaultTerms,
}

/// A manager announced new terms, which take effect at `terms_at`.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct VaultUpdated {
    pub vault: Address,
    pub vault_seq: u64,
    pub manager: Address,
    pub terms: VaultTerms,
    /// Unix time at which `terms` take effect.
    pub terms_at: i64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
}

/// A manager listed a model, changed the terms of its listing, or unlisted it (a cap of 0).
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
    /// Unix time from which cover is sold.
    pub active_at: i64,
}

/// A liquidity provider deposited capital.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Deposited {
    pub vault: Address,
    pub vault_seq: u64,
    pub owner: Address,
    /// In base units.
    pub amount: u64,
    /// Shares minted for the deposit.
    pub shares: u64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
}

/// A liquidity provider requested a withdrawal of shares.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct WithdrawRequested {
    pub vault: Address,
    pub vault_seq: u64,
    pub request: Address,
    pub request_seq: u64,
    pub owner: Address,
    /// Burned shares, whose value was added to the request.
    pub shares: u64,
    /// Capital of the whole request, in base units.
    pub value: u64,
    /// Unix time from which the request can be paid.
    pub unlock_at: i64,
    /// Unix time at which what isn't paid becomes shares.
    pub lapses_at: i64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
}

/// A withdrawal request was cancelled.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct WithdrawCancelled {
    pub vault: Address,
    pub vault_seq: u64,
    pub request: Address,
    pub request_seq: u64,
    pub owner: Address,
    /// Shares minted for the owner.
    pub shares: u64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
}

/// A withdrawal request was paid, became shares after its exit window, or ended its reserve. It is
/// closed once neither value nor shares are left.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    pub vault: Address,
    pub vault_seq: u64,
    pub request: Address,
    pub request_seq: u64,
    pub owner: Address,
    pub destination: Address,
    /// Payment in base units.
    pub amount: u64,
    /// Capital left in the request, in base units.
    pub value: u64,
    /// Shares that the request became after its exit window; 0 before.
    pub shares: u64,
    /// Whether free capital did not suffice for a payment.
    pub is_short: bool,
    /// Unix time until which purchases keep the value of `shares` free; 0 if they don't.
    pub reserved_until: i64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
}

/// The treasury's or the manager's credit was paid.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct ManagerFeesCollected {
    pub vault: Address,
    pub vault_seq: u64,
    pub payee: PremiumPayee,
    pub destination: Address,
    /// In base units.
    pub amount: u64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
}

/// An exposure was closed: the vault no longer lists the model.
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

/// A vault was closed.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct VaultClosed {
    pub vault: Address,
    pub vault_seq: u64,
    pub manager: Address,
    /// Balance moved from the vault to the treasury, in base units: the treasury's uncollected
    /// credit, capital and premium that nobody owns, and donations.
    pub swept: u64,
}

/// A holder bought a policy.
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
    /// First window of the probation.
    pub from_window: u64,
    /// Last covered window.
    pub last_window: u64,
    /// Unix time at which the last covered window ends.
    pub end: i64,
    /// Amount that the holder paid, in base units. The vault holds it until the term begins.
    pub premium: u64,
    /// The protocol's part of the premium, in base units.
    pub protocol_part: u64,
    /// The manager's part of the premium, in base units.
    pub manager_part: u64,
    /// Part of the premium that streams to the vault, in base units.
    pub streamed_part: u64,
    /// Security rent that was paid in addition, in base units.
    pub rent: u64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
    /// Cover of all open policies of the exposure, less what they have paid out, in base units.
    pub exposure_cover: u64,
    /// Open cover on the model, in base units.
    pub cover_risk: u64,
    /// Number of the model's open policies plus its unsettled markets that have a bet.
    pub model_exposure: u64,
    /// The pot of the model's oracles.
    pub pot: PotTotals,
}

/// A claim on a policy was paid. The policy is closed once its whole cover is paid out.
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
    /// First window of the highest run (of consecutive windows at or above the trigger).
    pub first_window: u64,
    /// Lowest value of that run, in micro-units.
    pub value: u64,
    /// In base units.
    pub amount: u64,
    /// Refund of a term on probation, if the policy ended, in base units.
    pub refund: u64,
    /// Total paid out by the policy so far, in base units.
    pub paid: u64,
    /// Maximum total payment of the policy, in base units.
    pub cover: u64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
    /// Cover of all open policies of the exposure, less what they have paid out, in base units.
    pub exposure_cover: u64,
    /// Open cover on the model, in base units.
    pub cover_risk: u64,
    /// Number of the model's open policies plus its unsettled markets that have a bet.
    pub model_exposure: u64,
}

/// A holder cancelled a policy.
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
    /// Amount refunded to the holder, in base units.
    pub refund: u64,
    /// Total paid out by the policy, in base units.
    pub paid: u64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
    /// Cover of all open policies of the exposure, less what they have paid out, in base units.
    pub exposure_cover: u64,
    /// Open cover on the model, in base units.
    pub cover_risk: u64,
    /// Number of the model's open policies plus its unsettled markets that have a bet.
    pub model_exposure: u64,
}

/// A policy was renewed for another term with the same number of windows.
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
    /// First window of the probation.
    pub from_window: u64,
    /// Last covered window.
    pub last_window: u64,
    /// Unix time at which the last covered window ends.
    pub end: i64,
    /// Amount that the holder paid, in base units. The vault holds it until the term begins.
    pub premium: u64,
    /// The protocol's part of the premium, in base units.
    pub protocol_part: u64,
    /// The manager's part of the premium, in base units.
    pub manager_part: u64,
    /// Part of the premium that streams to the vault, in base units.
    pub streamed_part: u64,
    /// Security rent that was paid in addition, in base units.
    pub rent: u64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
    /// The pot of the model's oracles.
    pub pot: PotTotals,
}

/// The probation of a policy's term ended: the term begins or is void.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct PolicyBegun {
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
    pub probation: Probation,
    /// Whether the policy ended, because its first term is void.
    pub is_over: bool,
    /// Premium that was refunded, in base units.
    pub refund: u64,
    /// Last covered window of the terms that have begun.
    pub last_window: u64,
    /// What the policy is worth at its highest run so far, in base units.
    pub worth: u64,
    /// Part of the premiums that belongs to examined windows without a value, in base units.
    pub unmeasured: u64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
    /// Cover of all open policies of the exposure, less what they have paid out, in base units.
    pub exposure_cover: u64,
    /// Open cover on the model, in base units.
    pub cover_risk: u64,
    /// Number of the model's open policies plus its unsettled markets that have a bet.
    pub model_exposure: u64,
}

/// Windows of a policy were examined, and what they are worth was set aside for it.
#[event]
#[derive(AnchorDeserialize, Clone, Debug, PartialEq, Eq)]
pub struct PolicyExamined {
    pub vault: Address,
    pub vault_seq: u64,
    pub policy: Address,
    pub policy_seq: u64,
    pub model: Address,
    pub holder: Address,
    /// First window that has not been examined.
    pub examined_until: u64,
    /// Highest drift that a run of examined windows has kept, in micro-units; 0 if no run has reached
    /// the trigger.
    pub peak: u64,
    /// First window of that run.
    pub peak_window: u64,
    /// What the policy is worth at `peak`, in base units. Claims pay it.
    pub worth: u64,
    /// Part of the premiums that belongs to examined windows without a value, in base units.
    pub unmeasured: u64,
    /// Amount that was set aside, in base units.
    pub amount: u64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
}

/// A policy was closed after its claim grace.
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
    pub destination: Address,
    /// Premium of windows without a value that was refunded, in base units.
    pub refund: u64,
    /// Total paid out by claims, in base units.
    pub paid: u64,
    /// The vault's balances after the change.
    pub totals: VaultTotals,
    /// Cover of all open policies of the exposure, less what they have paid out, in base units.
    pub exposure_cover: u64,
    /// Open cover on the model, in base units.
    pub cover_risk: u64,
    /// Number of the model's open policies plus its unsettled markets that have a bet.
    pub model_exposure: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MAX_ORACLES, NAME_BYTES, URI_BYTES};

    #[test]
    fn the_largest_event_fits_and_is_encoded_as_anchor_does() {
        let key = Address::default();
        let seat = SeatRuled {
            seat: key,
            seat_seq: 0,
            oracle: key,
            bonded: 0,
            unbonding: 0,
        };
        let event = ModelUpdated {
            model: key,
            model_seq: 1,
            owner: key,
            version: 2,
            arbiter: key,
            security: 3,
            lasting_security: 4,
            terms: ModelTerms {
                oracles: vec![key; MAX_ORACLES],
                quorum: 5,
                max_spread: 6,
                security_rent_bps: 7,
                market_budget_bps: 8,
                cover_budget_bps: 9,
                name: "n".repeat(NAME_BYTES),
                uri: "u".repeat(URI_BYTES),
                metadata_hash: [10; 32],
                artifact_hash: [11; 32],
            },
            seats: vec![seat; MAX_ORACLES],
        };
        let mut data = [MaybeUninit::new(0xff); MAX_BYTES];
        let length = encode(&mut data, &event);
        let data = data.map(|byte| {
            // SAFETY: initialized above.
            unsafe { byte.assume_init() }
        });
        let (tag, rest) = data[..length].split_at(8);
        assert_eq!(tag, EVENT_IX_TAG_LE);
        assert_eq!(rest, anchor_lang::Event::data(&event));
        assert_eq!(length, 1_235);
    }
}
