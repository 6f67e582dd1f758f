//! What everybody has, in the protocol and outside of it.

use std::collections::BTreeMap;

use driftshield_sdk::{Account, Address, MarketState, ReceiptState, address};
use driftshield_tests::world::World;

use super::kind::Kind;

/// By who has it and what it is: a mint, all zeros for lamports, a policy for its cover.
pub type Wealth = BTreeMap<(Address, Address), u64>;

const LAMPORTS: Address = Address::new_from_array([0; 32]);

/// Of everybody: lamports and rent that come back, tokens, and what the program owes in them.
pub fn wealth(world: &World) -> Wealth {
    let mut wealth = Wealth::new();
    for (at, account) in &world.svm.accounts_db().inner {
        use solana_account::ReadableAccount;
        let (owner, data) = (account.owner(), account.data());
        if *owner == LAMPORTS {
            give(&mut wealth, at, &LAMPORTS, account.lamports());
        } else if *owner == driftshield_sdk::ID {
            let account = Account::decode(data).expect("an account of the program");
            give_tracked(&mut wealth, world, at, &account);
        } else if data.len() == 165 && is_token_program(owner) {
            give_tokens(&mut wealth, world, at, data);
        }
    }
    wealth
}

fn is_token_program(owner: &Address) -> bool {
    [anchor_spl::token::ID, anchor_spl::token_2022::ID].contains(owner)
}

fn give(wealth: &mut Wealth, whom: &Address, what: &Address, amount: u64) {
    *wealth.entry((*whom, *what)).or_default() += amount;
}

/// A token account's balance and, where they are shares of a vault, what they are worth.
fn give_tokens(wealth: &mut Wealth, world: &World, at: &Address, data: &[u8]) {
    let [mint, owner] = [0, 32].map(|at| Address::try_from(&data[at..at + 32]).expect("32 bytes"));
    let amount = world.tokens(at);
    match Kind::of(world, &owner) {
        Kind::Ours("Collateral") => give(wealth, &whose_treasury(world, &mint), &mint, amount),
        // What the program holds otherwise, it owes.
        Kind::Ours(_) => return,
        _ => give(wealth, &owner, &mint, amount),
    }
    for (_, account) in world.accounts() {
        match account {
            Account::Vault(mut vault) if vault.share_mint == mint => {
                vault.accrue(world.now());
                give(wealth, &owner, &vault.mint, vault.worth(amount));
            }
            _ => {}
        }
    }
}

/// The admin's, as it may withdraw them.
fn whose_treasury(world: &World, mint: &Address) -> Address {
    if world.exists(&address::config()) {
        world.config().admin
    } else {
        address::collateral(mint)
    }
}

/// What the program owes because of the account at `at`.
fn give_tracked(wealth: &mut Wealth, world: &World, at: &Address, account: &Account) {
    let rent = |wealth: &mut Wealth, whom: &Address, held: &[Address]| {
        for held in held.iter().chain([at]) {
            give(wealth, whom, &LAMPORTS, world.lamports(held));
        }
    };
    let treasury = |wealth: &mut Wealth, mint: &Address, amount: u64| {
        give(wealth, &whose_treasury(world, mint), mint, amount);
    };
    match account {
        Account::Seat(seat) => {
            let mint = world.model(&seat.model).bond_mint;
            give(wealth, &seat.oracle, &mint, seat.bonded);
            rent(wealth, &seat.oracle, &[]);
        }
        Account::Receipt(receipt) => {
            let model = world.model(&receipt.model);
            let bond = match receipt.state.into() {
                ReceiptState::Challenged => model.challenge_bond,
                _ => receipt.challenger_credit,
            };
            give(wealth, &receipt.challenger, &model.bond_mint, bond);
            treasury(wealth, &model.bond_mint, receipt.treasury_credit);
            rent(wealth, &receipt.payer, &[]);
        }
        Account::Market(market) => {
            give(wealth, &market.creator, &market.mint, market.creator_credit);
            treasury(wealth, &market.mint, market.protocol_credit);
            rent(wealth, &market.creator, &[market.vault]);
        }
        Account::Position(position) => {
            let mut market = world.market(&position.market);
            let worth = if market.state == MarketState::Open {
                position.total()
            } else {
                market.claim(position).expect("a payout")
            };
            give(wealth, &position.owner, &market.mint, worth);
            rent(wealth, &position.owner, &[]);
        }
        Account::Vault(vault) => {
            let mut vault = vault.clone();
            vault.accrue(world.now());
            give(wealth, &vault.manager, &vault.mint, vault.manager_credit);
            treasury(wealth, &vault.mint, vault.protocol_credit);
            rent(wealth, &vault.manager, &[vault.tokens, vault.escrow]);
        }
        Account::Exposure(exposure) => {
            let manager = world.vault(&exposure.vault).manager;
            rent(wealth, &manager, &[]);
        }
        Account::WithdrawRequest(request) => {
            let mut vault = world.vault(&request.vault);
            vault.accrue(world.now());
            let worth = request.value.min(vault.worth(request.shares));
            give(wealth, &request.owner, &vault.mint, worth);
            rent(wealth, &request.owner, &[]);
        }
        Account::Policy(policy) => {
            give(wealth, &policy.holder, at, policy.open_cover());
            rent(wealth, &policy.holder, &[]);
        }
        Account::Config(_) | Account::Collateral(_) | Account::Model(_) => {}
    }
}
