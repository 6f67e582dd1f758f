//! States of lives, from their bytes and all of their events.

use std::collections::{BTreeMap, HashMap};

use driftshield_sdk::{Account, Address, Event};
use sqlx::{PgConnection, Row};

use super::addresses::Key;
use crate::{
    lives::{ChangedLife, Life, Mints, fold},
    store::bytes_of,
};

/// A life with the one after it at the address.
pub struct Bounded<'a> {
    pub life: Life,
    pub next: Option<i64>,
    /// Events that are decoded late, each with its number. The life's bytes lack them if they are put together
    /// from events.
    pub late: Vec<(u64, &'a Event)>,
}

/// Events of a life by their numbers.
type Numbered = BTreeMap<u64, Event>;

/// The lives with their states. The mirror doesn't have the rows of their late events yet.
pub async fn with_states(
    connection: &mut PgConnection,
    lives: Vec<Bounded<'_>>,
    mints: &Mints,
) -> Result<Vec<ChangedLife>, sqlx::Error> {
    let mut events = known_events(connection, &lives).await?;
    let changed = lives.into_iter().map(|bounded| {
        let known = events.remove(&(bounded.life.address, bounded.life.life));
        bounded.with_state(&known.unwrap_or_default(), mints)
    });
    Ok(changed.collect())
}

impl Bounded<'_> {
    /// Number of the last event that the bytes include; `None` if they can't be decoded.
    fn number(&self) -> Option<u64> {
        Some(Account::decode(&self.life.data).ok()?.seq())
    }

    /// Number of the first event that the bytes lack although they include later ones.
    fn lacks(&self) -> Option<u64> {
        let number = self.number()?;
        let numbers = self.late.iter().map(|(number, _)| *number);
        let lacking = numbers.filter(|late| !self.life.is_exact && *late <= number);
        lacking.min()
    }

    /// The life with its state. `known` are the events that were decoded before, as far as its bytes lack
    /// them, or all of them if its bytes lack an earlier one.
    fn with_state(self, known: &Numbered, mints: &Mints) -> ChangedLife {
        let Ok(account) = Account::decode(&self.life.data) else {
            return self.life.with_events(&[], mints);
        };
        let lacks = self.lacks();
        let mut life = self.life;
        if let Some(lacks) = lacks {
            life.data = base(&life, account, known, lacks, mints).encode();
        }
        let mut events: BTreeMap<_, _> = known
            .iter()
            .map(|(&number, event)| (number, event))
            .collect();
        events.extend(self.late);
        let events: Vec<_> = events.into_iter().collect();
        life.with_events(&events, mints)
    }
}

/// Reads the decoded events of the lives whose numbers are higher than that of the bytes, or all of them if the
/// bytes lack an earlier one.
async fn known_events(
    connection: &mut PgConnection,
    lives: &[Bounded<'_>],
) -> Result<HashMap<Key, Numbered>, sqlx::Error> {
    let mut events: HashMap<Key, Numbered> = HashMap::new();
    let decoded = lives
        .iter()
        .filter_map(|bounded| Some((bounded, bounded.number()?)));
    let (mut addresses, mut names, mut ends, mut numbers) = (vec![], vec![], vec![], vec![]);
    for (bounded, number) in decoded {
        addresses.push(&bounded.life.address);
        names.push(bounded.life.life);
        ends.push(bounded.next.unwrap_or(i64::MAX));
        let number = if bounded.lacks().is_some() { 0 } else { number };
        numbers.push(number.to_string());
    }
    // Numbers ascend with the ids, so that the last event that the bytes include is found backwards.
    let rows = sqlx::query(
        "with bounds as materialized (
           select account, life, next, coalesce((
             select event_id from chain.event_account included
             where included.account = given.account
               and life <= event_id and event_id < next and included.number <= given.number::numeric
             order by event_id desc limit 1), life - 1) as last
           from unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::text[])
             as given (account, life, next, number))
         select account, life, number::text, data
         from bounds join chain.event_account using (account)
         join chain.event on event.id = event_id
         where last < event_id and event_id < next and name is not null",
    )
    .bind(bytes_of(addresses))
    .bind(names)
    .bind(ends)
    .bind(numbers)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let (address, life): (&[u8], i64) = (row.try_get(0)?, row.try_get(1)?);
        let (number, data): (&str, &[u8]) = (row.try_get(2)?, row.try_get(3)?);
        let address: Result<Address, _> = address.try_into();
        if let (Ok(address), Ok(number), Ok(event)) = (address, number.parse(), Event::decode(data))
        {
            events
                .entry((address, life))
                .or_default()
                .insert(number, event);
        }
    }
    Ok(events)
}

/// The account to which all events are applied anew, because it lacks some that are decoded late, the first of
/// them with the number `lacks`. `known` are the others.
fn base(life: &Life, mut account: Account, known: &Numbered, lacks: u64, mints: &Mints) -> Account {
    let mut folded = Account::zeroed(account.kind());
    for (number, event) in known {
        fold(&mut folded, &life.address, event, mints);
        folded.set_seq(*number);
    }
    if folded.encode() == life.data {
        // Nothing but its events made it.
        return Account::zeroed(account.kind());
    }
    tracing::warn!(
        address = %life.address,
        number = lacks,
        "an event was decoded late; the counts of the account that no event states may be off"
    );
    account.set_seq(lacks - 1);
    account
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::AccountKind;

    use super::*;
    use crate::lives::test_data::{MARKET, bet, created};

    fn life(known: &Numbered, base: &Account) -> Life {
        let life = Life::new(MARKET.into(), 1, Some(AccountKind::Market), None);
        let life = Life {
            data: base.encode(),
            ..life
        };
        let events: Vec<_> = known
            .iter()
            .map(|(&number, event)| (number, event))
            .collect();
        life.with_events(&events, &Mints::new()).life
    }

    /// The market after these of the events were decoded late.
    fn decoded_late(
        life: Life,
        known: &Numbered,
        late: &[(u64, &Event)],
    ) -> Box<driftshield_sdk::Market> {
        let bounded = Bounded {
            life,
            next: None,
            late: late.to_vec(),
        };
        let changed = bounded.with_state(known, &Mints::new());
        assert_eq!(changed.state.as_ref(), Some(&changed.life.data));
        match Account::decode(&changed.life.data) {
            Ok(Account::Market(market)) => market,
            _ => panic!("not a market"),
        }
    }

    #[test]
    fn events_that_were_left_out_are_folded_in_at_their_places() {
        let all = [created(1), bet(2, 30), bet(3, 42), bet(4, 50)];
        let known = [(1, all[0].clone()), (4, all[3].clone())].into();
        let life = life(&known, &Account::zeroed(AccountKind::Market));
        let late = [(2, &all[1]), (3, &all[2])];
        let market = decoded_late(life.clone(), &known, &late);
        assert_eq!((market.total, market.seq), (50, 4));
        // The first bet of a position counts it.
        assert_eq!(market.positions, 1);
        let market = decoded_late(life, &known, &late[1..]);
        assert_eq!(market.positions, 0);
    }

    #[test]
    fn bytes_that_were_read_once_keep_what_no_event_says() {
        let mut read = Account::zeroed(AccountKind::Market);
        if let Account::Market(market) = &mut read {
            (market.seq, market.bump) = (1, 250);
        }
        let all = [(1, created(1)), (2, bet(2, 30)), (3, bet(3, 42))];
        let life = life(&[all[2].clone()].into(), &read);
        let known = [all[0].clone(), all[2].clone()].into();
        let market = decoded_late(life, &known, &[(2, &all[1].1)]);
        assert_eq!((market.total, market.bump), (42, 250));
    }
}
