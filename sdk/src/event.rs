use anchor_lang::{
    Address, BORSH_CONFIG, BorshConfig, Discriminator, event::EVENT_IX_TAG_LE, wincode,
};

use crate::{DecodeError, address, discriminator};

/// The struct of each event.
pub mod events {
    pub use driftshield::{
        AdminAccepted, AdminProposed, ArbiterAccepted, ArbiterProposed, AskSet, BetPlaced,
        BondWithdrawn, Bonded, ChallengeCollected, Claimed, CollateralRegistered,
        CollateralUpdated, ConfigUpdated, Deposited, ExposureClosed, FeesCollected, Initialized,
        LeaveRequested, ManagerFeesCollected, MarketCancelled, MarketClosed, MarketCreated,
        MarketSettled, ModelListed, ModelRegistered, ModelRetired, ModelUpdated, OracleReplaced,
        OraclesFunded, PauseSet, Penalty, PolicyBegun, PolicyBought, PolicyCancelled,
        PolicyClaimed, PolicyExamined, PolicyExpired, PolicyRenewed, PositionBought,
        ReceiptChallenged, ReceiptFinalized, ReceiptRuled, ReceiptSubmitted, RewardCollected,
        SeatClosed, SeatRuled, SeatSynced, SeriesClosed, SlashesReturned, TreasuryWithdrawn,
        UnbondRequested, VaultClosed, VaultCreated, VaultUpdated, WithdrawCancelled,
        WithdrawRequested, Withdrawn,
    };
}

use events::*;

macro_rules! events {
    ($($name:ident),* $(,)?) => {
        /// An event of the program. Each successful instruction emits exactly one.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event {
            $($name($name),)*
        }

        impl Event {
            /// Names of all events.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// Decodes `discriminator ‖ body`.
            pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let discriminator = discriminator(bytes)?;
                let bytes = &bytes[discriminator.len()..];
                $(if discriminator == $name::DISCRIMINATOR {
                    return body(bytes)
                        .map(Self::$name)
                        .ok_or(DecodeError::Malformed(stringify!($name)));
                })*
                Err(DecodeError::Unknown(discriminator))
            }

            /// Name of the event.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }
        }
    };
}

events!(
    Initialized,
    ConfigUpdated,
    AdminProposed,
    AdminAccepted,
    PauseSet,
    CollateralRegistered,
    CollateralUpdated,
    TreasuryWithdrawn,
    ModelRegistered,
    ModelUpdated,
    ModelRetired,
    Bonded,
    UnbondRequested,
    BondWithdrawn,
    SeatClosed,
    OraclesFunded,
    RewardCollected,
    ReceiptSubmitted,
    ReceiptChallenged,
    ReceiptRuled,
    ReceiptFinalized,
    ChallengeCollected,
    SeriesClosed,
    MarketCreated,
    MarketCancelled,
    BetPlaced,
    AskSet,
    PositionBought,
    MarketSettled,
    Claimed,
    FeesCollected,
    MarketClosed,
    VaultCreated,
    VaultUpdated,
    ModelListed,
    Deposited,
    WithdrawRequested,
    WithdrawCancelled,
    Withdrawn,
    ManagerFeesCollected,
    ExposureClosed,
    VaultClosed,
    PolicyBought,
    PolicyClaimed,
    PolicyCancelled,
    PolicyRenewed,
    PolicyExpired,
    LeaveRequested,
    OracleReplaced,
    ArbiterProposed,
    ArbiterAccepted,
    SlashesReturned,
    SeatSynced,
    PolicyBegun,
    PolicyExamined,
);

impl Event {
    /// Decodes the data of an inner instruction that the program sent to itself. `None` if the
    /// data lacks the event tag.
    ///
    /// The caller must have checked that the inner instruction calls the DriftShield program. The
    /// program accepts the event tag only from itself, so nobody else can forge an event.
    pub fn decode_inner_instruction(data: &[u8]) -> Option<Result<Self, DecodeError>> {
        data.strip_prefix(EVENT_IX_TAG_LE).map(Self::decode)
    }

    /// Accounts that the event changes, each with the event's sequence number in that account. The
    /// events of an account are numbered from 1 without gaps.
    pub fn account_seqs(&self) -> Vec<(Address, u64)> {
        match self {
            Self::Initialized(e) => vec![(address::config(), e.config_seq)],
            Self::ConfigUpdated(e) => vec![(address::config(), e.config_seq)],
            Self::AdminProposed(e) => vec![(address::config(), e.config_seq)],
            Self::AdminAccepted(e) => vec![(address::config(), e.config_seq)],
            Self::ArbiterProposed(e) => vec![(address::config(), e.config_seq)],
            Self::ArbiterAccepted(e) => vec![(address::config(), e.config_seq)],
            Self::PauseSet(e) => vec![(address::config(), e.config_seq)],
            Self::CollateralRegistered(e) => vec![(e.collateral, e.collateral_seq)],
            Self::CollateralUpdated(e) => vec![(e.collateral, e.collateral_seq)],
            Self::TreasuryWithdrawn(e) => vec![(e.collateral, e.collateral_seq)],
            Self::ModelRegistered(e) => vec![(e.model, e.model_seq)],
            Self::ModelUpdated(e) => {
                let seats = e.seats.iter().map(|seat| (seat.seat, seat.seat_seq));
                std::iter::once((e.model, e.model_seq))
                    .chain(seats)
                    .collect()
            }
            Self::OracleReplaced(e) => {
                let seats = e.seats.iter().map(|seat| (seat.seat, seat.seat_seq));
                std::iter::once((e.model, e.model_seq))
                    .chain(seats)
                    .collect()
            }
            Self::LeaveRequested(e) => vec![(e.model, e.model_seq)],
            Self::ModelRetired(e) => vec![(e.model, e.model_seq)],
            Self::Bonded(e) => vec![(e.model, e.model_seq), (e.seat, e.seat_seq)],
            Self::UnbondRequested(e) => vec![(e.model, e.model_seq), (e.seat, e.seat_seq)],
            Self::BondWithdrawn(e) => vec![(e.model, e.model_seq), (e.seat, e.seat_seq)],
            Self::SeatClosed(e) => vec![(e.seat, e.seat_seq)],
            Self::OraclesFunded(e) => vec![(e.model, e.model_seq)],
            Self::RewardCollected(e) => vec![(e.model, e.model_seq)],
            Self::ReceiptSubmitted(e) => vec![
                (e.model, e.model_seq),
                (e.receipt, e.receipt_seq),
                (e.series, e.series_seq),
                (e.seat, e.seat_seq),
            ],
            Self::ReceiptChallenged(e) => vec![
                (e.model, e.model_seq),
                (e.receipt, e.receipt_seq),
                (e.series, e.series_seq),
            ],
            Self::SlashesReturned(e) => {
                let seats = e.seats.iter().map(|seat| (seat.seat, seat.seat_seq));
                let mut seqs = vec![(e.model, e.model_seq), (e.receipt, e.receipt_seq)];
                seqs.extend(seats);
                seqs
            }
            Self::SeatSynced(e) => vec![(e.model, e.model_seq), (e.seat, e.seat_seq)],
            Self::ReceiptRuled(e) => {
                let seats = e.seats.iter().map(|seat| (seat.seat, seat.seat_seq));
                let mut seqs = vec![
                    (e.model, e.model_seq),
                    (e.receipt, e.receipt_seq),
                    (e.series, e.series_seq),
                ];
                seqs.extend(seats);
                seqs
            }
            Self::ReceiptFinalized(e) => vec![
                (e.model, e.model_seq),
                (e.receipt, e.receipt_seq),
                (e.series, e.series_seq),
            ],
            Self::ChallengeCollected(e) => vec![(e.model, e.model_seq), (e.receipt, e.receipt_seq)],
            Self::SeriesClosed(e) => vec![(e.series, e.series_seq)],
            Self::MarketCreated(e) => vec![(e.market, e.market_seq)],
            Self::MarketCancelled(e) => vec![(e.market, e.market_seq)],
            Self::BetPlaced(e) => vec![
                (e.market, e.market_seq),
                (e.position, e.position_seq),
                (e.model, e.model_seq),
            ],
            Self::AskSet(e) => vec![(e.market, e.market_seq), (e.position, e.position_seq)],
            Self::PositionBought(e) => vec![
                (e.market, e.market_seq),
                (e.seller_position, e.seller_position_seq),
                (e.position, e.position_seq),
            ],
            Self::MarketSettled(e) => vec![(e.market, e.market_seq), (e.model, e.model_seq)],
            Self::Claimed(e) => vec![(e.market, e.market_seq), (e.position, e.position_seq)],
            Self::FeesCollected(e) => vec![(e.market, e.market_seq)],
            Self::MarketClosed(e) => vec![(e.market, e.market_seq)],
            Self::VaultCreated(e) => vec![(e.vault, e.vault_seq)],
            Self::VaultUpdated(e) => vec![(e.vault, e.vault_seq)],
            Self::ModelListed(e) => vec![(e.vault, e.vault_seq), (e.exposure, e.exposure_seq)],
            Self::Deposited(e) => vec![(e.vault, e.vault_seq)],
            Self::WithdrawRequested(e) => vec![(e.vault, e.vault_seq), (e.request, e.request_seq)],
            Self::WithdrawCancelled(e) => vec![(e.vault, e.vault_seq), (e.request, e.request_seq)],
            Self::Withdrawn(e) => vec![(e.vault, e.vault_seq), (e.request, e.request_seq)],
            Self::ManagerFeesCollected(e) => vec![(e.vault, e.vault_seq)],
            Self::ExposureClosed(e) => vec![(e.vault, e.vault_seq), (e.exposure, e.exposure_seq)],
            Self::VaultClosed(e) => vec![(e.vault, e.vault_seq)],
            Self::PolicyBought(e) => vec![
                (e.vault, e.vault_seq),
                (e.exposure, e.exposure_seq),
                (e.policy, e.policy_seq),
                (e.model, e.model_seq),
            ],
            Self::PolicyClaimed(e) => vec![
                (e.vault, e.vault_seq),
                (e.exposure, e.exposure_seq),
                (e.policy, e.policy_seq),
                (e.model, e.model_seq),
            ],
            Self::PolicyCancelled(e) => vec![
                (e.vault, e.vault_seq),
                (e.exposure, e.exposure_seq),
                (e.policy, e.policy_seq),
                (e.model, e.model_seq),
            ],
            Self::PolicyRenewed(e) => vec![
                (e.vault, e.vault_seq),
                (e.exposure, e.exposure_seq),
                (e.policy, e.policy_seq),
                (e.model, e.model_seq),
            ],
            Self::PolicyExamined(e) => vec![(e.vault, e.vault_seq), (e.policy, e.policy_seq)],
            Self::PolicyBegun(e) => vec![
                (e.vault, e.vault_seq),
                (e.exposure, e.exposure_seq),
                (e.policy, e.policy_seq),
                (e.model, e.model_seq),
            ],
            Self::PolicyExpired(e) => vec![
                (e.vault, e.vault_seq),
                (e.exposure, e.exposure_seq),
                (e.policy, e.policy_seq),
                (e.model, e.model_seq),
            ],
        }
    }
}

/// Decodes an event's body. `None` unless the body uses all of `bytes`.
fn body<E>(bytes: &[u8]) -> Option<E>
where
    E: for<'de> wincode::SchemaRead<'de, BorshConfig, Dst = E>,
{
    wincode::config::deserialize_exact(bytes, BORSH_CONFIG).ok()
}
