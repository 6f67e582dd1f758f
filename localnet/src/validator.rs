//! The validator: an embedded Surfpool, not connected to any other cluster.

mod rpc;

pub use rpc::Rpc;

use anyhow::{Context, anyhow};
use solana_keypair::Keypair;
use solana_signer::Signer;
use surfpool_core::surfnet::{
    GeyserEvent,
    locker::SurfnetSvmLocker,
    svm::{SurfnetSvm, SurfnetSvmConfig},
};
use surfpool_types::{BlockProductionMode, RpcConfig, SimnetConfig, SurfpoolConfig};
use tokio::sync::mpsc;

use crate::geyser::{bridge, faults::node::NodeFaults};

const SLOT_MS: u64 = 400;
const LAMPORTS_PER_SOL: u64 = 1_000_000_000;
/// The payer's balance at the start, in SOL.
pub const PAYER_SOL: u64 = 10_000;

/// Starts the validator on its own threads, which pass its slots to `node`. If the validator ends,
/// `failures` receives the reason.
pub fn start(
    rpc_port: u16,
    ws_port: u16,
    payer: &Keypair,
    node: NodeFaults,
    failures: mpsc::UnboundedSender<anyhow::Error>,
) -> anyhow::Result<()> {
    let config = config(rpc_port, ws_port, payer);
    std::thread::Builder::new()
        .name("validator".to_owned())
        .spawn(move || {
            let reason = match run(config, node, failures.clone()) {
                Ok(()) => anyhow!("the validator ended"),
                Err(error) => error.context("the validator ended"),
            };
            let _ = failures.send(reason);
        })
        .context("starting the validator's thread")?;
    Ok(())
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

fn run(
    config: SurfpoolConfig,
    node: NodeFaults,
    failures: mpsc::UnboundedSender<anyhow::Error>,
) -> anyhow::Result<()> {
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
    // Surfpool blocks when one of its channels is full: drain both before it starts.
    std::thread::spawn(move || simnet_events.into_iter().for_each(drop));
    let bridge = std::thread::spawn(move || bridge::run(geyser_events, node));
    std::thread::spawn(move || {
        if bridge.join().is_err() {
            // Clients would wait for slots for ever.
            let _ = failures.send(anyhow!("the gRPC feed failed; its panic is in the log"));
        }
    });
    // Surfpool's own plugin thread also wants a channel of Geyser events. Its sender sends nothing
    // and lives until the end, because a closed channel would end that thread.
    let (_idle_sender, no_events) = crossbeam_channel::unbounded::<GeyserEvent>();
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
