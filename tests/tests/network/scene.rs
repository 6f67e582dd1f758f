//! A model, its data, markets and bettors on a network of their own.

use std::{fmt::Write, fs, mem::offset_of, path::PathBuf};

use driftshield_sdk::{
    Address, Aggregate, Collateral, Instruction, Market, MarketTerms, Model, ModelTerms, Receipt,
    TokenProgram, address, instruction,
    rpc::{Client, Keypair, Signer},
    spec::SpecDocument,
};
use driftshield_tests::{
    network::{Network, Service},
    proxy::Proxy,
    world::{TOKEN, params, terms},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use solana_system_interface::instruction as system;
use spl_token_interface::instruction as token;

pub const WINDOWS: u64 = 24;
const WINDOW_ROWS: usize = 200;
pub const BETTORS: usize = 4;

/// A model, its data, markets and bettors on a bare network.
pub struct Scene {
    pub network: Network,
    /// What the cranks reach the validator by.
    pub proxy: Proxy,
    pub oracle: Keypair,
    pub bettors: Vec<Keypair>,
    pub model: Address,
    pub markets: Vec<Address>,
}

impl Scene {
    pub async fn new() -> Self {
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
            let create = instruction::create_market(creator.pubkey(), id, model, &state, terms);
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
    pub async fn bet(&self, market: usize, index: usize, outcome: u8) {
        let client = &self.network.client;
        let (bettor, market) = (&self.bettors[index], self.markets[market]);
        let state: Market = client.get(&market).await.unwrap();
        let source = address::token_account(&bettor.pubkey(), &state.mint, TokenProgram::SplToken);
        let bet =
            instruction::place_bet(bettor.pubkey(), market, &state, source, outcome, TOKEN, 0);
        client.send(&[bet], &[bettor]).await.unwrap();
    }

    /// The configuration of a crank with the oracle's key, for a data file in the network's folder.
    pub fn crank_config(&self, name: &str, data: &str) -> PathBuf {
        let dir = self.network.dir.path();
        let key = dir.join("oracle.json");
        fs::write(&key, format!("{:?}", self.oracle.to_bytes())).unwrap();
        // Evidence stays where the chain says that it is, also after a restart.
        let port = dir.join(format!("{name}.port"));
        if !port.exists() {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            fs::write(&port, listener.local_addr().unwrap().port().to_string()).unwrap();
        }
        let port = fs::read_to_string(port).unwrap();
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
data = "{data}"

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

    pub fn start_crank(&self, name: &str) -> Service {
        let config = self.crank_config(name, "analysis.csv");
        let arguments = ["run", "--config", config.to_str().unwrap()];
        self.network.service(name, "crank", &arguments)
    }

    pub fn start_indexer(&self) -> Service {
        self.network.service("indexer", "indexer", &["run"])
    }

    async fn receipts(&self) -> Vec<Receipt> {
        let of_model = (offset_of!(Receipt, model), self.model);
        let receipts = self.network.client.list(&[of_model]).await.unwrap();
        receipts.into_iter().map(|(_, receipt)| receipt).collect()
    }

    /// Whether every window is settled and every market closed.
    pub async fn is_over(&self) -> bool {
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
    let account = address::token_account(owner, mint, TokenProgram::SplToken);
    let amount = 100_000 * TOKEN;
    let program = &spl_token_interface::ID;
    let instructions: [Instruction; 3] = [
        system::transfer(&from, owner, 10_000_000_000),
        instruction::create_token_account(&from, owner, mint, TokenProgram::SplToken),
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
