//! All actions: what each is about, its inputs, and the transaction that it builds.

use driftshield_sdk::{Address, Collateral, Market, Model, Policy, Vault, address, rpc::CLOCK};

use super::{
    card::{ActionCard, ActionOption, ActionParameter},
    input::Input,
};
use crate::{
    problem::Problem,
    state::AppState,
    transactions::{TransactionReply, View, markets, models, policies, vaults},
    values::scaled,
};

/// Decimals of a drift and of a price.
const DRIFT_DECIMALS: u8 = 6;
const PRICE_DECIMALS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Bet,
    Sell,
    Buy,
    Resolve,
    Claim,
    Deposit,
    Withdraw,
    Cover,
    ClaimCover,
    RenewCover,
    CancelCover,
    Fund,
    Collect,
}

impl Action {
    const ALL: [Self; 13] = [
        Self::Bet,
        Self::Sell,
        Self::Buy,
        Self::Resolve,
        Self::Claim,
        Self::Deposit,
        Self::Withdraw,
        Self::Cover,
        Self::ClaimCover,
        Self::RenewCover,
        Self::CancelCover,
        Self::Fund,
        Self::Collect,
    ];

    /// The action with this name in its URL.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bet => "bet",
            Self::Sell => "sell",
            Self::Buy => "buy",
            Self::Resolve => "resolve",
            Self::Claim => "claim",
            Self::Deposit => "deposit",
            Self::Withdraw => "withdraw",
            Self::Cover => "cover",
            Self::ClaimCover => "claim-cover",
            Self::RenewCover => "renew-cover",
            Self::CancelCover => "cancel-cover",
            Self::Fund => "fund",
            Self::Collect => "collect",
        }
    }

    /// Name of the input with the account that the action is about.
    fn subject(self) -> &'static str {
        match self {
            Self::Bet | Self::Sell | Self::Buy | Self::Resolve | Self::Claim => "market",
            Self::Deposit | Self::Withdraw | Self::Cover => "vault",
            Self::ClaimCover | Self::RenewCover | Self::CancelCover => "policy",
            Self::Fund => "model",
            Self::Collect => "oracle",
        }
    }

    /// Text of the button.
    fn label(self) -> &'static str {
        match self {
            Self::Bet => "Place bet",
            Self::Sell => "Offer stake for sale",
            Self::Buy => "Buy stake",
            Self::Resolve => "Settle windows",
            Self::Claim => "Claim payout",
            Self::Deposit => "Deposit tokens",
            Self::Withdraw => "Withdraw capital",
            Self::Cover => "Buy cover",
            Self::ClaimCover => "Claim cover",
            Self::RenewCover => "Renew cover",
            Self::CancelCover => "Cancel cover",
            Self::Fund => "Fund oracles",
            Self::Collect => "Collect reward",
        }
    }

    /// The decimal inputs: name, the endpoint's field, and decimals unless those of the token.
    fn decimal_inputs(self) -> &'static [(&'static str, &'static str, Option<u8>)] {
        match self {
            Self::Bet | Self::Buy | Self::Deposit | Self::Fund => &[("tokens", "amount", None)],
            Self::Sell => &[
                ("tokens", "amount", None),
                ("payment", "price", Some(PRICE_DECIMALS)),
            ],
            Self::Cover => &[
                ("tokens", "cover", None),
                ("drift", "trigger", Some(DRIFT_DECIMALS)),
            ],
            _ => &[],
        }
    }

    /// Builds the transaction, by the function of its endpoint.
    pub async fn build(
        self,
        mut view: View,
        app: &AppState,
        mut input: Input,
    ) -> Result<TransactionReply, Problem> {
        let key = input.take_key(self.subject())?;
        self.scale(&mut view, key, &mut input).await?;
        match self {
            Self::Bet => markets::bet(view, key, input.parse()?).await,
            Self::Sell => markets::set_ask(view, key, input.parse()?).await,
            Self::Buy => markets::buy(view, app, key, input.parse()?).await,
            Self::Resolve => markets::resolve(view, key, input.parse()?).await,
            Self::Claim => markets::claim(view, key, input.parse()?).await,
            Self::Deposit => vaults::deposit(view, key, input.parse()?).await,
            Self::Withdraw => vaults::withdraw(view, key, input.parse()?).await,
            Self::Cover => {
                input.set("vault", key.to_string());
                policies::buy(view, input.parse()?).await
            }
            Self::ClaimCover => policies::claim(view, key, input.parse()?).await,
            Self::RenewCover => policies::renew(view, key, input.parse()?).await,
            Self::CancelCover => policies::cancel(view, key, input.parse()?).await,
            Self::Fund => models::fund(view, key, input.parse()?).await,
            Self::Collect => models::collect(view, key, input.parse()?).await,
        }
    }

    /// Replaces decimal numbers by the integers of the endpoint.
    async fn scale(self, view: &mut View, key: Address, input: &mut Input) -> Result<(), Problem> {
        for &(from, to, decimals) in self.decimal_inputs() {
            if !input.contains(from) {
                continue;
            }
            let decimals = match decimals {
                Some(decimals) => decimals,
                None => self.token_decimals(view, key).await?,
            };
            input.scale(from, to, decimals)?;
        }
        Ok(())
    }

    async fn token_decimals(self, view: &mut View, key: Address) -> Result<u8, Problem> {
        let accounts = view.accounts(&[key]).await?;
        Ok(match self.subject() {
            "market" => accounts.get::<Market>(&key)?.decimals,
            "vault" => accounts.get::<Vault>(&key)?.decimals,
            _ => {
                let model: Model = accounts.get(&key)?;
                let collateral = address::collateral(&model.bond_mint);
                let accounts = view.accounts(&[collateral]).await?;
                accounts.get::<Collateral>(&collateral)?.decimals
            }
        })
    }

    /// Describes the action. Inputs that are given already are not asked for.
    pub async fn card(self, view: &mut View, input: &mut Input) -> Result<ActionCard, Problem> {
        let key = input.take_key(self.subject())?;
        let accounts = view.accounts(&[key, CLOCK]).await?;
        let (card, parameters) = match self.subject() {
            "market" => self.market_card(&accounts.get(&key)?, accounts.unix_timestamp()?),
            "vault" => self.vault_card(&key, &accounts.get(&key)?),
            "policy" => self.policy_card(&key, &accounts.get(&key)?),
            "model" => self.model_card(&accounts.get(&key)?),
            _ => self.oracle_card(&key),
        };
        let url = format!(
            "/api/v1/actions/{}?{}={key}{}",
            self.name(),
            self.subject(),
            input.query()
        );
        let missing = parameters
            .into_iter()
            .filter(|parameter| !input.contains(parameter.name))
            .collect();
        Ok(card.with_parameters(&url, missing))
    }

    fn market_card(self, market: &Market, now: i64) -> (ActionCard, Vec<ActionParameter>) {
        let question = text(&market.question);
        let outcomes = || ActionParameter::choice("outcome", "Drift", outcome_options(market));
        let tokens = |label| ActionParameter::number("tokens", label);
        let (description, parameters) = match self {
            Self::Bet => (
                "Stakes tokens on an interval of the model's drift. Winners share the losing stakes.",
                vec![outcomes(), tokens("Stake in tokens")],
            ),
            Self::Sell => (
                "Offers a part of your stake to other bettors, until the next report on the model.",
                vec![
                    outcomes(),
                    tokens("Stake to sell, in tokens"),
                    ActionParameter::number("payment", "Tokens for each staked token"),
                ],
            ),
            Self::Buy => (
                "Buys a part of another bettor's stake, from the cheapest offer.",
                vec![outcomes(), tokens("Stake to buy, in tokens")],
            ),
            Self::Resolve => (
                "Settles the windows of the market that are decided. Anyone can do so.",
                vec![],
            ),
            _ => ("Pays your position in the settled market.", vec![]),
        };
        let is_claim = self == Self::Claim;
        let reason = if is_claim {
            (!market.is_settled()).then_some("the market is not settled yet")
        } else if market.is_settled() {
            Some("the market is settled")
        } else {
            let is_closed = self == Self::Bet && market.close_ts <= now;
            is_closed.then_some("betting has closed")
        };
        let card = ActionCard::new(self.label(), question, description.to_owned());
        (card.unless(reason), parameters)
    }

    fn vault_card(self, key: &Address, vault: &Vault) -> (ActionCard, Vec<ActionParameter>) {
        let (description, parameters) = match self {
            Self::Deposit => (
                "Deposits tokens for shares of the vault. Shares earn premiums and bear claims."
                    .to_owned(),
                vec![ActionParameter::number("tokens", "Deposit in tokens")],
            ),
            Self::Withdraw => (
                format!(
                    "Requests the withdrawal of your shares, or withdraws what you requested once its \
                     cooldown of {} hours is over.",
                    vault.cooldown_secs.unsigned_abs().div_ceil(3_600)
                ),
                vec![],
            ),
            _ => (
                "Buys cover that pays if the model's drift reaches a trigger.".to_owned(),
                vec![
                    ActionParameter::text("model", "Address of the model"),
                    ActionParameter::number("tokens", "Cover in tokens"),
                    ActionParameter::number("drift", "Drift that triggers a payment"),
                    ActionParameter::number("windows", "Number of covered windows"),
                ],
            ),
        };
        let title = format!("Vault {key}");
        (
            ActionCard::new(self.label(), title, description),
            parameters,
        )
    }

    fn policy_card(self, key: &Address, policy: &Policy) -> (ActionCard, Vec<ActionParameter>) {
        let purpose = match self {
            Self::ClaimCover => "Pays what the policy owes to its holder.",
            Self::RenewCover => "Extends the policy by another term.",
            _ => "Ends the policy and refunds the unused premium, less a fee.",
        };
        let description = format!(
            "{purpose} It pays from a drift of {} on, up to window {}.",
            scaled(policy.trigger.into(), DRIFT_DECIMALS),
            policy.last_window
        );
        let title = format!("Policy {key}");
        (ActionCard::new(self.label(), title, description), vec![])
    }

    fn model_card(self, model: &Model) -> (ActionCard, Vec<ActionParameter>) {
        let title = format!("Oracles of {}", text(&model.name));
        let description = "Adds to the pay of the model's oracles until a time.".to_owned();
        let parameters = vec![
            ActionParameter::number("tokens", "Payment in tokens"),
            ActionParameter::text("until", "End, such as 2027-06-01T00:00:00Z"),
        ];
        (
            ActionCard::new(self.label(), title, description),
            parameters,
        )
    }

    fn oracle_card(self, key: &Address) -> (ActionCard, Vec<ActionParameter>) {
        let description = "Pays the oracle's reward on a model to the oracle.".to_owned();
        let parameters = vec![ActionParameter::text("model", "Address of the model")];
        let title = format!("Oracle {key}");
        (
            ActionCard::new(self.label(), title, description),
            parameters,
        )
    }
}

/// Each outcome: its index, and the drift that it stands for.
fn outcome_options(market: &Market) -> Vec<ActionOption> {
    let thresholds = &market.thresholds[..usize::from(market.threshold_count)];
    let drift = |value: &u64| scaled((*value).into(), DRIFT_DECIMALS);
    let label = |outcome: usize| {
        let below = outcome
            .checked_sub(1)
            .and_then(|index| thresholds.get(index));
        match (below, thresholds.get(outcome)) {
            (Some(from), Some(to)) => format!("{} up to {}", drift(from), drift(to)),
            (None, Some(to)) => format!("Under {}", drift(to)),
            (Some(from), None) => format!("{} or more", drift(from)),
            (None, None) => "Any".to_owned(),
        }
    };
    let options = (0..market.outcomes()).map(|outcome| ActionOption {
        label: label(outcome),
        value: outcome.to_string(),
    });
    options.collect()
}

/// A text that the program pads with zeros.
fn text(padded: &[u8]) -> String {
    let text = String::from_utf8_lossy(padded);
    text.trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{Account, AccountKind, MarketState};

    use super::*;

    fn market(state: MarketState) -> Market {
        let Account::Market(zeroed) = Account::zeroed(AccountKind::Market) else {
            panic!("another kind of account");
        };
        let mut market = *zeroed;
        market.state = state.into();
        market.close_ts = 100;
        (market.threshold_count, market.thresholds[0]) = (2, 200_000);
        market.thresholds[1] = 500_000;
        market
    }

    #[test]
    fn labels_are_short_and_begin_with_a_verb() {
        let verbs = [
            "Place", "Offer", "Buy", "Settle", "Claim", "Deposit", "Withdraw", "Renew", "Cancel",
            "Fund", "Collect",
        ];
        for action in Action::ALL {
            let words: Vec<_> = action.label().split(' ').collect();
            assert!(words.len() <= 5, "{action:?}");
            assert!(verbs.contains(&words[0]), "{action:?}");
            assert_eq!(Action::from_name(action.name()), Some(action));
        }
    }

    #[test]
    fn a_settled_market_takes_no_bets_and_only_it_pays_claims() {
        let disabled = |action: Action, state, now| {
            let (card, _) = action.market_card(&market(state), now);
            card.disabled
        };
        assert!(!disabled(Action::Bet, MarketState::Open, 99));
        assert!(disabled(Action::Bet, MarketState::Open, 100));
        assert!(!disabled(Action::Sell, MarketState::Open, 100));
        for action in [Action::Bet, Action::Sell, Action::Buy, Action::Resolve] {
            assert!(disabled(action, MarketState::Resolved, 99), "{action:?}");
        }
        assert!(disabled(Action::Claim, MarketState::Open, 99));
        assert!(!disabled(Action::Claim, MarketState::Void, 99));
    }

    #[test]
    fn outcomes_are_named_by_their_drift() {
        let options = outcome_options(&market(MarketState::Open));
        let labels: Vec<_> = options.iter().map(|option| &option.label[..]).collect();
        assert_eq!(labels, ["Under 0.2", "0.2 up to 0.5", "0.5 or more"]);
    }
}
