//! The state of a running example, and the commands it runs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, ensure};
use driftshield_sdk::{
    Address, Entry, Series,
    faucet::Faucet,
    rpc::{Client, Keypair, Signer},
};
use futures::future::try_join_all;
use tokio::process::Command;

use super::scenario::{BETTORS, MANAGER, ORACLES, VAULT_PLANS, WINDOW_ROWS};
use crate::{console::print_line, network::Localnet, options::Options};

const SOL: u64 = 1_000_000_000;
/// Base units of one token.
pub const TOKEN: u64 = 10u64.pow(Faucet::DECIMALS as u32);
/// Tokens that each participant has at the start.
pub const INITIAL_TOKENS: u64 = 100_000;

pub struct Example<'a> {
    pub localnet: &'a Localnet,
    pub client: Client,
    /// Directory for keys, configurations and evidence.
    pub directory: PathBuf,
    /// Directory of the data.
    pub data: PathBuf,
    pub window_secs: u64,
    /// Number of complete windows in the data.
    pub windows: u64,
    /// Mint of the token for bonds, bets and premiums.
    pub mint: Address,
    /// Everybody who holds tokens.
    pub participants: Vec<Participant>,
    pub model: Address,
    pub markets: Vec<Address>,
    pub vault: Address,
    /// Base units of all minted tokens.
    pub supply: u64,
    /// Whether the silent oracle is silent.
    pub silence: Silence,
    /// Number of bets placed so far.
    pub bets_placed: usize,
    /// Number of [`SALES`](super::scenario::SALES) made so far.
    pub sales_made: usize,
    /// Number of steps taken so far, for each of [`VAULT_PLANS`].
    pub steps_taken: [usize; VAULT_PLANS.len()],
}

/// The time in which an oracle's crank doesn't run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    Ahead,
    Since(Instant),
    Over,
}

pub struct Participant {
    pub name: &'static str,
    pub key: Keypair,
    pub key_file: PathBuf,
}

impl<'a> Example<'a> {
    /// Checks the data, and creates the token and the participants' keys and balances.
    pub async fn prepare(localnet: &'a Localnet, options: &Options) -> anyhow::Result<Self> {
        let data = options.data.clone();
        let analysis = data.join("analysis.parquet");
        let rows = count_rows(&analysis)?;
        let windows = rows / WINDOW_ROWS;
        ensure!(
            windows > 0,
            "{} has {rows} rows, but one window needs {WINDOW_ROWS}: pass other data with --data",
            analysis.display()
        );
        print_line(&format!(
            "starting the example: {rows} rows of {}, {windows} windows of {WINDOW_ROWS} rows, \
             {} s each",
            analysis.display(),
            options.window_secs
        ));

        let directory = localnet.directory.join("example");
        fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        let participants = create_participants(&directory)?;
        let client = Client::new(localnet.rpc_url.clone());
        let faucet = Faucet::create(&client, &localnet.payer)
            .await
            .context("creating the example's token")?;
        let funding = participants.iter().map(async |participant| {
            faucet
                .fund(&participant.key.pubkey(), 100 * SOL, INITIAL_TOKENS * TOKEN)
                .await
                .with_context(|| format!("funding {}", participant.name))
        });
        try_join_all(funding).await?;
        let mint = faucet.mint;
        let supply = INITIAL_TOKENS * TOKEN * participants.len() as u64;
        Ok(Self {
            localnet,
            client,
            directory,
            data,
            window_secs: options.window_secs,
            windows,
            mint,
            participants,
            model: Address::default(),
            markets: vec![],
            vault: Address::default(),
            supply,
            silence: Silence::Ahead,
            bets_placed: 0,
            sales_made: 0,
            steps_taken: [0; VAULT_PLANS.len()],
        })
    }

    /// The participant with this name, which must be one of the scenario's.
    pub fn participant(&self, name: &str) -> &Participant {
        let mut participants = self.participants.iter();
        let found = participants.find(|participant| participant.name == name);
        found.expect("the scenario has a participant with this name")
    }

    /// Name of the participant with this key, or the key itself if there is none.
    pub fn name_of<'b>(&'b self, key: &'b str) -> &'b str {
        let mut participants = self.participants.iter();
        let found = participants.find(|participant| participant.key.pubkey().to_string() == key);
        found.map_or(key, |participant| participant.name)
    }

    /// The model's windows with a submission, each with its entry.
    pub async fn entries(&self) -> anyhow::Result<Vec<(u64, Entry)>> {
        let of_model = (std::mem::offset_of!(Series, model), self.model);
        let pages: Vec<(Address, Series)> = self.client.list(&[of_model]).await?;
        let entries = pages
            .iter()
            .flat_map(|(_, page)| page.windows().map(|window| (window, page.entry(window))));
        Ok(entries.filter(|(_, entry)| *entry != Entry::None).collect())
    }

    /// Runs a `driftshield` command with the key in `key_file`.
    pub async fn driftshield(&self, key_file: &Path, arguments: &[String]) -> anyhow::Result<()> {
        let mut command = self.localnet.command("driftshield");
        command.arg("--url").arg(&self.localnet.rpc_url);
        command.arg("--keypair").arg(key_file).args(arguments);
        self.run(command).await
    }

    /// Prints a command and runs it to its end.
    pub async fn run(&self, command: Command) -> anyhow::Result<()> {
        print_line(&format!("  {}", shell_line(&command)?));
        self.localnet.run(command).await?;
        Ok(())
    }
}

fn create_participants(directory: &Path) -> anyhow::Result<Vec<Participant>> {
    ["owner", "creator", MANAGER]
        .into_iter()
        .chain(ORACLES)
        .chain(BETTORS)
        .chain(VAULT_PLANS.map(|plan| plan.participant))
        .map(|name| {
            let key = Keypair::new();
            let key_file = directory.join(format!("{name}.json"));
            fs::write(&key_file, serde_json::to_vec(&key.to_bytes().to_vec())?)
                .with_context(|| format!("writing {}", key_file.display()))?;
            Ok(Participant {
                name,
                key,
                key_file,
            })
        })
        .collect()
}

/// The command as a user would type it in a shell.
fn shell_line(command: &Command) -> anyhow::Result<String> {
    let command = command.as_std();
    let name = Path::new(command.get_program()).file_name();
    let words = name.into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    Ok(shlex::try_join(words.iter().map(|word| &**word))?)
}

/// Number of rows of a Parquet file.
fn count_rows(path: &Path) -> anyhow::Result<u64> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let file = fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let reader = SerializedFileReader::new(file)
        .with_context(|| format!("{} is not a Parquet file", path.display()))?;
    Ok(reader.metadata().file_metadata().num_rows() as u64)
}
