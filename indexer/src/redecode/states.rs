//! States of lives, from their bytes and all of their events.

use driftshield_sdk::{Account, Address, Event};
use sqlx::{PgConnection, Row};

use crate::{
    lives::{ChangedLife, Life, Mints, fold},
    store::LIFE,
};

/// A life with the one after it at the address.
pub struct Bounded {
    pub life: Life,
    pub next: Option<i64>,
}

/// An event of a life with its number.
type Numbered = (u64, Event);

impl Bounded {
    /// The life that contains the event `id`, if any, and the life after the event.
    pub async fn containing(
        connection: &mut PgConnection,
        address: &Address,
        id: i64,
    ) -> Result<(Option<Life>, Option<i64>), sqlx::Error> {
        let sql = format!(
            "select {LIFE} from chain.account where address = $1 and life <= $2
             order by life desc limit 1"
        );
        let life = sqlx::query_as(&sql).bind(address.as_ref()).bind(id);
        let life = life.fetch_optional(&mut *connection).await?;
        Ok((life, Self::next_after(connection, address, id).await?))
    }

    /// The first life at the address after the life or event `id`.
    pub async fn next_after(
        connection: &mut PgConnection,
        address: &Address,
        id: i64,
    ) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar("select min(life) from chain.account where address = $1 and $2 < life")
            .bind(address.as_ref())
            .bind(id)
            .fetch_one(connection)
            .await
    }

    /// The life with its state. `late` is the number of an event that was decoded late, which the life's
    /// bytes lack if they are put together from events.
    pub async fn with_state(
        self,
        connection: &mut PgConnection,
        late: Option<u64>,
        mints: &Mints,
    ) -> Result<ChangedLife, sqlx::Error> {
        let Ok(account) = Account::decode(&self.life.data) else {
            return Ok(self.life.with_events(&[], mints));
        };
        let late = late.filter(|late| !self.life.is_exact && *late <= account.seq());
        let Some(late) = late else {
            let events = self.events_after(connection, account.seq()).await?;
            return Ok(self.life.with_events(&events, mints));
        };
        let events = self.events_after(connection, 0).await?;
        let mut life = self.life;
        life.data = base(&life, account, &events, late, mints).encode();
        Ok(life.with_events(&events, mints))
    }

    /// The life's decoded events with a higher number, in order.
    async fn events_after(
        &self,
        connection: &mut PgConnection,
        number: u64,
    ) -> Result<Vec<Numbered>, sqlx::Error> {
        let rows = sqlx::query(
            "select number::text, data from chain.event_account
             join chain.event on event.id = event_id
             where account = $1 and $2 <= event_id and event_id < $3
               and $4::text::numeric < number and name is not null
             order by event_id",
        )
        .bind(self.life.address.as_ref())
        .bind(self.life.life)
        .bind(self.next.unwrap_or(i64::MAX))
        .bind(number.to_string())
        .fetch_all(connection)
        .await?;
        let mut events = vec![];
        for row in rows {
            let (number, data): (&str, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
            if let (Ok(number), Ok(event)) = (number.parse(), Event::decode(data)) {
                events.push((number, event));
            }
        }
        Ok(events)
    }
}

/// The account to which all events are applied anew, because it lacks one of them: the event with the number
/// `late`.
fn base(
    life: &Life,
    mut account: Account,
    events: &[Numbered],
    late: u64,
    mints: &Mints,
) -> Account {
    let mut known = Account::zeroed(account.kind());
    for (number, event) in events.iter().filter(|(number, _)| *number != late) {
        fold(&mut known, &life.address, event, mints);
        known.set_seq(*number);
    }
    if known.encode() == life.data {
        // Nothing but its events made it.
        return Account::zeroed(account.kind());
    }
    tracing::warn!(
        address = %life.address,
        late,
        "an event was decoded late; the counts of the account that no event states may be off"
    );
    account.set_seq(late - 1);
    account
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::AccountKind;

    use super::*;
    use crate::lives::test_data::{MARKET, bet, created};

    fn life(events: &[Numbered], base: Account) -> Life {
        let life = Life::new(MARKET.into(), 1, Some(AccountKind::Market), None);
        let life = Life {
            data: base.encode(),
            ..life
        };
        life.with_events(events, &Mints::new()).life
    }

    fn total_and_positions(life: &Life) -> (u64, u64) {
        match Account::decode(&life.data) {
            Ok(Account::Market(market)) => (market.total, market.positions),
            _ => panic!("not a market"),
        }
    }

    #[test]
    fn an_event_that_was_left_out_is_folded_in_at_its_place() {
        let zeroed = Account::zeroed(AccountKind::Market);
        let all = [(1, created(1)), (2, bet(2, 30)), (3, bet(3, 42))];
        let without = [all[0].clone(), all[2].clone()];
        let mut life = life(&without, zeroed);
        assert_eq!(total_and_positions(&life), (42, 0));
        let account = Account::decode(&life.data).unwrap();
        life.data = base(&life, account, &all, 2, &Mints::new()).encode();
        let life = life.with_events(&all, &Mints::new()).life;
        assert_eq!(total_and_positions(&life), (42, 1));
    }

    #[test]
    fn bytes_that_were_read_once_keep_what_no_event_says() {
        let mut read = Account::zeroed(AccountKind::Market);
        if let Account::Market(market) = &mut read {
            (market.seq, market.bump) = (1, 250);
        }
        let all = [(1, created(1)), (2, bet(2, 30)), (3, bet(3, 42))];
        let mut life = life(&all[2..], read);
        let account = Account::decode(&life.data).unwrap();
        life.data = base(&life, account, &all, 2, &Mints::new()).encode();
        let life = life.with_events(&all, &Mints::new()).life;
        match Account::decode(&life.data) {
            Ok(Account::Market(market)) => assert_eq!((market.total, market.bump), (42, 250)),
            _ => panic!("not a market"),
        }
    }
}
