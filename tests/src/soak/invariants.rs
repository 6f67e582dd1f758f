//! Invariants of the protocol, checked on the books, which equal the chain after each step.

use std::collections::{BTreeMap, BTreeSet};

use driftshield_sdk::{Address, address};

use super::{
    books::{Amount, Books, Fraction, Tokens, VIRTUAL_ASSETS, VIRTUAL_SHARES, Vault},
    call::Call,
    step::{Checked, ensure},
};

/// Checks a state: solvency of the program's token accounts, the limits of vaults, and conservation of
/// tokens.
pub fn check_state(books: &Books) -> Checked {
    // Each token account of the program holds what it owes plus donations.
    for tokens in books
        .tokens
        .values()
        .filter(|tokens| tokens.owned_by_program)
    {
        let Some(owed) = owed(books, tokens) else {
            continue; // a treasury owes nothing
        };
        ensure(tokens.amount == owed + tokens.donated, || {
            let (donated, holds) = (tokens.donated, tokens.amount);
            format!(
                "the token account of {} owes {owed} and got {donated} of donations, but holds {holds}",
                tokens.owner
            )
        })?;
    }
    for (address, vault) in &books.vaults {
        let (locked, reserved) = (books.locked(address), books.reserved(address));
        ensure(locked <= vault.assets, || {
            format!("{locked} of {} assets are locked", vault.assets)
        })?;
        ensure(reserved <= vault.shares, || {
            let shares = vault.shares;
            format!("{reserved} of {shares} shares are reserved")
        })?;
        let requests = books.requests_of(address);
        let requested: Amount = requests.map(|request| vault.requested(request)).sum();
        ensure(
            requested <= vault.leaving && vault.leaving <= vault.assets,
            || {
                let (leaving, assets) = (vault.leaving, vault.assets);
                format!("requests are worth {requested}, {leaving} of {assets} leave")
            },
        )?;
        ensure(vault.seasoned <= vault.assets, || {
            format!("{} of {} are seasoned", vault.seasoned, vault.assets)
        })?;
    }
    // Sales move stakes between positions, and create none.
    for (address, market) in &books.markets {
        let mut sums = vec![0; market.pools.len()];
        for position in books.positions_of(address) {
            for (outcome, stake) in position.stakes.iter().enumerate() {
                sums[outcome] += stake;
                let asked = position.asks.get(&outcome).map_or(0, |ask| ask.amount);
                ensure(Amount::from(asked) <= *stake, || {
                    format!("{asked} of a stake of {stake} are for sale")
                })?;
            }
        }
        ensure(market.end.is_some() || sums == market.pools, || {
            format!("stakes add up to {sums:?}, pools are {:?}", market.pools)
        })?;
    }
    // The balances of each mint add up to its supply.
    let mut sums: BTreeMap<Address, Amount> =
        books.supplies.keys().map(|mint| (*mint, 0)).collect();
    for tokens in books.tokens.values() {
        *sums.entry(tokens.mint).or_default() += tokens.amount;
    }
    ensure(sums == books.supplies, || {
        format!(
            "balances add up to {sums:?}, supplies are {:?}",
            books.supplies
        )
    })
}

/// The amount that a token account of the program owes, which depends on its owner; `None` for a treasury.
fn owed(books: &Books, tokens: &Tokens) -> Option<Amount> {
    let owner = &tokens.owner;
    if books.models.contains_key(owner) {
        return Some(books.held(owner));
    }
    if let Some(market) = books.markets.get(owner) {
        return Some(market.owed());
    }
    books.vaults.get(owner)?;
    Some(books.owed_by_vault(owner))
}

/// Checks an accepted call: only what is set aside for a policy lowers the price of a
/// share or the value of a request, at once or when the loss is due, and no deposit or withdrawal is a gain for the providers.
pub fn check_step(before: &Books, after: &Books, call: &Call) -> Checked {
    let is_payout = matches!(
        call,
        Call::ExpirePolicy { .. } | Call::BeginPolicy { .. } | Call::ExaminePolicy { .. }
    );
    for (address, vault) in &after.vaults {
        let Some(was) = before.vaults.get(address) else {
            continue;
        };
        let mut due = was.clone();
        due.accrue(vault.accrued_at, before.is_covered(address));
        let was = &due;
        let both = 0 < was.shares && 0 < vault.shares; // the price starts over in a vault without shares
        let fell = || !share_price(was).is_at_most(&share_price(vault));
        ensure(is_payout || !both || !fell(), || {
            format!("the price of a share fell: {was:?} {vault:?}")
        })?;
        let kept = was.index == vault.index && was.scale == vault.scale;
        ensure(is_payout || kept, || {
            format!("requests lost value: {was:?} {vault:?}")
        })?;
    }
    match call {
        Call::Deposit { vault, .. }
        | Call::RequestWithdraw { vault, .. }
        | Call::CancelWithdraw { vault, .. }
        | Call::Withdraw { vault, .. } => check_no_gain(before, after, vault),
        _ => Ok(()),
    }
}

fn share_price(vault: &Vault) -> Fraction {
    let staying = vault.staying() + VIRTUAL_ASSETS;
    Fraction::new(staying, vault.shares + VIRTUAL_SHARES)
}

/// Checks that a deposit or withdrawal does not increase the wealth of all providers together: their
/// tokens, what they requested, and their shares at the price before and after. [`check_step`] also
/// checks that the price does not fall: the other providers lose nothing, so the caller gains nothing.
fn check_no_gain(before: &Books, after: &Books, vault_at: &Address) -> Checked {
    let mut vault_before = before.vaults[vault_at].clone();
    vault_before.accrue(after.now, before.is_covered(vault_at)); // premium earned before the call is no gain from it
    let vault_after = &after.vaults[vault_at];
    let mint = vault_before.mint;
    let tokens = |books: &Books| -> Amount {
        let all = books.tokens.values();
        all.filter(|tokens| tokens.mint == mint && !tokens.owned_by_program)
            .map(|tokens| tokens.amount)
            .sum()
    };
    let worth = |vault: &Vault| {
        let requested = Fraction::whole(vault.leaving);
        share_price(vault).times(vault.shares).plus(&requested)
    };
    let wealth_before = Fraction::whole(tokens(before)).plus(&worth(&vault_before));
    let wealth_after = Fraction::whole(tokens(after)).plus(&worth(vault_after));
    ensure(wealth_after.is_at_most(&wealth_before), || {
        format!(
            "the providers gained by a deposit or a withdrawal: {vault_before:?} {vault_after:?}"
        )
    })
}

/// Checks that owners lose tokens only if they sign, or to a renewal within the amount that they have
/// delegated.
pub fn check_losses(
    before: &BTreeMap<Address, Tokens>,
    after: &BTreeMap<Address, Tokens>,
    signers: &BTreeSet<Address>,
    call: &Call,
    belongs_to_program: impl Fn(&Address) -> bool,
) -> Checked {
    for (address, was) in before {
        let left = after.get(address).map_or(0, |tokens| tokens.amount);
        if was.amount <= left || belongs_to_program(address) || signers.contains(&was.owner) {
            continue;
        }
        let renews = matches!(call, Call::RenewPolicy { signed: false, .. });
        let renewal = address::renewal_authority(&was.owner);
        let delegated = was
            .delegate
            .is_some_and(|(delegate, most)| delegate == renewal && was.amount - left <= most);
        ensure(renews && delegated, || {
            format!("{} lost {} without signing", was.owner, was.amount - left)
        })?;
    }
    Ok(())
}
