//! What came of the example: tables, balances that add up, and `summary.json`. All of it is read
//! from the mirror and the chain, none from what the example planned.

mod insurance;

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, ensure};
use driftshield_sdk::{Address, Config, Model, TokenProgram, address, rpc::Signer};
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgPool, Row, postgres::PgRow};

use super::{Example, START, TOKEN};
use crate::Localnet;

/// `summary.json`: amounts in base units, drift in micro-units, stakes by outcome.
#[derive(Serialize)]
struct Summary {
    windows: Vec<WindowSummary>,
    markets: Vec<MarketSummary>,
    policies: Vec<insurance::Policy>,
    vaults: Vec<insurance::Vault>,
}

#[derive(Serialize)]
struct WindowSummary {
    model: String,
    window: u64,
    /// Rows by bin, of the submission that the value is of.
    counts: Vec<u32>,
    value_micro: u64,
    state: String,
}

#[derive(Serialize)]
struct MarketSummary {
    market: String,
    #[serde(skip)]
    question: String,
    thresholds_micro: Vec<u64>,
    stakes: Vec<u64>,
    state: String,
    outcome: Option<u8>,
    #[serde(skip)]
    value_micro: u64,
    /// The protocol's and the creator's together.
    fees: u64,
    /// What no payout took, to the treasury.
    dust: u64,
    payouts: Vec<PayoutSummary>,
}

#[derive(Serialize)]
struct PayoutSummary {
    owner: String,
    stakes: Vec<u64>,
    paid: u64,
}

pub(super) async fn write(localnet: &Localnet, example: &Example) -> anyhow::Result<()> {
    let pool = PgPool::connect(&localnet.database_url).await?;
    catch_up(&pool, example).await?;

    let mut verify = localnet.command("indexer");
    verify.arg("verify").args(["--rpc-url", &localnet.rpc_url]);
    verify.args(["--database-url", &localnet.database_url]);
    let verified = localnet.run(verify).await?;

    let api = insurance::Api::of(localnet)?;
    let summary = Summary {
        windows: windows(&pool, &example.model).await?,
        markets: markets(&pool, &example.markets).await?,
        policies: api.policies(&example.vault).await?,
        vaults: vec![api.vault(&example.vault).await?],
    };
    print_windows(&summary.windows);
    print_markets(&summary.markets);
    print_payouts(example, &summary.markets);
    insurance::print_policies(example, &summary.policies, &summary.windows)?;
    insurance::print_vaults(example, &summary.vaults, &summary.policies).await?;
    check_stakes(&summary.markets)?;
    let found = balances(&pool, example).await?;
    check_supply(example, found).await?;
    let totals = verified.lines().last().unwrap_or_default();
    println!("The mirror against the chain: {totals}.");

    let path = localnet.dir.join("summary.json");
    fs::write(&path, serde_json::to_vec_pretty(&summary)?)?;
    localnet.say(&format!("written {}", path.display()));
    Ok(())
}

/// Waits until the mirror has come to where the chain is now.
async fn catch_up(pool: &PgPool, example: &Example) -> anyhow::Result<()> {
    let slot = example.client.rpc().get_slot().await? as i64;
    for _ in 0..300 {
        let reached: Option<i64> = sqlx::query_scalar("select slot from chain.cursor")
            .fetch_optional(pool)
            .await?;
        if reached.is_some_and(|reached| slot <= reached) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("the mirror does not reach slot {slot}: see indexer.log")
}

async fn windows(pool: &PgPool, model: &Address) -> anyhow::Result<Vec<WindowSummary>> {
    let rows = sqlx::query(
        r#"select r.model, r."window"::text as w, r.value::text as value, r.state,
             (select e.body -> 'counts'
              from chain.event_account a join chain.event e using (seq)
              where a.account = r.address and e.name = 'ReceiptSubmitted'
                and e.body ->> 'submission' = r.value::text
              order by seq limit 1) as counts
           from chain.receipt r where r.model = $1 order by r."window""#,
    )
    .bind(model.to_string())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let counts: Option<Value> = row.try_get("counts")?;
            Ok(WindowSummary {
                model: row.try_get("model")?,
                window: number(row, "w")?,
                counts: counts
                    .map(serde_json::from_value)
                    .transpose()?
                    .unwrap_or_default(),
                value_micro: number(row, "value")?,
                state: row.try_get("state")?,
            })
        })
        .collect()
}

async fn markets(pool: &PgPool, addresses: &[Address]) -> anyhow::Result<Vec<MarketSummary>> {
    let mut markets = vec![];
    for address in addresses {
        let row = sqlx::query(
            "select m.question, m.thresholds[:m.threshold_count]::text[] as thresholds,
               m.pools[:m.threshold_count + 1]::text[] as pools, s.state, s.outcome,
               s.value::text as value, (s.protocol_fee + s.creator_fee)::text as fees,
               (select e.body ->> 'swept'
                from chain.event_account a join chain.event e using (seq)
                where a.account = m.address and e.name = 'MarketClosed') as dust
             from chain.market m join chain.settlement s on s.market = m.address
             where m.address = $1",
        )
        .bind(address.to_string())
        .fetch_one(pool)
        .await
        .with_context(|| format!("market {address} in the mirror"))?;
        markets.push(MarketSummary {
            market: address.to_string(),
            question: row.try_get("question")?,
            thresholds_micro: numbers(&row, "thresholds")?,
            stakes: numbers(&row, "pools")?,
            state: row.try_get("state")?,
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

async fn payouts(pool: &PgPool, market: &Address) -> anyhow::Result<Vec<PayoutSummary>> {
    let rows = sqlx::query(
        "select p.owner, p.stakes[:m.threshold_count + 1]::text[] as stakes, y.paid::text as paid
         from chain.position p
         join chain.market m on m.address = p.market
         join chain.payout y on y.position = p.address
         where p.market = $1 order by y.seq",
    )
    .bind(market.to_string())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(PayoutSummary {
                owner: row.try_get("owner")?,
                stakes: numbers(row, "stakes")?,
                paid: number(row, "paid")?,
            })
        })
        .collect()
}

fn number(row: &PgRow, column: &str) -> anyhow::Result<u64> {
    let text: String = row.try_get(column)?;
    text.parse().with_context(|| format!("{column}: {text}"))
}

fn numbers(row: &PgRow, column: &str) -> anyhow::Result<Vec<u64>> {
    let texts: Vec<String> = row.try_get(column)?;
    let parsed = texts.iter().map(|text| text.parse());
    parsed
        .collect::<Result<_, _>>()
        .with_context(|| format!("{column}: {texts:?}"))
}

fn print_windows(windows: &[WindowSummary]) {
    let rows = windows.iter().map(|window| {
        let counts = window.counts.iter().map(u32::to_string).collect::<Vec<_>>();
        let (number, value) = (window.window.to_string(), drift(window.value_micro));
        vec![number, value, window.state.clone(), counts.join(" ")]
    });
    table(
        "Windows",
        &["window", "drift", "state", "rows by bin"],
        rows,
    );
}

fn print_markets(markets: &[MarketSummary]) {
    let rows = markets.iter().map(|market| {
        let thresholds = market.thresholds_micro.iter().map(|&value| drift(value));
        let stakes = market.stakes.iter().map(|&stake| tokens(stake));
        vec![
            market.question.clone(),
            thresholds.collect::<Vec<_>>().join(" "),
            stakes.collect::<Vec<_>>().join(" | "),
            market.state.clone(),
            match market.outcome {
                Some(outcome) => format!("{outcome} (at {})", drift(market.value_micro)),
                None => "none".into(),
            },
            tokens(market.fees),
            market.dust.to_string(),
        ]
    });
    let header = [
        "market",
        "thresholds",
        "stakes",
        "state",
        "outcome",
        "fees",
        "dust",
    ];
    table("Markets", &header, rows);
}

fn print_payouts(example: &Example, markets: &[MarketSummary]) {
    let rows = markets.iter().flat_map(|market| {
        market.payouts.iter().map(|payout| {
            let stakes = payout.stakes.iter().map(|&stake| tokens(stake));
            vec![
                market.question.clone(),
                example.name_of(&payout.owner).to_owned(),
                stakes.collect::<Vec<_>>().join(" | "),
                tokens(payout.paid),
            ]
        })
    });
    table("Payouts", &["market", "owner", "stakes", "paid"], rows);
}

/// Tokens that went from somebody to the program, and back.
#[derive(Default)]
struct Flow {
    put_in: u64,
    got_back: u64,
}

/// All tokens that moved, by who paid them and by the token account that got them.
async fn flows(pool: &PgPool) -> anyhow::Result<BTreeMap<String, Flow>> {
    let rows = sqlx::query(
        "select e.body ->> f.whose as whose,
           coalesce(sum((e.body ->> f.amount)::numeric) filter (where f.whose <> 'destination'), 0)
             ::text as put_in,
           coalesce(sum((e.body ->> f.amount)::numeric) filter (where f.whose = 'destination'), 0)
             ::text as got_back
         from chain.event e
         join (values ('Bonded', 'oracle', 'amount'), ('BetPlaced', 'owner', 'amount'),
                      ('Deposited', 'owner', 'amount'), ('PolicyBought', 'holder', 'premium'),
                      ('PolicyRenewed', 'holder', 'premium'), ('Claimed', 'destination', 'paid'),
                      ('FeesCollected', 'destination', 'amount'),
                      ('Withdrawn', 'destination', 'amount'),
                      ('ManagerFeesCollected', 'destination', 'amount'),
                      ('PolicyClaimed', 'destination', 'amount'),
                      ('PolicyCancelled', 'destination', 'refund')) f(name, whose, amount)
           using (name)
         group by 1",
    )
    .fetch_all(pool)
    .await?;
    let flow = |row: &PgRow| {
        let (put_in, got_back) = (number(row, "put_in")?, number(row, "got_back")?);
        Ok((row.try_get("whose")?, Flow { put_in, got_back }))
    };
    rows.iter().map(flow).collect()
}

/// Everybody's tokens, as the chain has them, against what the mirror says moved them. Returns all
/// that there are.
async fn balances(pool: &PgPool, example: &Example) -> anyhow::Result<u64> {
    let flows = flows(pool).await?;
    let sum = |key: &Address, part: fn(&Flow) -> u64| flows.get(&key.to_string()).map_or(0, part);
    let mut rows = vec![];
    let mut found = 0u64;
    for person in &example.people {
        let key = person.key.pubkey();
        let account = address::token_account(&key, &example.mint, TokenProgram::SplToken);
        let balance = example.client.token_balance(&account).await?;
        found += balance;
        let (put_in, got_back) = (
            sum(&key, |flow| flow.put_in),
            sum(&account, |flow| flow.got_back),
        );
        let amounts = [START * TOKEN, put_in, got_back, balance];
        let name = person.name.to_owned();
        rows.push([vec![name], amounts.map(tokens).to_vec()].concat());
        ensure!(
            START * TOKEN - put_in + got_back == balance,
            "{}'s balance of {balance} is not {} - {put_in} + {got_back}",
            person.name,
            START * TOKEN
        );
    }
    let model: Model = example.client.get(&example.model).await?;
    let treasury = address::treasury(&address::collateral(&example.mint));
    for (name, account) in [
        ("bonds", model.bond_vault),
        ("vault", address::vault_tokens(&example.vault)),
        ("treasury", treasury),
    ] {
        let balance = example.client.token_balance(&account).await?;
        found += balance;
        let none = String::new;
        rows.push(vec![name.into(), none(), none(), none(), tokens(balance)]);
    }
    table(
        "Balances",
        &["who", "began with", "put in", "got back", "holds"],
        rows,
    );
    Ok(found)
}

/// Stakes against what became of them.
fn check_stakes(markets: &[MarketSummary]) -> anyhow::Result<()> {
    for market in markets {
        let staked: u64 = market.stakes.iter().sum();
        let paid: u64 = market.payouts.iter().map(|payout| payout.paid).sum();
        ensure!(
            staked == paid + market.fees + market.dust,
            "market {}: {staked} staked, {paid} paid",
            market.market
        );
    }
    Ok(())
}

/// All tokens that were `found` against all that were made.
async fn check_supply(example: &Example, found: u64) -> anyhow::Result<()> {
    ensure!(
        found == example.supply,
        "{found} base units found of {} made",
        example.supply
    );
    let config: Config = example.client.get(&address::config()).await?;
    println!(
        "\n{} tokens made, {} found: nothing is missing. \
         Protocol fee {} bps of the losing stakes, {} bps of the premiums.",
        tokens(example.supply),
        tokens(found),
        config.params.protocol_fee_bps,
        config.params.premium_fee_bps
    );
    Ok(())
}

fn drift(micro: u64) -> String {
    format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

fn tokens(amount: u64) -> String {
    format!("{}.{:06}", amount / TOKEN, amount % TOKEN)
}

fn table(title: &str, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let header = header.iter().map(|&name| name.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..rows[0].len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    println!("\n{title}");
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"));
        println!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
