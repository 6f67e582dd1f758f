//! Processes killed at any moment lose nothing and do nothing twice.

use std::{fs, time::Duration};

use driftshield_sdk::Market;
use driftshield_tests::network::{Heard, Landed, Signed, listen, wait_for};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::PgPool;

use crate::scene::{BETTORS, Scene, WINDOWS};

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_nothing_is_lost_and_nothing_done_twice() {
    // Given two cranks on one key, an indexer, and bets that go on
    let scene = Scene::new().await;
    let heard = listen(&scene.network.addresses.grpc_url);
    let mut indexer = scene.start_indexer();
    let mut cranks = ["crank-a", "crank-b"].map(|name| scene.start_crank(name));

    // When all of them are killed over and over, at random
    let mut random = StdRng::seed_from_u64(11);
    let mut kills = 0;
    let patience = tokio::time::Instant::now() + Duration::from_secs(240);
    while !scene.is_over().await {
        assert!(tokio::time::Instant::now() < patience, "not over in time");
        let now = scene.network.client.unix_timestamp().await.unwrap();
        let open = scene
            .network
            .client
            .find::<Market>(&scene.markets[1])
            .await
            .unwrap();
        if open.is_some_and(|market| now + 3 < market.close_ts) {
            let (index, outcome) = (random.random_range(0..BETTORS), random.random_range(0..3));
            scene.bet(1, index, outcome).await;
            if kills < 5 && random.random_ratio(1, 3) {
                indexer.kill();
                indexer = scene.start_indexer();
                kills += 1;
            }
        }
        if random.random_ratio(1, 4) {
            let victim = random.random_range(0..2);
            cranks[victim].kill();
            cranks[victim] = scene.start_crank(["crank-a", "crank-b"][victim]);
        }
        let pause = random.random_range(100..900);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    assert_eq!(kills, 5);
    anybody_can_check_what_was_submitted(&scene);
    for crank in &mut cranks {
        assert!(crank.end(), "{}", crank.output());
    }

    // Then whatever they sent that did not succeed lost a race
    let slot = scene.network.client.rpc().get_slot().await.unwrap();
    let heard = wait_for("the last slots", Duration::from_secs(20), async || {
        let heard = heard.borrow().clone();
        (slot < heard.last_slot).then_some(heard)
    })
    .await;
    let landed: Vec<_> = heard.transactions.iter().filter(|l| !l.failed).collect();
    let sent = scene.proxy.sent();
    assert!((2 * WINDOWS) as usize <= sent.len(), "{} sent", sent.len());
    for signed in &sent {
        let succeeded = landed
            .iter()
            .any(|l| l.signed.signature == signed.signature);
        assert!(
            succeeded || lost_a_race(signed, &landed, &heard),
            "sent for what was done: {signed:?}"
        );
    }

    // and the mirror is the chain
    let pool = scene.network.database().await;
    let (accounts, events) = verify(&scene, &pool, slot).await;
    assert!(0 < accounts && 0 < events);

    // A second indexer waits while the first one works, and takes over when it is gone.
    let mut standby = scene.network.service("standby", "indexer", &["run"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(indexer.is_running() && standby.is_running());
    assert!(indexer.end(), "{}", indexer.output());
    let slot = scene.network.client.rpc().get_slot().await.unwrap();
    assert_eq!(verify(&scene, &pool, slot).await, (accounts, events));

    differences_are_named(&scene, &pool).await;
    assert!(standby.end(), "{}", standby.output());
}

/// `crank check` agrees on the same data, and says to challenge on others.
fn anybody_can_check_what_was_submitted(scene: &Scene) {
    let dir = scene.network.dir.path();
    let data = fs::read_to_string(dir.join("analysis.csv")).unwrap();
    // Of window 5, the first ten scores.
    let tampered: Vec<_> = data
        .lines()
        .map(|line| match line.split_once(',') {
            Some((id, _)) if id.parse().is_ok_and(|id: usize| (1000..1010).contains(&id)) => {
                format!("{id},0.01")
            }
            _ => line.to_owned(),
        })
        .collect();
    fs::write(dir.join("tampered.csv"), tampered.join("\n")).unwrap();
    let check = |data, window| {
        let config = scene.crank_config("auditor", data);
        let model = scene.model.to_string();
        let arguments = [
            "check",
            &model,
            window,
            "--config",
            config.to_str().unwrap(),
        ];
        scene.network.run("crank", &arguments)
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

/// Whether something that the transaction would have written was written by one that landed after
/// its blockhash was taken: then whoever sent it could not have known.
fn lost_a_race(signed: &Signed, landed: &[&Landed], heard: &Heard) -> bool {
    let Some(taken) = heard.slots.get(&signed.blockhash) else {
        return false;
    };
    landed.iter().any(|winner| {
        let shared = |key: &String| *key != signed.payer && winner.signed.writable.contains(key);
        *taken <= winner.slot && signed.writable.iter().any(shared)
    })
}

/// Waits until the mirror has reached `slot`, and compares it with the chain: accounts and events.
async fn verify(scene: &Scene, pool: &PgPool, slot: u64) -> (u64, u64) {
    wait_for("the mirror", Duration::from_secs(30), async || {
        let reached: i64 = sqlx::query_scalar("select slot from chain.cursor")
            .fetch_one(pool)
            .await
            .ok()?;
        (slot as i64 <= reached).then_some(())
    })
    .await;
    let (code, output) = scene.network.run("indexer", &["verify"]);
    assert_eq!(code, 0, "{output}");
    let (accounts, events, differences) = totals(&output);
    assert_eq!(differences, 0, "{output}");
    (accounts, events)
}

/// The numbers of `accounts N events M differences D`.
fn totals(output: &str) -> (u64, u64, u64) {
    let line = output
        .lines()
        .rev()
        .find(|line| line.starts_with("accounts "));
    let words: Vec<_> = line.expect(output).split(' ').collect();
    assert_eq!(
        (words[0], words[2], words[4]),
        ("accounts", "events", "differences")
    );
    let number = |at: usize| words[at].parse().unwrap();
    (number(1), number(3), number(5))
}

/// A byte flipped, a row gone, an event gone: each is told by name.
async fn differences_are_named(scene: &Scene, pool: &PgPool) {
    let damaged = |output: &str| -> Vec<String> {
        let lines = output.lines().map(str::to_owned);
        lines
            .filter(|line| !line.starts_with("accounts "))
            .collect()
    };
    let named = async |statement: &str| {
        let name: String = sqlx::query_scalar(statement).fetch_one(pool).await.unwrap();
        let (code, output) = scene.network.run("indexer", &["verify"]);
        assert_eq!(code, 1, "{output}");
        assert!(0 < totals(&output).2);
        let told = damaged(&output);
        assert!(
            told.iter().any(|line| line.contains(&name)),
            "{name} is not in {told:?}"
        );
    };

    named(
        "update chain.account set data = set_byte(data, 200, get_byte(data, 200) # 1)
         where kind = 'Model' returning address",
    )
    .await;
    named(
        "delete from chain.account where address =
           (select address from chain.receipt order by \"window\" limit 1) returning address",
    )
    .await;
    // What is derived from events is told by the event.
    for statement in [
        "update chain.odds set pools[1] = pools[1] + 1
         where seq = (select max(seq) from chain.odds) returning 'event ' || seq",
        "delete from chain.payout where seq = (select max(seq) from chain.payout)
         returning 'event ' || seq",
        "update chain.settlement set winnings = winnings + 1
         where seq = (select max(seq) from chain.settlement) returning 'event ' || seq",
    ] {
        named(statement).await;
    }
    named(
        "delete from chain.event where seq =
           (select seq from chain.event where name = 'ReceiptFinalized' or name = 'BetPlaced'
            order by seq desc limit 1)
         returning (select min(account) from chain.event_account a where a.seq = event.seq)",
    )
    .await;
}
