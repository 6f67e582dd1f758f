//! Text of single values: amounts, times, durations and bit sets.

use chrono::{DateTime, SecondsFormat};
use clap::ValueEnum;

use crate::args::PauseFlag;

/// Printed for a value that is absent or unset.
pub const NONE: &str = "-";

/// `units / 10^decimals` as an exact decimal number without trailing zeros.
pub fn scaled(units: u128, decimals: u8) -> String {
    let decimals = usize::from(decimals);
    let digits = format!("{units:0>width$}", width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// Unix seconds as RFC 3339, or [`NONE`] for 0, which means that the time is unset.
pub fn time(secs: i64) -> String {
    match DateTime::from_timestamp(secs, 0) {
        _ if secs == 0 => NONE.to_owned(),
        Some(time) => time.to_rfc3339_opts(SecondsFormat::Secs, true),
        None => secs.to_string(),
    }
}

/// Seconds in the format that [`crate::args::Duration`] parses.
pub fn duration(secs: i64) -> String {
    if secs <= 0 {
        return format!("{secs}s");
    }
    let parts = [
        (secs / 86_400, 'd'),
        (secs / 3_600 % 24, 'h'),
        (secs / 60 % 60, 'm'),
        (secs % 60, 's'),
    ];
    parts
        .iter()
        .filter(|(count, _)| 0 < *count)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect()
}

/// Names of the pause flags that are set in `bits`, or `nothing`.
pub fn pause_flags(bits: u64) -> String {
    let names: Vec<_> = PauseFlag::value_variants()
        .iter()
        .filter(|flag| bits & u64::from(flag.bit()) != 0)
        .filter_map(|flag| Some(flag.to_possible_value()?.get_name().to_owned()))
        .collect();
    match &names[..] {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    }
}

/// Indices of the oracles whose bits are set in `bits`, from 0 in the model's order.
pub fn oracles(bits: u64) -> String {
    let indices = (0..u64::BITS)
        .filter(|oracle| bits & (1 << oracle) != 0)
        .map(|oracle| oracle.to_string());
    indices.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_every_digit() {
        assert_eq!(scaled(12_500_000, 6), "12.5");
        assert_eq!(scaled(1, 6), "0.000001");
        assert_eq!(scaled(0, 6), "0");
        assert_eq!(scaled(70, 0), "70");
        assert_eq!(scaled(u64::MAX.into(), 6), "18446744073709.551615");
    }

    #[test]
    fn durations_are_printed_in_the_format_of_arguments() {
        for text in ["3s", "1h", "1d12h", "5m30s", "530d"] {
            let crate::args::Duration(secs) = text.parse().unwrap();
            assert_eq!(duration(secs), text);
        }
    }
}
