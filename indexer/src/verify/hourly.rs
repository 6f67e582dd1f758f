//! Comparison of the totals by hour with the fields of the events.

use super::comparison::Comparison;

/// What an event counts: its name, and the state that it must have if one is given; the subjects, each by its
/// kind and the field with its address; and the measures, each with the field of the amount. Without a field,
/// it is the platform, and the number of the events. Of a measure of a kind, all contributions are listed.
const RULES: &[(&str, &str, &str, &str)] = &[
    (
        "MarketCreated",
        "",
        "platform model=model wallet=creator",
        "markets",
    ),
    (
        "BetPlaced",
        "",
        "platform model=model market=market wallet=owner",
        "bets staked=amount rents=rent",
    ),
    (
        "PositionBought",
        "",
        "platform market=market wallet=seller",
        "sales sold=amount sold_for=paid",
    ),
    (
        "PositionBought",
        "",
        "wallet=buyer",
        "purchases bought=amount bought_for=paid",
    ),
    (
        "Claimed",
        "",
        "platform market=market wallet=owner",
        "claims payouts=paid",
    ),
    ("MarketSettled", "resolved", SETTLED, "settlements"),
    ("MarketSettled", "void", SETTLED, "settlements"),
    (
        "MarketSettled",
        "",
        SETTLED,
        "fees=protocol_fee fees=creator_fee",
    ),
    (
        "Deposited",
        "",
        "platform vault=vault wallet=owner",
        "deposits deposited=amount",
    ),
    (
        "Withdrawn",
        "",
        "platform vault=vault wallet=owner",
        "withdrawn=amount",
    ),
    (
        "PolicyBought",
        "",
        COVERED,
        "policies premiums=premium rents=rent",
    ),
    (
        "PolicyRenewed",
        "",
        COVERED,
        "renewals premiums=premium rents=rent",
    ),
    (
        "PolicyClaimed",
        "",
        COVERED,
        "cover_claims cover_paid=amount refunds=refund",
    ),
    ("PolicyBegun", "", COVERED, "refunds=refund"),
    ("PolicyCancelled", "", COVERED, "refunds=refund"),
    ("PolicyExpired", "", COVERED, "refunds=refund"),
    (
        "ReceiptSubmitted",
        "",
        "platform model=model wallet=oracle",
        "submissions",
    ),
    (
        "ReceiptChallenged",
        "",
        "platform model=model wallet=challenger",
        "challenges",
    ),
    (
        "ReceiptRuled",
        "",
        "platform model=model wallet=arbiter",
        "rulings slashed=slashed",
    ),
    ("ReceiptRuled", "final", MEASURED, "finals"),
    ("ReceiptFinalized", "final", MEASURED, "finals"),
    ("ReceiptRuled", "final", "model=model", "drift_sum=value"),
    (
        "ReceiptFinalized",
        "final",
        "model=model",
        "drift_sum=value",
    ),
    ("ReceiptRuled", "void", MEASURED, "voids"),
    ("ReceiptFinalized", "void", MEASURED, "voids"),
    ("ReceiptRuled", "thin", MEASURED, "thins"),
    ("ReceiptFinalized", "thin", MEASURED, "thins"),
];

const SETTLED: &str = "platform model=model market=market";
const COVERED: &str = "platform model=model vault=vault wallet=holder";
const MEASURED: &str = "platform model=model";

/// Compares the sums over the tokens, which the events don't name.
pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let mut rules: [Vec<&str>; 6] = Default::default();
    for (event, state, subjects, measures) in RULES {
        for subject in subjects.split(' ') {
            for measure in measures.split(' ') {
                let (kind, address) = subject.split_once('=').unwrap_or((subject, ""));
                let (measure, amount) = measure.split_once('=').unwrap_or((measure, ""));
                let rule = [*event, *state, kind, address, measure, amount];
                rules
                    .iter_mut()
                    .zip(rule)
                    .for_each(|(column, value)| column.push(value));
            }
        }
    }
    let [events, states, kinds, addresses, measures, amounts] = rules;
    let wrong: Vec<(String, String, String, String, String, String)> = sqlx::query_as(
        "with rule as (
           select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
             as rule (name, state, kind, address, measure, amount)
         ), counted as (
           select kind, coalesce(body ->> address, '') as subject,
             coalesce(date_trunc('hour', block_time, 'UTC'), '-infinity') as hour, measure,
             sum(case amount when '' then 1 else (body ->> amount)::numeric end) as value
           from chain.event join rule using (name)
           where state in ('', body ->> 'state')
           group by 1, 2, 3, 4
         ), name as materialized (
           select subject as key, public.base58(subject) as subject
           from (select distinct subject from chain.hourly) subjects
         ), stored as (
           select hourly.kind, name.subject, hour, measure,
             sum((to_jsonb(hourly) ->> measure)::numeric) as value
           from chain.hourly
           join name on name.key = hourly.subject
           join (select distinct kind, measure from rule) compared on compared.kind = hourly.kind
           group by 1, 2, 3, 4
         ), first as (
           select min(hour) as hour,
             coalesce(min(hour) <= (
               select min(hour) from stored where value <> 0 and hour <> '-infinity'), true) as is_whole
           from counted where hour <> '-infinity'
         )
         select kind, subject, hour::text, measure, coalesce(counted.value, 0)::text,
           coalesce(stored.value, 0)::text
         from counted full join stored using (kind, subject, hour, measure)
         where coalesce(counted.value, 0) <> coalesce(stored.value, 0)
           -- Totals outlive the events that are dropped.
           and exists (select from first where is_whole or first.hour < counted.hour
             or first.hour < stored.hour)
         order by 1, 2, 3, 4 limit 100",
    )
    .bind(events)
    .bind(states)
    .bind(kinds)
    .bind(addresses)
    .bind(measures)
    .bind(amounts)
    .fetch_all(&mut *comparison.connection)
    .await?;
    for (kind, subject, hour, measure, counted, stored) in wrong {
        comparison.add_difference(format!(
            "totals of {kind} {subject} in the hour of {hour}: {measure} is {stored}, but the events \
             count {counted}"
        ));
    }
    Ok(())
}
