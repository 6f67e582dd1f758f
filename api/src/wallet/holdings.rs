//! The open accounts of a wallet, as bytes of the chain, so that the program's own functions say what they are worth.

use std::collections::{BTreeMap, BTreeSet};

use driftshield_sdk::{
    Account, Address, Market, Model, Policy, Position, Receipt, Seat, Vault, WithdrawRequest,
};
use sqlx::{FromRow, PgConnection};

use crate::bytes::Key;

use super::shares::Ledger;

/// Number of open accounts of each type that are read.
const MAX_ACCOUNTS: i64 = 1_000;

/// Open accounts in which a wallet has something.
#[derive(Default)]
pub struct Holdings {
    /// Positions with their markets.
    pub positions: Vec<(Box<Position>, Market)>,
    /// Policies that have not ended, with their vaults.
    pub policies: Vec<(Box<Policy>, Vault)>,
    /// Withdrawal requests with their vaults.
    pub requests: Vec<(Box<WithdrawRequest>, Vault)>,
    /// Seats with their models.
    pub seats: Vec<(Box<Seat>, Model)>,
    /// Markets of the wallet with a fee to collect.
    pub created: Vec<Market>,
    /// Vaults that the wallet manages.
    pub managed: Vec<Vault>,
    /// Challenged receipts with a credit to collect, with their models.
    pub challenges: Vec<(Box<Receipt>, Model)>,
    /// Shares of vaults.
    pub ledger: Ledger,
    /// Vaults of which the wallet has or had shares, if they are open.
    pub vaults: BTreeMap<Address, Vault>,
    /// Tokens of the vaults of which the wallet has or had shares, closed ones included.
    pub vault_mints: BTreeMap<Address, Key>,
    /// Whether the wallet has more accounts, deposits or withdrawals than were read.
    pub is_truncated: bool,
}

/// An open account of the wallet, and the account that says what it is worth: the market of a position, the vault of
/// a policy or request, the model of a seat or receipt. The same account again if there is none.
#[derive(FromRow)]
struct Listed {
    address: Key,
    parent: Key,
}

/// Each statement lists accounts of one type. `$1` is the wallet, and `$2` the number of rows.
const LISTS: [&str; 7] = [
    "select address, market as parent from chain.position
     where owner = $1 and ended_slot is null order by owner, address, life limit $2",
    "select address, vault as parent from chain.policy
     where holder = $1 and status in ('pending', 'open') limit $2",
    "select address, vault as parent from chain.withdraw_request
     where owner = $1 and ended_slot is null order by owner, address, life limit $2",
    "select address, model as parent from chain.seat
     where oracle = $1 and ended_slot is null order by oracle, address, life limit $2",
    "select address, address as parent from chain.market
     where creator = $1 and ended_slot is null and 0 < creator_credit limit $2",
    "select address, address as parent from chain.vault
     where manager = $1 and ended_slot is null limit $2",
    "select address, model as parent from chain.receipt
     where challenger = $1 and ended_slot is null and 0 < challenger_credit limit $2",
];

impl Holdings {
    pub async fn read(db: &mut PgConnection, wallet: &Key) -> Result<Self, sqlx::Error> {
        let ledger = Ledger::read(db, wallet).await?;
        let mut holdings = Self {
            is_truncated: ledger.is_truncated,
            ..Self::default()
        };
        let most = usize::try_from(MAX_ACCOUNTS).unwrap_or(usize::MAX);
        let mut listed = vec![];
        for list in LISTS {
            let rows: Vec<Listed> = sqlx::query_as(list)
                .bind(*wallet)
                .bind(MAX_ACCOUNTS + 1)
                .fetch_all(&mut *db)
                .await?;
            holdings.is_truncated |= most < rows.len();
            listed.extend(rows.into_iter().take(most));
        }
        let with_shares = ledger.stakes.keys().map(|vault| Key::from(*vault));
        let addresses = listed
            .iter()
            .flat_map(|row| [row.address, row.parent])
            .chain(with_shares);
        let accounts = open_accounts(db, addresses.collect()).await?;
        for row in &listed {
            holdings.add(row, &accounts);
        }
        for vault in ledger.stakes.keys() {
            if let Some(Account::Vault(state)) = accounts.get(&Key::from(*vault)) {
                holdings.vaults.insert(*vault, **state);
            }
        }
        holdings.vault_mints = vault_mints(db, &ledger).await?;
        holdings.ledger = ledger;
        Ok(holdings)
    }

    fn add(&mut self, row: &Listed, accounts: &BTreeMap<Key, Account>) {
        let (account, parent) = (accounts.get(&row.address), accounts.get(&row.parent));
        // A row and its bytes are of the same snapshot; one that is stale has bytes of another type or none.
        let (Some(account), Some(parent)) = (account, parent) else {
            return;
        };
        match (account.clone(), parent) {
            (Account::Position(position), Account::Market(market)) => {
                self.positions.push((position, **market));
            }
            (Account::Policy(policy), Account::Vault(vault)) => {
                self.policies.push((policy, **vault));
            }
            (Account::WithdrawRequest(request), Account::Vault(vault)) => {
                self.requests.push((request, **vault));
            }
            (Account::Seat(seat), Account::Model(model)) => self.seats.push((seat, **model)),
            (Account::Receipt(receipt), Account::Model(model)) => {
                self.challenges.push((receipt, **model));
            }
            (Account::Market(market), _) => self.created.push(*market),
            (Account::Vault(vault), _) => self.managed.push(*vault),
            _ => {}
        }
    }
}

#[derive(FromRow)]
struct VaultRow {
    address: Key,
    mint: Key,
}

/// Tokens of the vaults of the ledger.
async fn vault_mints(
    db: &mut PgConnection,
    ledger: &Ledger,
) -> Result<BTreeMap<Address, Key>, sqlx::Error> {
    let vaults: Vec<_> = ledger.stakes.keys().copied().map(Key::from).collect();
    let rows: Vec<VaultRow> = sqlx::query_as(
        "select address, mint from chain.vault where address = any($1) and is_current",
    )
    .bind(vaults)
    .fetch_all(db)
    .await?;
    let mint = |row: VaultRow| (row.address.address(), row.mint);
    Ok(rows.into_iter().map(mint).collect())
}

#[derive(FromRow)]
struct DataRow {
    address: Key,
    data: Vec<u8>,
}

/// The open accounts at the addresses, decoded. Those that this version can't decode are left out.
pub async fn open_accounts(
    db: &mut PgConnection,
    addresses: BTreeSet<Key>,
) -> Result<BTreeMap<Key, Account>, sqlx::Error> {
    let addresses: Vec<_> = addresses.into_iter().collect();
    let rows: Vec<DataRow> = sqlx::query_as(
        "select address, data from chain.account
         where address = any($1) and is_current and closed_slot is null",
    )
    .bind(addresses)
    .fetch_all(db)
    .await?;
    let decode = |row: DataRow| Some((row.address, Account::decode(&row.data).ok()?));
    Ok(rows.into_iter().filter_map(decode).collect())
}
