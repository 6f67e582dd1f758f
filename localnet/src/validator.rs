//! The validator: Surfpool, in process, with no other cluster behind it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use solana_keypair::Keypair;
use solana_signer::Signer;
use surfpool_core::surfnet::{
    GeyserEvent,
    locker::SurfnetSvmLocker,
    svm::{SurfnetSvm, SurfnetSvmConfig},
};
use surfpool_types::{BlockProductionMode, RpcConfig, SimnetConfig, SurfpoolConfig};
use tokio::sync::mpsc;

use crate::geyser::{bridge, feed::Feed};

const SLOT_MS: u64 = 400;
const LAMPORTS_PER_SOL: u64 = 1_000_000_000;
/// What the payer has at the start.
pub const PAYER_SOL: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);
/// Of a program in one request, where two characters make a byte.
const CHUNK_BYTES: usize = 2 << 20;
const LOADER: &str = "BPFLoaderUpgradeab1e11111111111111111111111";

/// Starts it on threads of its own; why it ended, if it does, is told to `failures`.
pub fn start(
    rpc_port: u16,
    ws_port: u16,
    payer: &Keypair,
    failures: mpsc::UnboundedSender<anyhow::Error>,
) -> anyhow::Result<Arc<Feed>> {
    let feed = Arc::new(Feed::default());
    let config = config(rpc_port, ws_port, payer);
    let thread_feed = Arc::clone(&feed);
    std::thread::Builder::new()
        .name("validator".to_owned())
        .spawn(move || {
            let why = match run(config, thread_feed) {
                Ok(()) => anyhow!("the validator ended"),
                Err(error) => error.context("the validator ended"),
            };
            let _ = failures.send(why);
        })
        .context("starting the validator's thread")?;
    Ok(feed)
}

fn config(rpc_port: u16, ws_port: u16, payer: &Keypair) -> SurfpoolConfig {
    SurfpoolConfig {
        simnets: vec![SimnetConfig {
            offline_mode: true,
            remote_rpc_url: None,
            slot_time: SLOT_MS,
            block_production_mode: BlockProductionMode::Clock,
            airdrop_addresses: vec![payer.pubkey()],
            airdrop_token_amount: PAYER_SOL * LAMPORTS_PER_SOL,
            instruction_profiling_enabled: false,
            ..SimnetConfig::default()
        }],
        rpc: RpcConfig {
            bind_host: "127.0.0.1".to_owned(),
            bind_port: rpc_port,
            ws_port,
            ..RpcConfig::default()
        },
        ..SurfpoolConfig::default()
    }
}

fn run(config: SurfpoolConfig, feed: Arc<Feed>) -> anyhow::Result<()> {
    let simnet = config.simnets.first().context("no network configured")?;
    let (svm, simnet_events, geyser_events) = SurfnetSvm::new(SurfnetSvmConfig {
        surfnet_id: simnet.surfnet_id.clone(),
        slot_time: simnet.slot_time,
        instruction_profiling_enabled: simnet.instruction_profiling_enabled,
        max_profiles: simnet.max_profiles,
        log_bytes_limit: simnet.log_bytes_limit,
        skip_blockhash_check: simnet.skip_blockhash_check,
        feature_config: Default::default(),
    })
    .map_err(|error| anyhow!("{error}"))?;
    // Surfpool waits where its channels are full: both are emptied from before it runs.
    std::thread::spawn(move || simnet_events.into_iter().for_each(drop));
    std::thread::spawn(move || bridge::run(geyser_events, &feed));
    // Its own plugin thread gets a channel that stays silent, and open as long as it runs.
    let (_silent, no_events) = crossbeam_channel::unbounded::<GeyserEvent>();
    let (commands, received_commands) = crossbeam_channel::unbounded();
    hiro_system_kit::nestable_block_on(surfpool_core::runloops::start_local_surfnet_runloop(
        SurfnetSvmLocker::new(svm),
        config,
        commands,
        received_commands,
        no_events,
    ))
    .map_err(|error| anyhow!("{error}"))
}

/// JSON-RPC, as much of it as bringing the validator up takes.
pub struct Rpc {
    http: reqwest::Client,
    url: String,
}

impl Rpc {
    pub fn new(url: &str) -> anyhow::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .context("making an HTTP client")?,
            url: url.to_owned(),
        })
    }

    async fn call(&self, method: &str, params: Value) -> anyhow::Result<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let response = self.http.post(&self.url).json(&request).send();
        let mut response: Value = response.await?.error_for_status()?.json().await?;
        match response.get("error") {
            Some(error) => bail!("{method}: {error}"),
            None => Ok(response["result"].take()),
        }
    }

    /// Waits until requests are answered and the payer has been paid.
    pub async fn wait_until_up(&self, payer: &Keypair, feed: &Feed) -> anyhow::Result<()> {
        let balance = json!([payer.pubkey().to_string(), { "commitment": "confirmed" }]);
        let since = Instant::now();
        loop {
            let answer = self.call("getBalance", balance.clone()).await;
            let paid = answer
                .as_ref()
                .ok()
                .and_then(|answer| answer["value"].as_u64());
            if paid.is_some_and(|lamports| lamports > 0) && feed.last_confirmed().is_some() {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                let answer = answer.map(|balance| balance.to_string());
                let answer = answer.unwrap_or_else(|error| format!("{error:#}"));
                bail!("the validator is not up after {PATIENCE:?}: {answer}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Deploys a program as an upgradeable one whose authority is the payer.
    pub async fn deploy(
        &self,
        program_id: &str,
        elf: &Path,
        authority: &Keypair,
    ) -> anyhow::Result<()> {
        let bytes = tokio::fs::read(elf).await.with_context(|| {
            format!(
                "reading {}: build the program with scripts/build-program, or pass --program",
                elf.display()
            )
        })?;
        let authority = authority.pubkey();
        for (index, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
            let offset = index * CHUNK_BYTES;
            let hex: String = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            let params = json!([program_id, hex, offset, authority.to_string()]);
            self.call("surfnet_writeProgram", params).await?;
        }
        let params = json!([program_id, authority.to_string()]);
        self.call("surfnet_setProgramAuthority", params).await?;
        self.check_program(program_id, authority.as_ref()).await
    }

    /// The program's `initialize` goes by what its data account says.
    async fn check_program(&self, program_id: &str, authority: &[u8]) -> anyhow::Result<()> {
        /// Where a program names its data account: after a tag (u32).
        const DATA_ADDRESS: std::ops::Range<usize> = 4..36;
        /// Where that account names the authority: after a tag, a slot and an option's byte.
        const AUTHORITY: std::ops::Range<usize> = 13..45;
        let program = self.loaders_account(program_id).await?;
        let address = program.get(DATA_ADDRESS).context("a program's account")?;
        let address = bs58::encode(address).into_string();
        let data = self.loaders_account(&address).await?;
        ensure!(
            data.get(AUTHORITY) == Some(authority),
            "the program was deployed, but with another upgrade authority"
        );
        Ok(())
    }

    /// An account's data, where the upgradeable loader owns it.
    async fn loaders_account(&self, address: &str) -> anyhow::Result<Vec<u8>> {
        let params = json!([address, { "commitment": "confirmed", "encoding": "base64" }]);
        let answer = self.call("getAccountInfo", params).await?;
        let account = &answer["value"];
        ensure!(
            account["owner"] == LOADER,
            "the program was deployed, but {address} is not the upgradeable loader's"
        );
        let data = account["data"][0].as_str().context("an account's data")?;
        BASE64_STANDARD.decode(data).context("an account's data")
    }
}
