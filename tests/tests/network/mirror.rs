//! Checks of the mirror with `indexer verify`, which compares the mirror with the chain.

use std::time::Duration;

use driftshield_tests::network::{Network, wait_for};
use sqlx::PgPool;

/// Totals that `indexer verify` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    pub accounts: u64,
    pub events: u64,
    pub differences: u64,
}

impl Totals {
    /// Parses `accounts N events M differences D`.
    fn parse(output: &str) -> Self {
        let mut lines = output.lines().rev();
        let line = lines.find(|line| line.starts_with("accounts "));
        let words: Vec<_> = line.expect(output).split(' ').collect();
        assert_eq!(
            (words[0], words[2], words[4]),
            ("accounts", "events", "differences")
        );
        let number = |index: usize| words[index].parse().unwrap();
        Self {
            accounts: number(1),
            events: number(3),
            differences: number(5),
        }
    }
}

/// Waits until the mirror has reached `slot`.
pub async fn wait_for_slot(pool: &PgPool, slot: u64) {
    wait_for("the mirror", Duration::from_secs(30), async || {
        let reached: i64 = sqlx::query_scalar("select slot from chain.cursor")
            .fetch_one(pool)
            .await
            .ok()?;
        (slot as i64 <= reached).then_some(())
    })
    .await;
}

/// Waits until the mirror has reached `slot` and has all accounts.
pub async fn wait_until_settled(pool: &PgPool, slot: i64, what: &str) {
    wait_for(what, Duration::from_secs(60), async || {
        let (reached, settled_slot): (i64, Option<i64>) =
            sqlx::query_as("select slot, settled_slot from chain.cursor")
                .fetch_optional(pool)
                .await
                .ok()??;
        (slot <= reached && settled_slot.is_some()).then_some(())
    })
    .await;
}

/// Waits until the mirror has all that is confirmed, and all accounts.
pub async fn wait_until_current(network: &Network, pool: &PgPool) {
    // Transactions that are confirmed can be of the slot after it.
    let slot = network.client.rpc().get_slot().await.unwrap() as i64 + 1;
    wait_until_settled(pool, slot, "the mirror").await;
}

/// Number of bets in the mirror.
pub async fn bets(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from chain.event where name = 'BetPlaced'")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Waits until the mirror's slots up to `slot` are finalized.
pub async fn wait_until_final(pool: &PgPool, slot: i64) {
    wait_for("finalized slots", Duration::from_secs(60), async || {
        let finalized: i64 = sqlx::query_scalar("select finalized_slot from chain.cursor")
            .fetch_one(pool)
            .await
            .ok()?;
        (slot <= finalized).then_some(())
    })
    .await;
}

/// Waits for some slots, so that transactions before and after are not of one slot.
pub async fn pass_slots(network: &Network) -> u64 {
    let from = network.client.rpc().get_slot().await.unwrap();
    wait_for("some slots", Duration::from_secs(60), async || {
        let slot = network.client.rpc().get_slot().await.ok()?;
        (from + 3 <= slot).then_some(slot)
    })
    .await
}

/// Asserts that the mirror has no differences from the chain.
pub fn assert_matches_chain(network: &Network) -> Totals {
    let (code, output) = network.run("indexer", &["verify"]);
    assert_eq!(code, 0, "{output}");
    let totals = Totals::parse(&output);
    assert_eq!(totals.differences, 0, "{output}");
    totals
}

/// Asserts that the mirror differs from the chain. Returns the lines that describe the differences.
pub fn differences(network: &Network) -> Vec<String> {
    let (code, output) = network.run("indexer", &["verify"]);
    assert_eq!(code, 1, "{output}");
    assert!(0 < Totals::parse(&output).differences, "{output}");
    let lines = output.lines().map(str::to_owned);
    lines
        .filter(|line| !line.starts_with("accounts "))
        .collect()
}

/// Runs a statement that damages the mirror. Returns the text that the statement returns, which
/// describes the damage.
pub async fn damage(pool: &PgPool, statement: &'static str) -> String {
    sqlx::query_scalar(statement).fetch_one(pool).await.unwrap()
}

/// Asserts that one of the lines contains `text`.
pub fn assert_reported(differences: &[String], text: &str) {
    assert!(
        differences.iter().any(|line| line.contains(text)),
        "{text} is not in {differences:?}"
    );
}
