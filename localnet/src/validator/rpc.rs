//! The validator's JSON-RPC, including Surfpool's own methods.

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};
use backon::Retryable;
use driftshield_sdk::{Address, rpc::Client};
use serde_json::{Value, json};
use solana_loader_v3_interface::state::UpgradeableLoaderState;
use solana_rpc_client_api::request::RpcRequest;

use crate::{geyser::feed::Feed, poll};

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a program that one request carries, as twice as many hexadecimal digits.
const CHUNK_BYTES: usize = 2 << 20;

pub struct Rpc(Client);

impl Rpc {
    pub fn new(url: &str) -> Self {
        Self(Client::new(url.to_owned()))
    }

    async fn call(&self, method: &'static str, params: Value) -> anyhow::Result<Value> {
        let request = RpcRequest::Custom { method };
        let response = self.0.rpc().send(request, params).await;
        response.context(method)
    }

    /// Waits until the validator answers, the payer has SOL and a slot is confirmed.
    pub async fn wait_until_ready(&self, payer: &Address, feed: &Feed) -> anyhow::Result<()> {
        let check = || async {
            let lamports = self.0.rpc().get_balance(payer).await?;
            ensure!(lamports > 0, "the payer has no SOL");
            ensure!(feed.last_confirmed().is_some(), "no slot is confirmed");
            Ok(())
        };
        check
            .retry(poll::schedule(START_TIMEOUT))
            .await
            .with_context(|| format!("the validator is not ready after {START_TIMEOUT:?}"))
    }

    /// Deploys an upgradeable program with this upgrade authority.
    pub async fn deploy(
        &self,
        program_id: &Address,
        elf: &Path,
        authority: &Address,
    ) -> anyhow::Result<()> {
        let bytes = tokio::fs::read(elf).await.with_context(|| {
            format!(
                "reading {}: build the program with scripts/build-program, or pass --program",
                elf.display()
            )
        })?;
        let (id, authority_text) = (program_id.to_string(), authority.to_string());
        for (index, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
            let offset = index * CHUNK_BYTES;
            let params = json!([id, const_hex::encode(chunk), offset, authority_text]);
            self.call("surfnet_writeProgram", params).await?;
        }
        let params = json!([id, authority_text]);
        self.call("surfnet_setProgramAuthority", params).await?;
        self.check_authority(program_id, authority).await
    }

    /// Checks the upgrade authority: the program's `initialize` accepts no other signer.
    async fn check_authority(
        &self,
        program_id: &Address,
        authority: &Address,
    ) -> anyhow::Result<()> {
        let program = self.loader_state(program_id).await?;
        let UpgradeableLoaderState::Program {
            programdata_address,
        } = program
        else {
            anyhow::bail!("account {program_id} is no upgradeable program: {program:?}");
        };
        let state = self.loader_state(&programdata_address).await?;
        ensure!(
            matches!(
                state,
                UpgradeableLoaderState::ProgramData {
                    upgrade_authority_address: Some(found),
                    ..
                } if found == *authority
            ),
            "the program was deployed, but not with upgrade authority {authority}: {state:?}"
        );
        Ok(())
    }

    /// State of an account that the upgradeable loader owns.
    async fn loader_state(&self, address: &Address) -> anyhow::Result<UpgradeableLoaderState> {
        let account = self.0.rpc().get_account(address).await?;
        ensure!(
            account.owner == solana_sdk_ids::bpf_loader_upgradeable::ID,
            "account {address} belongs to {}, not to the upgradeable loader",
            account.owner
        );
        // The bytes after the state, which are the program itself, are ignored.
        bincode::deserialize(&account.data).with_context(|| format!("account {address}"))
    }
}
