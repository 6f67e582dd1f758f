//! The indexer under an operator's eyes: metrics, readiness, audit and database logins.

use std::{fs, time::Duration};

use driftshield_tests::network::{
    Network, Service,
    faults::{Ending, Fault, Kind, Refusal, Undecodable},
    fixture::Fixture,
    free_address, wait_for,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::mirror;

const TIMEOUT: Duration = Duration::from_secs(30);
const TOKEN: &str = "a-token-that-no-log-shows";

/// An indexer that serves its metrics and its health.
struct Observed {
    service: Service,
    url: String,
}

impl Observed {
    fn start(network: &Network, name: &str, arguments: &[&str]) -> Self {
        Self::start_scaled(network, name, arguments, 1)
    }

    /// Its long waits are divided by `scale`.
    fn start_scaled(network: &Network, name: &str, arguments: &[&str], scale: u32) -> Self {
        let address = free_address().to_string();
        let arguments = [&["run", "--listen", &address], arguments].concat();
        let mut command = network.command("indexer");
        command
            .args(arguments)
            .env("DRIFTSHIELD_TIME_SCALE", scale.to_string());
        Self {
            service: Service::start(name, &mut command, network.directory.path()),
            url: format!("http://{address}"),
        }
    }

    /// The status and the body. `None` if it doesn't listen yet.
    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("{}/{path}", self.url);
        let response = reqwest::get(url).await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    async fn json(&self, path: &str) -> Option<(u16, Value)> {
        let (status, body) = self.get(path).await?;
        Some((status, serde_json::from_str(&body).unwrap()))
    }

    /// Waits until `/ready` answers 200.
    async fn wait_until_ready(&self) {
        wait_for("readiness", TIMEOUT, async || {
            let (status, body) = self.json("ready").await?;
            assert_eq!(body["ready"], Value::Bool(status == 200));
            assert_eq!(body["reason"].is_null(), status == 200);
            (status == 200).then_some(())
        })
        .await;
    }

    /// Waits until `/ready` answers 503 with a reason that contains `part`.
    async fn wait_until_unready(&self, part: &str) {
        wait_for(part, TIMEOUT, async || {
            let (status, body) = self.json("ready").await?;
            let reason = body["reason"].as_str()?;
            (status == 503 && reason.contains(part)).then_some(())
        })
        .await;
    }

    /// A metric, by its name with its labels.
    async fn metric(&self, name: &str) -> f64 {
        let (status, body) = self.get("metrics").await.unwrap();
        assert_eq!(status, 200);
        let name = format!("driftshield_indexer_{name} ");
        let mut lines = body.lines();
        let value = lines.find_map(|line| line.strip_prefix(&name));
        value.expect(&body).parse().unwrap()
    }

    async fn wait_for_metric(&self, name: &str, least: f64) {
        let what = format!("{name} of {least}");
        wait_for(&what, TIMEOUT, async || {
            (least <= self.metric(name).await).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_readiness_show_whether_the_indexer_follows_the_chain() {
    // Given an indexer, configured by a file, whose gRPC server refuses it
    let network = Network::start(&["--bare", "--faults-port", "0"]).await;
    let faults = network.faults();
    let refusal = faults.hold(Fault::RefuseSubscriptions).await;
    let file = network.directory.path().join("indexer.toml");
    fs::write(&file, "ready_age_secs = 3\n[audit]\ninterval_secs = 0\n").unwrap();
    let options = [
        "--config",
        file.to_str().unwrap(),
        "--ready-age-secs",
        "2",
        "--grpc-token",
        TOKEN,
    ];
    // It waits for six seconds until a server has stalled.
    let mut indexer = Observed::start_scaled(&network, "indexer", &options, 5);

    // Then it is alive, but not ready, and says why
    indexer.wait_until_unready("it tries again after: ").await;
    let (status, health) = indexer.json("health").await.unwrap();
    assert_eq!((status, &health["settled_slot"]), (200, &Value::Null));
    let error = health["last_error"]["message"].as_str().unwrap();
    assert!(error.contains("gRPC error"), "{health}");
    let errors = r#"reconnects_total{reason="status"}"#;
    assert!(1.0 <= indexer.metric(errors).await);

    // When the server accepts it, it becomes ready and follows
    faults.release(refusal).await;
    indexer.wait_until_ready().await;
    let slot = indexer.metric("slot").await;
    assert!(0.0 < slot);
    indexer.wait_for_metric("slot", slot + 3.0).await;
    let (_, health) = indexer.json("health").await.unwrap();
    assert_eq!(health["state"], "following");
    assert!(slot + 3.0 <= health["slot"].as_f64().unwrap(), "{health}");
    assert!(health["settled_slot"].is_number(), "{health}");
    for (name, least) in [
        ("ready", 1.0),
        ("slot_to_row_seconds_count", 3.0),
        ("commits_total", 3.0),
        ("batch_slots_count", 3.0),
        (
            r#"rpc_requests_total{method="getProgramAccounts",result="ok"}"#,
            1.0,
        ),
        (
            r#"rpc_requests_total{method="getSignaturesForAddress",result="ok"}"#,
            1.0,
        ),
    ] {
        let value = indexer.metric(name).await;
        assert!(least <= value, "{name} is {value}");
    }

    // When the stream stalls, although it has pings, then it isn't ready, until it has another stream
    let stalled = r#"reconnects_total{reason="stalled"}"#;
    assert_eq!(indexer.metric(stalled).await, 0.0);
    faults.once(Fault::PingsOnly { ping_ms: 500 }).await;
    faults.wait_for_changes(Kind::PingsOnly, 1, TIMEOUT).await;
    indexer.wait_until_unready("s old, more than 2 s").await;
    assert_eq!(indexer.metric("ready").await, 0.0);
    indexer.wait_for_metric(stalled, 1.0).await;
    indexer.wait_until_ready().await;

    // A second one stands by, and takes over
    let mut standby = Observed::start(&network, "standby", &[]);
    standby.wait_until_unready("holds the writer lock").await;
    wait_for("the mirror's slot", TIMEOUT, async || {
        let (_, health) = standby.json("health").await?;
        assert_eq!(health["state"], "standing_by");
        health["slot"].as_i64()
    })
    .await;
    assert!(indexer.service.stop(), "{}", indexer.service.output());
    standby.wait_until_ready().await;
    assert!(standby.service.stop(), "{}", standby.service.output());
    assert!(!indexer.service.output().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_count_what_the_indexer_overcomes() {
    // Given an indexer on a chain with bets
    let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
    fixture.create_market(300).await; // the others close soon
    let options = ["--audit-interval-secs", "0"];
    let mut indexer = Observed::start(&fixture.network, "indexer", &options);
    indexer.wait_until_ready().await;
    let faults = fixture.network.faults();

    // When a fault hits the stream, then its metrics rise
    let filled = [
        r#"gaps_total{state="opened"}"#,
        r#"gaps_total{state="filled"}"#,
        r#"rpc_requests_total{method="getBlock",result="ok"}"#,
        r#"reconnects_total{reason="no_replay"}"#,
    ];
    let late = ["late_slots_total", r#"reconnects_total{reason="late"}"#];
    let forks = ["forks_total", "undone_slots_total"];
    for (held, once, names) in [
        (None, Fault::LateContent, &late[..]),
        (None, Fault::DeadSlot { children: 1 }, &forks),
        (
            None,
            Fault::UndecodableAccount(Undecodable::Discriminator),
            &["dead_letters"],
        ),
        (
            Some(Fault::RefuseReplay(Refusal::Unsupported)),
            Fault::Cut(Ending::Status(14)),
            &filled,
        ),
    ] {
        let what = format!("{once:?}");
        let values = async || {
            let mut values = vec![];
            for name in names {
                values.push(indexer.metric(name).await);
            }
            values
        };
        let before = values().await;
        if let Some(held) = held {
            faults.hold(held).await;
        }
        faults.once(once).await;
        let mut bets = 0;
        loop {
            let now = values().await;
            if before.iter().zip(&now).all(|(before, now)| before < now) {
                break;
            }
            assert!(
                bets < 40,
                "{what}: {names:?} went from {before:?} to {now:?}"
            );
            fixture.place_bet(2, bets % 4, (bets % 3) as u8).await;
            bets += 1;
        }
        faults.release_all().await;
    }
    indexer.wait_until_ready().await;
    assert!(indexer.service.stop(), "{}", indexer.service.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_finds_a_damaged_account_and_leaves_it_as_it_is() {
    // Given an indexer that audits every account every second
    let fixture = Fixture::start().await;
    let options = ["--audit-interval-secs", "1", "--audit-accounts", "10000"];
    let mut indexer = Observed::start(&fixture.network, "indexer", &options);
    indexer.wait_until_ready().await;

    // When accounts change meanwhile, then it finds no difference
    for bet in 0..12 {
        fixture.place_bet(1, bet % 4, (bet % 3) as u8).await;
    }
    let audited = indexer.metric("audited_accounts_total").await;
    let least = audited.max(1.0) + 20.0;
    indexer
        .wait_for_metric("audited_accounts_total", least)
        .await;
    assert_eq!(indexer.metric("audit_differences_total").await, 0.0);

    // When an account is damaged, then it reports the account
    let pool = fixture.network.database().await;
    let address = mirror::damage(
        &pool,
        "update chain.account set data = set_byte(data, 200, get_byte(data, 200) # 1)
         where kind = 'Model' and is_current returning base58(address)",
    )
    .await;
    indexer
        .wait_for_metric("audit_differences_total", 1.0)
        .await;
    let output = indexer.service.output();
    let report = output
        .lines()
        .find(|line| line.contains("differs from the chain"));
    let report = report.expect(&output);
    for part in [&address, "mirror_slot", "chain_slot", "at byte 200"] {
        assert!(report.contains(part), "{part} is not in {report}");
    }

    // and doesn't repair it
    assert!(indexer.service.stop(), "{}", indexer.service.output());
    mirror::assert_reported(&mirror::differences(&fixture.network), &address);

    // until somebody asks for the account, after which readers hear that something changed
    let seq = "select seq from chain.cursor";
    let before: i64 = sqlx::query_scalar(seq).fetch_one(&pool).await.unwrap();
    let ask = "insert into app.refetch (address)
               select address from chain.account where kind = 'Model' and is_current";
    execute(&pool, &[ask]).await;
    let mut indexer = fixture.network.service("again", "indexer", &["run"]);
    wait_for("the account", TIMEOUT, async || {
        let open = sqlx::query_scalar("select count(*) from app.refetch");
        let open: i64 = open.fetch_one(&pool).await.unwrap();
        (open == 0).then_some(())
    })
    .await;
    mirror::assert_matches_chain(&fixture.network);
    let after: i64 = sqlx::query_scalar(seq).fetch_one(&pool).await.unwrap();
    assert_eq!(after, before + 1);
    assert!(indexer.stop(), "{}", indexer.output());

    // When the events of a transaction are missing, then it reports the transaction
    let transaction = mirror::damage(
        &pool,
        "delete from chain.event where id = (
           select max(id) from chain.event where name = 'BetPlaced') returning base58(signature)",
    )
    .await;
    let mut indexer = Observed::start(&fixture.network, "third", &options);
    indexer
        .wait_for_metric("audit_differences_total", 1.0)
        .await;
    assert!(indexer.service.stop(), "{}", indexer.service.output());
    assert!(indexer.service.output().contains(&transaction));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_it_must_be_kept_is_removed() {
    // Given a mirror that was in a minute of long ago where it is now
    let fixture = Fixture::start().await;
    let mut indexer = Observed::start(&fixture.network, "indexer", &[]);
    indexer.wait_until_ready().await;
    for bettor in 0..3 {
        fixture.place_bet(1, bettor, 1).await;
    }
    let slot = fixture.network.client.rpc().get_slot().await.unwrap();
    let pool = fixture.network.database().await;
    mirror::wait_for_slot(&pool, slot).await;
    wait_for("finalized slots", TIMEOUT, async || {
        let finalized = "select (select count(*) from chain.slot where slot < finalized_slot)
             from chain.cursor join chain.slot on slot.slot = finalized_slot";
        let finalized = sqlx::query_scalar(finalized).fetch_optional(&pool).await;
        (3 < finalized.unwrap().unwrap_or(0_i64)).then_some(())
    })
    .await;
    assert!(indexer.service.stop(), "{}", indexer.service.output());
    let marked = "insert into chain.mark (at, seq, finalized_slot)
        select now() - interval '601 s', seq - 1, slot.slot
        from chain.cursor join chain.slot on slot.slot <= finalized_slot order by slot.slot desc limit 1
        returning seq, finalized_slot";
    let marked: (i64, i64) = sqlx::query_as(marked).fetch_one(&pool).await.unwrap();

    // When the indexer begins again, then it removes the records and the slots before
    let mut indexer = fixture
        .network
        .service("again", "indexer", &["run", "--feed-secs", "600"]);
    wait_for("the removal", TIMEOUT, async || {
        let first = "select (select min(seq) from chain.feed), (select min(slot) from chain.slot)";
        let first: (Option<i64>, Option<i64>) =
            sqlx::query_as(first).fetch_one(&pool).await.unwrap();
        (first == (Some(marked.0 + 1), Some(marked.1))).then_some(())
    })
    .await;
    assert!(indexer.stop(), "{}", indexer.output());

    // Old partitions are dropped but for the last one, and the history begins after them.
    let mut transaction = pool.begin().await.unwrap();
    for statement in [
        "update chain.cursor set finalized_slot = 3 << 21",
        "select chain.create_partitions(1 << 21), chain.create_partitions(2 << 21)",
    ] {
        sqlx::query(statement)
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    // Nobody waits for those that are in use.
    let mut reader = pool.begin().await.unwrap();
    let read = sqlx::raw_sql("select count(*) from chain.event");
    read.execute(&mut *reader).await.unwrap();
    let drop = "savepoint before; select chain.drop_partitions(now() + interval '1 day')";
    let dropped = sqlx::raw_sql(drop).execute(&mut *transaction).await;
    let error = dropped.unwrap_err().to_string();
    assert!(error.contains("lock timeout"), "{error}");
    reader.rollback().await.unwrap();
    let undo = sqlx::raw_sql("rollback to savepoint before");
    undo.execute(&mut *transaction).await.unwrap();
    let mut state = async |before: &str| -> (i32, i64, i64) {
        let sql = format!("select chain.drop_partitions({before}) as dropped");
        let dropped = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        let sql = "select (select count(*) from chain.event), history_from from chain.cursor";
        let (events, from) = sqlx::query_as(sql)
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        (dropped, events, from)
    };
    let (dropped, events, from) = state("now() - interval '1 day'").await;
    assert!(dropped == 0 && 0 < events && from < 1 << 21);
    let (dropped, events, from) = state("now() + interval '1 day'").await;
    assert!(0 < dropped && events == 0, "{dropped} {events}");
    assert_eq!(from, 2 << 21);
    transaction.rollback().await.unwrap();
    mirror::assert_matches_chain(&fixture.network);
}

/// Runs `indexer` with a login. Returns the exit code and the output.
fn indexer_as(network: &Network, url: &str, command: &str) -> (i32, String) {
    let mut process = network.command("indexer");
    let output = process.env("DATABASE_URL", url).arg(command).output();
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code().unwrap_or(-1), text)
}

/// Replaces login and database of the network's URL.
fn url_of(network: &Network, login: &str, database: &str) -> String {
    let url = &network.addresses.database_url;
    let (_, host) = url.split_once("@localhost/driftshield").expect(url);
    format!("postgres://{login}@localhost/{database}{host}")
}

async fn execute(pool: &PgPool, statements: &[&str]) {
    for statement in statements {
        let executed = sqlx::raw_sql(AssertSqlSafe(*statement)).execute(pool).await;
        executed.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_program_needs_only_the_privileges_of_its_role() {
    // Given the database of an owner without further privileges, and no roles
    let network = Network::start(&["--bare"]).await;
    let admin = network.database().await;
    execute(
        &admin,
        &[
            "drop owned by driftshield_indexer, driftshield_api",
            "drop role driftshield_indexer, driftshield_api",
            "create role plain_owner login",
            "create database owned owner plain_owner",
        ],
    )
    .await;

    // Then the owner's migration says what it lacks
    let owner = url_of(&network, "plain_owner", "owned");
    let (code, output) = indexer_as(&network, &owner, "migrate");
    assert_eq!(code, 1, "{output}");
    let (_, statements) = output.split_once("in this database: ").expect(&output);
    let statements = statements.trim();
    assert_eq!(
        statements,
        "create role driftshield_indexer nologin; create role driftshield_api nologin;"
    );

    // and works once it has that, also a second time
    execute(&admin, &[statements]).await;
    for _ in 0..2 {
        let (code, output) = indexer_as(&network, &owner, "migrate");
        assert_eq!(code, 0, "{output}");
    }

    // A stranger's migration says what it lacks
    execute(&admin, &["create role stranger login"]).await;
    let stranger = url_of(&network, "stranger", "owned");
    let (code, output) = indexer_as(&network, &stranger, "migrate");
    assert_eq!(code, 1, "{output}");
    for grant in [
        "grant create on database owned to stranger;",
        "grant create on schema public to stranger;",
        "grant plain_owner to stranger;",
    ] {
        assert!(output.contains(grant), "{output}");
    }

    // When indexer and API have logins that are members of their roles
    execute(
        &admin,
        &[
            "create role an_indexer login in role driftshield_indexer",
            "create role an_api login in role driftshield_api",
        ],
    )
    .await;
    let indexer_url = url_of(&network, "an_indexer", "owned");
    let api_url = url_of(&network, "an_api", "owned");

    // Then the indexer finds the schema current, mirrors and verifies
    let (code, output) = indexer_as(&network, &indexer_url, "migrate");
    assert_eq!(code, 0, "{output}");
    let directory = network.directory.path();
    let mut command = network.command("indexer");
    command.env("DATABASE_URL", &indexer_url).arg("run");
    let mut indexer = Service::start("indexer", &mut command, directory);
    let slot = network.client.rpc().get_slot().await.unwrap();
    let pool = PgPool::connect(&api_url).await.unwrap();
    mirror::wait_for_slot(&pool, slot + 5).await;
    let (code, output) = indexer_as(&network, &indexer_url, "verify");
    assert_eq!(code, 0, "{output}");

    // and the API serves the mirror, and can't write it
    let address = free_address();
    let mut command = network.command("api");
    command
        .env("DATABASE_URL", &api_url)
        .env("API_LISTEN", address.to_string());
    let mut api = Service::start("api", &mut command, directory);
    wait_for("the API", TIMEOUT, async || {
        let url = format!("http://{address}/health/readiness");
        let response = reqwest::get(url).await.ok()?;
        (response.status().as_u16() == 200).then_some(())
    })
    .await;
    let mut login = PgConnection::connect(&api_url).await.unwrap();
    let written = sqlx::query("update chain.cursor set seq = seq")
        .execute(&mut login)
        .await;
    let error = written.expect_err("the API may not write");
    let code = error.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("42501"), "{error}");
    assert!(indexer.stop() && api.stop());
}
