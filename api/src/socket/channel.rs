//! Channels that a client may subscribe to.

use std::fmt::{self, Display, Formatter};

use serde_json::Value;

use crate::{
    bytes::Key,
    lives::LifeFilter,
    markets::{self, MarketFilter},
    mirror::Snapshot,
    models,
    page::{ListQuery, Paging},
    policies,
    problem::Problem,
    updates::{self, MARKET_EVENTS, Record},
    vaults,
};

/// Names of the channels, for error messages.
pub const NAMES: &str = "channels are model:<address>, market:<address>, vault:<address>, \
     policy:<address>, wallet:<address>, markets and events";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    Model(Key),
    Market(Key),
    Vault(Key),
    Policy(Key),
    Wallet(Key),
    Markets,
    Events,
}

impl Channel {
    /// `None` if there is no channel with this name.
    pub fn parse(name: &str) -> Option<Self> {
        match name.split_once(':') {
            None if name == "markets" => Some(Self::Markets),
            None if name == "events" => Some(Self::Events),
            Some(("model", key)) => Key::parse(key).map(Self::Model),
            Some(("market", key)) => Key::parse(key).map(Self::Market),
            Some(("vault", key)) => Key::parse(key).map(Self::Vault),
            Some(("policy", key)) => Key::parse(key).map(Self::Policy),
            Some(("wallet", key)) => Key::parse(key).map(Self::Wallet),
            _ => None,
        }
    }

    /// Whether snapshots of the channel have data.
    pub fn has_data(&self) -> bool {
        !matches!(self, Self::Events | Self::Wallet(_))
    }

    /// Data of a snapshot message; null for `events` and wallets, and if the mirror does not have the
    /// account.
    pub async fn data(&self, snapshot: &mut Snapshot) -> Result<Value, Problem> {
        let (db, current) = (&mut *snapshot.tx, LifeFilter::default());
        let data = match self {
            Self::Model(key) => serde_json::to_value(models::find(db, key).await?),
            Self::Market(key) => serde_json::to_value(markets::find(db, key, current).await?),
            Self::Vault(key) => serde_json::to_value(vaults::find(db, key, current).await?),
            Self::Policy(key) => serde_json::to_value(policies::find(db, key, current).await?),
            Self::Markets => {
                let open = ListQuery {
                    filter: MarketFilter::open(),
                    paging: Paging::largest_page(),
                };
                serde_json::to_value(markets::page(snapshot, &open).await?)
            }
            Self::Events | Self::Wallet(_) => Ok(Value::Null),
        };
        Ok(data.expect("resources serialise to JSON"))
    }

    /// One batch of the feed after `seq`, without events of other channels.
    pub async fn records_after(
        &self,
        seq: i64,
        snapshot: &mut Snapshot,
    ) -> Result<Vec<Record>, sqlx::Error> {
        let mut sql = updates::query();
        sql.push("f.seq > ").push_bind(seq);
        match self {
            Self::Markets => {
                sql.push(" and (f.kind <> 'event' or f.body->>'name' = any(")
                    .push_bind(MARKET_EVENTS.map(str::to_owned).to_vec())
                    .push("))");
            }
            Self::Events => {}
            Self::Model(_)
            | Self::Market(_)
            | Self::Vault(_)
            | Self::Policy(_)
            | Self::Wallet(_) => {
                sql.push(" and (f.kind <> 'event' or f.channels @> array[")
                    .push_bind(self.to_string())
                    .push("])");
            }
        }
        updates::load(&mut snapshot.tx, sql).await
    }
}

impl Display for Channel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(key) => write!(f, "model:{key}"),
            Self::Market(key) => write!(f, "market:{key}"),
            Self::Vault(key) => write!(f, "vault:{key}"),
            Self::Policy(key) => write!(f, "policy:{key}"),
            Self::Wallet(key) => write!(f, "wallet:{key}"),
            Self::Markets => f.write_str("markets"),
            Self::Events => f.write_str("events"),
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;

    use super::*;

    const KEY: &str = "DriftSh1e1d11111111111111111111111111111111";

    #[test]
    fn channels_parse_by_name() {
        let key = || Key::parse(KEY).unwrap();
        assert_eq!(Channel::parse("markets"), Some(Channel::Markets));
        for (kind, channel) in [
            ("model", Channel::Model(key())),
            ("market", Channel::Market(key())),
            ("vault", Channel::Vault(key())),
            ("policy", Channel::Policy(key())),
            ("wallet", Channel::Wallet(key())),
        ] {
            let name = format!("{kind}:{KEY}");
            assert_eq!(channel.to_string(), name);
            assert_eq!(Channel::parse(&name), Some(channel));
        }
        for unknown in [
            "", "model", "model:", "model:x", "wallet:x", "markets:", "\"", "events:x",
        ] {
            assert_eq!(Channel::parse(unknown), None, "{unknown}");
        }
    }

    #[sqlx::test(
        migrator = "crate::db_tests::SCHEMA",
        fixtures(path = "../db_tests/fixtures", scripts("mirror"))
    )]
    async fn a_channel_has_its_account_and_its_records(db: PgPool) {
        for (name, has_data, records) in [
            ("model", true, vec![96, 98, 99, 100]),
            ("market", true, vec![95, 98, 99, 100]),
            ("vault", true, vec![98, 99, 100]),
            ("policy", true, vec![98, 99, 100]),
            ("wallet", false, vec![98, 99, 100]),
            ("markets", true, vec![95, 98, 99, 100]),
            ("events", false, vec![95, 96, 97, 98, 99, 100]),
        ] {
            let channel = match name {
                "markets" | "events" => name.to_owned(),
                _ => format!("{name}:{}", key_of(name)),
            };
            let channel = Channel::parse(&channel).unwrap();
            let mut snapshot = Snapshot::begin(&db).await.unwrap();
            let data = channel.data(&mut snapshot).await.unwrap();
            assert_eq!(!data.is_null(), has_data, "{name}");
            let found = channel.records_after(90, &mut snapshot).await.unwrap();
            let found: Vec<_> = found.iter().map(|record| record.seq).collect();
            assert_eq!(found, records, "{name}");
        }
    }

    /// The account of a channel in the fixture.
    fn key_of(name: &str) -> String {
        let kind = match name {
            "model" => 2,
            "market" => 4,
            "vault" => 6,
            "policy" => 10,
            _ => 9,
        };
        crate::db_tests::key(kind, 1)
    }
}
