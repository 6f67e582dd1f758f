//! The allowed ranges of settings and terms.

use driftshield_sdk::{CollateralTerms, ConfigParams, Metric, MetricSpec, ModelTerms, VaultTerms};

use super::{DAY, HORIZON, Verdict, require};

/// Maximum sum of the protocol's fee and the creator's or manager's, in basis points.
pub const MAX_FEES_BPS: u16 = 2_000;

pub fn check_params(params: &ConfigParams) -> Verdict {
    let periods = [
        params.submit_secs,
        params.challenge_secs,
        params.ruling_secs,
        params.appeal_secs,
        params.claim_grace_secs,
        params.waiting_secs,
        params.exit_secs,
    ];
    let in_range = |period: i64| (1..=30 * DAY).contains(&period);
    require(
        periods.into_iter().all(in_range),
        "a period is out of range",
    )?;
    let dispute = params.submit_secs + params.challenge_secs + params.ruling_secs;
    require(
        dispute < params.unbond_secs && params.unbond_secs <= HORIZON,
        "the unbonding period is too short or too long",
    )?;
    let notices = dispute + params.appeal_secs..=HORIZON;
    require(
        notices.contains(&params.leave_secs) && notices.contains(&params.replace_secs),
        "a notice is too short or too long",
    )?;
    let shortest = HORIZON + dispute + 30 * DAY + 90 * DAY;
    require(
        (shortest..=10 * HORIZON).contains(&params.retention_secs),
        "the retention period is too short or too long",
    )?;
    let windows_fit = 1 <= params.min_window_secs
        && params.min_window_secs <= params.max_window_secs
        && params.max_window_secs <= 31 * DAY;
    let others_fit = (1..=31 * DAY).contains(&params.bucket_secs)
        && (1..=HORIZON).contains(&params.season_secs)
        && params.max_spread_limit <= 100_000_000
        && 1 <= params.security_multiple
        && 1 <= params.min_security_rent_bps
        && params.min_security_rent_bps <= params.max_security_rent_bps
        && params.max_security_rent_bps <= 10_000
        && params.protocol_fee_bps <= MAX_FEES_BPS
        && params.premium_fee_bps <= MAX_FEES_BPS;
    require(windows_fit && others_fit, "a setting is out of range")
}

pub fn check_collateral(terms: &CollateralTerms) -> Verdict {
    let in_range = 1 <= terms.min_bet
        && 2 <= terms.slash_amount
        && u128::from(terms.slash_amount) * 2 <= u128::from(terms.min_bond)
        && 1 <= terms.challenge_bond;
    require(in_range, "a term is out of range")
}

pub fn check_vault(terms: &VaultTerms) -> Verdict {
    let in_range = 1 <= terms.min_cover
        && terms.min_cover <= terms.max_cover
        && 1 <= terms.min_duration_secs
        && terms.min_duration_secs <= terms.max_duration_secs
        && (1..10_000).contains(&terms.kink_bps)
        && (5_000..=10_000).contains(&terms.max_utilisation_bps)
        && terms.cancel_fee_bps <= 10_000
        && terms.persistence_bps[0] == 10_000
        && terms
            .persistence_bps
            .windows(2)
            .all(|parts| parts[1] <= parts[0])
        && terms.reserved == [0; 2];
    require(in_range, "a term is out of range")
}

pub fn check_spec(spec: &MetricSpec) -> Verdict {
    let bins = spec.reference.len();
    let is_error_rate = spec.metric == Metric::ErrorRate;
    require(
        (2..=16).contains(&bins),
        "there are too few or too many bins",
    )?;
    require(!is_error_rate || bins == 2, "an error rate needs two bins")?;
    let rows: u128 = spec.reference.iter().map(|&rows| u128::from(rows)).sum();
    let samples = u128::from(spec.min_samples);
    require(
        1 <= samples && samples <= rows,
        "the reference is too small",
    )?;
    let rarest = u128::from(*spec.reference.iter().min().expect("a bin"));
    require(
        is_error_rate || 50 * rows <= samples * rarest,
        "the reference is too sparse",
    )
}

pub fn check_model(terms: &ModelTerms, params: &ConfigParams, noise_floor: u64) -> Verdict {
    let oracles = &terms.oracles;
    let mut distinct = oracles.clone();
    distinct.sort();
    distinct.dedup();
    let count = oracles.len();
    require(
        (1..=7).contains(&count) && distinct.len() == count,
        "there must be one to seven distinct oracles",
    )?;
    let quorum = usize::from(terms.quorum);
    require(
        count < 2 * quorum && quorum <= count && (count < 3 || quorum < count),
        "the quorum is out of range",
    )?;
    require(
        terms.max_spread <= params.max_spread_limit,
        "the spread is over the limit",
    )?;
    require(
        8 * u128::from(terms.max_spread) <= u128::from(noise_floor),
        "the spread is over an eighth of the noise floor",
    )?;
    let rent = u32::from(terms.security_rent_bps);
    require(
        params.min_security_rent_bps <= rent && rent <= params.max_security_rent_bps,
        "the security rent is out of range",
    )?;
    let budgets = u32::from(terms.market_budget_bps) + u32::from(terms.cover_budget_bps);
    require(budgets <= 10_000, "the budgets are over the whole")?;
    check_text(&terms.name, 32)?;
    check_text(&terms.uri, 128)
}

pub fn check_text(text: &str, max_bytes: usize) -> Verdict {
    require(
        text.len() <= max_bytes && !text.contains('\0'),
        "a text is too long, or contains a NUL",
    )
}
