//! Processes killed at any moment lose nothing and do nothing twice.

use std::{fmt::Write, fs, mem::offset_of, path::PathBuf, time::Duration};

use driftshield_sdk::{
    Address, Aggregate, Instruction, Market, MarketTerms, Model, ModelTerms, Receipt, address,
    instruction,
    rpc::{Client, Keypair, Signer},
    spec::SpecDocument,
};
use driftshield_tests::{
    network::{Heard, Landed, Network, Service, Signed, listen, wait_for},
    proxy::Proxy,
    world::{TOKEN, params, terms},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use solana_system_interface::instruction as system;
use spl_token_interface::instruction as token;
use sqlx::PgPool;

const WINDOWS: u64 = 24;
const WINDOW_ROWS: usize = 200;
const BETTORS: usize = 4;

/// A model, its data, markets and bettors on a bare network.
struct Scene {
    network: Network,
    /// What the cranks reach the validator by.
    proxy: Proxy,
    oracle: Keypair,
    bettors: Vec<Keypair>,
    model: Address,
    markets: Vec<Address>,
}

impl Scene {
    async fn new() -> Self {
        let network = Network::start(&["--bare"]).await;
        let (client, payer) = (&network.client, &network.payer);
        let mint = make_mint(client, payer).await;
        let [owner, creator, oracle] = [(); 3].map(|()| Keypair::new());
        let bettors: Vec<_> = (0..BETTORS).map(|_| Keypair::new()).collect();
        for key in [&owner, &creator, &oracle].into_iter().chain(&bettors) {
            fund(client, payer, &mint, &key.pubkey()).await;
        }

        let admin = payer.pubkey();
        let mut params = params();
        (
            params.submit_secs,
            params.challenge_secs,
            params.ruling_secs,
        ) = (8, 2, 2);
        params.min_window_secs = 1;
        let setup = [
            instruction::initialize(admin, admin, admin, admin, params),
            instruction::register_collateral(admin, mint, terms(), false),
        ];
        client.send(&setup, &[payer]).await.unwrap();

        let spec = write_data(&network);
        let bytes = fs::read(spec).unwrap();
        let genesis = client.unix_timestamp().await.unwrap() + 15;
        let spec = SpecDocument::parse(&bytes)
            .unwrap()
            .metric_spec(&bytes, genesis, 2);
        let model_terms = ModelTerms {
            oracles: vec![oracle.pubkey()],
            quorum: 1,
            max_spread: 1_000,
            name: "tested".into(),
            uri: String::new(),
            metadata_hash: [0; 32],
            artifact_hash: [0; 32],
        };
        let model = address::model(&owner.pubkey(), 1);
        let register = instruction::register_model(owner.pubkey(), 1, mint, spec, model_terms);
        client.send(&[register], &[&owner]).await.unwrap();
        let state: Model = client.get(&model).await.unwrap();
        let source = address::token_account(&oracle.pubkey(), &mint);
        let bond = instruction::bond(oracle.pubkey(), model, &state, source, 50_000 * TOKEN);
        client.send(&[bond], &[&oracle]).await.unwrap();

        let mut markets = vec![];
        // One that closes when the first window begins, one that takes bets nearly to the end.
        for (id, first) in [(1, 0), (2, WINDOWS - 2)] {
            let terms = MarketTerms {
                model_version: state.version,
                thresholds: vec![200_000, 500_000],
                aggregate: Aggregate::Max,
                first_window: first,
                last_window: WINDOWS - 1,
                close_ts: state.window_start(first).unwrap(),
                creator_fee_bps: 100,
                question: "How far will it drift?".into(),
            };
            let create = instruction::create_market(creator.pubkey(), id, model, mint, terms);
            client.send(&[create], &[&creator]).await.unwrap();
            markets.push(address::market(&creator.pubkey(), id));
        }
        let proxy = Proxy::start(&network.addresses.rpc_url).await;
        let scene = Self {
            network,
            proxy,
            oracle,
            bettors,
            model,
            markets,
        };
        for outcome in 0..BETTORS {
            scene.bet(0, outcome, (outcome % 3) as u8).await;
        }
        scene
    }

    /// A bet of the bettor at `index` on the market at `market`.
    async fn bet(&self, market: usize, index: usize, outcome: u8) {
        let client = &self.network.client;
        let (bettor, market) = (&self.bettors[index], self.markets[market]);
        let state: Market = client.get(&market).await.unwrap();
        let source = address::token_account(&bettor.pubkey(), &state.mint);
        let bet =
            instruction::place_bet(bettor.pubkey(), market, &state, source, outcome, TOKEN, 0);
        client.send(&[bet], &[bettor]).await.unwrap();
    }

    /// The configuration of a crank with the oracle's key.
    fn crank_config(&self, name: &str) -> PathBuf {
        let dir = self.network.dir.path();
        let key = dir.join("oracle.json");
        fs::write(&key, format!("{:?}", self.oracle.to_bytes())).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = format!(
            r#"rpc_url = "{}"
keypair = "oracle.json"
poll_ms = 300

[evidence]
directory = "evidence-{name}"
listen = "127.0.0.1:{port}"
url = "http://127.0.0.1:{port}"

[[models]]
address = "{}"
spec = "spec.json"
data = "analysis.csv"

[models.windows]
order_by = "id"
rows = {WINDOW_ROWS}
"#,
            self.proxy.url, self.model
        );
        let file = dir.join(format!("{name}.toml"));
        fs::write(&file, config).unwrap();
        file
    }

    fn start_crank(&self, name: &str) -> Service {
        let config = self.crank_config(name);
        let arguments = ["run", "--config", config.to_str().unwrap()];
        self.network.service(name, "crank", &arguments)
    }

    fn start_indexer(&self) -> Service {
        self.network.service("indexer", "indexer", &["run"])
    }

    async fn receipts(&self) -> Vec<Receipt> {
        let of_model = (offset_of!(Receipt, model), self.model);
        let receipts = self.network.client.list(&[of_model]).await.unwrap();
        receipts.into_iter().map(|(_, receipt)| receipt).collect()
    }

    /// Whether every window is settled and every market closed.
    async fn is_over(&self) -> bool {
        let receipts = self.receipts().await;
        let settled = receipts
            .iter()
            .filter(|receipt| receipt.is_settled())
            .count();
        for market in &self.markets {
            let found = self.network.client.find::<Market>(market).await.unwrap();
            if found.is_some() {
                return false;
            }
        }
        settled as u64 == WINDOWS
    }
}

async fn make_mint(client: &Client, payer: &Keypair) -> Address {
    let mint = Keypair::new();
    let rent = client.rpc().get_minimum_balance_for_rent_exemption(82);
    let rent = rent.await.unwrap();
    let (from, to) = (payer.pubkey(), mint.pubkey());
    let instructions = [
        system::create_account(&from, &to, rent, 82, &spl_token_interface::ID),
        token::initialize_mint2(&spl_token_interface::ID, &to, &from, None, 6).unwrap(),
    ];
    client.send(&instructions, &[payer, &mint]).await.unwrap();
    to
}

/// A hundred thousand tokens and ten SOL.
async fn fund(client: &Client, payer: &Keypair, mint: &Address, owner: &Address) {
    let from = payer.pubkey();
    let account = address::token_account(owner, mint);
    let amount = 100_000 * TOKEN;
    let program = &spl_token_interface::ID;
    let instructions: [Instruction; 3] = [
        system::transfer(&from, owner, 10_000_000_000),
        instruction::create_token_account(&from, owner, mint),
        token::mint_to(program, mint, &account, &from, &[], amount).unwrap(),
    ];
    client.send(&instructions, &[payer]).await.unwrap();
}

/// Writes a reference and data that drift more and more; returns the spec document's file.
fn write_data(network: &Network) -> PathBuf {
    let mut random = StdRng::seed_from_u64(7);
    let dir = network.dir.path();
    let mut file = |name: &str, rows: usize, shift: f64| {
        let mut csv = String::from("id,score\n");
        for id in 0..rows {
            let drift = shift * id as f64 / rows as f64;
            let score = random.random::<f64>() + drift;
            writeln!(csv, "{id},{score}").unwrap();
        }
        fs::write(dir.join(name), csv).unwrap();
    };
    file("reference.csv", 4_000, 0.0);
    file("analysis.csv", WINDOWS as usize * WINDOW_ROWS, 0.5);
    let (reference, spec) = (dir.join("reference.csv"), dir.join("spec.json"));
    let (code, output) = network.run(
        "crank",
        &[
            "spec",
            "--reference",
            reference.to_str().unwrap(),
            "--column",
            "score",
            "--bins",
            "4",
            "--min-samples",
            &WINDOW_ROWS.to_string(),
            "--out",
            spec.to_str().unwrap(),
        ],
    );
    assert_eq!(code, 0, "{output}");
    spec
}

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
    named(
        "delete from chain.event where seq =
           (select seq from chain.event where name = 'ReceiptFinalized' or name = 'BetPlaced'
            order by seq desc limit 1)
         returning (select min(account) from chain.event_account a where a.seq = event.seq)",
    )
    .await;
}
