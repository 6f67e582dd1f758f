//! Events in which a wallet has a part, with what each moved for it.

use std::collections::BTreeMap;

use driftshield_sdk::Address;
use serde::Serialize;
use sqlx::{FromRow, PgConnection, QueryBuilder};
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    event_id::EventId,
    events::{self, Event},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::Problem,
    signed::Signed,
    values::Scaled,
};

use super::{
    movements::{Moved, MovementKind, Profit, moved},
    shares::Ledger,
    tokens::{Decimals, final_stakes, mints},
};

/// Event in which a wallet has a part.
#[derive(Serialize, ToSchema)]
pub struct WalletEvent {
    #[serde(flatten)]
    pub event: Event,
    /// The wallet's parts in the event, such as `owner`, `seller` or `earner`. docs/events.md names the fields; a
    /// market's `creator`, a vault's `manager`, a receipt's `challenger` and the `earner`s of a settled receipt have
    /// a part in events that don't name them.
    pub roles: Vec<String>,
    /// Tokens that the event moved for the wallet; empty if it moved none.
    pub movements: Vec<Movement>,
}

/// Tokens that moved into or out of a wallet. Rent of accounts and fees of the network, which are paid in SOL, are
/// not part of it, and neither are penalties and slashes: they reduce a bond, so less of it comes back.
#[derive(Clone, Serialize, ToSchema)]
pub struct Movement {
    pub kind: MovementKind,
    /// Market, vault or model with which the tokens moved.
    pub account: Key,
    /// Token; null, like `profit`, if the mirror lacks the account. `scaled` numbers are then in base units.
    pub mint: Option<Key>,
    /// Amount that the wallet received.
    pub incoming: Scaled,
    /// Amount that the wallet paid, without `fee`.
    pub outgoing: Scaled,
    /// Security rent that the wallet paid in addition.
    pub fee: Scaled,
    /// Profit that the movement realised, without `fee`; null if it realised none, or if the mirror lacks what it
    /// derives from: the claimed position, or deposits and withdrawals after the wallet's first 20,000.
    ///
    /// A stake counts as much as was staked for it while it is open, whoever owns it. So a claim realises the payout
    /// less the position's stakes, a sale its price less the stake, and a purchase the stake less its price. A refund
    /// by a void market realises 0. Premiums and the bonds of challenges are a loss when they are paid; payments and
    /// refunds of cover, credits of challenges, rewards and fees are a profit when they are received. A withdrawal
    /// realises the payment less the average cost of its shares. Deposits, bonds and bets realise nothing.
    pub profit: Option<Signed>,
}

/// Row of an event, with the wallet's parts and the event's bytes.
#[derive(FromRow)]
pub struct PartyRow {
    #[sqlx(flatten)]
    pub event: Event,
    roles: Vec<String>,
    data: Vec<u8>,
}

impl PartyRow {
    fn moved(&self, wallet: &Address) -> Vec<Moved> {
        // What this version can't decode has no name, and moved nothing that it knows.
        let event = driftshield_sdk::Event::decode(&self.data);
        event.map_or(vec![], |event| moved(&event, wallet, &self.roles))
    }
}

/// Order of a wallet's events.
pub const NEWEST_FIRST: Order = Order::descending(&["p.event_id"]);

/// Selects the events in which `wallet` has a part: a range of an index by `p.event_id`. Of the wallet's parts in an
/// event, only the first row is read.
pub fn select(wallet: &Key) -> QueryBuilder<sqlx::Postgres> {
    let mut sql = QueryBuilder::new(format!(
        "select {}, e.data, array(
           select r.role from chain.event_party r
           where r.wallet = p.wallet and r.event_id = p.event_id) as roles
         from chain.event_party p
         join lateral (select * from chain.event e where e.id = p.event_id limit 1) e on true
         where not exists (
           select from chain.event_party r
           where r.wallet = p.wallet and r.event_id = p.event_id and r.role < p.role)
         and p.wallet = ",
        events::COLUMNS
    ));
    sql.push_bind(*wallet);
    sql
}

/// Profits of a wallet's payments from vaults, by event. They derive from all of its deposits and withdrawals, so they
/// are read once, and only for a wallet that withdraws.
#[derive(Default)]
pub struct Withdrawals(Option<BTreeMap<EventId, i128>>);

impl Withdrawals {
    async fn read(&mut self, db: &mut PgConnection, wallet: &Key) -> Result<(), sqlx::Error> {
        if self.0.is_none() {
            self.0 = Some(Ledger::read(db, wallet).await?.realised);
        }
        Ok(())
    }

    fn profit(&self, event: EventId) -> Option<i128> {
        self.0.as_ref()?.get(&event).copied()
    }
}

/// Adds what the events moved for `wallet`, whose `withdrawals` these are.
pub async fn with_movements(
    db: &mut PgConnection,
    wallet: &Key,
    rows: Vec<PartyRow>,
    withdrawals: &mut Withdrawals,
) -> Result<Vec<WalletEvent>, sqlx::Error> {
    let address = wallet.address();
    let moved: Vec<_> = rows.iter().map(|row| row.moved(&address)).collect();
    let all = || {
        let of_event = |(row, moved): (&PartyRow, &Vec<Moved>)| {
            let event = row.event.id;
            moved.clone().into_iter().map(move |moved| (event, moved))
        };
        std::iter::zip(&rows, &moved).flat_map(of_event)
    };
    let accounts: Vec<_> = all().map(|(event, moved)| (event, moved.account)).collect();
    let claimed: Vec<_> = all()
        .filter_map(|(event, moved)| match moved.profit {
            Profit::OverStakes(position) => Some((event, position)),
            _ => None,
        })
        .collect();
    if all().any(|(_, moved)| moved.profit == Profit::OverShares) {
        withdrawals.read(db, wallet).await?;
    }
    let context = Context {
        decimals: Decimals::read(db).await?,
        mints: mints(db, &accounts).await?,
        stakes: final_stakes(db, &claimed).await?,
        withdrawals,
    };
    Ok(std::iter::zip(rows, moved)
        .map(|(row, moved)| WalletEvent {
            movements: context.movements(row.event.id, &moved),
            event: row.event,
            roles: row.roles,
        })
        .collect())
}

/// What events don't say about their movements.
struct Context<'a> {
    decimals: Decimals,
    mints: super::tokens::Mints,
    /// Stakes of claimed positions.
    stakes: BTreeMap<(EventId, Key), i128>,
    withdrawals: &'a Withdrawals,
}

impl Context<'_> {
    fn movements(&self, event: EventId, moved: &[Moved]) -> Vec<Movement> {
        let of = |moved: &Moved| {
            let account = Key::from(moved.account);
            let mint = self.mints.get(&(event, account)).copied();
            let decimals = mint.map_or(0, |mint| self.decimals.of(&mint));
            let profit = match moved.profit {
                Profit::None => None,
                Profit::Of(profit) => Some(profit),
                Profit::OverStakes(position) => self
                    .stakes
                    .get(&(event, Key::from(position)))
                    .map(|stakes| i128::from(moved.incoming) - stakes),
                Profit::OverShares => self.withdrawals.profit(event),
            };
            let amount = |raw| Scaled::new(raw, decimals);
            Movement {
                kind: moved.kind,
                account,
                mint,
                incoming: amount(moved.incoming),
                outgoing: amount(moved.outgoing),
                fee: amount(moved.fee),
                profit: profit
                    .filter(|_| mint.is_some())
                    .map(|profit| Signed::new(profit, decimals)),
            }
        };
        moved.iter().map(of).collect()
    }
}

/// Reads a page of the events in which `wallet` has a part, newest first.
pub async fn page(
    snapshot: &mut Snapshot,
    wallet: &Key,
    query: &ListQuery,
) -> Result<Page<WalletEvent>, Problem> {
    let rows: Page<PartyRow> = query
        .pager(("transactions", wallet), snapshot.epoch())
        .fetch(
            &mut snapshot.tx,
            select(wallet),
            NEWEST_FIRST,
            |row: &PartyRow| row.event.id,
        )
        .await?;
    Ok(Page {
        items: with_movements(
            &mut snapshot.tx,
            wallet,
            rows.items,
            &mut Withdrawals::default(),
        )
        .await?,
        next_cursor: rows.next_cursor,
    })
}
