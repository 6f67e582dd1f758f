//! Configuration files in TOML. Their errors name the key, and never quote a value, which can be a
//! secret.

use std::{fs, path::Path, str::FromStr};

use anyhow::{Context, anyhow};
use serde::{Deserialize, de::DeserializeOwned};

/// Reads a file.
///
/// # Errors
///
/// Name the file, and the key or the line.
pub fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

/// Reads the content of a file.
///
/// # Errors
///
/// Name the key or the line.
pub fn parse<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    let document = toml::Deserializer::parse(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.unwrap_or_default().matches('\n').count() + 1;
        anyhow!("line {line}: {}", error.message())
    })?;
    serde_path_to_error::deserialize(document).map_err(|error| {
        let message = without_value(error.inner().message());
        match error.path().iter().next() {
            Some(_) => anyhow!("{}: {message}", error.path()),
            None => anyhow!(message),
        }
    })
}

/// The message of an error, without the value that it quotes.
fn without_value(message: &str) -> String {
    for problem in ["unknown", "missing"] {
        if let Some(key) = message.strip_prefix(&format!("{problem} field")) {
            return format!("{problem} key{key}");
        }
    }
    match message.rsplit_once(", expected ") {
        Some((_, "i64")) => "expected a whole number".to_owned(),
        Some((_, expected)) => format!("expected {expected}"),
        None => message.to_owned(),
    }
}

/// The lines of a sample of a file, with its commented keys made active. A commented key begins with
/// `#`, a comment with `# `.
pub fn with_all_keys(sample: &str) -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key.to_owned(),
        _ => line.to_owned(),
    };
    let lines: Vec<_> = sample.lines().map(uncomment).collect();
    lines.join("\n")
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Within<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Within<MIN, MAX> {
    fn new(number: Option<u64>) -> Result<Self, String> {
        let number = number.filter(|number| (MIN..=MAX).contains(number));
        number
            .map(Self)
            .ok_or_else(|| format!("give a whole number from {MIN} to {MAX}"))
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> TryFrom<i64> for Within<MIN, MAX> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        Self::new(u64::try_from(number).ok())
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Within<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only errors are read")]
    struct File {
        url: String,
        age_secs: Option<Within<1, 60>>,
    }

    #[test]
    fn errors_name_the_file_and_the_key_or_the_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("sample.toml");
        for (text, part) in [
            ("", "missing key `url`"),
            ("url = 'secret'\nurls = 3", "unknown key `urls`"),
            ("url = ['secret']", "url: expected a string"),
            (
                "url = 'secret'\nage_secs = 61",
                "age_secs: give a whole number from 1 to 60",
            ),
            (
                "url = 'secret'\nage_secs = 'secret'",
                "age_secs: expected a whole number",
            ),
            ("\nurl = 'secret", "line 2"),
        ] {
            fs::write(&path, text).expect("writable");
            let error = format!("{:#}", read::<File>(&path).expect_err("invalid"));
            assert!(
                error.contains("sample.toml: ") && error.contains(part),
                "{error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_number_outside_its_range_is_refused() {
        let parse = str::parse::<Within<1, 60>>;
        assert_eq!(parse("60").map(Within::get), Ok(60));
        for text in ["0", "61", "-1", "x", ""] {
            assert_eq!(
                parse(text),
                Err("give a whole number from 1 to 60".to_owned())
            );
        }
    }

    #[test]
    fn commented_keys_become_active_and_comments_stay() {
        assert_eq!(
            with_all_keys("# A comment.\n#a = 1\nb = 2"),
            "# A comment.\na = 1\nb = 2"
        );
    }
}
