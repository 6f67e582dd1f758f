//! Settings: flags first, then environment variables, then the configuration file.

use std::{net::SocketAddr, path::Path, time::Duration};

use driftshield_service::config_file::{self, Within};
use serde::Deserialize;

use crate::{retention::Ages, stream::GrpcServer};

/// A configuration file, in TOML. Every key can be left out.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    pub database_url: Option<String>,
    pub rpc_url: Option<String>,
    /// Servers that take turns.
    pub grpc: Vec<GrpcServer>,
    pub listen: Option<SocketAddr>,
    pub source: Option<Source>,
    pub ready_age_secs: Option<ReadyAgeSecs>,
    pub block_time_tolerance_secs: Option<BlockTimeToleranceSecs>,
    pub retention: RetentionSection,
    pub audit: AuditSection,
}

/// What is kept for how long.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSection {
    pub feed_secs: Option<FeedSecs>,
    pub history_days: Option<HistoryDays>,
}

/// The continuous comparison with the RPC node.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSection {
    pub interval_secs: Option<AuditIntervalSecs>,
    pub accounts: Option<AuditAccounts>,
}

/// Where the slots come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A Yellowstone gRPC server.
    #[default]
    Grpc,
    /// The RPC node, which is polled.
    Rpc,
}

pub type ReadyAgeSecs = Within<1, 86_400>;
pub type BlockTimeToleranceSecs = Within<0, 31_536_000>;
/// A client of the API can resume for ten minutes at least.
pub type FeedSecs = Within<600, 31_536_000>;
pub type HistoryDays = Within<0, 36_500>;
pub type AuditIntervalSecs = Within<0, 86_400>;
pub type AuditAccounts = Within<1, 10_000>;

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Name the file, and the key or the line. They never quote a value, which can be a secret.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        config_file::read(path)
    }
}

/// Options of `indexer run` and `indexer rebuild`.
#[derive(clap::Args)]
pub struct RunOptions {
    /// Where the slots come from. `rpc` polls the RPC node, which needs no gRPC server and is slower
    /// [default: grpc]
    #[arg(long, env = "DRIFTSHIELD_SOURCE")]
    source: Option<Source>,
    /// Address that serves /metrics, /health and /ready, such as 127.0.0.1:9464; with port 0, a free
    /// port, which the log reports [default: serves nothing]
    #[arg(long, env = "INDEXER_LISTEN")]
    listen: Option<SocketAddr>,
    /// Age of the data up to which /ready answers 200 [default: 30]
    #[arg(long, env = "INDEXER_READY_AGE_SECS", value_name = "SECONDS")]
    ready_age_secs: Option<ReadyAgeSecs>,
    /// How far block times may be behind the clock although the blocks are new. Data with an older block
    /// counts as that old even if the source has nothing newer [default: 30]
    #[arg(
        long,
        env = "INDEXER_BLOCK_TIME_TOLERANCE_SECS",
        value_name = "SECONDS"
    )]
    block_time_tolerance_secs: Option<BlockTimeToleranceSecs>,
    /// Time for which the feed is kept, from which clients of the API resume [default: 86400]
    #[arg(long, env = "INDEXER_FEED_SECS", value_name = "SECONDS")]
    feed_secs: Option<FeedSecs>,
    /// Time for which events are kept, in steps of about ten days; 0 keeps them for ever [default: 0]
    #[arg(long, env = "INDEXER_HISTORY_DAYS", value_name = "DAYS")]
    history_days: Option<HistoryDays>,
    /// Time between two comparisons of a sample with the RPC node; 0 turns them off [default: 60]
    #[arg(long, env = "INDEXER_AUDIT_INTERVAL_SECS", value_name = "SECONDS")]
    audit_interval_secs: Option<AuditIntervalSecs>,
    /// Number of accounts of a sample [default: 100]
    #[arg(long, env = "INDEXER_AUDIT_ACCOUNTS", value_name = "N")]
    audit_accounts: Option<AuditAccounts>,
}

/// Settings of `indexer run` and `indexer rebuild`, apart from the endpoints.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    pub source: Source,
    /// Address of the metrics and the health; `None` if they are not served.
    pub listen: Option<SocketAddr>,
    /// Age of the data up to which the process is ready.
    pub ready_age: Duration,
    /// How far block times may be behind the clock although the blocks are new.
    pub block_time_tolerance: Duration,
    /// What is kept for how long.
    pub ages: Ages,
    /// Time between two audits; `None` without audits.
    pub audit_interval: Option<Duration>,
    /// Number of accounts of an audit.
    pub audit_accounts: u64,
}

impl Settings {
    /// The options, then what the file has, then the defaults.
    pub fn new(options: &RunOptions, file: &ConfigFile) -> Self {
        let audit = &file.audit;
        let interval = options.audit_interval_secs.or(audit.interval_secs);
        let accounts = options.audit_accounts.or(audit.accounts);
        let ready = options.ready_age_secs.or(file.ready_age_secs);
        let tolerance = options
            .block_time_tolerance_secs
            .or(file.block_time_tolerance_secs);
        let feed = options.feed_secs.or(file.retention.feed_secs);
        let history = options.history_days.or(file.retention.history_days);
        let history = history.map_or(0, Within::get);
        let interval = interval.map_or(60, Within::get);
        Self {
            source: options.source.or(file.source).unwrap_or_default(),
            listen: options.listen.or(file.listen),
            ready_age: Duration::from_secs(ready.map_or(30, Within::get)),
            block_time_tolerance: Duration::from_secs(tolerance.map_or(30, Within::get)),
            ages: Ages {
                feed: Duration::from_secs(feed.map_or(86_400, Within::get)),
                history: (0 < history).then(|| Duration::from_secs(history * 86_400)),
            },
            audit_interval: (0 < interval).then(|| Duration::from_secs(interval)),
            audit_accounts: accounts.map_or(100, Within::get),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::{Args, FromArgMatches};
    use driftshield_service::error_chain;

    use super::*;
    use crate::Endpoints;

    const SAMPLE: &str = include_str!("../indexer.sample.toml");

    /// Parses flags as `indexer` does, without the environment.
    fn flags<T: Args + FromArgMatches>(flags: &[&str]) -> T {
        let command = T::augment_args(clap::Command::new("indexer"));
        let command = command.mut_args(|arg| arg.env(None::<&str>));
        let flags = std::iter::once("indexer").chain(flags.iter().copied());
        T::from_arg_matches(&command.get_matches_from(flags)).expect("valid flags")
    }

    fn error(text: &str) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("indexer.toml");
        fs::write(&path, text).expect("writable");
        let error = ConfigFile::read(&path).err().expect("invalid");
        error_chain(error.as_ref())
    }

    #[test]
    fn the_sample_lists_every_key_with_its_default() {
        let complete: ConfigFile =
            config_file::parse(&config_file::with_all_keys(SAMPLE)).expect("valid");
        let as_is: ConfigFile = config_file::parse(SAMPLE).expect("valid");

        let defaults = Settings::new(&flags(&[]), &ConfigFile::default());
        assert_eq!(Settings::new(&flags(&[]), &as_is), defaults);
        let listen = complete.listen;
        let set = Settings::new(&flags(&[]), &complete);
        assert_eq!(set, Settings { listen, ..defaults });

        // Names every key, so that a new one is not forgotten.
        let ConfigFile {
            database_url,
            rpc_url,
            grpc,
            listen,
            source,
            ready_age_secs,
            block_time_tolerance_secs,
            retention:
                RetentionSection {
                    feed_secs,
                    history_days,
                },
            audit:
                AuditSection {
                    interval_secs,
                    accounts,
                },
        } = complete;
        assert!(database_url.is_some() && rpc_url.is_some() && listen.is_some());
        assert!(source.is_some() && ready_age_secs.is_some() && feed_secs.is_some());
        assert!(block_time_tolerance_secs.is_some() && history_days.is_some());
        assert!(interval_secs.is_some() && accounts.is_some());
        assert!(grpc.iter().any(|server| server.token.is_some()));
    }

    #[test]
    fn flags_precede_the_file() {
        let file = || {
            config_file::parse::<ConfigFile>(
                "database_url = 'postgres://file'
                 rpc_url = 'http://file'
                 source = 'rpc'
                 ready_age_secs = 7
                 [[grpc]]
                 url = 'http://a'
                 token = 'secret-a'
                 [[grpc]]
                 url = 'http://b'
                 [audit]
                 interval_secs = 5",
            )
            .expect("valid")
        };
        let settings = Settings::new(&flags(&["--audit-interval-secs", "0"]), &file());
        assert_eq!(settings.audit_interval, None);
        assert_eq!(settings.ready_age, Duration::from_secs(7));
        assert_eq!(settings.source, Source::Rpc);
        let settings = Settings::new(&flags(&["--source", "grpc"]), &file());
        assert_eq!(settings.source, Source::Grpc);

        let endpoints = |given: &[&str]| flags::<Endpoints>(given).or_file(file());
        let servers = |given: &[&str]| {
            let servers = endpoints(given).grpc().expect("servers").into_iter();
            servers
                .map(|server| (server.url, server.token))
                .collect::<Vec<_>>()
        };
        let server = |url: &str, token: Option<&str>| (url.to_owned(), token.map(str::to_owned));
        let of_file = endpoints(&["--database-url", "postgres://flag"]);
        assert_eq!(of_file.database().expect("given"), "postgres://flag");
        assert_eq!(of_file.rpc().expect("given"), "http://file");
        assert_eq!(
            servers(&[]),
            [
                server("http://a", Some("secret-a")),
                server("http://b", None)
            ]
        );
        // A token of the file is not sent to another server.
        assert_eq!(
            servers(&["--grpc-url", "http://c"]),
            [server("http://c", None)]
        );
        assert_eq!(
            servers(&["--grpc-token", "other"]),
            [
                server("http://a", Some("other")),
                server("http://b", Some("other"))
            ]
        );
    }

    #[test]
    fn errors_name_file_and_key_and_quote_no_value() {
        for (text, parts) in [
            (
                "databse_url = 'postgres://u:secret@h/d'",
                &["unknown key `databse_url`", "`database_url`"][..],
            ),
            ("[audit]\nacounts = 3", &["audit", "unknown key `acounts`"]),
            (
                "database_url = 1234567",
                &["database_url: expected a string"],
            ),
            ("grpc = 'http://h/?key=secret'", &["grpc: expected"]),
            (
                "[[grpc]]\nurl = 'http://h'\ntoken = ['secret']",
                &["grpc[0].token: expected a string"],
            ),
            ("[[grpc]]\ntoken = 'secret'", &["grpc[0]", "`url`"]),
            ("listen = 'secret'", &["listen: invalid socket address"]),
            ("source = 'secret'", &["source: expected", "`rpc`"]),
            ("ready_age_secs = 0", &["ready_age_secs", "from 1 to 86400"]),
            (
                "[audit]\naccounts = -1",
                &["audit.accounts", "from 1 to 10000"],
            ),
            (
                "[audit]\ninterval_secs = 'secret'",
                &["audit.interval_secs: expected a whole number"],
            ),
            ("\nrpc_url = 'http://secret", &["line 2"]),
        ] {
            let error = error(text);
            assert!(error.contains("indexer.toml: "), "{error}");
            assert!(
                !error.contains("secret") && !error.contains("1234567"),
                "{error}"
            );
            for part in parts {
                assert!(error.contains(part), "{part} is not in {error}");
            }
        }
    }
}
