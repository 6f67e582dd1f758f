//! What the routes that build transactions answer.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    values::{Scaled, U64},
};

/// An unsigned transaction, and what it does. Nothing of it is stored.
#[derive(Debug, Serialize, ToSchema)]
pub struct TransactionReply {
    /// Serialized transaction in base64. Its one signature, that of `fee_payer`, is 64 zero bytes: sign
    /// the message and send it before `last_valid_block_height`.
    #[schema(content_encoding = "base64")]
    pub transaction: String,
    /// What the transaction does, in words, according to its simulation.
    #[schema(example = "Bets 1.5 tokens on outcome 1 of market …")]
    pub summary: String,
    /// The wallet of the request: the fee payer and only signer.
    pub fee_payer: Key,
    /// Accounts that the transaction creates.
    pub created: Vec<Created>,
    /// Limits within which the transaction lands although the chain has changed since. Beyond them it
    /// fails and costs only its fee.
    pub bounds: Vec<Bound>,
    pub fee: Fee,
    pub limits: Limits,
    pub simulation: Simulated,
    /// Recent blockhash of the transaction, in base58.
    pub blockhash: String,
    /// Last block height at which the transaction can land.
    pub last_valid_block_height: u64,
    /// Slot of the accounts from which the transaction was built.
    pub slot: u64,
}

/// An account that a transaction creates.
#[derive(Debug, Serialize, ToSchema)]
pub struct Created {
    /// What the account is.
    #[schema(example = "market")]
    pub kind: &'static str,
    pub key: Key,
}

/// A limit that the program checks when the transaction lands.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bound {
    /// Name of the field in the request.
    #[schema(example = "min_multiple")]
    pub name: &'static str,
    pub value: Scaled,
    /// Whether the client gave it. Otherwise it is the tightest sensible one on the present state.
    pub given: bool,
    /// What it limits.
    pub meaning: &'static str,
}

impl Bound {
    /// The client's value if there is one, otherwise `default`. Returns the value, too.
    pub fn or(
        name: &'static str,
        given: Option<U64>,
        default: u64,
        scale: impl FnOnce(u64) -> Scaled,
        meaning: &'static str,
    ) -> (u64, Self) {
        let value = given.map_or(default, |U64(value)| value);
        let bound = Self {
            name,
            value: scale(value),
            given: given.is_some(),
            meaning,
        };
        (value, bound)
    }
}

/// What the transaction costs, in lamports and SOL. Rent of created accounts is not part of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Fee {
    /// Fee of the signature.
    pub signature: Scaled,
    /// Priority fee, rounded up.
    pub priority: Scaled,
    pub total: Scaled,
    /// Priority fee in micro-lamports per compute unit of the limit.
    pub micro_lamports_per_unit: U64,
}

/// What the transaction may use at most: what its simulation used, and a margin.
#[derive(Debug, Serialize, ToSchema)]
pub struct Limits {
    /// Compute units.
    pub units: u32,
    /// Bytes of all accounts that the transaction names, and of the code of its programs.
    pub loaded_bytes: u32,
}

/// What the simulation showed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Simulated {
    /// Slot of the state on which the transaction was simulated.
    pub slot: u64,
    /// Compute units that the transaction used.
    pub units: U64,
    /// Events that the program emitted. docs/events.md describes them.
    pub events: Vec<SimulatedEvent>,
}

/// An event of a simulated transaction.
#[derive(Debug, Serialize, ToSchema)]
pub struct SimulatedEvent {
    #[schema(example = "BetPlaced")]
    pub name: &'static str,
    #[schema(value_type = Object)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}
