use anchor_lang::Address;

use super::{
    Event,
    events::{Penalty, SeatRuled},
};

/// A wallet with the part that it has in an event, such as `owner`.
type Party = (Address, &'static str);

impl Event {
    /// Wallets that the event names, each with its part. A wallet can have several parts.
    // The match names every event, so that a new event can't be forgotten.
    pub fn parties(&self) -> Vec<Party> {
        match self {
            Self::Initialized(e) => vec![
                (e.admin, "admin"),
                (e.guardian, "guardian"),
                (e.arbiter, "arbiter"),
            ],
            Self::ConfigUpdated(e) => vec![(e.guardian, "guardian")],
            Self::AdminProposed(e) => {
                vec![(e.admin, "admin"), (e.pending_admin, "pending_admin")]
            }
            Self::AdminAccepted(e) => vec![(e.admin, "admin")],
            Self::ArbiterProposed(e) => {
                vec![
                    (e.arbiter, "arbiter"),
                    (e.pending_arbiter, "pending_arbiter"),
                ]
            }
            Self::ArbiterAccepted(e) => vec![(e.arbiter, "arbiter")],
            Self::PauseSet(e) => vec![(e.authority, "authority")],
            Self::CollateralRegistered(_)
            | Self::CollateralUpdated(_)
            | Self::TreasuryWithdrawn(_)
            | Self::MarketSettled(_)
            | Self::FeesCollected(_)
            | Self::ManagerFeesCollected(_)
            | Self::ChallengeCollected(_) => vec![],
            Self::ModelRegistered(e) => {
                let parties = vec![(e.owner, "owner"), (e.arbiter, "arbiter")];
                with_oracles(parties, &e.terms.oracles)
            }
            Self::ModelUpdated(e) => {
                let parties = vec![(e.owner, "owner"), (e.arbiter, "arbiter")];
                with_seats(with_oracles(parties, &e.terms.oracles), &e.seats)
            }
            Self::ModelRetired(e) => vec![(e.owner, "owner")],
            Self::Bonded(e) => vec![(e.oracle, "oracle")],
            Self::UnbondRequested(e) => vec![(e.oracle, "oracle")],
            Self::BondWithdrawn(e) => vec![(e.oracle, "oracle")],
            Self::LeaveRequested(e) => vec![(e.oracle, "oracle")],
            Self::OracleReplaced(e) => {
                let parties = vec![
                    (e.owner, "owner"),
                    (e.oracle, "oracle"),
                    (e.successor, "successor"),
                ];
                with_seats(parties, &e.seats)
            }
            Self::SeatClosed(e) => vec![(e.oracle, "oracle")],
            Self::SeatSynced(e) => vec![(e.oracle, "oracle")],
            Self::OraclesFunded(e) => vec![(e.funder, "funder")],
            Self::RewardCollected(e) => vec![(e.oracle, "oracle")],
            Self::ReceiptSubmitted(e) => vec![(e.oracle, "oracle")],
            Self::ReceiptChallenged(e) => vec![(e.challenger, "challenger")],
            Self::ReceiptRuled(e) => {
                let parties = with_seats(vec![(e.arbiter, "arbiter")], &e.seats);
                with_penalties(parties, &e.penalties)
            }
            Self::ReceiptFinalized(e) => with_penalties(vec![], &e.penalties),
            Self::SlashesReturned(e) => with_seats(vec![(e.admin, "admin")], &e.seats),
            Self::SeriesClosed(e) => vec![(e.payer, "payer")],
            Self::MarketCreated(e) => vec![(e.creator, "creator")],
            Self::MarketCancelled(e) => vec![(e.creator, "creator")],
            Self::BetPlaced(e) => vec![(e.owner, "owner")],
            Self::AskSet(e) => vec![(e.owner, "owner")],
            Self::PositionBought(e) => vec![(e.seller, "seller"), (e.buyer, "buyer")],
            Self::Claimed(e) => vec![(e.owner, "owner")],
            Self::MarketClosed(e) => vec![(e.creator, "creator")],
            Self::VaultCreated(e) => vec![(e.manager, "manager")],
            Self::VaultUpdated(e) => vec![(e.manager, "manager")],
            Self::ModelListed(e) => vec![(e.manager, "manager")],
            Self::Deposited(e) => vec![(e.owner, "owner")],
            Self::WithdrawRequested(e) => vec![(e.owner, "owner")],
            Self::WithdrawCancelled(e) => vec![(e.owner, "owner")],
            Self::Withdrawn(e) => vec![(e.owner, "owner")],
            Self::ExposureClosed(e) => vec![(e.manager, "manager")],
            Self::VaultClosed(e) => vec![(e.manager, "manager")],
            Self::PolicyBought(e) => vec![(e.holder, "holder")],
            Self::PolicyClaimed(e) => vec![(e.holder, "holder")],
            Self::PolicyCancelled(e) => vec![(e.holder, "holder")],
            Self::PolicyRenewed(e) => vec![(e.holder, "holder")],
            Self::PolicyBegun(e) => vec![(e.holder, "holder")],
            Self::PolicyExamined(e) => vec![(e.holder, "holder")],
            Self::PolicyExpired(e) => vec![(e.holder, "holder")],
        }
    }
}

fn with_oracles(mut parties: Vec<Party>, oracles: &[Address]) -> Vec<Party> {
    parties.extend(oracles.iter().map(|oracle| (*oracle, "oracle")));
    parties
}

fn with_seats(mut parties: Vec<Party>, seats: &[SeatRuled]) -> Vec<Party> {
    parties.extend(seats.iter().map(|seat| (seat.oracle, "oracle")));
    parties
}

fn with_penalties(mut parties: Vec<Party>, penalties: &[Penalty]) -> Vec<Party> {
    parties.extend(penalties.iter().map(|penalty| (penalty.oracle, "oracle")));
    parties
}
