//! The indexer under an operator's eyes: database logins.

use std::time::Duration;

use driftshield_tests::network::{Network, Service, free_address, wait_for};
use sqlx::{Connection, PgConnection, PgPool};

use crate::mirror;

const TIMEOUT: Duration = Duration::from_secs(30);

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
        let executed = sqlx::raw_sql(statement).execute(pool).await;
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
        .env("LISTEN", address.to_string());
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
