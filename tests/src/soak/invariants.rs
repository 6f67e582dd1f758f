//! What must always hold, told of the books; the chain was found to agree with them.

use std::collections::{BTreeMap, BTreeSet};

use driftshield_sdk::{Address, address};

use super::{
    books::{Amount, Books, Fraction, Tokens, VIRTUAL_ASSETS, VIRTUAL_SHARES, Vault},
    call::Call,
    run::{Checked, hold},
};

/// Of every state.
pub fn of_state(books: &Books) -> Checked {
    // Each of the program's token accounts holds what is owed, and what was given to it.
    for tokens in books.tokens.values().filter(|tokens| tokens.is_programs) {
        let Some(owed) = owed(books, tokens) else {
            continue; // a treasury owes nobody
        };
        hold(tokens.amount == owed + tokens.donated, || {
            let (donated, holds) = (tokens.donated, tokens.amount);
            format!(
                "{} owes {owed}, was given {donated}, and holds {holds}",
                tokens.owner
            )
        })?;
    }
    for (at, vault) in &books.vaults {
        let (locked, requested) = (books.locked(at), books.escrowed(at));
        hold(locked <= vault.assets, || {
            format!("{locked} locked of {} of capital", vault.assets)
        })?;
        hold(requested <= vault.shares, || {
            "more is asked back than there is".into()
        })?;
    }
    // Tokens are neither made nor lost.
    let mut sums: BTreeMap<Address, Amount> =
        books.supplies.keys().map(|mint| (*mint, 0)).collect();
    for tokens in books.tokens.values() {
        *sums.entry(tokens.mint).or_default() += tokens.amount;
    }
    hold(sums == books.supplies, || {
        format!("all accounts hold {sums:?} of {:?}", books.supplies)
    })
}

/// What one of the program's token accounts owes, by whose it is.
fn owed(books: &Books, tokens: &Tokens) -> Option<Amount> {
    let owner = &tokens.owner;
    if books.models.contains_key(owner) {
        return Some(books.held(owner));
    }
    if let Some(market) = books.markets.get(owner) {
        return Some(market.owed());
    }
    let vault = books.vaults.get(owner)?;
    let is_capital = tokens.mint == vault.mint;
    Some(if is_capital {
        vault.owed()
    } else {
        books.escrowed(owner)
    })
}

/// Of every step.
pub fn of_step(before: &Books, after: &Books, call: &Call) -> Checked {
    let is_claim = matches!(call, Call::ClaimPolicy { .. });
    for (at, vault) in &after.vaults {
        let Some(was) = before.vaults.get(at) else {
            continue;
        };
        let both = 0 < was.shares && 0 < vault.shares;
        hold(is_claim || !both || price_holds(was, vault), || {
            format!("a share's price fell: {was:?} {vault:?}")
        })?;
    }
    match call {
        Call::Deposit { who, vault, .. }
        | Call::RequestWithdraw { who, vault, .. }
        | Call::CancelWithdraw { who, vault, .. }
        | Call::Withdraw {
            owner: who, vault, ..
        } => providers_gain_nothing(before, after, who, vault),
        _ => Ok(()),
    }
}

fn price_holds(before: &Vault, after: &Vault) -> bool {
    let assets = |vault: &Vault| vault.assets + VIRTUAL_ASSETS;
    let shares = |vault: &Vault| vault.shares + VIRTUAL_SHARES;
    // Both products are below 2¹²⁸: each factor is about 2⁶⁴ at most.
    let [old, new] = [(before, after), (after, before)]
        .map(|(of, other)| Fraction::new(assets(of), 1).times(shares(other)));
    old.is_at_most(&new)
}

/// By no deposit and no withdrawal do all providers together have more than before, at the price of
/// shares then and now. As nobody's share loses by it, no group has that the actor is in.
fn providers_gain_nothing(
    before: &Books,
    after: &Books,
    who: &Address,
    vault_at: &Address,
) -> Checked {
    let mut was = before.vaults[vault_at].clone();
    was.accrue(after.now); // what had been earned until then
    let is = &after.vaults[vault_at];
    let mint = was.mint;
    let tokens = |books: &Books| -> Amount {
        let all = books.tokens.values();
        all.filter(|tokens| tokens.mint == mint && !tokens.is_programs)
            .map(|tokens| tokens.amount)
            .sum()
    };
    let worth = |vault: &Vault| {
        let price = Fraction::new(vault.assets + VIRTUAL_ASSETS, vault.shares + VIRTUAL_SHARES);
        price.times(vault.shares)
    };
    let had = Fraction::whole(tokens(before)).plus(&worth(&was));
    let has = Fraction::whole(tokens(after)).plus(&worth(is));
    hold(has.is_at_most(&had), || {
        format!("{who} gained by moving its own money: {was:?} {is:?}")
    })
}

/// Whoever didn't sign has lost nothing, unless it had delegated that.
pub fn of_owners(
    before: &BTreeMap<Address, Tokens>,
    after: &BTreeMap<Address, Tokens>,
    signers: &BTreeSet<Address>,
    call: &Call,
    programs: impl Fn(&Address) -> bool,
) -> Checked {
    for (at, was) in before {
        let left = after.get(at).map_or(0, |tokens| tokens.amount);
        if was.amount <= left || programs(at) || signers.contains(&was.owner) {
            continue;
        }
        let renews = matches!(call, Call::RenewPolicy { signed: false, .. });
        let renewal = address::renewal_authority(&was.owner);
        let delegated = was
            .delegate
            .is_some_and(|(delegate, most)| delegate == renewal && was.amount - left <= most);
        hold(renews && delegated, || {
            format!(
                "{} lost {} and signed nothing",
                was.owner,
                was.amount - left
            )
        })?;
    }
    Ok(())
}
