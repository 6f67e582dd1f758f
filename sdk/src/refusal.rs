//! What a refused purchase or renewal may ask for instead, in words.

use driftshield::{DriftShieldError, Refusal, Rule};

/// Decimals of a drift, which is in micro-units.
const DRIFT_DECIMALS: u8 = 6;

/// The program's error for a refusal.
pub fn error(refusal: Refusal) -> DriftShieldError {
    refusal.into()
}

/// What the rule of `refusal` would allow. Amounts are of a mint with `decimals`; times are in UTC
/// seconds since 1970. `None` if no number would help.
pub fn advice(refusal: &Refusal, decimals: u8) -> Option<String> {
    let limit = refusal.limit;
    let amount = || scaled(limit, decimals);
    let drift = || scaled(limit, DRIFT_DECIMALS);
    Some(match refusal.rule {
        Rule::ModelRetired
        | Rule::WindowOutOfRange
        | Rule::Overflow
        | Rule::PolicyTriggered
        | Rule::TermPending => {
            return None;
        }
        Rule::VersionMismatch | Rule::ListingOutdated => format!("the model's version is {limit}"),
        Rule::TooLittleHistory => format!("at least {limit} Final receipts are needed"),
        Rule::StaleHistory => format!("the newest one counted until unix time {limit}"),
        Rule::WindowsBegan | Rule::WindowsTooLate => {
            format!("the first window that can be covered is {limit}")
        }
        Rule::InvalidExhaustion => format!("the lowest exhaustion is {}", drift()),
        Rule::BelowNoiseFloor | Rule::TriggerReached | Rule::TriggerTooLow => {
            format!("the lowest trigger is {}", drift())
        }
        Rule::InvalidPersistence => format!("the nearest persistence is {limit}"),
        Rule::PersistenceTooLong => format!("the largest persistence is {limit}"),
        Rule::ListingNotActive => format!("cover is sold from unix time {limit}"),
        Rule::DurationOutOfLimits => format!("the nearest duration is {limit} seconds"),
        Rule::EndTooFar => format!("the latest end is unix time {limit}"),
        Rule::TooManyWindows => {
            format!("from the oldest undecided window to the last covered one, at most {limit} fit")
        }
        Rule::CoverOutOfLimits => format!("the nearest cover is {}", amount()),
        Rule::ExposureFull | Rule::UtilisationTooHigh | Rule::AboveSecurityLimit => {
            format!("the largest cover is {}", amount())
        }
        Rule::PremiumTooHigh => format!("the premium is {}", amount()),
        Rule::CancelFeeTooHigh => format!("the vault's cancel fee is {}%", scaled(limit, 2)),
        Rule::RenewalTooEarly => {
            format!("it can be renewed from unix time {limit}")
        }
        Rule::RenewalTooDear => {
            format!(
                "without the holder's signature, at most {} may stream",
                amount()
            )
        }
    })
}

/// `raw` with `decimals` decimal places, without trailing zeros.
fn scaled(raw: u64, decimals: u8) -> String {
    let digits = format!("{raw:0>width$}", width = usize::from(decimals) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(decimals));
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_shown_in_its_unit() {
        let words = |rule, limit| advice(&Refusal { rule, limit }, 2);
        let cover = words(Rule::UtilisationTooHigh, 1_250).unwrap();
        assert_eq!(cover, "the largest cover is 12.5");
        let trigger = words(Rule::TriggerReached, 100_001).unwrap();
        assert_eq!(trigger, "the lowest trigger is 0.100001");
        assert_eq!(
            words(Rule::ExposureFull, 0).unwrap(),
            "the largest cover is 0"
        );
        assert_eq!(words(Rule::ModelRetired, 0), None);
    }
}
