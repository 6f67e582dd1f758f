//! Types of command-line values. No value is converted through floating point.

use std::{fmt, path::Path, str::FromStr};

use anyhow::{Context, Result, ensure};
use chrono::DateTime;
use clap::ValueEnum;
use driftshield_sdk::{pause, rpc::Client, spec};

/// Decimals of a drift value: 1.0 is 1,000,000 micro-units.
pub const DRIFT_DECIMALS: u8 = 6;
/// Decimals of a payout multiple: 1.0 is 1,000 thousandths.
pub const MULTIPLE_DECIMALS: u8 = 3;

/// Resolves the cluster names of Solana's tools. Any other text is returned as a URL.
pub fn cluster_url(cluster: &str) -> String {
    match cluster {
        "localhost" => "http://127.0.0.1:8899",
        "devnet" => "https://api.devnet.solana.com",
        "testnet" => "https://api.testnet.solana.com",
        "mainnet-beta" => "https://api.mainnet-beta.solana.com",
        url => url,
    }
    .to_owned()
}

/// A decimal number of tokens or shares, kept exactly until the decimals are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

/// Why an amount cannot be expressed in base units.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("{0} is not a whole number: write it without decimals")]
    NotWhole(Amount),
    #[error("{amount} has too many decimals: write at most {decimals}")]
    TooManyDecimals { amount: Amount, decimals: u8 },
    #[error("{0} is too large: at most 2^64 - 1 base units fit")]
    TooLarge(Amount),
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => {
                return Err(
                    "digits are missing after the decimal point: write for example 12.5".into(),
                );
            }
            Some(parts) => parts,
            None => (text, ""),
        };
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return Err("not a decimal number: write digits, for example 12 or 12.5".into());
        }
        Ok(Self {
            whole: whole.to_owned(),
            fraction: fraction.trim_end_matches('0').to_owned(),
        })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)?;
        if !self.fraction.is_empty() {
            write!(f, ".{}", self.fraction)?;
        }
        Ok(())
    }
}

impl Amount {
    /// The amount in base units: `10^decimals` for each token or share.
    pub fn units(&self, decimals: u8) -> Result<u64, AmountError> {
        let width = usize::from(decimals);
        if width < self.fraction.len() {
            let amount = self.clone();
            return Err(match decimals {
                0 => AmountError::NotWhole(amount),
                _ => AmountError::TooManyDecimals { amount, decimals },
            });
        }
        format!("{}{:0<width$}", self.whole, self.fraction)
            .parse()
            .map_err(|_| AmountError::TooLarge(self.clone()))
    }
}

/// The amount in base units, or `default` if no amount is given.
pub fn units_or(amount: &Option<Amount>, default: u64, decimals: u8) -> Result<u64, AmountError> {
    match amount {
        Some(amount) => amount.units(decimals),
        None => Ok(default),
    }
}

/// A drift value in micro-units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift(pub u64);

impl FromStr for Drift {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = text.parse::<Amount>()?.units(DRIFT_DECIMALS);
        units.map(Self).map_err(|error| error.to_string())
    }
}

/// A payout multiple in thousandths of the stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiple(pub u64);

impl FromStr for Multiple {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = text.parse::<Amount>()?.units(MULTIPLE_DECIMALS);
        units.map(Self).map_err(|error| error.to_string())
    }
}

/// A duration in seconds, written with the units `s`, `m`, `h` and `d`.
///
/// Units longer than a day are not supported: `M`, a month in other tools, is easily confused with
/// `m`, a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub i64);

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || "not a duration: write for example 90s, 5m, 12h, 3d or 1d12h".to_owned();
        let (mut secs, mut rest) = (0i64, text);
        while !rest.is_empty() {
            let at = rest
                .find(|letter: char| !letter.is_ascii_digit())
                .ok_or_else(invalid)?;
            let unit_secs = match rest.as_bytes()[at] {
                b's' => 1,
                b'm' => 60,
                b'h' => 60 * 60,
                b'd' => 24 * 60 * 60,
                _ => return Err(invalid()),
            };
            let count: i64 = rest[..at].parse().map_err(|_| invalid())?;
            secs = count
                .checked_mul(unit_secs)
                .and_then(|part| secs.checked_add(part))
                .ok_or_else(|| format!("{text} is too long: at most 2^63 - 1 seconds fit"))?;
            rest = &rest[at + 1..];
        }
        if text.is_empty() {
            return Err(invalid());
        }
        Ok(Self(secs))
    }
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Unix seconds.
    Unix(i64),
    /// Seconds after the cluster's current time.
    FromNow(i64),
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(duration) = text.strip_prefix('+') {
            return duration.parse().map(|Duration(secs)| Self::FromNow(secs));
        }
        if let Ok(secs) = text.parse() {
            return Ok(Self::Unix(secs));
        }
        DateTime::parse_from_rfc3339(text)
            .map(|time| Self::Unix(time.timestamp()))
            .map_err(|_| {
                "not a time: write for example 2026-12-01T00:00:00Z, 1796083200 (unix seconds) or \
                 +30s (from now)"
                    .into()
            })
    }
}

impl Time {
    /// The time in unix seconds. Reads the cluster's clock if the time is relative to now.
    pub async fn resolve(self, client: &Client) -> Result<i64> {
        match self {
            Self::Unix(secs) => Ok(secs),
            Self::FromNow(secs) => {
                let now = client.unix_timestamp().await?;
                now.checked_add(secs).with_context(|| {
                    format!("+{secs}s is too far in the future; pass an earlier time")
                })
            }
        }
    }
}

/// A SHA-256, given as 64 hexadecimal digits or as the name of the file to hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(hash) = const_hex::decode_to_array(text) {
            return Ok(Self(hash));
        }
        let bytes = std::fs::read(Path::new(text)).map_err(|error| {
            format!("neither 64 hexadecimal digits nor a readable file: {error}")
        })?;
        Ok(Self(spec::sha256(&bytes)))
    }
}

/// An activity that can be paused.
#[derive(Clone, Copy, ValueEnum)]
pub enum PauseFlag {
    Models,
    Markets,
    Bets,
    Deposits,
    Policies,
    Renewals,
}

impl PauseFlag {
    /// The bit in [`pause`].
    pub fn bit(self) -> u8 {
        match self {
            Self::Models => pause::MODELS,
            Self::Markets => pause::MARKETS,
            Self::Bets => pause::BETS,
            Self::Deposits => pause::DEPOSITS,
            Self::Policies => pause::POLICIES,
            Self::Renewals => pause::RENEWALS,
        }
    }
}

/// Reads a file. Fails if it is empty.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let bytes =
        std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    ensure!(
        !bytes.is_empty(),
        "file {} is empty; check the path",
        path.display()
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, decimals: u8) -> Result<u64, String> {
        let units = text.parse::<Amount>()?.units(decimals);
        units.map_err(|error| error.to_string())
    }

    #[test]
    fn amounts_are_exact() {
        assert_eq!(units("12.5", 6), Ok(12_500_000));
        assert_eq!(units("0.000001", 6), Ok(1));
        assert_eq!(units("0", 6), Ok(0));
        assert_eq!(units("007", 0), Ok(7));
        assert_eq!(units("1.50", 1), Ok(15));
        assert_eq!(units("18446744073709.551615", 6), Ok(u64::MAX));
        // A float would round this.
        assert_eq!(units("9007199254.740993", 6), Ok(9_007_199_254_740_993));
    }

    #[test]
    fn invalid_amounts_are_rejected() {
        assert!(units("0.0000001", 6).is_err());
        assert!(units("1.5", 0).is_err());
        assert!(units("18446744073709.551616", 6).is_err());
        for text in [
            "", ".5", "5.", "-1", "+1", "1e3", "1,5", "1.2.3", " 1", "1_000",
        ] {
            assert!(text.parse::<Amount>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn drift_has_six_decimals_and_a_multiple_three() {
        assert_eq!("0.25".parse(), Ok(Drift(250_000)));
        assert_eq!("1.2".parse(), Ok(Multiple(1_200)));
        assert!("0.0000005".parse::<Drift>().is_err());
        assert!("1.0005".parse::<Multiple>().is_err());
    }

    #[test]
    fn the_parts_of_a_duration_add_up() {
        assert_eq!("3s".parse(), Ok(Duration(3)));
        assert_eq!("1d12h".parse(), Ok(Duration(129_600)));
        assert_eq!("5m30s".parse(), Ok(Duration(330)));
        for text in [
            "",
            "5",
            "h",
            "-1s",
            "1w",
            "1h5",
            "1 h",
            "1é",
            "999999999999999999d",
        ] {
            assert!(text.parse::<Duration>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_time_is_rfc_3339_or_unix_seconds_or_relative() {
        assert_eq!("1796083200".parse(), Ok(Time::Unix(1_796_083_200)));
        assert_eq!(
            "2026-12-01T00:00:00Z".parse(),
            Ok(Time::Unix(1_796_083_200))
        );
        assert_eq!(
            "2026-12-01T01:00:00+01:00".parse(),
            Ok(Time::Unix(1_796_083_200))
        );
        assert_eq!("+30s".parse(), Ok(Time::FromNow(30)));
        for text in ["", "tomorrow", "+30", "2026-12-01", "2026-12-01T00:00:00"] {
            assert!(text.parse::<Time>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_hash_is_hexadecimal_or_computed_from_a_file() {
        let digits = "0123456789abcdefABCDEF000000000000000000000000000000000000000001";
        let Hash(hash) = digits.parse().unwrap();
        assert_eq!((hash[0], hash[1], hash[31]), (0x01, 0x23, 0x01));
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let bytes = std::fs::read(file).unwrap();
        assert_eq!(file.parse(), Ok(Hash(spec::sha256(&bytes))));
        assert!("no such file".parse::<Hash>().is_err());
    }

    #[test]
    fn cluster_names_become_urls() {
        assert_eq!(cluster_url("devnet"), "https://api.devnet.solana.com");
        assert_eq!(cluster_url("http://[::1]:1"), "http://[::1]:1");
    }
}
