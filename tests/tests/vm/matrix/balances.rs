//! Balances of each owner: what it holds, and what the program owes it.

use std::collections::BTreeMap;

use driftshield_sdk::{Account, Address, MarketState, ReceiptState, address};
use driftshield_tests::world::World;

use super::kind::Kind;

/// Amounts by owner and asset. The asset is a mint, [`LAMPORTS`], or the address of a policy, whose
/// amount is its open cover.
pub type Balances = BTreeMap<(Address, Address), u64>;

/// The asset of lamports: the address of the system program, which owns wallets.
const LAMPORTS: Address = Address::new_from_array([0; 32]);

/// Data length of a token account without extensions. Longer token accounts are not counted.
const TOKEN_ACCOUNT_LEN: usize = 165;

/// The balances of each owner: lamports, tokens and open cover. Lamports include rent that the owner
/// gets back. Tokens include claims on the program.
pub fn balances(world: &World) -> Balances {
    let mut balances = Balances::new();
    for (address, account) in &world.svm.accounts_db().inner {
        use solana_account::ReadableAccount;
        let (owner, data) = (account.owner(), account.data());
        if *owner == LAMPORTS {
            credit(&mut balances, address, &LAMPORTS, account.lamports());
        } else if *owner == driftshield_sdk::ID {
            let account = Account::decode(data).expect("an account of the program");
            credit_claims(&mut balances, world, address, &account);
        } else if data.len() == TOKEN_ACCOUNT_LEN && is_token_program(owner) {
            credit_tokens(&mut balances, world, address, data);
        }
    }
    balances
}

fn is_token_program(owner: &Address) -> bool {
    [anchor_spl::token::ID, anchor_spl::token_2022::ID].contains(owner)
}

fn credit(balances: &mut Balances, owner: &Address, asset: &Address, amount: u64) {
    *balances.entry((*owner, *asset)).or_default() += amount;
}

/// Credits the balance of a token account to its owner. If the tokens are vault shares, credits their
/// worth in the vault's mint too. Of the program's own token accounts, credits only treasuries.
fn credit_tokens(balances: &mut Balances, world: &World, address: &Address, data: &[u8]) {
    let field = |start| Address::try_from(&data[start..start + 32]).expect("32 bytes");
    let (mint, owner) = (field(0), field(32));
    let amount = world.tokens(address);
    match Kind::of(world, &owner) {
        Kind::DriftShield("Collateral") => {
            credit(balances, &treasury_owner(world, &mint), &mint, amount);
        }
        // The other token accounts of the program are counted as claims.
        Kind::DriftShield(_) => return,
        _ => credit(balances, &owner, &mint, amount),
    }
    for (_, account) in world.accounts() {
        match account {
            Account::Vault(mut vault) if vault.share_mint == mint => {
                vault.accrue(world.now());
                credit(balances, &owner, &vault.mint, vault.worth(amount));
            }
            _ => {}
        }
    }
}

/// The owner of the treasury of `mint`: the admin, who can withdraw from it, or the collateral account
/// while the program is not initialized.
fn treasury_owner(world: &World, mint: &Address) -> Address {
    if world.exists(&address::config()) {
        world.config().admin
    } else {
        address::collateral(mint)
    }
}

/// Credits the claims that `account` records, and its rent, to their owners.
fn credit_claims(balances: &mut Balances, world: &World, address: &Address, account: &Account) {
    let rent = |balances: &mut Balances, owner: &Address, token_accounts: &[Address]| {
        for account in token_accounts.iter().chain([address]) {
            credit(balances, owner, &LAMPORTS, world.lamports(account));
        }
    };
    let treasury = |balances: &mut Balances, mint: &Address, amount: u64| {
        credit(balances, &treasury_owner(world, mint), mint, amount);
    };
    match account {
        Account::Seat(seat) => {
            let mint = world.model(&seat.model).bond_mint;
            credit(balances, &seat.oracle, &mint, seat.bonded);
            rent(balances, &seat.oracle, &[]);
        }
        Account::Receipt(receipt) => {
            let model = world.model(&receipt.model);
            let bond = match receipt.state.into() {
                ReceiptState::Challenged => model.challenge_bond,
                _ => receipt.challenger_credit,
            };
            credit(balances, &receipt.challenger, &model.bond_mint, bond);
            treasury(balances, &model.bond_mint, receipt.treasury_credit);
            rent(balances, &receipt.payer, &[]);
        }
        Account::Series(series) => rent(balances, &series.payer, &[]),
        Account::Market(market) => {
            credit(
                balances,
                &market.creator,
                &market.mint,
                market.creator_credit,
            );
            treasury(balances, &market.mint, market.protocol_credit);
            rent(balances, &market.creator, &[market.vault]);
        }
        Account::Position(position) => {
            let mut market = world.market(&position.market);
            let worth = if market.state == MarketState::Open {
                position.total()
            } else {
                market.claim(position).expect("the position can be claimed")
            };
            credit(balances, &position.owner, &market.mint, worth);
            rent(balances, &position.owner, &[]);
        }
        Account::Vault(vault) => {
            let mut vault = vault.clone();
            vault.accrue(world.now());
            credit(balances, &vault.manager, &vault.mint, vault.manager_credit);
            treasury(balances, &vault.mint, vault.protocol_credit);
            rent(balances, &vault.manager, &[vault.tokens]);
        }
        Account::Exposure(exposure) => {
            let manager = world.vault(&exposure.vault).manager;
            rent(balances, &manager, &[]);
        }
        Account::WithdrawRequest(request) => {
            let mut vault = world.vault(&request.vault);
            vault.accrue(world.now());
            let worth = vault.requested(request) + vault.worth(request.shares);
            credit(balances, &request.owner, &vault.mint, worth);
            rent(balances, &request.owner, &[]);
        }
        Account::Policy(policy) => {
            credit(balances, &policy.holder, address, policy.open_cover());
            rent(balances, &policy.holder, &[]);
        }
        // These accounts are never closed, so no rent returns.
        Account::Config(_) | Account::Collateral(_) | Account::Model(_) => {}
    }
}
