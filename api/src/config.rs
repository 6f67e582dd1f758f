//! Settings: flags first, then environment variables, then the configuration file.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use clap::Parser;
use driftshield_service::config_file::{self, Within};
use ipnet::IpNet;
use serde::Deserialize;

use crate::{
    admission::Rate, client_address::TrustedProxies, connections::ConnectionLimits,
    transactions::ChainSettings,
};

/// A configuration file, in TOML. Every key can be left out.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    database_url: Option<String>,
    rpc_url: Option<String>,
    listen: Option<SocketAddr>,
    operations_listen: Option<SocketAddr>,
    public_url: Option<String>,
    trusted_proxies: Option<Vec<IpNet>>,
    ready_age_secs: Option<ReadyAgeSecs>,
    min_slot_wait_ms: Option<MinSlotWaitMs>,
    cache_mib: Option<CacheMib>,
    transactions: TransactionsSection,
    limits: LimitsSection,
}

/// What transactions pay for priority.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TransactionsSection {
    max_priority_fee: Option<PriorityFee>,
    priority_fee_percentile: Option<Percentile>,
}

/// What one client, and all together, can use.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsSection {
    requests_per_second: Option<RequestsPerSecond>,
    request_burst: Option<RequestBurst>,
    connections: Option<Connections>,
    connections_per_address: Option<Connections>,
}

type ReadyAgeSecs = Within<1, 86_400>;
type MinSlotWaitMs = Within<0, 5_000>;
type CacheMib = Within<0, 65_536>;
type PriorityFee = Within<0, 1_000_000_000>;
type Percentile = Within<0, 100>;
type RequestsPerSecond = Within<0, 1_000_000>;
type RequestBurst = Within<1, 1_000_000>;
type Connections = Within<1, 1_000_000>;

/// Serves the mirror of the chain over REST and WebSocket.
#[derive(Parser)]
#[command(name = "api", version)]
pub struct Options {
    /// Configuration file (TOML); flags and environment variables take precedence
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// URL of the Postgres database that the indexer writes; the login in the URL must be a member of the
    /// role driftshield_api
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// URL of the Solana RPC node from which transactions are built and on which they are simulated
    /// [default: none; routes that build transactions answer 503]
    #[arg(long, env = "RPC_URL", hide_env_values = true)]
    rpc_url: Option<String>,
    /// Address to listen on; with port 0, a free port, which the log reports [default: 127.0.0.1:8080]
    #[arg(long, env = "API_LISTEN")]
    listen: Option<SocketAddr>,
    /// Address that serves /metrics and /health/detailed, for operators only, such as 127.0.0.1:9465; with
    /// port 0, a free port, which the log reports [default: serves nothing]
    #[arg(long, env = "API_OPERATIONS_LISTEN")]
    operations_listen: Option<SocketAddr>,
    /// URL by which clients reach the API, for the absolute URLs in answers [default: http:// and the
    /// address it listens on]
    #[arg(long, env = "API_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Networks of reverse proxies, such as 10.0.0.0/8 or 192.0.2.1/32: a client is told by the
    /// X-Forwarded-For that they add [default: none; the header is ignored]
    #[arg(
        long,
        env = "API_TRUSTED_PROXIES",
        value_name = "NETWORK,...",
        value_delimiter = ','
    )]
    trusted_proxies: Option<Vec<IpNet>>,
    /// Age of the data up to which the service is ready [default: 60]
    #[arg(long, env = "API_READY_AGE_SECS", value_name = "SECONDS")]
    ready_age_secs: Option<ReadyAgeSecs>,
    /// Longest time that a request waits for its `min_slot` [default: 2000]
    #[arg(long, env = "API_MIN_SLOT_WAIT_MS", value_name = "MILLISECONDS")]
    min_slot_wait_ms: Option<MinSlotWaitMs>,
    /// Memory for answers that can be given again, in MiB; 0 turns the cache off [default: 128]
    #[arg(long, env = "API_CACHE_MIB", value_name = "MIB")]
    cache_mib: Option<CacheMib>,
    /// Highest priority fee of a transaction, in micro-lamports per compute unit of its limit
    /// [default: 100000]
    #[arg(long, env = "API_MAX_PRIORITY_FEE", value_name = "MICROLAMPORTS")]
    max_priority_fee: Option<PriorityFee>,
    /// Percentile of the recent blocks' lowest priority fees that a transaction pays [default: 60]
    #[arg(long, env = "API_PRIORITY_FEE_PERCENTILE", value_name = "PERCENT")]
    priority_fee_percentile: Option<Percentile>,
    /// Requests a second that one address can send; 0 turns the limit off [default: 100]
    #[arg(long, env = "API_REQUESTS_PER_SECOND", value_name = "N")]
    requests_per_second: Option<RequestsPerSecond>,
    /// Requests that one address can send at once after a pause [default: 500]
    #[arg(long, env = "API_REQUEST_BURST", value_name = "N")]
    request_burst: Option<RequestBurst>,
    /// Connections at the same time, WebSockets included [default: 20000]
    #[arg(long, env = "API_CONNECTIONS", value_name = "N")]
    connections: Option<Connections>,
    /// Connections of one address at the same time [default: 500]
    #[arg(long, env = "API_CONNECTIONS_PER_ADDRESS", value_name = "N")]
    connections_per_address: Option<Connections>,
}

/// Settings of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub database_url: String,
    pub chain: ChainSettings,
    pub listen: SocketAddr,
    /// Address for operators; `None` if it serves none.
    pub operations_listen: Option<SocketAddr>,
    /// `None` if clients reach the API at the address that it listens on. Without a `/` at its end.
    pub public_url: Option<String>,
    pub trusted_proxies: TrustedProxies,
    /// Age of the data up to which the service is ready.
    pub ready_age: Duration,
    /// Longest time that a request waits for its `min_slot`.
    pub min_slot_wait: Duration,
    /// Memory for the cache, in bytes; 0 without a cache.
    pub cache_bytes: u64,
    /// Requests of one address; `None` without a limit.
    pub rate: Option<Rate>,
    pub connections: ConnectionLimits,
}

impl Options {
    /// The settings: these options, then the file that they name, then the defaults.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or no database is given.
    pub fn settings(self) -> anyhow::Result<Settings> {
        let file: Option<ConfigFile> = self.config.as_deref().map(config_file::read).transpose()?;
        self.or_file(file.unwrap_or_default())
    }

    fn or_file(self, file: ConfigFile) -> anyhow::Result<Settings> {
        let (rate, connections) = self.limits(&file.limits);
        let (max_priority_fee, priority_fee_percentile) = self.priority_fees(&file.transactions);
        let ready_age = number(self.ready_age_secs, file.ready_age_secs, 60);
        let min_slot_wait = number(self.min_slot_wait_ms, file.min_slot_wait_ms, 2_000);
        let database_url = self.database_url.or(file.database_url);
        let networks = self.trusted_proxies.or(file.trusted_proxies);
        let public_url = self.public_url.or(file.public_url);
        let rpc_url = self.rpc_url.or(file.rpc_url);
        require_http("public_url", public_url.as_deref())?;
        require_http("rpc_url", rpc_url.as_deref())?;
        Ok(Settings {
            database_url: database_url
                .context("the database is missing; give --database-url or set DATABASE_URL")?,
            chain: ChainSettings {
                rpc_url,
                max_priority_fee,
                priority_fee_percentile,
            },
            listen: self
                .listen
                .or(file.listen)
                .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            operations_listen: self.operations_listen.or(file.operations_listen),
            public_url: public_url.map(|url| url.trim_end_matches('/').to_owned()),
            trusted_proxies: TrustedProxies(networks.unwrap_or_default()),
            ready_age: Duration::from_secs(ready_age),
            min_slot_wait: Duration::from_millis(min_slot_wait),
            cache_bytes: number(self.cache_mib, file.cache_mib, 128) << 20,
            rate,
            connections,
        })
    }

    fn limits(&self, file: &LimitsSection) -> (Option<Rate>, ConnectionLimits) {
        let rate = Rate::new(
            number(self.requests_per_second, file.requests_per_second, 100),
            number(self.request_burst, file.request_burst, 500),
        );
        let total = number(self.connections, file.connections, 20_000);
        let (flag, key) = (self.connections_per_address, file.connections_per_address);
        let connections = ConnectionLimits {
            total: total as usize,
            per_address: number(flag, key, 500) as usize,
        };
        (rate, connections)
    }

    /// The highest fee, and the percentile of recent fees.
    fn priority_fees(&self, file: &TransactionsSection) -> (u64, u8) {
        let (flag, key) = (self.priority_fee_percentile, file.priority_fee_percentile);
        let percentile = number(flag, key, 60) as u8; // at most 100
        let highest = number(self.max_priority_fee, file.max_priority_fee, 100_000);
        (highest, percentile)
    }
}

fn number<const MIN: u64, const MAX: u64>(
    flag: Option<Within<MIN, MAX>>,
    key: Option<Within<MIN, MAX>>,
    default: u64,
) -> u64 {
    flag.or(key).map_or(default, Within::get)
}

/// Refuses another URL than one of HTTP. The error doesn't quote it: it can contain a secret.
fn require_http(key: &str, url: Option<&str>) -> anyhow::Result<()> {
    let is_http = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    ensure!(
        url.is_none_or(is_http),
        "{key} is not an HTTP URL; give https://HOST"
    );
    Ok(())
}

#[cfg(test)]
impl Settings {
    /// The defaults, with a database that is unreachable.
    pub fn of_tests() -> Self {
        let options =
            Options::parse_from(["api", "--database-url", "postgres://nobody@localhost:1/n"]);
        let options = Options {
            rpc_url: None,
            ..options
        };
        options.or_file(ConfigFile::default()).expect("valid")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../api.sample.toml");

    /// The settings of flags and a file, without the environment.
    fn settings(flags: &[&str], file: &str) -> anyhow::Result<Settings> {
        use clap::{CommandFactory, FromArgMatches};

        let command = Options::command().mut_args(|arg| arg.env(None::<&str>));
        let flags = std::iter::once("api").chain(flags.iter().copied());
        let options = Options::from_arg_matches(&command.get_matches_from(flags))?;
        options.or_file(config_file::parse(file)?)
    }

    #[test]
    fn the_sample_lists_every_key_with_its_default() {
        let defaults = settings(&["--database-url", "postgres:///d"], "").expect("valid");
        let complete = config_file::with_all_keys(SAMPLE);
        let set = settings(&["--database-url", "postgres:///d"], &complete).expect("valid");
        let expected = Settings {
            chain: ChainSettings {
                rpc_url: set.chain.rpc_url.clone(),
                ..defaults.chain
            },
            operations_listen: set.operations_listen,
            public_url: set.public_url.clone(),
            trusted_proxies: set.trusted_proxies.clone(),
            ..defaults
        };
        assert_eq!(set, expected);

        // Names every key, so that a new one is not forgotten.
        let ConfigFile {
            database_url,
            rpc_url,
            listen,
            operations_listen,
            public_url,
            trusted_proxies,
            ready_age_secs,
            min_slot_wait_ms,
            cache_mib,
            transactions:
                TransactionsSection {
                    max_priority_fee,
                    priority_fee_percentile,
                },
            limits:
                LimitsSection {
                    requests_per_second,
                    request_burst,
                    connections,
                    connections_per_address,
                },
        } = config_file::parse(&complete).expect("valid");
        assert!(rpc_url.is_some() && max_priority_fee.is_some());
        assert!(priority_fee_percentile.is_some());
        assert!(database_url.is_some() && listen.is_some() && operations_listen.is_some());
        assert!(public_url.is_some() && trusted_proxies.is_some() && ready_age_secs.is_some());
        assert!(min_slot_wait_ms.is_some() && cache_mib.is_some());
        assert!(requests_per_second.is_some() && request_burst.is_some());
        assert!(connections.is_some() && connections_per_address.is_some());
    }

    #[test]
    fn flags_precede_the_file() {
        let file = "database_url = 'postgres://file/d'\npublic_url = 'https://x/'\ncache_mib = 0";
        let of_file = settings(&[], file).expect("valid");
        assert_eq!(of_file.database_url, "postgres://file/d");
        assert_eq!(of_file.public_url.as_deref(), Some("https://x"));
        assert_eq!(of_file.cache_bytes, 0);
        let flags = [
            "--database-url",
            "postgres://flag/d",
            "--requests-per-second",
            "0",
        ];
        let of_flags = settings(&flags, file).expect("valid");
        assert_eq!(of_flags.database_url, "postgres://flag/d");
        assert_eq!(of_flags.rate, None);
    }

    #[test]
    fn a_setting_that_is_missing_or_invalid_is_named() {
        for (file, part) in [
            ("", "--database-url"),
            ("database_url = 'd'\npublic_url = 'ftp://x'", "public_url"),
            ("database_url = 'd'\nrpc_url = 'ws://x'", "rpc_url"),
            (
                "[transactions]\npriority_fee_percentile = 101",
                "transactions.priority_fee_percentile: give a whole number from 0 to 100",
            ),
            ("trusted_proxies = ['10.0.0.0/33']", "trusted_proxies[0]: "),
            (
                "[limits]\nconnections = 0",
                "limits.connections: give a whole number",
            ),
        ] {
            let error = settings(&[], file).expect_err("invalid").to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
