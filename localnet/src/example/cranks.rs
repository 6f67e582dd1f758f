//! Starts one `crank` process for each oracle.

use std::{fs, path::Path};

use anyhow::Context;
use serde_json::json;

use super::{
    scenario::{ORACLES, ORDER_COLUMN, WINDOW_ROWS},
    state::Example,
};
use crate::ports::free_port;

impl Example<'_> {
    /// Starts the cranks, each with its own key, configuration and evidence directory.
    pub fn start_cranks(&self) -> anyhow::Result<()> {
        for name in ORACLES {
            let config_file = self.directory.join(format!("{name}.toml"));
            fs::write(&config_file, self.crank_config(name, free_port()?)?)
                .with_context(|| format!("writing {}", config_file.display()))?;
            let mut command = self.localnet.command("crank");
            command.arg("run").arg("--config").arg(&config_file);
            self.localnet.spawn(name, command)?;
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
