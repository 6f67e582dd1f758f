//! Resumption: whether a subscription can continue after a record of the feed.

use crate::{
    feed::{Position, Rollback},
    mirror::Snapshot,
    updates,
};

use super::super::limits::MAX_REPLAY;

/// What a client says that it has.
#[derive(Clone, Copy)]
pub struct ClientPosition {
    pub seq: i64,
    pub epoch: Option<i64>,
}

/// Why a subscription cannot continue. It begins anew then.
pub struct Refusal {
    pub reason: String,
    /// Rollbacks that the client has missed.
    pub rollbacks: Vec<Rollback>,
}

/// Range of the records in the feed.
struct Feed {
    epoch: i64,
    /// First record; the one after `last` if there is none.
    first: i64,
    last: i64,
}

/// Reads why a subscription cannot continue at `client`. If it can, returns the client's position.
pub async fn check(
    snapshot: &mut Snapshot,
    client: ClientPosition,
) -> Result<Result<Position, Refusal>, sqlx::Error> {
    let first: Option<i64> = sqlx::query_scalar("select min(seq) from chain.feed")
        .fetch_one(&mut *snapshot.tx)
        .await?;
    let last = snapshot.seq();
    let feed = Feed {
        epoch: snapshot.epoch(),
        first: first.unwrap_or(last + 1),
        last,
    };
    if let Some(reason) = feed.refuses(client) {
        let rollbacks = vec![];
        return Ok(Err(Refusal { reason, rollbacks }));
    }
    let rollbacks = updates::rollbacks_after(&mut snapshot.tx, client.seq).await?;
    let lowest = rollbacks.iter().map(|rollback| rollback.to_slot).min();
    Ok(match lowest {
        None => Ok(Position {
            epoch: feed.epoch,
            seq: client.seq,
        }),
        Some(to_slot) => Err(Refusal {
            reason: format!("chain was rolled back to slot {to_slot}"),
            rollbacks,
        }),
    })
}

impl Feed {
    fn refuses(&self, ClientPosition { seq, epoch }: ClientPosition) -> Option<String> {
        let Self {
            epoch: current,
            first,
            last,
        } = *self;
        match epoch {
            None => Some(format!(
                "`from` has no `epoch`; send that of seq {seq} with it"
            )),
            Some(epoch) if epoch != current => {
                Some(format!("mirror has epoch {current}, not {epoch}"))
            }
            _ if !(0..=last).contains(&seq) => {
                Some(format!("mirror is at seq {last} and has no seq {seq}"))
            }
            _ if MAX_REPLAY < last - seq => Some(format!(
                "seq {seq} is more than {MAX_REPLAY} behind the mirror's seq {last}"
            )),
            _ if seq + 1 < first => Some(format!(
                "mirror has no records between seq {seq} and seq {first} any more"
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;

    use super::*;

    #[test]
    fn a_client_continues_if_the_feed_has_all_that_it_misses() {
        let feed = Feed {
            epoch: 3,
            first: 10,
            last: 500_000,
        };
        let refuses = |seq, epoch| feed.refuses(ClientPosition { seq, epoch }).is_some();
        let oldest = feed.last - MAX_REPLAY;
        assert!(!refuses(500_000, Some(3)));
        assert!(!refuses(oldest, Some(3)));
        assert!(refuses(oldest - 1, Some(3)));
        assert!(refuses(500_001, Some(3)) && refuses(-1, Some(3)));
        assert!(refuses(500_000, Some(2)) && refuses(500_000, None));
    }

    #[test]
    fn a_client_begins_anew_if_records_were_deleted() {
        let refuses = |seq, first| {
            let feed = Feed {
                epoch: 3,
                first,
                last: 20,
            };
            let epoch = Some(3);
            feed.refuses(ClientPosition { seq, epoch }).is_some()
        };
        assert!(!refuses(9, 10) && refuses(8, 10));
        assert!(!refuses(20, 21) && refuses(19, 21));
    }

    #[sqlx::test(
        migrator = "crate::db_tests::SCHEMA",
        fixtures(path = "../../db_tests/fixtures", scripts("mirror"))
    )]
    async fn a_client_hears_of_the_rollbacks_that_it_has_missed(db: PgPool) {
        let mut snapshot = Snapshot::begin(&db).await.unwrap();
        for (seq, rollbacks) in [(94, Some(1)), (97, Some(1)), (98, None), (93, Some(0))] {
            let epoch = Some(1);
            let checked = check(&mut snapshot, ClientPosition { seq, epoch }).await;
            let refused = checked
                .unwrap()
                .err()
                .map(|refusal| refusal.rollbacks.len());
            assert_eq!(refused, rollbacks, "{seq}");
        }
    }
}
