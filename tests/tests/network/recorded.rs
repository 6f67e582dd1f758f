//! Mirrors of a recorded chain with forks.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use driftshield_sdk::Event;
use driftshield_tests::{
    ingest::{
        chain::{Block, Chain},
        forks::{self, Plan},
        mirror::Mirror,
        recording::{RecordedTransaction, Recording},
    },
    network::{postgres::Postgres, wait_for},
};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// The actions of this seed have every kind of event.
const SEED: u64 = 3;
const TIMEOUT: Duration = Duration::from_secs(600);

/// A recording of actions in which every kind of event happens, and a database server for its mirrors.
pub struct Stage {
    pub folder: TempDir,
    postgres: Postgres,
    recording: Arc<Recording>,
}

impl Stage {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::of_every_kind(folder.path(), SEED).unwrap();
        Self {
            folder,
            postgres: Postgres::start().await,
            recording: Arc::new(recording),
        }
    }

    /// A mirror of a chain without slots, and its database.
    pub async fn mirror(&self, name: &str) -> (Mirror, PgConnection) {
        let chain = Arc::new(Chain::new(Arc::clone(&self.recording)));
        let url = self.postgres.create(name).await;
        let mirror = Mirror::start(name, chain, url, self.folder.path()).await;
        let mirror = mirror.unwrap();
        let database = PgConnection::connect(&mirror.database_url).await.unwrap();
        (mirror, database)
    }

    /// Slots after `base`, some of which are dropped.
    pub fn plan(&self, base: Block) -> Plan {
        let transactions = &self.recording.transactions;
        forks::plan(SEED, base, transactions.len(), remarkable(transactions))
    }
}

/// The first transactions with each kind of event, and those that create an account again.
fn remarkable(transactions: &[RecordedTransaction]) -> BTreeSet<usize> {
    let (mut kinds, mut begun) = (BTreeSet::new(), BTreeSet::new());
    let mut is_remarkable = |event: &Event| {
        let changes = event.changes().into_iter();
        let mut begins = changes.filter(|change| change.number == 1);
        let is_again = begins.any(|change| !begun.insert(change.address));
        kinds.insert(event.name()) || is_again
    };
    let mut found = BTreeSet::new();
    for (index, transaction) in transactions.iter().enumerate() {
        for event in transaction.decoded_events() {
            if is_remarkable(&event) {
                found.insert(index);
            }
        }
    }
    found
}

/// Confirms empty slots until the mirror has all accounts, of which there are none. Returns when it had them.
pub async fn settle(chain: &Chain, database: &mut PgConnection) -> i64 {
    wait_for("the accounts", TIMEOUT, async || {
        chain.confirm_empty();
        settled(database).await
    })
    .await
}

pub async fn settled(database: &mut PgConnection) -> Option<i64> {
    sqlx::query_scalar("select settled_slot from chain.cursor")
        .fetch_one(database)
        .await
        .unwrap()
}

/// Waits until the mirror has the chain's last slot.
pub async fn reach_tip(mirror: &mut Mirror, database: &mut PgConnection) {
    let tip = mirror.chain.tip();
    wait_for("the last slot", TIMEOUT, async || {
        mirror.indexer.assert_running();
        let hash: Vec<u8> = sqlx::query_scalar("select blockhash from chain.cursor")
            .fetch_one(&mut *database)
            .await
            .unwrap();
        (bs58::encode(hash).into_string() == tip.hash()).then_some(())
    })
    .await;
}
