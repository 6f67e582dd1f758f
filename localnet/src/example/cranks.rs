//! Starts one `crank` process for each oracle.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::json;

use super::{
    scenario::{
        ORACLES, ORDER_COLUMN, SILENT_ORACLE, SILENT_PERCENT, SILENT_WINDOWS, SUBMIT_SECS,
        WINDOW_ROWS,
    },
    state::{Example, Silence},
};
use crate::{console::print_line, ports::free_port};

impl Example<'_> {
    /// Starts the cranks, each with its own key, configuration and evidence directory.
    pub fn start_cranks(&self) -> anyhow::Result<()> {
        ORACLES
            .into_iter()
            .try_for_each(|name| self.start_crank(name, name))
    }

    /// Starts an oracle's crank as the program `name`.
    fn start_crank(&self, oracle: &str, name: &str) -> anyhow::Result<()> {
        let config_file = self.directory.join(format!("{name}.toml"));
        fs::write(&config_file, self.crank_config(oracle, free_port()?)?)
            .with_context(|| format!("writing {}", config_file.display()))?;
        let mut command = self.localnet.command("crank");
        command.arg("run").arg("--config").arg(&config_file);
        self.localnet.spawn(name, command)
    }

    /// Stops the crank of [`SILENT_ORACLE`] when `percent` of the data is enough, and later starts it
    /// again.
    pub async fn silence_oracle(&mut self, percent: u64) -> anyhow::Result<()> {
        let secs = SILENT_WINDOWS * self.window_secs + SUBMIT_SECS as u64;
        match self.silence {
            Silence::Ahead if SILENT_PERCENT <= percent => {
                print_line(&format!("{SILENT_ORACLE} falls silent"));
                self.localnet.stop(SILENT_ORACLE).await;
                self.silence = Silence::Since(Instant::now());
            }
            Silence::Since(start) if Duration::from_secs(secs) <= start.elapsed() => {
                print_line(&format!("{SILENT_ORACLE} submits again"));
                // Under another name, so that both logs are kept.
                self.start_crank(SILENT_ORACLE, &format!("{SILENT_ORACLE}-again"))?;
                self.silence = Silence::Over;
            }
            _ => {}
        }
        Ok(())
    }

    fn crank_config(&self, oracle: &str, port: u16) -> anyhow::Result<String> {
        // A JSON string is also a TOML string.
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
order_by = "{ORDER_COLUMN}"
rows = {WINDOW_ROWS}
"#,
            rpc_url = self.localnet.rpc_url,
            keypair = path(&self.participant(oracle).key_file)?,
            evidence = path(&self.directory.join(oracle).with_extension("evidence"))?,
            model = self.model,
            spec = path(&self.directory.join("spec.json"))?,
            data = path(&self.data.join("analysis.parquet"))?,
        ))
    }
}
