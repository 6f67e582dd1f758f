//! Balances on chain, compared with the token flows in the mirror.

use std::collections::BTreeMap;

use anyhow::ensure;
use driftshield_sdk::{Address, Model, TokenProgram, address, rpc::Signer};
use sqlx::{PgPool, Row, postgres::PgRow};

use super::{
    summary::number,
    table::{print_table, tokens},
};
use crate::example::state::{Example, INITIAL_TOKENS, TOKEN};

/// Tokens that an owner paid to the program or for a stake, and that a token account received.
#[derive(Default)]
struct TokenFlow {
    paid_in: u64,
    received: u64,
}

/// Token flows by address: the owner for what it paid, the destination token account for what it
/// received.
async fn token_flows(pool: &PgPool) -> anyhow::Result<BTreeMap<String, TokenFlow>> {
    let rows = sqlx::query(
        "select e.body ->> f.party as party,
           coalesce(sum((e.body ->> f.amount)::numeric) filter (where f.party <> 'destination'), 0)
             ::text as paid_in,
           coalesce(sum((e.body ->> f.amount)::numeric) filter (where f.party = 'destination'), 0)
             ::text as received
         from chain.event e
         join (values ('Bonded', 'oracle', 'amount'), ('BetPlaced', 'owner', 'amount'),
                      ('BetPlaced', 'owner', 'rent'), ('PolicyBought', 'holder', 'rent'),
                      ('PolicyRenewed', 'holder', 'rent'),
                      ('OraclesFunded', 'funder', 'amount'),
                      ('RewardCollected', 'destination', 'amount'),
                      ('PositionBought', 'buyer', 'paid'),
                      ('PositionBought', 'destination', 'paid'),
                      ('Deposited', 'owner', 'amount'), ('PolicyBought', 'holder', 'premium'),
                      ('PolicyRenewed', 'holder', 'premium'), ('Claimed', 'destination', 'paid'),
                      ('FeesCollected', 'destination', 'amount'),
                      ('Withdrawn', 'destination', 'amount'),
                      ('ManagerFeesCollected', 'destination', 'amount'),
                      ('PolicyClaimed', 'destination', 'amount'),
                      ('PolicyClaimed', 'destination', 'refund'),
                      ('PolicyBegun', 'destination', 'refund'),
                      ('PolicyExpired', 'destination', 'refund'),
                      ('PolicyCancelled', 'destination', 'refund')) f(name, party, amount)
           using (name)
         group by 1",
    )
    .fetch_all(pool)
    .await?;
    let parse = |row: &PgRow| {
        let (paid_in, received) = (number(row, "paid_in")?, number(row, "received")?);
        Ok((row.try_get("party")?, TokenFlow { paid_in, received }))
    };
    rows.iter().map(parse).collect()
}

/// Prints all balances of the example's token and returns their sum. Fails if a participant's
/// balance on chain is not the initial balance minus the tokens paid in plus those received,
/// according to the mirror.
pub async fn print_balances(pool: &PgPool, example: &Example<'_>) -> anyhow::Result<u64> {
    let flows = token_flows(pool).await?;
    let flow_of = |key: &Address| flows.get(&key.to_string());
    let mut rows = vec![];
    let mut total = 0u64;
    for participant in &example.participants {
        let key = participant.key.pubkey();
        let account = address::token_account(&key, &example.mint, TokenProgram::SplToken);
        let balance = example.client.token_balance(&account).await?;
        total += balance;
        let initial = INITIAL_TOKENS * TOKEN;
        let paid_in = flow_of(&key).map_or(0, |flow| flow.paid_in);
        let received = flow_of(&account).map_or(0, |flow| flow.received);
        let amounts = [initial, paid_in, received, balance];
        let name = participant.name.to_owned();
        rows.push([vec![name], amounts.map(tokens).to_vec()].concat());
        ensure!(
            initial - paid_in + received == balance,
            "balance of {} is {balance}, not {initial} - {paid_in} + {received}",
            participant.name
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
        total += balance;
        let empty = String::new;
        rows.push(vec![
            name.into(),
            empty(),
            empty(),
            empty(),
            tokens(balance),
        ]);
    }
    print_table(
        "Balances",
        &["owner", "initial", "paid in", "received", "balance"],
        rows,
    );
    Ok(total)
}
