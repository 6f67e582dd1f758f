//! The configuration file.

use std::{
    fs,
    net::SocketAddr,
    num::NonZeroU64,
    path::{Path, PathBuf},
    time::Duration,
};

use anchor_lang::Address;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Deserializer, de::Error};

/// The most bytes that the chain takes of an evidence document's address.
const URI_BYTES: usize = 128;

/// A configuration file, in TOML. Relative paths are relative to the file's own directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The RPC node's address. One node, not a pool of nodes that lag behind one another: a round
    /// relies on not being shown a state older than its blockhash.
    pub rpc_url: String,
    /// Keypair file, a JSON array of 64 numbers. The key pays for all transactions, and is the
    /// oracle of the models that name data.
    pub keypair: PathBuf,
    /// Milliseconds from the start of one round to the start of the next; 400 unless given.
    #[serde(
        default = "default_poll_ms",
        rename = "poll_ms",
        deserialize_with = "millis"
    )]
    pub poll: Duration,
    /// Needed where a model names data.
    pub evidence: Option<EvidenceConfig>,
    /// What to look after, at least one.
    pub models: Vec<ModelConfig>,
}

/// Where evidence documents are kept and how others read them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceConfig {
    /// Directory that holds the documents, each named by its SHA-256. Made where it is missing.
    pub directory: PathBuf,
    /// Address and port to serve the documents at. Left out where another web server does.
    pub listen: Option<SocketAddr>,
    /// Where the public reads them: `<url>/evidence/<sha256>.json` goes on chain, 128 bytes at
    /// most.
    pub url: String,
}

impl EvidenceConfig {
    /// The public address of the document of this hash.
    pub fn uri(&self, sha256: &[u8; 32]) -> String {
        let url = self.url.trim_end_matches('/');
        format!("{url}/evidence/{}.json", driftshield_sdk::json::hex(sha256))
    }
}

/// A model to look after: as a keeper, and with `spec` and `data` as one of its oracles.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The model account's address.
    #[serde(deserialize_with = "address")]
    pub address: Address,
    /// The metric-spec document whose SHA-256 the model pins. Goes with `data` and `windows`.
    spec: Option<PathBuf>,
    /// The model's outputs: a `.parquet` or `.csv` file, replaced as a whole when it changes.
    data: Option<PathBuf>,
    /// Which of the data's rows belong to which window.
    windows: Option<WindowsConfig>,
}

/// What an oracle of a model needs.
#[derive(Clone, Debug)]
pub struct OracleConfig {
    pub spec: PathBuf,
    pub data: PathBuf,
    pub windows: Windows,
}

impl ModelConfig {
    /// `None` where the model is only kept.
    pub fn oracle(&self) -> Result<Option<OracleConfig>> {
        match (&self.spec, &self.data, &self.windows) {
            (None, None, None) => Ok(None),
            (Some(spec), Some(data), Some(windows)) => Ok(Some(OracleConfig {
                spec: spec.clone(),
                data: data.clone(),
                windows: windows.0.clone(),
            })),
            _ => anyhow::bail!("spec, data and windows go together: give all three or none"),
        }
    }
}

/// Which rows belong to a window of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Windows {
    /// Window `w` is the rows `rows · w .. rows · (w + 1)` in ascending order of the integer column
    /// `order_by`.
    Rows { order_by: String, rows: NonZeroU64 },
    /// Window `w` is the rows whose time lies in the model's window `w`. `column` holds unix
    /// seconds, RFC 3339 texts, or Parquet timestamps.
    Time { column: String },
}

impl Windows {
    /// The column that rows are put in order by.
    pub fn column(&self) -> &str {
        match self {
            Self::Rows { order_by, .. } => order_by,
            Self::Time { column } => column,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "WindowsFields")]
struct WindowsConfig(Windows);

/// As it is written: `order_by` and `rows`, or `time`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowsFields {
    order_by: Option<String>,
    rows: Option<NonZeroU64>,
    time: Option<String>,
}

impl TryFrom<WindowsFields> for WindowsConfig {
    type Error = &'static str;

    fn try_from(fields: WindowsFields) -> Result<Self, Self::Error> {
        match (fields.order_by, fields.rows, fields.time) {
            (Some(order_by), Some(rows), None) => Ok(Self(Windows::Rows { order_by, rows })),
            (None, None, Some(column)) => Ok(Self(Windows::Time { column })),
            _ => Err("give either order_by and rows, or time alone"),
        }
    }
}

impl Config {
    /// Reads and checks a file. Errors name it and the field.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("{}: could not be read", path.display()))?;
        let mut config: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        config
            .validate()
            .with_context(|| path.display().to_string())?;
        Ok(config)
    }

    fn resolve(&mut self, directory: &Path) {
        let resolve = |path: &mut PathBuf| *path = directory.join(&path);
        resolve(&mut self.keypair);
        if let Some(evidence) = &mut self.evidence {
            resolve(&mut evidence.directory);
        }
        for model in &mut self.models {
            model.spec.as_mut().map(resolve);
            model.data.as_mut().map(resolve);
        }
    }

    fn validate(&self) -> Result<()> {
        ensure!(!self.poll.is_zero(), "poll_ms: must be at least 1");
        ensure!(!self.models.is_empty(), "models: name at least one");
        for (index, model) in self.models.iter().enumerate() {
            let field = || format!("models[{index}] ({})", model.address);
            let twice = self.models[..index]
                .iter()
                .any(|m| m.address == model.address);
            ensure!(!twice, "{}: address: named twice", field());
            let oracle = model.oracle().with_context(field)?;
            ensure!(
                oracle.is_none() || self.evidence.is_some(),
                "{}: data: a model with data needs the [evidence] section",
                field()
            );
        }
        if let Some(evidence) = &self.evidence {
            let bytes = evidence.uri(&[0; 32]).len();
            ensure!(
                bytes <= URI_BYTES,
                "evidence.url: a document's address would have {bytes} bytes, {URI_BYTES} at most: \
                 use a shorter url"
            );
            let web = evidence.url.starts_with("http://") || evidence.url.starts_with("https://");
            ensure!(web, "evidence.url: must begin with http:// or https://");
        }
        Ok(())
    }
}

fn default_poll_ms() -> Duration {
    Duration::from_millis(400)
}

fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| D::Error::custom(format!("{text:?} is not an address in base58")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEPER: &str = r#"
        rpc_url = "http://127.0.0.1:8899"
        keypair = "oracle.json"
        [[models]]
        address = "DriftSh1e1d11111111111111111111111111111111"
    "#;

    const ORACLE: &str = r#"
        spec = "spec.json"
        data = "/data/analysis.parquet"
        [models.windows]
        order_by = "id"
        rows = 5000
        [evidence]
        directory = "evidence"
        listen = "127.0.0.1:9100"
        url = "http://127.0.0.1:9100/"
    "#;

    fn read(text: &str) -> Result<Config> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("crank.toml");
        fs::write(&path, text)?;
        Config::read(&path)
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", read(text).expect_err("refused"))
    }

    #[test]
    fn a_keeper_needs_little() {
        let config = read(KEEPER).expect("valid");
        assert_eq!(config.poll, Duration::from_millis(400));
        assert!(config.models[0].oracle().expect("valid").is_none());
        assert!(config.keypair.is_absolute());
    }

    #[test]
    fn an_oracle_names_spec_data_and_windows() {
        let config = read(&(KEEPER.to_owned() + ORACLE)).expect("valid");
        let oracle = config.models[0]
            .oracle()
            .expect("valid")
            .expect("an oracle");
        assert_eq!(oracle.windows.column(), "id");
        assert_eq!(oracle.data, Path::new("/data/analysis.parquet"));
        let uri = config.evidence.expect("given").uri(&[0xab; 32]);
        assert_eq!(
            uri,
            format!("http://127.0.0.1:9100/evidence/{}.json", "ab".repeat(32))
        );
    }

    #[test]
    fn refusals_name_file_and_field() {
        let unknown = refusal(&format!("pol_ms = 3\n{KEEPER}"));
        assert!(
            unknown.contains("pol_ms") && unknown.contains("crank.toml"),
            "{unknown}"
        );
        let half = refusal(&format!("{KEEPER}\nspec = \"spec.json\""));
        assert!(
            half.contains("models[0]") && half.contains("spec"),
            "{half}"
        );
        let both = refusal(&format!(
            "{KEEPER}\n[models.windows]\ntime = \"t\"\nrows = 1"
        ));
        assert!(both.contains("either order_by and rows, or time"), "{both}");
        let no_evidence = ORACLE.split("[evidence]").next().unwrap_or_default();
        let no_evidence = refusal(&format!("{KEEPER}{no_evidence}"));
        assert!(no_evidence.contains("[evidence]"), "{no_evidence}");
        let url = format!("url = \"http://{}\"", "x".repeat(60));
        let long = ORACLE.replace("url = \"http://127.0.0.1:9100/\"", &url);
        assert!(refusal(&format!("{KEEPER}{long}")).contains("evidence.url"));
    }
}
