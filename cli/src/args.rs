//! Values as they are written on the command line. Nothing passes through floating point.

use std::{path::Path, str::FromStr};

use anyhow::Result;
use chrono::DateTime;
use driftshield_sdk::{rpc::Client, spec};

/// Decimals of a drift value: 1.0 is 1,000,000 micro-units.
pub const DRIFT_DECIMALS: u8 = 6;
/// Decimals of a payout multiple: 1.0 is 1,000 thousandths.
pub const MULTIPLE_DECIMALS: u8 = 3;

/// A URL, or what Solana's tools call a cluster.
pub fn url(url: &str) -> String {
    match url {
        "localhost" => "http://127.0.0.1:8899",
        "devnet" => "https://api.devnet.solana.com",
        "testnet" => "https://api.testnet.solana.com",
        "mainnet-beta" => "https://api.mainnet-beta.solana.com",
        url => url,
    }
    .to_owned()
}

/// An amount, exact, until the token's decimals are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    whole: String,
    /// Without zeros at the end.
    fraction: String,
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err("write digits behind the point".into()),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err("write digits, like 12 or 12.5".into());
        }
        Ok(Self {
            whole: whole.to_owned(),
            fraction: fraction.trim_end_matches('0').to_owned(),
        })
    }
}

impl Amount {
    /// In units of which `10^decimals` make one.
    pub fn units(&self, decimals: u8) -> Result<u64, String> {
        let decimals = usize::from(decimals);
        if decimals < self.fraction.len() {
            let Self { whole, fraction } = self;
            return Err(match decimals {
                0 => format!("{whole}.{fraction}: only whole numbers here"),
                _ => format!("{whole}.{fraction} has more than {decimals} decimals"),
            });
        }
        format!("{}{:0<decimals$}", self.whole, self.fraction)
            .parse()
            .map_err(|_| format!("{} is too large", self.whole))
    }
}

/// A drift value in micro-units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift(pub u64);

impl FromStr for Drift {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let amount: Amount = text.parse()?;
        amount.units(DRIFT_DECIMALS).map(Self)
    }
}

/// A payout multiple in thousandths of the stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multiple(pub u64);

impl FromStr for Multiple {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let amount: Amount = text.parse()?;
        amount.units(MULTIPLE_DECIMALS).map(Self)
    }
}

/// A duration in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub i64);

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write a duration like 90s, 5m, 12h, 3d, or 1d12h".to_owned();
        let (mut secs, mut rest) = (0i64, text);
        while !rest.is_empty() {
            let at = rest
                .find(|letter: char| !letter.is_ascii_digit())
                .ok_or_else(wrong)?;
            let unit = match rest.as_bytes()[at] {
                b's' => 1,
                b'm' => 60,
                b'h' => 60 * 60,
                b'd' => 24 * 60 * 60,
                _ => return Err(wrong()),
            };
            let count: i64 = rest[..at].parse().map_err(|_| wrong())?;
            secs = count
                .checked_mul(unit)
                .and_then(|part| secs.checked_add(part))
                .ok_or_else(|| format!("{text} is too long"))?;
            rest = &rest[at + 1..];
        }
        if text.is_empty() {
            return Err(wrong());
        }
        Ok(Self(secs))
    }
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Unix seconds.
    At(i64),
    /// Seconds ahead of the chain's clock.
    Ahead(i64),
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(ahead) = text.strip_prefix('+') {
            return ahead.parse().map(|Duration(secs)| Self::Ahead(secs));
        }
        if let Ok(secs) = text.parse() {
            return Ok(Self::At(secs));
        }
        DateTime::parse_from_rfc3339(text)
            .map(|time| Self::At(time.timestamp()))
            .map_err(|_| {
                "write a time like 2026-12-01T00:00:00Z, 1796083200 (unix seconds), or +30s (from the chain's now)".into()
            })
    }
}

impl Time {
    /// Unix seconds.
    pub async fn resolve(self, client: &Client) -> Result<i64> {
        match self {
            Self::At(secs) => Ok(secs),
            Self::Ahead(secs) => {
                let now = client.unix_timestamp().await?;
                now.checked_add(secs)
                    .ok_or_else(|| anyhow::anyhow!("+{secs}s is too far ahead"))
            }
        }
    }
}

/// A SHA-256: 64 hexadecimal digits, or the file that is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(hash) = hex(text) {
            return Ok(Self(hash));
        }
        let bytes = std::fs::read(Path::new(text)).map_err(|error| {
            format!("neither 64 hexadecimal digits nor a file that can be read: {error}")
        })?;
        Ok(Self(spec::sha256(&bytes)))
    }
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let digits = |byte: &u8| byte.is_ascii_hexdigit();
    if text.len() != 64 || !text.as_bytes().iter().all(digits) {
        return None;
    }
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, decimals: u8) -> Result<u64, String> {
        text.parse::<Amount>()?.units(decimals)
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
    fn what_is_no_amount_of_the_token_is_refused() {
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
    fn drift_and_multiples_have_their_decimals() {
        assert_eq!("0.25".parse(), Ok(Drift(250_000)));
        assert_eq!("1.2".parse(), Ok(Multiple(1_200)));
        assert!("0.0000005".parse::<Drift>().is_err());
        assert!("1.0005".parse::<Multiple>().is_err());
    }

    #[test]
    fn durations_add_up() {
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
    fn times_are_told_in_three_ways() {
        assert_eq!("1796083200".parse(), Ok(Time::At(1_796_083_200)));
        assert_eq!("2026-12-01T00:00:00Z".parse(), Ok(Time::At(1_796_083_200)));
        assert_eq!(
            "2026-12-01T01:00:00+01:00".parse(),
            Ok(Time::At(1_796_083_200))
        );
        assert_eq!("+30s".parse(), Ok(Time::Ahead(30)));
        for text in ["", "tomorrow", "+30", "2026-12-01", "2026-12-01T00:00:00"] {
            assert!(text.parse::<Time>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_hash_is_digits_or_a_file() {
        let digits = "0123456789abcdefABCDEF000000000000000000000000000000000000000001";
        let Hash(hash) = digits.parse().unwrap();
        assert_eq!((hash[0], hash[1], hash[31]), (0x01, 0x23, 0x01));
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let bytes = std::fs::read(file).unwrap();
        assert_eq!(file.parse(), Ok(Hash(spec::sha256(&bytes))));
        assert!("no such file".parse::<Hash>().is_err());
    }

    #[test]
    fn clusters_have_names() {
        assert_eq!(url("devnet"), "https://api.devnet.solana.com");
        assert_eq!(url("http://[::1]:1"), "http://[::1]:1");
    }
}
