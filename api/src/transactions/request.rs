//! Extractor of the routes that build transactions, and checks of what clients send.

use axum::extract::{FromRequest, Request};
use driftshield_sdk::Address;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::chain::View;
use crate::{
    extract::{json_body, min_slot},
    problem::Problem,
    state::AppState,
};

/// Query parameter of every route that builds a transaction.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes `min_slot` in the OpenAPI document")]
pub struct MinSlot {
    /// Earliest slot of the accounts from which the transaction is built (`minContextSlot`). The server
    /// waits up to 2 s for the RPC node to reach it. If the node does not reach it, the status is 425.
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_i64)]
    min_slot: Option<i64>,
}

/// JSON body, and the chain from which to build the transaction.
pub struct TransactionRequest<T> {
    pub body: T,
    pub view: View,
}

impl<T: DeserializeOwned + Send> FromRequest<AppState> for TransactionRequest<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Problem> {
        let min_slot = min_slot(request.uri())?;
        let body = json_body(request, app).await?;
        let view = app.chain.view(min_slot)?;
        Ok(Self { body, view })
    }
}

/// Refuses a text that is longer than the program stores.
pub fn require_text(field: &str, text: &str, max_bytes: usize) -> Result<(), Problem> {
    if text.len() <= max_bytes {
        return Ok(());
    }
    Err(Problem::InvalidValue(format!(
        "`{field}` has {} bytes; give at most {max_bytes}",
        text.len()
    )))
}

/// Refuses a list that is empty or longer than the program stores.
pub fn require_count<T>(field: &str, list: &[T], max: usize) -> Result<(), Problem> {
    if (1..=max).contains(&list.len()) {
        return Ok(());
    }
    Err(Problem::BadRequest(format!(
        "`{field}` has {} values; give 1 to {max}",
        list.len()
    )))
}

/// Refuses an amount of 0, which would do nothing.
pub fn require_amount(field: &str, amount: u64) -> Result<(), Problem> {
    match amount {
        0 => Err(Problem::InvalidValue(format!(
            "`{field}` is 0; give at least 1 base unit"
        ))),
        _ => Ok(()),
    }
}

/// Refuses the system program's address and other addresses that can't pay: a wallet must be a point
/// on the curve, or nobody can sign for it.
pub fn require_wallet(account: &Address) -> Result<(), Problem> {
    if account.is_on_curve() {
        return Ok(());
    }
    Err(Problem::InvalidValue(format!(
        "`account` {account} is not a wallet: nobody can sign for it; give the wallet's address"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_field() {
        let text = require_text("question", "abc", 2).unwrap_err().to_string();
        assert_eq!(text, "`question` has 3 bytes; give at most 2");
        assert!(require_text("question", "ab", 2).is_ok());
        for (list, accepted) in [(&[][..], false), (&[1], true), (&[1; 8], false)] {
            let count = require_count("oracles", list, 7);
            assert_eq!(count.is_ok(), accepted, "{list:?}");
        }
        assert!(require_amount("amount", 0).is_err());
        assert!(require_amount("amount", 1).is_ok());
    }

    #[test]
    fn an_address_of_the_program_is_not_a_wallet() {
        assert!(require_wallet(&driftshield_sdk::address::config()).is_err());
    }
}
