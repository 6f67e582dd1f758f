//! The mirror against the chain, by code that is not the indexer's.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use driftshield_sdk::{Account, ID};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// The tag with which Anchor's event instructions begin.
const EVENT_TAG: [u8; 8] = [0xe4, 0x45, 0xa5, 0x2e, 0x51, 0xcb, 0x9a, 0x1d];

/// What the mirror lacks, has twice, or has otherwise than the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    pub lost: Vec<String>,
    pub duplicated: Vec<String>,
    pub different: Vec<String>,
}

impl Differences {
    pub fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.duplicated.is_empty() && self.different.is_empty()
    }
}

/// Signature of a transaction.
type Signature = String;

/// The chain as an RPC node shows it.
pub struct Chain {
    url: String,
    http: reqwest::Client,
    /// Events of every successful transaction, as `discriminator ‖ body`.
    pub events: BTreeMap<Signature, Vec<Vec<u8>>>,
    /// The newest transaction that was read.
    newest: Option<Signature>,
}

impl Chain {
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            http: reqwest::Client::new(),
            events: BTreeMap::new(),
            newest: None,
        }
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let sent = self.http.post(&self.url).json(&request).send();
        let mut answer: Value = sent.await.unwrap().json().await.unwrap();
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    pub async fn slot(&self) -> i64 {
        let config = json!([{ "commitment": "confirmed" }]);
        self.ask("getSlot", config).await.as_i64().unwrap()
    }

    /// Hash of the block of a slot; `None` if the node has no such block yet.
    pub async fn blockhash(&self, slot: i64) -> Option<String> {
        let config = json!({ "transactionDetails": "none", "rewards": false,
                             "commitment": "confirmed" });
        let block = self.ask("getBlock", json!([slot, config])).await;
        block["blockhash"].as_str().map(str::to_owned)
    }

    /// Lamports and data of every account of the program.
    async fn accounts(&self) -> BTreeMap<Vec<u8>, (String, Vec<u8>)> {
        let config = json!({ "encoding": "base64", "commitment": "confirmed" });
        let answer = self.ask("getProgramAccounts", json!([ID.to_string(), config]));
        let answer = answer.await;
        let accounts = answer.as_array().unwrap().iter().map(|keyed| {
            let address = bs58::decode(keyed["pubkey"].as_str().unwrap());
            let account = &keyed["account"];
            let data = BASE64_STANDARD.decode(account["data"][0].as_str().unwrap());
            let lamports = account["lamports"].to_string();
            (address.into_vec().unwrap(), (lamports, data.unwrap()))
        });
        accounts.collect()
    }

    /// Reads the transactions that are new.
    pub async fn read_events(&mut self) {
        let mut signatures = vec![];
        let mut before = None;
        loop {
            let config = json!({ "commitment": "confirmed", "before": before,
                                 "until": self.newest, "limit": 1000 });
            let page = self.ask("getSignaturesForAddress", json!([ID.to_string(), config]));
            let page = page.await;
            let page = page.as_array().unwrap();
            let Some(oldest) = page.last() else { break };
            before = Some(oldest["signature"].clone());
            let page = page.iter();
            signatures
                .extend(page.map(|signed| (signed["signature"].clone(), signed["err"].is_null())));
        }
        if let Some((newest, _)) = signatures.first() {
            self.newest = newest.as_str().map(str::to_owned);
        }
        for (signature, succeeded) in signatures {
            if succeeded {
                let events = self.events_of(&signature).await;
                let signature = signature.as_str().unwrap().to_owned();
                self.events.insert(signature, events);
            }
        }
    }

    async fn events_of(&self, signature: &Value) -> Vec<Vec<u8>> {
        let config = json!({ "encoding": "json", "commitment": "confirmed",
                             "maxSupportedTransactionVersion": 0 });
        let found = self.ask("getTransaction", json!([signature, config])).await;
        let keys = &found["transaction"]["message"]["accountKeys"];
        let loaded = &found["meta"]["loadedAddresses"];
        let keys = [keys, &loaded["writable"], &loaded["readonly"]];
        let keys: Vec<&Value> = keys
            .into_iter()
            .flat_map(|keys| keys.as_array().into_iter().flatten())
            .collect();
        let inner = found["meta"]["innerInstructions"].as_array().unwrap();
        let instructions = inner
            .iter()
            .flat_map(|outer| outer["instructions"].as_array().unwrap());
        let ours = instructions.filter(|instruction| {
            let program = instruction["programIdIndex"].as_u64().unwrap() as usize;
            *keys[program] == ID.to_string()
        });
        let data = ours.map(|instruction| {
            let data = bs58::decode(instruction["data"].as_str().unwrap());
            data.into_vec().unwrap()
        });
        data.filter_map(|data| Some(data.strip_prefix(&EVENT_TAG)?.to_vec()))
            .collect()
    }

    /// Compares the mirror at rest with the chain.
    pub async fn compare(&mut self, mirror: &mut PgConnection) -> Differences {
        self.read_events().await;
        let mut differences = Differences::default();
        self.compare_events(mirror, &mut differences).await;
        self.compare_accounts(mirror, &mut differences).await;
        compare_feed(mirror, &mut differences).await;
        differences
    }

    async fn compare_events(&self, mirror: &mut PgConnection, differences: &mut Differences) {
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("select signature, data from chain.event order by id")
                .fetch_all(mirror)
                .await
                .unwrap();
        let mut mirrored: BTreeMap<Signature, Vec<Vec<u8>>> = BTreeMap::new();
        for (signature, data) in rows {
            let signature = bs58::encode(signature).into_string();
            mirrored.entry(signature).or_default().push(data);
        }
        for (signature, events) in &self.events {
            let found = mirrored.remove(signature).unwrap_or_default();
            let line = format!(
                "transaction {signature}: {} events on chain, {} in the mirror",
                events.len(),
                found.len()
            );
            if found.len() < events.len() {
                differences.lost.push(line);
            } else if events.len() < found.len() {
                differences.duplicated.push(line);
            } else if found != *events {
                differences
                    .different
                    .push(format!("transaction {signature}: other events"));
            }
        }
        let unknown = mirrored.into_keys();
        differences
            .duplicated
            .extend(unknown.map(|signature| format!("transaction {signature}: not on chain")));
    }

    /// Compares the open accounts, and the number of each one's events with its counter.
    async fn compare_accounts(&self, mirror: &mut PgConnection, differences: &mut Differences) {
        let mut on_chain = self.accounts().await;
        let rows = sqlx::query(
            "select address, lamports::text as lamports, data,
               (select count(*) from chain.event_account
                where account = address and life <= event_id) as events
             from chain.account where is_current and closed_slot is null",
        );
        for row in rows.fetch_all(mirror).await.unwrap() {
            let address: Vec<u8> = row.get("address");
            let name = bs58::encode(&address).into_string();
            let Some((lamports, data)) = on_chain.remove(&address) else {
                let line = format!("account {name}: not on chain");
                differences.different.push(line);
                continue;
            };
            let mirrored: (String, Vec<u8>) = (row.get("lamports"), row.get("data"));
            if mirrored != (lamports, data.clone()) {
                let line = format!("account {name}: other bytes or lamports");
                differences.different.push(line);
            }
            let (events, counter) = (row.get::<i64, _>("events"), seq(&data));
            if counter.is_some_and(|counter| counter != events.unsigned_abs()) {
                differences
                    .lost
                    .push(format!("account {name}: {events} of {counter:?} events"));
            }
        }
        for address in on_chain.into_keys() {
            let name = bs58::encode(address).into_string();
            differences
                .lost
                .push(format!("account {name}: not in the mirror"));
        }
    }
}

/// The account's count of its own events.
fn seq(data: &[u8]) -> Option<u64> {
    Account::decode(data).ok().map(|account| account.seq())
}

/// Checks that the feed has no hole, and that what it announced and did not roll back is what the mirror
/// has.
async fn compare_feed(mirror: &mut PgConnection, differences: &mut Differences) {
    let rows: Vec<(i64, String, i64, Option<i64>, Value)> =
        sqlx::query_as("select seq, kind, slot, event_id, body from chain.feed order by seq")
            .fetch_all(&mut *mirror)
            .await
            .unwrap();
    let mut announced: BTreeSet<i64> = BTreeSet::new();
    let first = rows.first().map_or(0, |row| row.0);
    for (expected, (seq, kind, _, event, body)) in (first..).zip(&rows) {
        if *seq != expected {
            let line = format!("feed: {seq} follows {}", expected - 1);
            differences.lost.push(line);
            break;
        }
        match (kind.as_str(), event) {
            ("event", Some(event)) if !announced.insert(*event) => {
                let line = format!("feed: announces event {event} again");
                differences.duplicated.push(line);
            }
            ("rollback", _) => {
                let to_slot = body["to_slot"].as_i64().unwrap();
                announced.retain(|event| (*event >> 31) <= to_slot);
            }
            _ => {}
        }
    }
    let Some(first) = rows.iter().filter_map(|row| row.3).min() else {
        return;
    };
    let mirrored: Vec<i64> = sqlx::query_scalar("select id from chain.event where $1 <= id")
        .bind(first)
        .fetch_all(mirror)
        .await
        .unwrap();
    let mirrored: BTreeSet<i64> = mirrored.into_iter().collect();
    for event in mirrored.symmetric_difference(&announced) {
        let line = format!("feed: event {event} is mirrored but not announced, or announced only");
        differences.different.push(line);
    }
}

/// What two mirrors of the same chain must agree on.
const AGREED: &[(&str, &str)] = &[
    ("event", "id, slot, signature, name, body, data, block_time"),
    ("event_account", "event_id, account, number"),
    ("event_party", "event_id, wallet, role"),
    ("odds", "event_id, market, pools, block_time"),
    (
        "sale",
        "event_id, market, seller, buyer, amount, price, paid",
    ),
    ("penalty", "event_id, model, oracle, amount"),
    ("capital", "event_id, vault, assets, shares, block_time"),
    ("policy_payout", "event_id, policy, amount, destination"),
    (
        "account",
        "address, life, is_current, kind, closed_slot, facts",
    ),
    (
        "account where closed_slot is null",
        "address, life, data, lamports",
    ),
    (
        "market",
        "address, life, status, began_at, ended_at, settled_slot, settled_at, settled_by",
    ),
    (
        "position",
        "address, life, status, began_at, ended_at, payout, destination",
    ),
    (
        "receipt",
        "address, life, status, ended_at, settled_slot, settled_at",
    ),
    (
        "policy",
        "address, life, status, ended_at, refund, premium, pending ->> 'premium'",
    ),
    (
        "withdraw_request",
        "address, life, status, ended_at, payout, settled_at",
    ),
    ("market_volume", "address, life, trim_scale(rank)"),
    ("vault_assets", "address, life, trim_scale(rank)"),
    ("hourly", "hourly.*"),
];

/// Compares two mirrors of the same chain at rest: every event, payout and settlement.
pub async fn compare_mirrors(one: &mut PgConnection, other: &mut PgConnection) -> Vec<String> {
    let mut differences = vec![];
    for (table, columns) in AGREED {
        let sql = format!(
            "select row ({columns})::text from chain.{table} order by row ({columns})::text collate \"C\""
        );
        let [one, other] = [
            sqlx::query_scalar(AssertSqlSafe(&*sql))
                .fetch_all(&mut *one)
                .await
                .unwrap(),
            sqlx::query_scalar(AssertSqlSafe(&*sql))
                .fetch_all(&mut *other)
                .await
                .unwrap(),
        ];
        let [one, other]: [BTreeSet<String>; 2] =
            [one, other].map(|rows| rows.into_iter().collect());
        for row in one.difference(&other) {
            differences.push(format!("{table}: only the first mirror has {row}"));
        }
        for row in other.difference(&one) {
            differences.push(format!("{table}: only the second mirror has {row}"));
        }
    }
    differences
}

/// Those of the tables that [`compare_mirrors`] compares in which the mirror has no row.
pub async fn empty_tables(mirror: &mut PgConnection) -> Vec<&'static str> {
    let mut empty = vec![];
    for (table, _) in AGREED {
        let sql = format!("select not exists (select from chain.{table})");
        let is_empty = sqlx::query_scalar(AssertSqlSafe(&*sql))
            .fetch_one(&mut *mirror)
            .await;
        if is_empty.unwrap() {
            empty.push(*table);
        }
    }
    empty
}
