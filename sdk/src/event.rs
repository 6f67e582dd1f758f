use anchor_lang::{BORSH_CONFIG, BorshConfig, Discriminator, event::EVENT_IX_TAG_LE, wincode};

use crate::{DecodeError, discriminator};

mod changes;
mod parties;

pub use changes::AccountChange;

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

            /// `discriminator ‖ body`, as the program emits it.
            pub fn encode(&self) -> Vec<u8> {
                match self {
                    $(Self::$name(event) => anchor_lang::event::Event::data(event),)*
                }
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
}

/// Decodes an event's body. `None` unless the body uses all of `bytes`.
fn body<E>(bytes: &[u8]) -> Option<E>
where
    E: for<'de> wincode::SchemaRead<'de, BorshConfig, Dst = E>,
{
    wincode::config::deserialize_exact(bytes, BORSH_CONFIG).ok()
}
