//! Transactions: unsigned, simulated, for the client's wallet to sign and send.
//!
//! Each route has a request type and a function that builds the transaction from accounts of the RPC
//! node. The Actions face (`actions`) calls the same functions.

mod build;
pub mod chain;
mod failure;
pub mod markets;
pub mod models;
pub mod policies;
mod reply;
mod request;
pub mod vaults;
mod words;

use utoipa_axum::router::OpenApiRouter;

use crate::state::AppState;

pub use self::{
    chain::{Chain, ChainSettings, View},
    failure::Failure,
    reply::TransactionReply,
    request::MinSlot,
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(markets::router())
        .merge(policies::router())
        .merge(vaults::router())
        .merge(models::router())
}
