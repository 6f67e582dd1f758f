//! Channels that a client may subscribe to.

use serde_json::Value;

use crate::{
    feed::Update,
    markets::{self, MarketFilter},
    mirror::Snapshot,
    models,
    page::{ListQuery, Paging},
    policies,
    problem::Problem,
    updates::{self, MARKET_EVENTS},
    values::Key,
    vaults,
};

/// Names of the channels, for error messages.
pub const NAMES: &str = "channels are model:<address>, market:<address>, vault:<address>, \
     policy:<address>, markets and events";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    Model(Key),
    Market(Key),
    Vault(Key),
    Policy(Key),
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
            _ => None,
        }
    }

    /// Data of a snapshot message; null for `events`, and if the mirror does not have the account.
    pub async fn data(&self, snapshot: &mut Snapshot) -> Result<Value, Problem> {
        let data = match self {
            Self::Model(key) => serde_json::to_value(models::find(&mut snapshot.tx, key).await?),
            Self::Market(key) => serde_json::to_value(markets::find(&mut snapshot.tx, key).await?),
            Self::Vault(key) => serde_json::to_value(vaults::find(&mut snapshot.tx, key).await?),
            Self::Policy(key) => serde_json::to_value(policies::find(&mut snapshot.tx, key).await?),
            Self::Markets => {
                let open = ListQuery {
                    filter: MarketFilter::open(),
                    paging: Paging::largest_page(),
                };
                serde_json::to_value(markets::page(snapshot, &open).await?)
            }
            Self::Events => Ok(Value::Null),
        };
        Ok(data.expect("resources serialise to JSON"))
    }

    /// One batch of the channel's updates after the event `seq`.
    pub async fn updates_after(
        &self,
        seq: i64,
        snapshot: &mut Snapshot,
    ) -> Result<Vec<Update>, sqlx::Error> {
        let mut sql = updates::query();
        sql.push("e.seq > ").push_bind(seq);
        let mut push_account = |field: &str, key: &Key| {
            sql.push(" and e.seq in (select seq from chain.event_account where account = ")
                .push_bind(key.as_str().to_owned())
                // Postgres does not infer this from the outer condition, and would read the
                // account's earlier events too.
                .push(" and seq > ")
                .push_bind(seq)
                .push(format!(") and e.body->>'{field}' = "))
                .push_bind(key.as_str().to_owned());
        };
        match self {
            Self::Model(key) => push_account("model", key),
            Self::Market(key) => push_account("market", key),
            Self::Vault(key) => push_account("vault", key),
            Self::Policy(key) => push_account("policy", key),
            Self::Markets => {
                sql.push(" and e.name = any(")
                    .push_bind(MARKET_EVENTS.map(str::to_owned).to_vec())
                    .push(")");
            }
            Self::Events => {}
        }
        updates::load(&mut snapshot.tx, sql).await
    }
}

#[cfg(test)]
mod tests {
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
        ] {
            assert_eq!(Channel::parse(&format!("{kind}:{KEY}")), Some(channel));
        }
        for unknown in [
            "", "model", "model:", "model:x", "wallet:x", "markets:", "\"", "events:x",
        ] {
            assert_eq!(Channel::parse(unknown), None, "{unknown}");
        }
    }
}
