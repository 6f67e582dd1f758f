//! Time limits of database accesses.

use std::time::Duration;

use tokio::time::timeout;

use super::ApplyError;
use crate::waits::scaled;

/// Time limit of one transaction. A connection to a machine that has died answers nothing, and no
/// error reports it. A step that can take long (`backend.rs`) has no other limit than that for silence.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// [`APPLY_TIMEOUT`] on the clock of long waits.
pub fn limit() -> Duration {
    scaled(APPLY_TIMEOUT)
}

/// Settings of the connection. Postgres drops the connection of a dead machine after 30 s, and with it
/// the writer lock, and it gives up a statement whose result nobody awaits any more. It must not lose a commit
/// when it crashes: readers have seen its numbers.
pub fn session() -> String {
    let limit = limit().as_millis();
    format!(
        "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 4;
         set tcp_user_timeout = {limit}; set statement_timeout = {limit};
         set idle_in_transaction_session_timeout = {};
         select set_config('synchronous_commit', 'on', false)
         where current_setting('synchronous_commit') = 'off'",
        2 * limit
    )
}

/// Limits the time of a database access.
///
/// A timeout cancels the access wherever it is. A transaction can stay open then, and the answer of a cancelled
/// `COPY` would be taken for that of the next statement. So the connection is not used again: whoever gets
/// [`ApplyError::Timeout`] returns it, and the attempt ends with its [`MirrorWriter`](super::MirrorWriter).
pub async fn bounded<T, E>(access: impl Future<Output = Result<T, E>>) -> Result<T, ApplyError>
where
    ApplyError: From<E>,
{
    match timeout(limit(), access).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ApplyError::Timeout(limit().as_secs())),
    }
}
