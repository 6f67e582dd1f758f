//! The end of the process after a signal.

use std::time::Duration;

use tokio::{select, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::waits::scaled;

/// Time that the current work has to end by itself once the process is asked to stop. What it has not
/// committed by then, the next process does again.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Gives up `work` if it has not ended [`STOP_GRACE`] after `stop` was cancelled: it can wait for a
/// service that doesn't answer. Whatever it awaits, what it has committed is whole.
pub async fn end_soon_after(
    stop: &CancellationToken,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let grace = scaled(STOP_GRACE);
    let expiry = async {
        stop.cancelled().await;
        sleep(grace).await;
    };
    select! {
        biased;
        ended = work => ended,
        () = expiry => {
            let secs = grace.as_secs_f64();
            tracing::warn!(secs, "stopping; the current work was given up, because it took too long");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_ends_by_itself_after_the_stop_is_awaited() {
        let stop = CancellationToken::new();
        stop.cancel();
        let work = async {
            sleep(Duration::from_millis(20)).await;
            anyhow::bail!("the end of the work")
        };
        let ended = end_soon_after(&stop, work).await;
        assert_eq!(ended.unwrap_err().to_string(), "the end of the work");
    }
}
