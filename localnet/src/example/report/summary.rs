//! `summary.json`: the results of the example, read from the mirror.

use anyhow::Context;
use driftshield_sdk::Address;
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgPool, Row, postgres::PgRow};

use super::api::{PolicySummary, VaultSummary};

/// Content of `summary.json`. Amounts are in base units and drift is in micro-units. Stakes are
/// listed by outcome.
#[derive(Serialize)]
pub struct Summary {
    pub windows: Vec<WindowSummary>,
    pub markets: Vec<MarketSummary>,
    pub policies: Vec<PolicySummary>,
    pub vaults: Vec<VaultSummary>,
    pub oracles: Vec<OracleSummary>,
    pub sales: Vec<SaleSummary>,
}

#[derive(Serialize)]
pub struct WindowSummary {
    pub model: String,
    pub window: u64,
    /// Rows by bin, in the submission whose value became the window's.
    pub counts: Vec<u32>,
    pub value_micro: u64,
    pub state: String,
}

#[derive(Serialize)]
pub struct MarketSummary {
    pub market: String,
    #[serde(skip)]
    pub question: String,
    pub thresholds_micro: Vec<u64>,
    pub stakes: Vec<u64>,
    pub state: String,
    pub outcome: Option<u8>,
    #[serde(skip)]
    pub value_micro: u64,
    /// Fees of the protocol and the creator.
    pub fees: u64,
    /// Rounding remainder of the payouts, which goes to the treasury.
    pub dust: u64,
    pub payouts: Vec<PayoutSummary>,
}

#[derive(Serialize)]
pub struct PayoutSummary {
    pub owner: String,
    pub stakes: Vec<u64>,
    pub paid: u64,
}

/// An oracle of the model. Amounts are in base units.
#[derive(Serialize)]
pub struct OracleSummary {
    pub oracle: String,
    /// What is left of its bond.
    pub bonded: u64,
    /// All rewards, collected or not.
    pub rewarded: u64,
    /// Lost for silence.
    pub penalised: u64,
    /// Number of windows that the oracle submitted, and of those that only others submitted.
    pub submitted: u64,
    pub missed: u64,
}

/// The model's oracles, in its order.
pub async fn oracles(pool: &PgPool, model: &Address) -> anyhow::Result<Vec<OracleSummary>> {
    let rows = sqlx::query(
        "select s.oracle, s.submissions::text as submitted,
           (s.bonded - m.penalties[array_position(m.oracles, s.oracle)])::text as bonded,
           (m.rewards[array_position(m.oracles, s.oracle)]
            + coalesce((select sum((e.body ->> 'amount')::numeric) from chain.event e
                        where e.name = 'RewardCollected' and e.body ->> 'model' = $2
                          and e.body ->> 'payee' = 'oracle'
                          and e.body ->> 'oracle' = public.base58(s.oracle)), 0))
             ::text as rewarded,
           (select coalesce(sum(p.amount), 0)::text from chain.penalty p
            where p.model = m.address and p.oracle = s.oracle) as penalised,
           ((select count(*) from chain.receipt r where r.model = m.address) - s.submissions)
             ::text as missed
         from chain.seat s join chain.model m on m.address = s.model and m.is_current
         where m.address = $1 and s.is_current order by array_position(m.oracles, s.oracle)",
    )
    .bind(model.to_bytes())
    .bind(model.to_string())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(OracleSummary {
                oracle: key(row, "oracle")?,
                bonded: number(row, "bonded")?,
                rewarded: number(row, "rewarded")?,
                penalised: number(row, "penalised")?,
                submitted: number(row, "submitted")?,
                missed: number(row, "missed")?,
            })
        })
        .collect()
}

/// A sale of a part of a stake.
#[derive(Serialize)]
pub struct SaleSummary {
    pub market: String,
    pub seller: String,
    pub buyer: String,
    pub outcome: u64,
    pub amount: u64,
    /// In thousandths of the stake.
    pub price: u64,
    pub paid: u64,
}

/// The model's settled windows, in ascending order.
pub async fn windows(pool: &PgPool, model: &Address) -> anyhow::Result<Vec<WindowSummary>> {
    let rows = sqlx::query(
        r#"select r.model, r."window"::text as w, r.value::text as value, r.status,
             (select e.body -> 'counts'
              from chain.event_account a join chain.event e on e.id = a.event_id
              where a.account = r.address and e.name = 'ReceiptSubmitted'
                and e.body ->> 'submission' = r.value::text
              order by e.id limit 1) as counts
           from chain.receipt r
           where r.model = $1 and r.status in ('final', 'void', 'thin') order by r."window""#,
    )
    .bind(model.to_bytes())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let counts: Option<Value> = row.try_get("counts")?;
            Ok(WindowSummary {
                model: key(row, "model")?,
                window: number(row, "w")?,
                counts: counts
                    .map(serde_json::from_value)
                    .transpose()?
                    .unwrap_or_default(),
                value_micro: number(row, "value")?,
                state: row.try_get("status")?,
            })
        })
        .collect()
}

pub async fn markets(pool: &PgPool, addresses: &[Address]) -> anyhow::Result<Vec<MarketSummary>> {
    let mut markets = vec![];
    for address in addresses {
        let row = sqlx::query(
            "select m.question, m.thresholds[:m.threshold_count]::text[] as thresholds,
               m.pools[:m.threshold_count + 1]::text[] as pools, m.status,
               case when m.status = 'resolved' then m.outcome end as outcome,
               m.value::text as value,
               ((s.body ->> 'protocol_fee')::numeric + (s.body ->> 'creator_fee')::numeric)
                 ::text as fees,
               (select e.body ->> 'swept'
                from chain.event_account a join chain.event e on e.id = a.event_id
                where a.account = m.address and e.name = 'MarketClosed') as dust
             from chain.market m join chain.event s on s.id = m.settled_by
             where m.address = $1 and m.is_current",
        )
        .bind(address.to_bytes())
        .fetch_one(pool)
        .await
        .with_context(|| format!("market {address} in the mirror"))?;
        markets.push(MarketSummary {
            market: address.to_string(),
            question: row.try_get("question")?,
            thresholds_micro: numbers(&row, "thresholds")?,
            stakes: numbers(&row, "pools")?,
            state: row.try_get("status")?,
            outcome: row
                .try_get::<Option<i16>, _>("outcome")?
                .map(u8::try_from)
                .transpose()?,
            value_micro: number(&row, "value")?,
            fees: number(&row, "fees")?,
            dust: number(&row, "dust")?,
            payouts: payouts(pool, address).await?,
        });
    }
    Ok(markets)
}

/// The payouts of a market, in the order of their slots.
async fn payouts(pool: &PgPool, market: &Address) -> anyhow::Result<Vec<PayoutSummary>> {
    let rows = sqlx::query(
        "select p.owner, p.stakes[:m.threshold_count + 1]::text[] as stakes,
           p.payout::text as paid
         from chain.position p
         join chain.market m on m.address = p.market and m.is_current
         where p.market = $1 and p.status = 'claimed' order by p.ended_slot, p.address",
    )
    .bind(market.to_bytes())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(PayoutSummary {
                owner: key(row, "owner")?,
                stakes: numbers(row, "stakes")?,
                paid: number(row, "paid")?,
            })
        })
        .collect()
}

/// The sales in these markets, in order.
pub async fn sales(pool: &PgPool, markets: &[Address]) -> anyhow::Result<Vec<SaleSummary>> {
    let rows = sqlx::query(
        "select market, seller, buyer, outcome::text, amount::text, price::text, paid::text
         from chain.sale where market = any($1) order by event_id",
    )
    .bind(markets.iter().map(Address::to_bytes).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let parse = |row: &PgRow| {
        Ok(SaleSummary {
            market: key(row, "market")?,
            seller: key(row, "seller")?,
            buyer: key(row, "buyer")?,
            outcome: number(row, "outcome")?,
            amount: number(row, "amount")?,
            price: number(row, "price")?,
            paid: number(row, "paid")?,
        })
    };
    rows.iter().map(parse).collect()
}

/// A key from a column with its bytes, in base58.
fn key(row: &PgRow, column: &str) -> anyhow::Result<String> {
    let bytes: [u8; 32] = row.try_get(column)?;
    Ok(Address::from(bytes).to_string())
}

/// A number from a text column.
pub fn number(row: &PgRow, column: &str) -> anyhow::Result<u64> {
    let text: String = row.try_get(column)?;
    text.parse().with_context(|| format!("{column}: {text}"))
}

/// Numbers from a column with an array of texts.
fn numbers(row: &PgRow, column: &str) -> anyhow::Result<Vec<u64>> {
    let texts: Vec<String> = row.try_get(column)?;
    let parsed = texts.iter().map(|text| text.parse());
    parsed
        .collect::<Result<_, _>>()
        .with_context(|| format!("{column}: {texts:?}"))
}
