//! A network with a model, its data, markets and bettors.

use std::{fmt::Write, fs, path::PathBuf};

use driftshield_sdk::{
    Address, Aggregate, Ask, Collateral, Entry, Market, MarketTerms, Model, ModelTerms, Series,
    TokenProgram, address,
    faucet::Faucet,
    instruction::{self, Purchase},
    rpc::{Keypair, Signer},
    spec::SpecDocument,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{Network, Service, free_address};
use crate::{
    proxy::Proxy,
    world::{TOKEN, params, terms},
};

pub const WINDOWS: u64 = 24;
const WINDOW_ROWS: usize = 400;
const SOL: u64 = 1_000_000_000;
pub const BETTORS: usize = 4;
/// Micro-lamports per compute unit.
pub const PRIORITY_FEE: u64 = 1_000;

/// A model, its data, markets and bettors on a network without indexer and API.
pub struct Fixture {
    pub network: Network,
    /// RPC proxy that the cranks use.
    pub proxy: Proxy,
    pub oracle: Keypair,
    pub bettors: Vec<Keypair>,
    pub model: Address,
    pub markets: Vec<Address>,
    pub creator: Keypair,
}

impl Fixture {
    pub async fn start() -> Self {
        Self::start_with(&["--bare"]).await
    }

    /// `options` are those of `localnet`.
    pub async fn start_with(options: &[&str]) -> Self {
        let network = Network::start(options).await;
        let (client, payer) = (&network.client, &network.payer);
        let faucet = Faucet::create(client, payer).await.unwrap();
        let mint = faucet.mint;
        let [owner, creator, oracle] = [(); 3].map(|()| Keypair::new());
        let bettors: Vec<_> = (0..BETTORS).map(|_| Keypair::new()).collect();
        for key in [&owner, &creator, &oracle].into_iter().chain(&bettors) {
            faucet
                .fund(&key.pubkey(), 10 * SOL, 100_000 * TOKEN)
                .await
                .unwrap();
        }

        let admin = payer.pubkey();
        let mut params = params();
        (
            params.submit_secs,
            params.challenge_secs,
            params.ruling_secs,
        ) = (8, 2, 2);
        params.waiting_secs = 2 + params.submit_secs; // a window and its submissions
        params.claim_grace_secs = 2;
        params.min_window_secs = 1;
        let setup = [
            instruction::initialize(admin, admin, admin, admin, params),
            instruction::register_collateral(admin, mint, TokenProgram::SplToken, terms(), false),
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
            security_rent_bps: 200,
            market_budget_bps: 5_000,
            cover_budget_bps: 5_000,
            name: "tested".into(),
            uri: String::new(),
            metadata_hash: [0; 32],
            artifact_hash: [0; 32],
        };
        let bonds: Collateral = client.get(&address::collateral(&mint)).await.unwrap();
        let model = address::model(&owner.pubkey(), 1);
        let register = instruction::register_model(owner.pubkey(), 1, &bonds, spec, model_terms);
        client.send(&[register], &[&owner]).await.unwrap();
        let state: Model = client.get(&model).await.unwrap();
        let source = address::token_account(&oracle.pubkey(), &mint, TokenProgram::SplToken);
        let bond = instruction::bond(oracle.pubkey(), model, &state, source, 50_000 * TOKEN);
        client.send(&[bond], &[&oracle]).await.unwrap();

        let proxy = Proxy::start(&network.addresses.rpc_url).await;
        let mut fixture = Self {
            network,
            proxy,
            oracle,
            bettors,
            model,
            markets: vec![],
            creator,
        };
        // The first market closes when the first window begins; the second accepts bets until the
        // last two windows.
        for first in [0, WINDOWS - 2] {
            fixture.create_market(first).await;
        }
        for outcome in 0..BETTORS {
            fixture.place_bet(0, outcome, (outcome % 3) as u8).await;
        }
        fixture
    }

    /// Creates a market on the windows from `first` on, which closes when that window begins.
    pub async fn create_market(&mut self, first: u64) {
        let (client, creator) = (&self.network.client, &self.creator);
        let model: Model = client.get(&self.model).await.unwrap();
        let terms = MarketTerms {
            model_version: model.version,
            thresholds: vec![200_000, 500_000],
            aggregate: Aggregate::Max,
            first_window: first,
            last_window: first.max(WINDOWS - 1),
            min_observed: 0,
            close_ts: model.window_start(first).unwrap(),
            creator_fee_bps: 100,
            question: "How far will it drift?".into(),
        };
        let id = self.markets.len() as u64 + 1;
        let create = instruction::create_market(creator.pubkey(), id, self.model, &model, terms);
        client.send(&[create], &[creator]).await.unwrap();
        self.markets.push(address::market(&creator.pubkey(), id));
    }

    /// Bets one token. `market` and `bettor` are indexes into the fixture's lists.
    pub async fn place_bet(&self, market: usize, bettor: usize, outcome: u8) {
        self.bet(market, bettor, outcome, TOKEN).await;
    }

    /// Bets an amount in base units.
    pub async fn bet(&self, market: usize, bettor: usize, outcome: u8, amount: u64) {
        let client = &self.network.client;
        let (bettor, market) = (&self.bettors[bettor], self.markets[market]);
        let state: Market = client.get(&market).await.unwrap();
        let source = address::token_account(&bettor.pubkey(), &state.mint, TokenProgram::SplToken);
        let bet = instruction::place_bet(
            bettor.pubkey(),
            market,
            &state,
            source,
            instruction::Bet::unlimited(outcome, amount),
        );
        client.send(&[bet], &[bettor]).await.unwrap();
    }

    /// A bettor offers its whole stake of one token on an outcome for 0.9 tokens, and another buys `amount`.
    pub async fn sell(&self, market: usize, [seller, buyer]: [usize; 2], outcome: u8, amount: u64) {
        let client = &self.network.client;
        let [seller, buyer] = [seller, buyer].map(|bettor| &self.bettors[bettor]);
        let market = self.markets[market];
        let state: Market = client.get(&market).await.unwrap();
        let model: Model = client.get(&state.model).await.unwrap();
        let now = client.unix_timestamp().await.unwrap();
        let ask = Ask {
            amount: TOKEN,
            valid_until: state.latest_ask_end(&model, now).unwrap(),
            price: 900,
            reports: model.reports,
        };
        let set = instruction::set_ask(seller.pubkey(), market, &state, outcome, ask);
        client.send(&[set], &[seller]).await.unwrap();
        let purchase = Purchase {
            outcome,
            amount,
            max_price: 900,
            reports: model.reports,
        };
        let source = address::token_account(&buyer.pubkey(), &state.mint, TokenProgram::SplToken);
        let (key, seller) = (buyer.pubkey(), seller.pubkey());
        let buy = instruction::buy_position(key, market, &state, source, seller, purchase);
        client.send(&[buy], &[buyer]).await.unwrap();
    }

    /// Writes the configuration of a crank that has the oracle's key. `data` is a file in the
    /// network's directory. Only `crank-b` pays a priority fee. Returns the configuration file.
    pub fn crank_config(&self, name: &str, data: &str) -> PathBuf {
        let directory = self.network.directory.path();
        let key = directory.join("oracle.json");
        fs::write(&key, format!("{:?}", self.oracle.to_bytes())).unwrap();
        // A restarted crank keeps its port: receipts on chain contain the URL of their evidence.
        let port_file = directory.join(format!("{name}.port"));
        if !port_file.exists() {
            fs::write(&port_file, free_address().port().to_string()).unwrap();
        }
        let port = fs::read_to_string(port_file).unwrap();
        let priority_fee = if name == "crank-b" { PRIORITY_FEE } else { 0 };
        let config = format!(
            r#"rpc_url = "{}"
keypair = "oracle.json"
poll_ms = 300
priority_fee = {priority_fee}

[evidence]
directory = "evidence-{name}"
listen = "127.0.0.1:{port}"
url = "http://127.0.0.1:{port}"

[[models]]
address = "{}"
spec = "spec.json"
data = "{data}"

[models.windows]
order_by = "id"
rows = {WINDOW_ROWS}
"#,
            self.proxy.url, self.model
        );
        let file = directory.join(format!("{name}.toml"));
        fs::write(&file, config).unwrap();
        file
    }

    pub fn start_crank(&self, name: &str) -> Service {
        let config = self.crank_config(name, "analysis.csv");
        let arguments = ["run", "--config", config.to_str().unwrap()];
        self.network.service(name, "crank", &arguments)
    }

    pub fn start_indexer(&self) -> Service {
        self.network.service("indexer", "indexer", &["run"])
    }

    /// Whether every window is settled and every market is closed.
    pub async fn is_settled(&self) -> bool {
        let page = address::series(&self.model, 0);
        let page = self.network.client.find::<Series>(&page).await.unwrap();
        let is_settled =
            |window| page.is_some_and(|page| matches!(page.entry(window), Entry::Final(_)));
        for market in &self.markets {
            let found = self.network.client.find::<Market>(market).await.unwrap();
            if found.is_some() {
                return false;
            }
        }
        (0..WINDOWS).all(is_settled)
    }
}

/// Writes reference data, and analysis data whose drift grows with time. Returns the file of the
/// spec document.
fn write_data(network: &Network) -> PathBuf {
    let mut random = StdRng::seed_from_u64(7);
    let directory = network.directory.path();
    let mut write_csv = |name: &str, rows: usize, shift: f64| {
        let mut csv = String::from("id,score\n");
        for id in 0..rows {
            let drift = shift * id as f64 / rows as f64;
            let score = random.random::<f64>() + drift;
            writeln!(csv, "{id},{score}").unwrap();
        }
        fs::write(directory.join(name), csv).unwrap();
    };
    write_csv("reference.csv", 4_000, 0.0);
    write_csv("analysis.csv", WINDOWS as usize * WINDOW_ROWS, 0.5);
    let (reference, spec) = (directory.join("reference.csv"), directory.join("spec.json"));
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
