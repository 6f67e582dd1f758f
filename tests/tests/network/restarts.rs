//! Processes that are killed at random moments lose no data and repeat no work.

use std::{fs, time::Duration};

use driftshield_sdk::Market;
use driftshield_tests::network::{
    budget::RequestedBudget,
    fixture::{BETTORS, Fixture, PRIORITY_FEE, WINDOWS},
    observer::{LandedTransaction, ObservedChain, SignedTransaction, observe},
    wait_for,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::PgPool;

use crate::mirror;

#[tokio::test(flavor = "multi_thread")]
async fn random_kills_lose_no_data_and_repeat_no_work() {
    // Given two cranks with the same key, an indexer, and bets during the whole run
    let fixture = Fixture::start().await;
    let observer = observe(&fixture.network.addresses.grpc_url);
    let mut indexer = fixture.start_indexer();
    let mut cranks = ["crank-a", "crank-b"].map(|name| fixture.start_crank(name));

    // When all of them are killed repeatedly at random
    let mut random = StdRng::seed_from_u64(11);
    let mut kills = 0;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(240);
    while !fixture.is_settled().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not settled after 240 s"
        );
        let now = fixture.network.client.unix_timestamp().await.unwrap();
        let open = fixture
            .network
            .client
            .find::<Market>(&fixture.markets[1])
            .await
            .unwrap();
        if open.is_some_and(|market| now + 3 < market.close_ts) {
            let (index, outcome) = (random.random_range(0..BETTORS), random.random_range(0..3));
            fixture.place_bet(1, index, outcome).await;
            if kills < 5 && random.random_ratio(1, 3) {
                indexer.kill();
                indexer = fixture.start_indexer();
                kills += 1;
            }
        }
        if random.random_ratio(1, 4) {
            let victim = random.random_range(0..2);
            cranks[victim].kill();
            cranks[victim] = fixture.start_crank(["crank-a", "crank-b"][victim]);
        }
        let pause = random.random_range(100..900);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    assert_eq!(kills, 5);
    anybody_can_check_submitted_receipts(&fixture);
    for crank in &mut cranks {
        assert!(crank.stop(), "{}", crank.output());
    }

    // Then every sent transaction that did not succeed lost a race
    let slot = fixture.network.client.rpc().get_slot().await.unwrap();
    let chain = wait_for("the last slots", Duration::from_secs(20), async || {
        let chain = observer.borrow().clone();
        (slot < chain.last_slot).then_some(chain)
    })
    .await;
    let landed: Vec<_> = chain.transactions.iter().filter(|l| !l.failed).collect();
    let sent = fixture.proxy.sent();
    assert!((2 * WINDOWS) as usize <= sent.len(), "{} sent", sent.len());
    for signed in &sent {
        let succeeded = landed
            .iter()
            .any(|l| l.signed.signature == signed.signature);
        assert!(
            succeeded || lost_a_race(signed, &landed, &chain),
            "sent although its work was already done: {signed:?}"
        );
    }

    // and had limits, and paid for priority if its crank is configured to
    let budgets = fixture.proxy.transactions();
    let budgets: Vec<_> = budgets.iter().map(RequestedBudget::of).collect();
    for budget in &budgets {
        assert!(budget.is_limited(), "{budget:?}");
    }
    for price in [None, Some(PRIORITY_FEE)] {
        assert!(budgets.iter().any(|budget| budget.price == price));
    }

    // and the mirror matches the chain
    let pool = fixture.network.database().await;
    mirror::wait_for_slot(&pool, slot).await;
    let totals = mirror::assert_matches_chain(&fixture.network);
    assert!(0 < totals.accounts && 0 < totals.events);

    // A second indexer waits while the first one runs, and takes over when the first one stops.
    let mut standby = fixture.network.service("standby", "indexer", &["run"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(indexer.is_running() && standby.is_running());
    assert!(indexer.stop(), "{}", indexer.output());
    let slot = fixture.network.client.rpc().get_slot().await.unwrap();
    mirror::wait_for_slot(&pool, slot).await;
    assert_eq!(mirror::assert_matches_chain(&fixture.network), totals);

    verify_names_every_difference(&fixture, &pool).await;
    assert!(standby.stop(), "{}", standby.output());
}

/// `crank check` agrees with a receipt on the same data, and advises a challenge on other data.
fn anybody_can_check_submitted_receipts(fixture: &Fixture) {
    let dir = fixture.network.directory.path();
    let data = fs::read_to_string(dir.join("analysis.csv")).unwrap();
    // Change the first ten scores of window 5.
    let tampered: Vec<_> = data
        .lines()
        .map(|line| match line.split_once(',') {
            Some((id, _)) if id.parse().is_ok_and(|id: usize| (2000..2010).contains(&id)) => {
                format!("{id},0.01")
            }
            _ => line.to_owned(),
        })
        .collect();
    fs::write(dir.join("tampered.csv"), tampered.join("\n")).unwrap();
    let check = |data, window| {
        let config = fixture.crank_config("auditor", data);
        let model = fixture.model.to_string();
        let arguments = [
            "check",
            &model,
            window,
            "--config",
            config.to_str().unwrap(),
        ];
        fixture.network.run("crank", &arguments)
    };
    for (data, window, expected) in [
        ("analysis.csv", "5", 0),
        ("tampered.csv", "5", 2),
        ("tampered.csv", "6", 0),
    ] {
        let (code, output) = check(data, window);
        assert_eq!(code, expected, "{data}, window {window}: {output}");
    }
}

/// Whether another transaction wrote to one of the same accounts in the slot of the transaction's
/// blockhash or later. The sender may not have seen that write.
fn lost_a_race(
    signed: &SignedTransaction,
    landed: &[&LandedTransaction],
    chain: &ObservedChain,
) -> bool {
    let Some(blockhash_slot) = chain.blockhash_slots.get(&signed.blockhash) else {
        return false;
    };
    landed.iter().any(|winner| {
        let shared =
            |key: &String| *key != signed.fee_payer && winner.signed.writable.contains(key);
        *blockhash_slot <= winner.slot && signed.writable.iter().any(shared)
    })
}

/// Damages the mirror in several ways and asserts that `indexer verify` names each damage.
async fn verify_names_every_difference(fixture: &Fixture, pool: &PgPool) {
    let assert_named = async |statement: &'static str| {
        let name = mirror::damage(pool, statement).await;
        let differences = mirror::differences(&fixture.network);
        mirror::assert_reported(&differences, &name);
    };

    for statement in [
        "delete from chain.hourly where ctid =
           (select ctid from chain.hourly where kind = 'wallet' and 0 < staked limit 1)
         returning 'totals of wallet ' || base58(subject)",
        "update chain.account set data = set_byte(data, 200, get_byte(data, 200) # 1)
         where kind = 'Model' returning base58(address)",
        "delete from chain.account where address =
           (select address from chain.series order by page limit 1) returning base58(address)",
        "update chain.position set payout = payout + 1 where (address, life) =
           (select address, life from chain.position where status = 'claimed' limit 1)
         returning base58(address)",
        "update chain.market set winnings = winnings + 1
         where status = 'resolved' returning base58(address)",
        "update chain.market_volume set rank = rank + 1
         where address = (select address from chain.market limit 1) returning base58(address)",
        // Differences in tables that are derived from events are reported by event.
        "update chain.odds set pools[1] = pools[1] + 1
         where event_id = (select max(event_id) from chain.odds) returning 'event ' || event_id",
        "delete from chain.event_account where event_id =
           (select max(id) from chain.event where name = 'BetPlaced')
         returning 'event ' || event_id",
        "delete from chain.event where id =
           (select max(id) from chain.event where name = 'ReceiptFinalized')
         returning 'event ' || id",
        "delete from chain.feed where seq = 7 returning 'feed: has'",
    ] {
        assert_named(statement).await;
    }
}
