//! Totals of the platform and of its markets.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    extract::{InQuery, MinSlot},
    mirror::Snapshot,
    problem::{Problem, ProblemBody},
    reply::Reply,
    signed::{Signed, Sum, as_text, quotient},
    state::AppState,
    wallet::tokens::Decimals,
};

use super::{
    period::Period,
    totals::{Subject, Totals},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(performance))
        .routes(routes!(stats))
}

/// Number of something, as a decimal string.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[schema(value_type = String, example = "42", pattern = "^[0-9]+$")]
struct Count(#[serde(serialize_with = "as_text")] i128);

impl From<Sum> for Count {
    fn from(Sum(number): Sum) -> Self {
        Self(number)
    }
}

/// How the markets in one token did.
#[derive(Serialize, ToSchema)]
struct MarketPerformance {
    mint: Key,
    decimals: u8,
    /// Number of markets created.
    created: Count,
    /// Number of markets that were resolved or became void.
    settled: Count,
    /// Number of bets.
    bets: Count,
    /// Sum of all bets.
    staked: Signed,
    /// `staked` divided by `bets`, rounded down; null without bets.
    mean_bet: Option<Signed>,
    /// Number of sales of stakes between bettors.
    sales: Count,
    /// Stakes that were sold.
    sold: Signed,
    /// What they were sold for.
    sold_for: Signed,
    /// `sold_for` divided by `sold`, with up to six decimal places; null without sales.
    #[schema(example = "0.9")]
    sale_price: Option<String>,
    /// Fees of the protocol and of the creators at settlement.
    fees: Signed,
    /// Number of positions claimed, those that won nothing included.
    claims: Count,
    /// Stakes of the claimed positions.
    claimed_stakes: Signed,
    /// Payouts and refunds of the claimed positions.
    payouts: Signed,
    /// `payouts` divided by `claimed_stakes`, with up to six decimal places; null without claims. Over a whole market
    /// it is 1 less the fees' part of all stakes.
    #[schema(example = "0.985")]
    payout_ratio: Option<String>,
}

impl MarketPerformance {
    fn new(totals: &Totals, decimals: &Decimals) -> Self {
        let places = decimals.of(&totals.mint);
        let amount = |sum: Sum| Signed::new(sum.0, places);
        let mean = totals.staked.0.checked_div(totals.bets.0);
        Self {
            mint: totals.mint,
            decimals: places,
            created: totals.markets.into(),
            settled: totals.settlements.into(),
            bets: totals.bets.into(),
            staked: amount(totals.staked),
            mean_bet: mean.map(|mean| Signed::new(mean, places)),
            sales: totals.sales.into(),
            sold: amount(totals.sold),
            sold_for: amount(totals.sold_for),
            sale_price: quotient(totals.sold_for.0, totals.sold.0),
            fees: amount(totals.fees),
            claims: totals.claims.into(),
            claimed_stakes: amount(totals.settled),
            payouts: amount(totals.payouts),
            payout_ratio: quotient(totals.payouts.0, totals.settled.0),
        }
    }
}

/// How markets did in a period.
#[derive(Serialize, ToSchema)]
struct Performance {
    /// Start of the period; null if it has none.
    from: Option<DateTime<Utc>>,
    /// Time of the mirror's latest block, which ends the period.
    until: DateTime<Utc>,
    /// By token, in ascending order of `mint`.
    tokens: Vec<MarketPerformance>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PeriodQuery {
    #[serde(default)]
    #[param(inline, value_type = Option<Period>)]
    period: Period,
}

/// How markets did in a period, by token: bets, sales, fees, and payouts.
#[utoipa::path(
    get,
    path = "/analytics/markets/performance",
    tag = "analytics",
    params(PeriodQuery, MinSlot),
    responses(
        (status = 200, body = Performance),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn performance(
    InQuery(PeriodQuery { period }): InQuery<PeriodQuery>,
    mut snapshot: Snapshot,
) -> Result<Reply<Performance>, Problem> {
    let until = snapshot.require_time()?;
    let from = period.start(until);
    let decimals = Decimals::read(&mut snapshot.tx).await?;
    let totals = Totals::read(&mut snapshot.tx, Subject::Platform, from).await?;
    let tokens = totals
        .iter()
        .map(|totals| MarketPerformance::new(totals, &decimals));
    let performance = Performance {
        from,
        until,
        tokens: tokens.collect(),
    };
    Ok(snapshot.reply(performance).await?.untagged())
}

/// Totals of the platform in one token.
#[derive(Serialize, ToSchema)]
struct TokenStats {
    mint: Key,
    decimals: u8,
    /// Number of models registered.
    models: Count,
    /// Number of markets created.
    markets: Count,
    /// Number of markets that were resolved or became void.
    settlements: Count,
    /// Number of bets.
    bets: Count,
    /// Sum of all bets.
    staked: Signed,
    /// Payouts and refunds of positions.
    payouts: Signed,
    /// Fees of the protocol and of the creators at settlement.
    fees: Signed,
    /// Security rent of bets, purchases and renewals of cover.
    rents: Signed,
    /// Deposits to vaults.
    deposited: Signed,
    /// Payments to those who withdrew from vaults.
    withdrawn: Signed,
    /// Number of policies bought.
    policies: Count,
    /// Number of renewals of policies.
    renewals: Count,
    /// Premiums of purchases and renewals.
    premiums: Signed,
    /// Refunds of premiums.
    refunds: Signed,
    /// Number of claims of policies.
    cover_claims: Count,
    /// Payments of policies.
    cover_paid: Signed,
    /// Number of submissions of oracles.
    submissions: Count,
    /// Number of windows that became final.
    finals: Count,
    /// Number of windows that became void.
    voids: Count,
    /// Number of windows that became thin.
    thins: Count,
    /// Number of challenges.
    challenges: Count,
    /// Number of rulings.
    rulings: Count,
    /// What rulings slashed. Includes what was returned later.
    slashed: Signed,
    /// Pay that oracles earned.
    earned: Signed,
    /// Number of times that an oracle owed a submission and was silent.
    silences: Count,
    /// Penalties for these.
    penalties: Signed,
}

impl TokenStats {
    fn new(totals: &Totals, decimals: &Decimals) -> Self {
        let places = decimals.of(&totals.mint);
        let amount = |sum: Sum| Signed::new(sum.0, places);
        Self {
            mint: totals.mint,
            decimals: places,
            models: totals.models.into(),
            markets: totals.markets.into(),
            settlements: totals.settlements.into(),
            bets: totals.bets.into(),
            staked: amount(totals.staked),
            payouts: amount(totals.payouts),
            fees: amount(totals.fees),
            rents: amount(totals.rents),
            deposited: amount(totals.deposited),
            withdrawn: amount(totals.withdrawn),
            policies: totals.policies.into(),
            renewals: totals.renewals.into(),
            premiums: amount(totals.premiums),
            refunds: amount(totals.refunds),
            cover_claims: totals.cover_claims.into(),
            cover_paid: amount(totals.cover_paid),
            submissions: totals.submissions.into(),
            finals: totals.finals.into(),
            voids: totals.voids.into(),
            thins: totals.thins.into(),
            challenges: totals.challenges.into(),
            rulings: totals.rulings.into(),
            slashed: amount(totals.slashed),
            earned: amount(totals.earned),
            silences: totals.silences.into(),
            penalties: amount(totals.penalties),
        }
    }
}

/// Totals of the platform, each by token in ascending order of `mint`. They include the hours whose events the mirror
/// no longer has.
#[derive(Serialize, ToSchema)]
struct PlatformStats {
    /// Time of the mirror's latest block, which ends the periods.
    until: DateTime<Utc>,
    /// The current hour and the 23 hours before it.
    day: Vec<TokenStats>,
    /// The current hour and the 167 hours before it.
    week: Vec<TokenStats>,
    /// All of the mirror's history.
    all: Vec<TokenStats>,
}

/// Totals of the platform in the last day, in the last week and ever, by token.
#[utoipa::path(
    get,
    path = "/analytics/platform/stats",
    tag = "analytics",
    params(MinSlot),
    responses(
        (status = 200, body = PlatformStats),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn stats(mut snapshot: Snapshot) -> Result<Reply<PlatformStats>, Problem> {
    let until = snapshot.require_time()?;
    let decimals = Decimals::read(&mut snapshot.tx).await?;
    let mut of_periods = vec![];
    for period in Period::EACH {
        let from = period.start(until);
        let totals = Totals::read(&mut snapshot.tx, Subject::Platform, from).await?;
        let tokens = totals
            .iter()
            .map(|totals| TokenStats::new(totals, &decimals));
        of_periods.push(tokens.collect());
    }
    let mut of_periods = of_periods.into_iter();
    let mut next = || of_periods.next().unwrap_or_default();
    let stats = PlatformStats {
        until,
        day: next(),
        week: next(),
        all: next(),
    };
    Ok(snapshot.reply(stats).await?.untagged())
}
