//! Calls of the token programs and the system program.

use driftshield_sdk::{Address, address};

use super::Generator;
use crate::soak::{call::Call, step::Step};

impl Generator<'_> {
    pub(super) fn donate(&mut self) -> Option<Call> {
        let programs: Vec<(Address, Address)> = self
            .books
            .tokens
            .iter()
            .filter(|(_, tokens)| tokens.owned_by_program)
            .map(|(at, tokens)| (*at, tokens.mint))
            .collect();
        let (destination, mint) = self.pick(&programs)?;
        let share = self
            .share_holdings()
            .into_iter()
            .find(|(_, vault, _)| address::share_mint(vault) == mint);
        let signer = match share {
            Some((owner, _, _)) => owner,
            None => self.actor("stranger"),
        };
        let source = share.map_or_else(|| self.books.own_account(&signer, &mint), |share| share.2);
        let all = self.tokens(&source);
        self.books.tokens.get(&source)?;
        Some(Call::Send {
            signer,
            source,
            destination,
            amount: self.amount(all / 1_000, all),
        })
    }

    pub(super) fn burn_shares(&mut self) -> Option<Call> {
        let holdings = self.share_holdings();
        let (signer, _, source) = self.pick(&holdings)?;
        let all = self.tokens(&source);
        Some(Call::Burn {
            signer,
            source,
            amount: self.amount(all / 10, all),
        })
    }

    /// Sends shares from one provider to another. Creates the share account of the other first if necessary.
    pub(super) fn move_shares(&mut self) -> Vec<Step> {
        let holdings = self.share_holdings();
        let Some((signer, vault, source)) = self.pick(&holdings) else {
            return vec![];
        };
        let to = self.actor("provider");
        let destination = self.books.share_account(&to, &vault);
        let all = self.tokens(&source);
        let mut steps = Vec::new();
        if !self.books.tokens.contains_key(&destination) {
            steps.push(Step::Call(Call::OpenShares { signer: to, vault }));
        }
        steps.push(Step::Call(Call::Send {
            signer,
            source,
            destination,
            amount: self.amount(all, all),
        }));
        steps
    }

    pub(super) fn approve(&mut self) -> Option<Call> {
        let signer = self.actor("holder");
        let tokens = self.driver.actors.tokens;
        let token = self.pick(&tokens[..2])?;
        Some(Call::Approve {
            signer,
            source: self.books.own_account(&signer, &token.mint),
            amount: self.amount(token.wealth, token.wealth.into()),
        })
    }

    pub(super) fn revoke(&mut self) -> Option<Call> {
        let signer = self.actor("holder");
        let tokens = self.driver.actors.tokens;
        let token = self.pick(&tokens[..2])?;
        Some(Call::Revoke {
            signer,
            source: self.books.own_account(&signer, &token.mint),
        })
    }

    /// Transfers the ownership of a creditor's token account to another actor, or returns an account that
    /// was transferred before.
    pub(super) fn give_away(&mut self) -> Option<Call> {
        let books = self.books;
        let tokens = self.driver.actors.tokens;
        let given: Vec<(Address, Address, Address)> = self
            .driver
            .actors
            .addresses()
            .into_iter()
            .flat_map(|actor| tokens.map(|token| (actor, books.own_account(&actor, &token.mint))))
            .map(|(actor, account)| (actor, account, books.tokens[&account].owner))
            .filter(|(actor, _, owner)| actor != owner)
            .collect();
        if !given.is_empty() && self.chance(60) {
            let (to, account, signer) = self.pick(&given)?;
            return Some(Call::GiveAway {
                signer,
                account,
                to,
            });
        }
        let positions = books.positions.values();
        let bettors =
            positions.map(|position| (position.owner, books.markets[&position.market].mint));
        let policies = books.policies.values();
        let holders = policies.map(|policy| (policy.holder, books.vaults[&policy.vault].mint));
        let requests = books.requests.values();
        let leavers = requests.map(|request| (request.owner, books.vaults[&request.vault].mint));
        let owed: Vec<(Address, Address)> = bettors.chain(holders).chain(leavers).collect();
        let (signer, mint) = self.pick(&owed)?;
        Some(Call::GiveAway {
            signer: self.usually(signer),
            account: books.own_account(&signer, &mint),
            to: self.actor("stranger"),
        })
    }

    /// Sends lamports to an address at which the program may create an account later.
    pub(super) fn send_lamports(&mut self) -> Option<Call> {
        let (owner, creator) = (self.actor("owner"), self.actor("creator"));
        let (manager, bettor) = (self.actor("manager"), self.actor("bettor"));
        let id = self.up_to(5);
        let market = self
            .books
            .markets
            .keys()
            .next()
            .copied()
            .unwrap_or_default();
        let model = self.books.models.keys().next().copied().unwrap_or_default();
        let addresses = [
            address::model(&owner, id),
            address::bond_vault(&address::model(&owner, id)),
            address::market(&creator, id),
            address::market_vault(&address::market(&creator, id)),
            address::vault(&manager, id),
            address::share_mint(&address::vault(&manager, id)),
            address::position(&market, &bettor),
            address::receipt(&model, 100 + self.up_to(200)),
        ];
        let to = self.pick(&addresses)?;
        Some(Call::SendLamports { to })
    }
}
