//! Requests of the API for accounts to be read again.

use chrono::{DateTime, Utc};
use driftshield_sdk::Address;

use super::{ApplyError, MirrorWriter, limits::bounded};
use crate::store::bytes_of;

/// A request for an account to be read again.
pub struct Request {
    pub address: Address,
    pub asked_at: DateTime<Utc>,
}

impl MirrorWriter<'_> {
    /// Requests of the API for accounts to be read again, the first ones first.
    pub async fn requests(&mut self) -> Result<Vec<Request>, ApplyError> {
        /// Most accounts that are read at a time, in one request to the node.
        const MOST: i64 = 100;
        let select = "select address, asked_at from app.refetch order by asked_at limit $1";
        let rows = sqlx::query_as(select).bind(MOST);
        let rows: Vec<(Vec<u8>, DateTime<Utc>)> =
            bounded(rows.fetch_all(&mut self.connection)).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(address, asked_at)| {
                let address = address.as_slice().try_into().ok()?;
                Some(Request { address, asked_at })
            })
            .collect())
    }

    /// Removes requests whose accounts have been read, unless they were made again meanwhile, or somebody is
    /// about to do so.
    pub async fn answer(&mut self, requests: &[Request]) -> Result<(), ApplyError> {
        let addresses = bytes_of(requests.iter().map(|request| &request.address));
        let times: Vec<_> = requests.iter().map(|request| request.asked_at).collect();
        let answer = sqlx::query(
            "delete from app.refetch request using (
               select address from app.refetch
               join unnest($1::bytea[], $2::timestamptz[]) as read (address, asked_at)
                 using (address, asked_at)
               for update of refetch skip locked) read
             where request.address = read.address",
        )
        .bind(addresses)
        .bind(times);
        bounded(answer.execute(&mut self.connection)).await?;
        Ok(())
    }
}
