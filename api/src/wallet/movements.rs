//! What an event moves for a wallet: tokens in and out, and the profit that this realises.

use driftshield_sdk::{Address, ChallengePayee, Event, FeePayee, PremiumPayee, RewardPayee};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why tokens moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MovementKind {
    /// A bet: the stake and its security rent.
    Bet,
    /// A stake that was bought from another bettor.
    StakeBought,
    /// A stake that was sold to another bettor.
    StakeSold,
    /// The payout of a position, or its refund if the market is void.
    Claim,
    /// The creator's fee of a market.
    CreatorFee,
    /// A deposit of capital to a vault.
    Deposit,
    /// A payment of a withdrawal request.
    Withdrawal,
    /// The manager's part of premiums.
    ManagerFee,
    /// The premium of a purchase or renewal of cover, and its security rent.
    Premium,
    /// A payment of a policy.
    CoverPayment,
    /// A refund of premiums.
    PremiumRefund,
    /// An addition to an oracle's bond.
    Bond,
    /// A bond, or a part of one, that was paid back.
    BondWithdrawal,
    /// An oracle's reward.
    Reward,
    /// An addition to the pay of a model's oracles.
    OraclePay,
    /// The bond of a challenge.
    Challenge,
    /// The credit of a challenge: the bond, and a reward.
    ChallengeCredit,
}

impl MovementKind {
    /// Its name in JSON and in statements.
    pub fn name(self) -> String {
        let name = serde_json::to_value(self).unwrap_or_default();
        name.as_str().unwrap_or_default().to_owned()
    }
}

/// What a movement realises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profit {
    /// Nothing: what was paid is still owned, or is still to be compared with what comes back.
    None,
    /// This amount.
    Of(i128),
    /// The payout less the stakes of a claimed position, whose address this is.
    OverStakes(Address),
    /// The payment less the average cost of what was withdrawn.
    OverShares,
}

/// Tokens that moved between a wallet and the program, or another wallet. Amounts are in base units of the token of
/// `account`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    pub kind: MovementKind,
    /// The market, vault or model.
    pub account: Address,
    pub incoming: u64,
    /// Without `fee`.
    pub outgoing: u64,
    /// Security rent, paid in addition.
    pub fee: u64,
    pub profit: Profit,
}

impl Moved {
    fn incoming(kind: MovementKind, account: Address, amount: u64, profit: Profit) -> Self {
        Self {
            kind,
            account,
            incoming: amount,
            outgoing: 0,
            fee: 0,
            profit,
        }
    }

    fn outgoing(kind: MovementKind, account: Address, amount: u64, profit: Profit) -> Self {
        Self {
            kind,
            account,
            incoming: 0,
            outgoing: amount,
            fee: 0,
            profit,
        }
    }

    fn with_fee(self, fee: u64) -> Self {
        Self { fee, ..self }
    }

    fn is_empty(&self) -> bool {
        (self.incoming, self.outgoing, self.fee) == (0, 0, 0)
    }
}

/// What `event` moved for `wallet`, which has these roles in it. Movements of nothing are left out, except for a
/// claim, which realises a loss.
pub fn moved(event: &Event, wallet: &Address, roles: &[String]) -> Vec<Moved> {
    let has_role = |role: &str| roles.iter().any(|own| own == role);
    let all = of_markets(event, wallet, &has_role)
        .or_else(|| of_cover(event, &has_role))
        .or_else(|| of_oracles(event, &has_role))
        .unwrap_or_default();
    let counts = |moved: &Moved| !moved.is_empty() || moved.kind == MovementKind::Claim;
    all.into_iter().filter(counts).collect()
}

/// A cost that is realised when it is paid.
fn cost(amount: u64) -> Profit {
    Profit::Of(-i128::from(amount))
}

/// Income that is realised when it is received.
fn income(amount: u64) -> Profit {
    Profit::Of(amount.into())
}

fn of_markets(
    event: &Event,
    wallet: &Address,
    has_role: &impl Fn(&str) -> bool,
) -> Option<Vec<Moved>> {
    use MovementKind::{Bet, Claim, CreatorFee, StakeBought, StakeSold};
    Some(match event {
        Event::BetPlaced(e) if e.owner == *wallet => {
            vec![Moved::outgoing(Bet, e.market, e.amount, Profit::None).with_fee(e.rent)]
        }
        Event::PositionBought(e) => {
            let gain = i128::from(e.amount) - i128::from(e.paid);
            let mut moved = vec![];
            if e.buyer == *wallet {
                let profit = Profit::Of(gain);
                moved.push(Moved::outgoing(StakeBought, e.market, e.paid, profit));
            }
            if e.seller == *wallet {
                let profit = Profit::Of(-gain);
                moved.push(Moved::incoming(StakeSold, e.market, e.paid, profit));
            }
            moved
        }
        Event::Claimed(e) if e.owner == *wallet => {
            let profit = Profit::OverStakes(e.position);
            vec![Moved::incoming(Claim, e.market, e.paid, profit)]
        }
        Event::FeesCollected(e) if e.payee == FeePayee::Creator && has_role("creator") => {
            vec![Moved::incoming(
                CreatorFee,
                e.market,
                e.amount,
                income(e.amount),
            )]
        }
        _ => return None,
    })
}

fn of_cover(event: &Event, has_role: &impl Fn(&str) -> bool) -> Option<Vec<Moved>> {
    use MovementKind::{CoverPayment, Deposit, ManagerFee, Premium, PremiumRefund, Withdrawal};
    let premium = |vault, premium, rent| {
        vec![Moved::outgoing(Premium, vault, premium, cost(premium)).with_fee(rent)]
    };
    let refund = |vault, refund| Moved::incoming(PremiumRefund, vault, refund, income(refund));
    Some(match event {
        Event::Deposited(e) if has_role("owner") => {
            vec![Moved::outgoing(Deposit, e.vault, e.amount, Profit::None)]
        }
        Event::Withdrawn(e) if has_role("owner") => {
            let profit = Profit::OverShares;
            vec![Moved::incoming(Withdrawal, e.vault, e.amount, profit)]
        }
        Event::ManagerFeesCollected(e)
            if e.payee == PremiumPayee::Manager && has_role("manager") =>
        {
            vec![Moved::incoming(
                ManagerFee,
                e.vault,
                e.amount,
                income(e.amount),
            )]
        }
        Event::PolicyBought(e) if has_role("holder") => premium(e.vault, e.premium, e.rent),
        Event::PolicyRenewed(e) if has_role("holder") => premium(e.vault, e.premium, e.rent),
        Event::PolicyClaimed(e) if has_role("holder") => vec![
            Moved::incoming(CoverPayment, e.vault, e.amount, income(e.amount)),
            refund(e.vault, e.refund),
        ],
        Event::PolicyBegun(e) if has_role("holder") => vec![refund(e.vault, e.refund)],
        Event::PolicyCancelled(e) if has_role("holder") => vec![refund(e.vault, e.refund)],
        Event::PolicyExpired(e) if has_role("holder") => vec![refund(e.vault, e.refund)],
        _ => return None,
    })
}

fn of_oracles(event: &Event, has_role: &impl Fn(&str) -> bool) -> Option<Vec<Moved>> {
    use MovementKind::{Bond, BondWithdrawal, Challenge, ChallengeCredit, OraclePay, Reward};
    Some(match event {
        Event::Bonded(e) if has_role("oracle") => {
            vec![Moved::outgoing(Bond, e.model, e.amount, Profit::None)]
        }
        Event::BondWithdrawn(e) if has_role("oracle") => {
            vec![Moved::incoming(
                BondWithdrawal,
                e.model,
                e.amount,
                Profit::None,
            )]
        }
        Event::RewardCollected(e) if e.payee == RewardPayee::Oracle && has_role("oracle") => {
            vec![Moved::incoming(Reward, e.model, e.amount, income(e.amount))]
        }
        Event::OraclesFunded(e) if has_role("funder") => {
            vec![Moved::outgoing(
                OraclePay,
                e.model,
                e.amount,
                cost(e.amount),
            )]
        }
        Event::ReceiptChallenged(e) if has_role("challenger") => {
            vec![Moved::outgoing(Challenge, e.model, e.bond, cost(e.bond))]
        }
        Event::ChallengeCollected(e)
            if e.payee == ChallengePayee::Challenger && has_role("challenger") =>
        {
            let profit = income(e.amount);
            vec![Moved::incoming(ChallengeCredit, e.model, e.amount, profit)]
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::events::{Claimed, FeesCollected, PositionBought};

    use super::*;

    fn key(number: u8) -> Address {
        [number; 32].into()
    }

    fn roles(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn sale(seller: Address, buyer: Address) -> Event {
        Event::PositionBought(PositionBought {
            market: key(1),
            market_seq: 3,
            seller_position: key(2),
            seller_position_seq: 2,
            position: key(3),
            position_seq: 1,
            seller,
            buyer,
            destination: key(4),
            outcome: 1,
            amount: 10,
            price: 1_300,
            paid: 13,
            stake: 10,
            seller_stake: 20,
            seller_ask: driftshield_sdk::Ask::default(),
            seller_total: 20,
            positions: 2,
        })
    }

    #[test]
    fn a_sale_realises_what_one_side_gains_and_the_other_loses() {
        let event = sale(key(5), key(6));
        let of = |wallet| moved(&event, &wallet, &roles(&["seller", "buyer"]));
        let [sold] = of(key(5))[..] else { panic!() };
        assert_eq!((sold.incoming, sold.outgoing), (13, 0));
        assert_eq!(sold.profit, Profit::Of(3));
        let [bought] = of(key(6))[..] else { panic!() };
        assert_eq!((bought.incoming, bought.outgoing), (0, 13));
        assert_eq!(bought.profit, Profit::Of(-3));
        assert_eq!(of(key(7)), []);
    }

    #[test]
    fn a_claim_of_nothing_still_realises_a_loss() {
        let event = Event::Claimed(Claimed {
            market: key(1),
            market_seq: 1,
            position: key(2),
            position_seq: 1,
            owner: key(5),
            destination: key(4),
            paid: 0,
            owed: 0,
            positions: 0,
        });
        let [claim] = moved(&event, &key(5), &roles(&["owner"]))[..] else {
            panic!()
        };
        assert_eq!(claim.profit, Profit::OverStakes(key(2)));
    }

    #[test]
    fn a_fee_belongs_to_its_payee() {
        let event = |payee| {
            Event::FeesCollected(FeesCollected {
                market: key(1),
                market_seq: 1,
                payee,
                destination: key(4),
                amount: 7,
                owed: 0,
            })
        };
        let of = |payee, role| moved(&event(payee), &key(5), &roles(&[role])).len();
        assert_eq!(of(FeePayee::Creator, "creator"), 1);
        assert_eq!(of(FeePayee::Treasury, "creator"), 0);
        assert_eq!(of(FeePayee::Creator, "owner"), 0);
    }

    #[test]
    fn kinds_are_named_as_in_json() {
        assert_eq!(MovementKind::StakeBought.name(), "stake_bought");
    }
}
