//! The example: a model's monitoring data go in at one end, winners and the insured are paid at the
//! other.
//!
//! Everything is done by the programs that a user would run: `crank spec` cuts the bins, the
//! `driftshield` command registers, bonds, opens, bets, insures and buys cover, three `crank`
//! processes measure, submit, settle and pay. This module only tells them what to do and when.

mod insurance;
mod report;
mod scenario;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use driftshield_sdk::{
    Address, Market, Receipt, Vault, address,
    rpc::{Client, Keypair, Signer},
};
use serde_json::json;
use tokio::process::Command;

use crate::{Localnet, Options, faucet::Faucet};
use scenario::{
    BETTORS, BINS, COLUMN, MANAGER, MARKETS, MIN_SAMPLES, ORACLES, ORDER, PLANS, QUORUM,
    WINDOW_ROWS,
};

const SOL: u64 = 1_000_000_000;
/// Base units of one token.
const TOKEN: u64 = 10u64.pow(crate::faucet::DECIMALS as u32);
/// Tokens that everybody begins with.
const START: u64 = 100_000;
/// Until all is registered, bonded and the first bets are in.
const LEAD_SECS: i64 = 25;
/// Until a submission, a challenge, a ruling: times of a demonstration.
const SUBMIT_SECS: i64 = 10;
const CHALLENGE_SECS: i64 = 3;
const RULING_SECS: i64 = 3;
/// From a purchase to the first window that it may cover, and from the last receipt that could
/// still become final to the end of a policy that covers its window.
const WAITING_SECS: i64 = 3;
const CLAIM_GRACE_SECS: i64 = 5;
/// Premiums stream to the end of one of these: 63 of them reach beyond every policy.
const BUCKET_WINDOWS: u64 = 2;

/// Runs the example to its end, prints what came of it and leaves `summary.json` in the network's
/// folder.
pub async fn run(localnet: &mut Localnet, options: &Options) -> anyhow::Result<()> {
    let mut example = Example::prepare(localnet, options).await?;
    example.register(localnet).await?;
    example.open_markets(localnet).await?;
    example.bet(localnet, 0).await?;
    example.start_cranks(localnet).await?;
    example.open_vault(localnet).await?;
    example.follow(localnet).await?;
    report::write(localnet, &example).await
}

/// Refuses a folder without the example's data.
pub fn find_data(dir: &Path) -> anyhow::Result<()> {
    for name in ["reference.parquet", "analysis.parquet"] {
        let file = dir.join(name);
        ensure!(
            file.is_file(),
            "{} is missing: --data takes a folder with reference.parquet and analysis.parquet",
            file.display()
        );
    }
    Ok(())
}

/// What the example is about.
pub(crate) struct Example {
    client: Client,
    /// Where keys, configurations and evidence are.
    dir: PathBuf,
    data: PathBuf,
    window_secs: u64,
    /// Windows that the data are enough for.
    windows: u64,
    mint: Address,
    /// Everybody who holds tokens.
    people: Vec<Person>,
    model: Address,
    markets: Vec<Address>,
    vault: Address,
    /// Base units of all tokens.
    supply: u64,
    /// Bets placed so far.
    placed: usize,
    /// Steps taken so far of each plan.
    taken: [usize; PLANS.len()],
}

struct Person {
    name: &'static str,
    key: Keypair,
    /// Its keypair's file.
    file: PathBuf,
}

impl Example {
    /// Checks the data, and makes keys and tokens for everybody.
    async fn prepare(localnet: &Localnet, options: &Options) -> anyhow::Result<Self> {
        let data = options.data.clone();
        let rows = rows_of(&data.join("analysis.parquet"))?;
        let windows = rows / WINDOW_ROWS;
        ensure!(
            windows > 0,
            "{}: {rows} rows, but a window takes {WINDOW_ROWS}",
            data.display()
        );
        localnet.say(&format!(
            "the example: {rows} rows of {}, {windows} windows of {WINDOW_ROWS} rows, {} s each",
            data.join("analysis.parquet").display(),
            options.window_secs
        ));

        let dir = localnet.dir.join("example");
        fs::create_dir_all(&dir)?;
        let client = Client::new(localnet.rpc_url.clone());
        let faucet = Faucet::open(&client, &localnet.payer).await?;
        let mut people = vec![];
        let names = ["owner", "creator", MANAGER]
            .into_iter()
            .chain(ORACLES)
            .chain(BETTORS)
            .chain(PLANS.map(|plan| plan.person));
        for name in names {
            let key = Keypair::new();
            let file = dir.join(format!("{name}.json"));
            fs::write(&file, serde_json::to_vec(&key.to_bytes().to_vec())?)?;
            people.push(Person { name, key, file });
        }
        let keys: Vec<_> = people.iter().map(|person| person.key.pubkey()).collect();
        let funded = keys
            .iter()
            .map(|key| faucet.fund(key, 100 * SOL, START * TOKEN));
        futures::future::try_join_all(funded).await?;
        let mint = faucet.mint;
        let supply = START * TOKEN * people.len() as u64;
        Ok(Self {
            client,
            dir,
            data,
            window_secs: options.window_secs,
            windows,
            mint,
            people,
            model: Address::default(),
            markets: vec![],
            vault: Address::default(),
            supply,
            placed: 0,
            taken: [0; PLANS.len()],
        })
    }

    /// One of the scenario's people.
    fn person(&self, name: &str) -> &Person {
        let found = self.people.iter().find(|person| person.name == name);
        found.expect("the scenario names its people")
    }

    /// The name of who has the key, or the key.
    fn name_of<'a>(&'a self, key: &'a str) -> &'a str {
        let found = self
            .people
            .iter()
            .find(|p| p.key.pubkey().to_string() == key);
        found.map_or(key, |person| person.name)
    }

    /// Sets the protocol up, registers the model and bonds its oracles.
    async fn register(&mut self, localnet: &Localnet) -> anyhow::Result<()> {
        let spec = self.dir.join("spec.json");
        let mut command = localnet.command("crank");
        command
            .arg("spec")
            .arg("--reference")
            .arg(self.data.join("reference.parquet"))
            .args(["--column", COLUMN])
            .args(["--bins", &BINS.to_string()])
            .args(["--min-samples", &MIN_SAMPLES.to_string()])
            .arg("--out")
            .arg(&spec);
        localnet.say(&format!("  {}", shell_line(&command)));
        localnet.run(command).await?;

        let mint = self.mint.to_string();
        let admin = &localnet.payer_file;
        let init = [
            "init".into(),
            "--min-window=1s".into(),
            format!("--submit={SUBMIT_SECS}s"),
            format!("--challenge={CHALLENGE_SECS}s"),
            format!("--ruling={RULING_SECS}s"),
            format!("--waiting={WAITING_SECS}s"),
            format!("--claim-grace={CLAIM_GRACE_SECS}s"),
            format!("--bucket={}s", BUCKET_WINDOWS * self.window_secs),
        ];
        self.driftshield(localnet, admin, &init).await?;
        // What the bonds secure, three times half the slash amount, bears all stakes and cover.
        let register = [
            "collateral".into(),
            "register".into(),
            mint.clone(),
            "--min-bet=0.01".into(),
            "--min-bond=10000".into(),
            "--slash-amount=10000".into(),
            "--challenge-bond=100".into(),
        ];
        self.driftshield(localnet, admin, &register).await?;

        self.model = address::model(&self.person("owner").key.pubkey(), 1);
        let owner = self.person("owner");
        let mut register: Vec<String> = vec![
            "model".into(),
            "register".into(),
            "--id=1".into(),
            format!("--mint={mint}"),
            format!("--spec={}", spec.display()),
            format!("--genesis=+{LEAD_SECS}s"),
            format!("--window={}s", self.window_secs),
            format!("--quorum={QUORUM}"),
            "--max-spread=0.001".into(),
            "--name=employment-ma".into(),
            "--uri=https://github.com/NannyML/nannyml".into(),
        ];
        let oracles = ORACLES.map(|name| format!("--oracle={}", self.person(name).key.pubkey()));
        register.extend(oracles);
        self.driftshield(localnet, &owner.file, &register).await?;
        let bonds = ORACLES.map(|name| async {
            let bond = [
                "oracle".into(),
                "bond".into(),
                self.model.to_string(),
                format!("--amount={}", scenario::BOND),
            ];
            self.driftshield(localnet, &self.person(name).file, &bond)
                .await
        });
        futures::future::try_join_all(bonds).await?;
        Ok(())
    }

    async fn open_markets(&mut self, localnet: &Localnet) -> anyhow::Result<()> {
        let creator = self.person("creator");
        for (id, market) in (1u64..).zip(&MARKETS) {
            let (first, last) = market.windows.range(self.windows);
            let create = [
                "market".into(),
                "create".into(),
                format!("--model={}", self.model),
                format!("--id={id}"),
                format!("--question={}", market.question),
                format!("--thresholds={}", market.thresholds.join(",")),
                format!("--aggregate={}", market.aggregate),
                format!("--first={first}"),
                format!("--last={last}"),
                "--creator-fee-bps=100".into(),
            ];
            self.driftshield(localnet, &creator.file, &create).await?;
        }
        self.markets = (1..=MARKETS.len() as u64)
            .map(|id| address::market(&creator.key.pubkey(), id))
            .collect();
        Ok(())
    }

    /// Places the bets that are due once `percent` of the data have been measured. Bets of
    /// different people go at the same time, as they would.
    async fn bet(&mut self, localnet: &Localnet, percent: u64) -> anyhow::Result<()> {
        let mut bets: Vec<_> = MARKETS
            .iter()
            .zip(&self.markets)
            .flat_map(|(market, address)| market.bets.iter().map(move |bet| (bet, *address)))
            .collect();
        bets.sort_by_key(|(bet, _)| bet.at);
        let due = bets.iter().filter(|(bet, _)| bet.at <= percent).count();
        let now = &bets[self.placed..due.max(self.placed)];
        let each = BETTORS.map(|bettor| {
            let own = now.iter().filter(|(bet, _)| bet.bettor == bettor);
            self.bet_for(localnet, bettor, own.copied().collect())
        });
        futures::future::try_join_all(each).await?;
        self.placed = due.max(self.placed);
        Ok(())
    }

    async fn bet_for(
        &self,
        localnet: &Localnet,
        bettor: &str,
        bets: Vec<(&scenario::Bet, Address)>,
    ) -> anyhow::Result<()> {
        for (bet, market) in bets {
            let arguments = [
                "market".into(),
                "bet".into(),
                market.to_string(),
                format!("--outcome={}", bet.outcome),
                format!("--amount={}", bet.amount),
            ];
            let file = &self.person(bettor).file;
            self.driftshield(localnet, file, &arguments).await?;
        }
        Ok(())
    }

    /// Starts a crank for every oracle, each with its own key, configuration and evidence.
    async fn start_cranks(&self, localnet: &mut Localnet) -> anyhow::Result<()> {
        for name in ORACLES {
            let port = crate::free_port()?;
            let config = self.dir.join(format!("{name}.toml"));
            fs::write(&config, self.crank_config(localnet, name, port)?)?;
            let mut command = localnet.command("crank");
            command.arg("run").arg("--config").arg(&config);
            localnet.spawn(name, command)?;
        }
        Ok(())
    }

    fn crank_config(&self, localnet: &Localnet, name: &str, port: u16) -> anyhow::Result<String> {
        let path = |path: &Path| anyhow::Ok(json!(std::path::absolute(path)?).to_string());
        Ok(format!(
            r#"rpc_url = "{rpc_url}"
keypair = {keypair}
poll_ms = 500

[evidence]
directory = {evidence}
listen = "127.0.0.1:{port}"
url = "http://127.0.0.1:{port}"

[[models]]
address = "{model}"
spec = {spec}
data = {data}

[models.windows]
order_by = "{ORDER}"
rows = {WINDOW_ROWS}
"#,
            rpc_url = localnet.rpc_url,
            keypair = path(&self.person(name).file)?,
            evidence = path(&self.dir.join(name).with_extension("evidence"))?,
            model = self.model,
            spec = path(&self.dir.join("spec.json"))?,
            data = path(&self.data.join("analysis.parquet"))?,
        ))
    }

    /// Waits until the cranks have closed every market and ended every policy. On the way people
    /// bet, buy cover, and put up and ask back capital.
    async fn follow(&mut self, localnet: &mut Localnet) -> anyhow::Result<()> {
        let started = Instant::now();
        let patience = Duration::from_secs(120 + 4 * (self.windows + 2) * self.window_secs);
        let mut shown = None;
        loop {
            localnet.check()?;
            let receipts: Vec<(Address, Receipt)> = self.receipts().await?;
            let settled = receipts.iter().filter(|(_, r)| r.is_settled()).count() as u64;
            let latest = receipts.iter().map(|(_, receipt)| receipt.window + 1).max();
            let percent = 100 * latest.unwrap_or(0) / self.windows;
            self.bet(localnet, percent).await?;
            let open = self.count_open_markets().await?;
            // The last of them observes windows after all others: those have had their time.
            if 0 < open {
                self.insure(localnet, percent).await?;
            }
            let vault: Vault = self.client.get(&self.vault).await?;
            if shown != Some((settled, open, vault.policies)) {
                shown = Some((settled, open, vault.policies));
                localnet.say(&format!(
                    "{settled} of {} windows measured, {open} of {} markets not closed yet, \
                     {} policies open",
                    self.windows,
                    self.markets.len(),
                    vault.policies
                ));
            }
            if open == 0 && is_at_rest(&vault) {
                return Ok(());
            }
            if patience < started.elapsed() {
                bail!(
                    "the example does not come to its end: see the logs in {}",
                    localnet.logs().display()
                );
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn count_open_markets(&self) -> anyhow::Result<u32> {
        let mut open = 0;
        for market in &self.markets {
            open += u32::from(self.client.find::<Market>(market).await?.is_some());
        }
        Ok(open)
    }

    async fn receipts(&self) -> anyhow::Result<Vec<(Address, Receipt)>> {
        let of_model = (std::mem::offset_of!(Receipt, model), self.model);
        Ok(self.client.list(&[of_model]).await?)
    }

    /// Runs a `driftshield` command for the keypair in `file`.
    async fn driftshield(
        &self,
        localnet: &Localnet,
        file: &Path,
        arguments: &[String],
    ) -> anyhow::Result<()> {
        let mut command: Command = localnet.command("driftshield");
        command.arg("--url").arg(&localnet.rpc_url);
        command.arg("--keypair").arg(file).args(arguments);
        localnet.say(&format!("  {}", shell_line(&command)));
        localnet.run(command).await?;
        Ok(())
    }
}

/// Whether nothing is left for the cranks to do.
fn is_at_rest(vault: &Vault) -> bool {
    let left = [
        vault.policies,
        vault.requests,
        vault.protocol_credit,
        vault.manager_credit,
    ];
    left == [0; 4]
}

/// A command as one would type it.
fn shell_line(command: &Command) -> String {
    let command = command.as_std();
    let name = Path::new(command.get_program()).file_name();
    let words = name.into_iter().chain(command.get_args());
    let quoted = words.map(|word| {
        let word = word.to_string_lossy();
        match word.contains([' ', '\'']) {
            true => format!("\"{word}\""),
            false => word.into_owned(),
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Rows of a Parquet file.
fn rows_of(path: &Path) -> anyhow::Result<u64> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let file = fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let reader = SerializedFileReader::new(file)
        .with_context(|| format!("{} is not a Parquet file", path.display()))?;
    Ok(reader.metadata().file_metadata().num_rows() as u64)
}
