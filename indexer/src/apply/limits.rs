//! Time limits of database accesses.

use std::time::Duration;

use tokio::time::timeout;

use super::ApplyError;
use crate::waits::scaled;

/// Time limit of one transaction. A connection to a machine that has died answers nothing, and no
/// error reports it.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit of a transaction that can change every account: taking over a reading, or an undo.
pub const LONG_TIMEOUT: Duration = Duration::from_secs(1_800);

/// Settings of the connection. Postgres drops the connection of a dead machine after 30 s, and with it
/// the writer lock, and it gives up a statement whose result nobody awaits any more.
pub fn session() -> String {
    let limit = scaled(APPLY_TIMEOUT).as_millis();
    format!(
        "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 4;
         set tcp_user_timeout = {limit}; set statement_timeout = {limit};
         set idle_in_transaction_session_timeout = {}",
        2 * limit
    )
}

/// Limits the time of a database access.
pub async fn bounded<T, E>(access: impl Future<Output = Result<T, E>>) -> Result<T, ApplyError>
where
    ApplyError: From<E>,
{
    bounded_by(scaled(APPLY_TIMEOUT), access).await
}

pub async fn bounded_by<T, E>(
    limit: Duration,
    access: impl Future<Output = Result<T, E>>,
) -> Result<T, ApplyError>
where
    ApplyError: From<E>,
{
    match timeout(limit, access).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ApplyError::Timeout(limit.as_secs())),
    }
}
