//! The configuration file of the crank.

use std::{
    fs,
    net::SocketAddr,
    num::NonZeroU64,
    path::{Path, PathBuf},
    time::Duration,
};

use anchor_lang::Address;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Deserializer, de::Error};

/// Maximum length of an evidence document's URI on chain, in bytes.
const MAX_URI_BYTES: usize = 128;

/// A configuration file, in TOML. Relative paths are relative to the file's directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// URL of the RPC node. Use a single node, not a pool whose nodes lag behind one another: a
    /// round must not read a state older than its blockhash.
    pub rpc_url: String,
    /// Keypair file: a JSON array of 64 numbers. The key is the fee payer of all transactions, and
    /// the oracle of the models with data.
    pub keypair: PathBuf,
    /// Milliseconds from the start of one round to the start of the next; 400 by default.
    #[serde(
        default = "default_poll_ms",
        rename = "poll_ms",
        deserialize_with = "millis"
    )]
    pub poll: Duration,
    /// Priority fee of all transactions, in micro-lamports per compute unit; 0 by default.
    #[serde(default)]
    pub priority_fee: u64,
    /// Required if a model has data.
    pub evidence: Option<EvidenceConfig>,
    /// The models to serve; at least one.
    pub models: Vec<ModelConfig>,
}

/// Where evidence documents are stored and under which URL others read them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceConfig {
    /// Directory of the documents, each named by its SHA-256. Created if missing.
    pub directory: PathBuf,
    /// Address and port on which the crank serves the documents. Omit it if another web server
    /// serves them.
    pub listen: Option<SocketAddr>,
    /// Public base URL. `<url>/evidence/<sha256>.json` goes on chain and has at most 128 bytes.
    pub url: String,
}

impl EvidenceConfig {
    /// Public URI of the document with this SHA-256.
    pub fn uri(&self, sha256: &[u8; 32]) -> String {
        let url = self.url.trim_end_matches('/');
        format!("{url}/evidence/{}.json", const_hex::encode(sha256))
    }
}

/// A model to serve: as a keeper, and with `spec`, `data` and `windows` as one of its oracles too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Address of the model account.
    #[serde(deserialize_with = "address")]
    pub address: Address,
    /// Smallest reward of an oracle that is collected while more can follow, in base units; by
    /// default a ten-thousandth of the model's `min_bond`.
    pub min_reward: Option<u64>,
    /// File of the metric-spec document whose SHA-256 the model pins. Requires `data` and
    /// `windows`.
    spec: Option<PathBuf>,
    /// File of the model's outputs, `.parquet` or `.csv`. To change it, write a new file and rename
    /// it into place.
    data: Option<PathBuf>,
    /// How the rows of `data` are assigned to windows.
    windows: Option<Windowing>,
}

/// What an oracle needs to measure one model.
#[derive(Clone, Debug)]
pub struct OracleConfig {
    pub spec: PathBuf,
    pub data: PathBuf,
    pub windowing: Windowing,
}

impl ModelConfig {
    /// Configuration of the model's oracle; `None` if the model has only a keeper. Fails if only
    /// some of `spec`, `data` and `windows` are set.
    pub fn oracle(&self) -> Result<Option<OracleConfig>> {
        match (&self.spec, &self.data, &self.windows) {
            (None, None, None) => Ok(None),
            (Some(spec), Some(data), Some(windowing)) => Ok(Some(OracleConfig {
                spec: spec.clone(),
                data: data.clone(),
                windowing: windowing.clone(),
            })),
            _ => bail!("spec, data and windows must be set together; set all three or none"),
        }
    }
}

/// How rows are assigned to the windows of a model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WindowingFields")]
pub enum Windowing {
    /// Window `w` is the rows `rows · w .. rows · (w + 1)` in ascending order of the integer column
    /// `order_by`.
    Rows { order_by: String, rows: NonZeroU64 },
    /// Window `w` is the rows whose time lies in the model's window `w`. The column holds unix
    /// seconds, RFC 3339 texts, or Parquet timestamps.
    Time { column: String },
}

impl Windowing {
    /// Name of the column by which rows are sorted.
    pub fn key_column(&self) -> &str {
        match self {
            Self::Rows { order_by, .. } => order_by,
            Self::Time { column } => column,
        }
    }
}

/// The fields of [`Windowing`] in the configuration file: `order_by` and `rows`, or `time`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowingFields {
    order_by: Option<String>,
    rows: Option<NonZeroU64>,
    time: Option<String>,
}

impl TryFrom<WindowingFields> for Windowing {
    type Error = &'static str;

    fn try_from(fields: WindowingFields) -> Result<Self, Self::Error> {
        match (fields.order_by, fields.rows, fields.time) {
            (Some(order_by), Some(rows), None) => Ok(Self::Rows { order_by, rows }),
            (None, None, Some(column)) => Ok(Self::Time { column }),
            _ => Err("set either order_by and rows, or time alone"),
        }
    }
}

impl Config {
    /// Reads and validates a file. Errors name the file and, if a field is invalid, the field.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        let mut config: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        config.resolve_paths(path.parent().unwrap_or(Path::new("")));
        config
            .validate()
            .with_context(|| path.display().to_string())?;
        Ok(config)
    }

    /// Resolves relative paths against `directory`.
    fn resolve_paths(&mut self, directory: &Path) {
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
        ensure!(!self.poll.is_zero(), "poll_ms is 0; set at least 1");
        ensure!(
            !self.models.is_empty(),
            "models is empty; add a [[models]] section"
        );
        for (index, model) in self.models.iter().enumerate() {
            let field = || format!("models[{index}] ({})", model.address);
            let is_duplicate = self.models[..index]
                .iter()
                .any(|m| m.address == model.address);
            ensure!(
                !is_duplicate,
                "{}: another section has the same address; remove one of them",
                field()
            );
            let oracle = model.oracle().with_context(field)?;
            ensure!(
                oracle.is_none() || self.evidence.is_some(),
                "{}: a model with data needs an [evidence] section; add one",
                field()
            );
        }
        if let Some(evidence) = &self.evidence {
            let url = &evidence.url;
            let bytes = evidence.uri(&[0; 32]).len();
            ensure!(
                bytes <= MAX_URI_BYTES,
                "evidence.url: a document's URI would have {bytes} bytes, the limit is \
                 {MAX_URI_BYTES}; use a shorter url"
            );
            ensure!(
                url.starts_with("http://") || url.starts_with("https://"),
                "evidence.url is {url:?}; it must begin with http:// or https://"
            );
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
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "{text:?} is not an address; write 32 bytes in base58"
        ))
    })
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

    fn error(text: &str) -> String {
        format!("{:#}", read(text).expect_err("invalid"))
    }

    #[test]
    fn a_keeper_needs_an_rpc_url_a_keypair_and_a_model() {
        let config = read(KEEPER).expect("valid");
        assert_eq!(config.poll, Duration::from_millis(400));
        assert_eq!(config.priority_fee, 0);
        assert!(config.models[0].oracle().expect("valid").is_none());
        assert!(config.keypair.is_absolute());
    }

    #[test]
    fn an_oracle_needs_spec_data_windows_and_evidence() {
        let config = read(&(KEEPER.to_owned() + ORACLE)).expect("valid");
        let oracle = config.models[0]
            .oracle()
            .expect("valid")
            .expect("an oracle");
        assert_eq!(oracle.windowing.key_column(), "id");
        assert_eq!(oracle.data, Path::new("/data/analysis.parquet"));
        let uri = config.evidence.expect("given").uri(&[0xab; 32]);
        assert_eq!(
            uri,
            format!("http://127.0.0.1:9100/evidence/{}.json", "ab".repeat(32))
        );
    }

    #[test]
    fn errors_name_file_and_field() {
        let unknown = error(&format!("pol_ms = 3\n{KEEPER}"));
        assert!(
            unknown.contains("pol_ms") && unknown.contains("crank.toml"),
            "{unknown}"
        );
        let half = error(&format!("{KEEPER}\nspec = \"spec.json\""));
        assert!(
            half.contains("models[0]") && half.contains("spec"),
            "{half}"
        );
        let both = error(&format!(
            "{KEEPER}\n[models.windows]\ntime = \"t\"\nrows = 1"
        ));
        assert!(both.contains("either order_by and rows, or time"), "{both}");
        let no_evidence = ORACLE.split("[evidence]").next().unwrap_or_default();
        let no_evidence = error(&format!("{KEEPER}{no_evidence}"));
        assert!(no_evidence.contains("[evidence]"), "{no_evidence}");
        let url = format!("url = \"http://{}\"", "x".repeat(60));
        let long = ORACLE.replace("url = \"http://127.0.0.1:9100/\"", &url);
        assert!(error(&format!("{KEEPER}{long}")).contains("evidence.url"));
    }
}
