//! Names and fields of events, where they were left out.

use driftshield_sdk::json;
use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use super::{Failure, events::DecodedEvent};
use crate::dead_letter;

/// Fills in the events' own rows.
pub const EVENT: &str = "
    update chain.event set name = given.name, body = given.body
    from unnest($1::bigint[], $2::text[], $3::jsonb[]) as given (id, name, body)
    where event.id = given.id";

/// Fills in the records of the feed that announced the events, if it still has them.
pub const FEED: &str = "
    update chain.feed set body = jsonb_build_object('name', given.name, 'body', given.body)
    from unnest($1::bigint[], $2::text[], $3::jsonb[]) as given (id, name, body)
    where kind = 'event' and feed.body ->> 'name' is null and event_id = given.id";

/// Fills in the names and fields of events. Returns the events that have them now, and the letters of those
/// whose fields Postgres refuses.
pub async fn fill_in<'a>(
    connection: &mut PgConnection,
    statement: &'static str,
    mut decoded: Vec<DecodedEvent<'a>>,
) -> Result<(Vec<DecodedEvent<'a>>, Vec<(i64, Failure)>), sqlx::Error> {
    let (mut ids, mut names, mut bodies) = (vec![], vec![], vec![]);
    for DecodedEvent { stored, .. } in &decoded {
        let fields = json::event(&stored.data).expect("the event was decoded");
        ids.push(stored.id);
        names.push(fields.name);
        bodies.push(Json(Value::Object(fields.fields)));
    }
    let refused = dead_letter::refused(connection, 0..ids.len(), async |connection, range| {
        sqlx::query(statement)
            .bind(&ids[range.clone()])
            .bind(&names[range.clone()])
            .bind(&bodies[range])
            .execute(connection)
            .await?;
        Ok(())
    });
    let mut failures = vec![];
    for (index, reason) in refused.await?.into_iter().rev() {
        let refused = decoded.remove(index);
        failures.push((refused.letter.id, reason));
    }
    Ok((decoded, failures))
}

/// Takes the names and fields out of events that have no place.
pub async fn take_out(connection: &mut PgConnection, ids: &[i64]) -> Result<(), sqlx::Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query("update chain.event set name = null, body = null where id = any($1)")
        .bind(ids)
        .execute(connection)
        .await?;
    Ok(())
}
