//! The lives at the addresses that a batch concerns, read once and changed in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use driftshield_sdk::{AccountChange, Address, Event};
use sqlx::PgConnection;

use super::{places::Place, states::Bounded};
use crate::{
    event_id::EventId,
    kinds,
    lives::Life,
    sql::built,
    store::{LIFE, bytes_of, set_current},
};

/// Address and name of a life.
pub type Key = (Address, i64);

/// All lives by their address and name.
#[derive(Default)]
pub struct Addresses<'a> {
    lives: HashMap<Address, BTreeMap<i64, Known<'a>>>,
    /// Lives that were named after the events that began them: addresses, names before and names.
    renamed: Vec<(Address, i64, i64)>,
    /// Lives that are no longer current.
    superseded: Vec<Key>,
}

/// A life, with its events that are decoded late, in order: each with its id and number.
struct Known<'a> {
    life: Life,
    late: Vec<(i64, u64, &'a Event)>,
}

impl<'a> Addresses<'a> {
    pub async fn load(
        connection: &mut PgConnection,
        addresses: impl IntoIterator<Item = Address>,
    ) -> Result<Self, sqlx::Error> {
        let addresses: BTreeSet<_> = addresses.into_iter().collect();
        let mut known = Self::default();
        if addresses.is_empty() {
            return Ok(known);
        }
        let sql = format!("select {LIFE} from chain.account where address = any($1)");
        let lives: Vec<Life> = sqlx::query_as(built(sql))
            .bind(bytes_of(&addresses))
            .fetch_all(connection)
            .await?;
        for life in lives {
            known.add(life);
        }
        Ok(known)
    }

    fn add(&mut self, life: Life) {
        let late = vec![];
        let at_address = self.lives.entry(life.address).or_default();
        at_address.insert(life.life, Known { life, late });
    }

    /// The life whose range of ids contains the event `id`, if any, and the life after the event.
    pub fn containing(&self, address: &Address, id: i64) -> (Option<&Life>, Option<i64>) {
        let Some(at_address) = self.lives.get(address) else {
            return (None, None);
        };
        let life = at_address.range(..=id).next_back();
        (life.map(|(_, known)| &known.life), next(at_address, id))
    }

    /// All lives, each with the one after it.
    pub fn all(&self) -> impl Iterator<Item = Bounded<'a>> {
        self.lives.values().flat_map(|at_address| {
            at_address
                .values()
                .map(move |known| known.bounded(at_address))
        })
    }

    /// The lives with events that are decoded late.
    pub fn changed(&self) -> impl Iterator<Item = Bounded<'a>> {
        self.all().filter(|bounded| !bounded.late.is_empty())
    }

    /// Gives an event its place: names the life after it, or begins a life. Returns the life's name.
    pub fn settle(
        &mut self,
        change: &AccountChange,
        place: Place,
        id: EventId,
        at: Option<DateTime<Utc>>,
    ) -> Key {
        let (life, next) = self.containing(&change.address, id.get());
        let name = match place {
            Place::Life => life.expect("the place is a life").life,
            Place::Renamed(from) => {
                let at_address = self.lives.entry(change.address).or_default();
                let mut known = at_address.remove(&from).expect("a life is renamed");
                known.life.life = id.get();
                known.life.facts.began_at = at;
                at_address.insert(id.get(), known);
                self.renamed.push((change.address, from, id.get()));
                id.get()
            }
            Place::Begun(name) => {
                let began_at = at.filter(|_| name != 0);
                let begun = Life {
                    is_current: next.is_none(),
                    ..Life::new(change.address, name, Some(change.kind), began_at)
                };
                let before = life.filter(|before| before.is_current && begun.is_current);
                if let Some(before) = before.map(|before| (before.address, before.life)) {
                    self.get_mut(&before).life.is_current = false;
                    self.superseded.push(before);
                }
                self.add(begun);
                name
            }
        };
        (change.address, name)
    }

    /// Stores the new names, and which lives are no longer current.
    pub async fn store_names(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.renamed.is_empty() {
            for table in kinds::all_tables() {
                rename(connection, &table, &self.renamed).await?;
            }
        }
        for (address, life) in &self.superseded {
            let superseded = &self.lives[address][life].life;
            set_current(connection, superseded, false).await?;
        }
        Ok(())
    }

    /// Takes over what an event says about a life.
    pub fn note(
        &mut self,
        key: &Key,
        change: &AccountChange,
        (id, event): (EventId, &'a Event),
        at: Option<DateTime<Utc>>,
    ) {
        let known = self.get_mut(key);
        known.life.note_late(event, change, id, at);
        known.late.push((id.get(), change.number, event));
    }

    /// The life's events that are decoded late, each with its id.
    pub fn late(&self, (address, life): &Key) -> impl Iterator<Item = (i64, &'a Event)> {
        let known = &self.lives[address][life];
        known.late.iter().map(|(id, _, event)| (*id, *event))
    }

    fn get_mut(&mut self, (address, life): &Key) -> &mut Known<'a> {
        let at_address = self.lives.get_mut(address);
        at_address
            .and_then(|at_address| at_address.get_mut(life))
            .expect("a known life")
    }
}

impl<'a> Known<'a> {
    fn bounded(&self, at_address: &BTreeMap<i64, Self>) -> Bounded<'a> {
        let late = self.late.iter();
        Bounded {
            life: self.life.clone(),
            next: next(at_address, self.life.life),
            late: late.map(|(_, number, event)| (*number, *event)).collect(),
        }
    }
}

/// The first life after the life or event `id`.
fn next<T>(at_address: &BTreeMap<i64, T>, id: i64) -> Option<i64> {
    at_address.range(id + 1..).next().map(|(next, _)| *next)
}

/// Names the rows of lives: addresses, names before and names.
async fn rename(
    connection: &mut PgConnection,
    table: &str,
    renamed: &[(Address, i64, i64)],
) -> Result<(), sqlx::Error> {
    let (before, after): (Vec<_>, Vec<_>) = renamed
        .iter()
        .map(|(_, before, after)| (*before, *after))
        .unzip();
    let sql = format!(
        "update {table} row set life = given.after
         from unnest($1::bytea[], $2::bigint[], $3::bigint[]) as given (key, before, after)
         where row.address = given.key and row.life = given.before"
    );
    sqlx::query(built(sql))
        .bind(bytes_of(renamed.iter().map(|(address, ..)| address)))
        .bind(before)
        .bind(after)
        .execute(connection)
        .await?;
    Ok(())
}
