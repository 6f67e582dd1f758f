use anchor_lang::Address;

use super::{Event, events::SeatRuled};
use crate::{
    AccountKind::{self, *},
    ReceiptState, address,
};

/// What an event says about an account that its instruction changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountChange {
    pub kind: AccountKind,
    pub address: Address,
    /// Number of the event among the account's events: from 1, without gaps. The event with number 1
    /// created the account.
    pub number: u64,
    /// Whether the instruction closed the account.
    pub closes: bool,
}

impl AccountChange {
    fn new(kind: AccountKind, address: Address, number: u64) -> Self {
        Self {
            kind,
            address,
            number,
            closes: false,
        }
    }

    fn closing_if(self, closes: bool) -> Self {
        Self { closes, ..self }
    }

    fn closing(self) -> Self {
        self.closing_if(true)
    }
}

impl Event {
    /// Accounts that the instruction changed.
    // The match names every event, so that a new event can't be forgotten.
    pub fn changes(&self) -> Vec<AccountChange> {
        let config = |number| vec![AccountChange::new(Config, address::config(), number)];
        let change = AccountChange::new;
        match self {
            Self::Initialized(e) => config(e.config_seq),
            Self::ConfigUpdated(e) => config(e.config_seq),
            Self::AdminProposed(e) => config(e.config_seq),
            Self::AdminAccepted(e) => config(e.config_seq),
            Self::ArbiterProposed(e) => config(e.config_seq),
            Self::ArbiterAccepted(e) => config(e.config_seq),
            Self::PauseSet(e) => config(e.config_seq),
            Self::CollateralRegistered(e) => {
                vec![change(Collateral, e.collateral, e.collateral_seq)]
            }
            Self::CollateralUpdated(e) => vec![change(Collateral, e.collateral, e.collateral_seq)],
            Self::TreasuryWithdrawn(e) => vec![change(Collateral, e.collateral, e.collateral_seq)],
            Self::ModelRegistered(e) => vec![change(Model, e.model, e.model_seq)],
            Self::ModelUpdated(e) => {
                with_seats(vec![change(Model, e.model, e.model_seq)], &e.seats)
            }
            Self::ModelRetired(e) => vec![change(Model, e.model, e.model_seq)],
            Self::Bonded(e) => vec![
                change(Model, e.model, e.model_seq),
                change(Seat, e.seat, e.seat_seq),
            ],
            Self::UnbondRequested(e) => vec![
                change(Model, e.model, e.model_seq),
                change(Seat, e.seat, e.seat_seq),
            ],
            Self::BondWithdrawn(e) => vec![
                change(Model, e.model, e.model_seq),
                change(Seat, e.seat, e.seat_seq),
            ],
            Self::LeaveRequested(e) => vec![change(Model, e.model, e.model_seq)],
            Self::OracleReplaced(e) => {
                with_seats(vec![change(Model, e.model, e.model_seq)], &e.seats)
            }
            Self::SeatClosed(e) => vec![change(Seat, e.seat, e.seat_seq).closing()],
            Self::SeatSynced(e) => vec![
                change(Model, e.model, e.model_seq),
                change(Seat, e.seat, e.seat_seq),
            ],
            Self::OraclesFunded(e) => vec![change(Model, e.model, e.model_seq)],
            Self::RewardCollected(e) => vec![change(Model, e.model, e.model_seq)],
            Self::ReceiptSubmitted(e) => vec![
                change(Model, e.model, e.model_seq),
                change(Receipt, e.receipt, e.receipt_seq),
                change(Series, e.series, e.series_seq),
                change(Seat, e.seat, e.seat_seq),
            ],
            Self::ReceiptChallenged(e) => vec![
                change(Model, e.model, e.model_seq),
                change(Receipt, e.receipt, e.receipt_seq),
                change(Series, e.series, e.series_seq),
            ],
            Self::ReceiptRuled(e) => {
                // What was slashed is held by the receipt, which stays open as long.
                let owes_nothing =
                    e.challenger_credit == 0 && e.treasury_credit == 0 && e.slashed == 0;
                let changes = vec![
                    change(Model, e.model, e.model_seq),
                    change(Receipt, e.receipt, e.receipt_seq).closing_if(owes_nothing),
                    change(Series, e.series, e.series_seq),
                ];
                with_seats(changes, &e.seats)
            }
            Self::ReceiptFinalized(e) => {
                let is_settled = matches!(
                    e.state,
                    ReceiptState::Final | ReceiptState::Void | ReceiptState::Thin
                );
                vec![
                    change(Model, e.model, e.model_seq),
                    change(Receipt, e.receipt, e.receipt_seq)
                        .closing_if(is_settled && e.challenger_credit == 0),
                    change(Series, e.series, e.series_seq),
                ]
            }
            Self::SlashesReturned(e) => {
                let changes = vec![
                    change(Model, e.model, e.model_seq),
                    change(Receipt, e.receipt, e.receipt_seq).closing_if(e.owed == 0),
                ];
                with_seats(changes, &e.seats)
            }
            Self::ChallengeCollected(e) => vec![
                change(Model, e.model, e.model_seq),
                change(Receipt, e.receipt, e.receipt_seq).closing_if(e.owed == 0),
            ],
            Self::SeriesClosed(e) => vec![change(Series, e.series, e.series_seq).closing()],
            Self::MarketCreated(e) => vec![change(Market, e.market, e.market_seq)],
            Self::MarketCancelled(e) => vec![change(Market, e.market, e.market_seq).closing()],
            Self::BetPlaced(e) => vec![
                change(Market, e.market, e.market_seq),
                change(Position, e.position, e.position_seq),
                change(Model, e.model, e.model_seq),
            ],
            Self::AskSet(e) => vec![
                change(Market, e.market, e.market_seq),
                change(Position, e.position, e.position_seq),
            ],
            Self::PositionBought(e) => vec![
                change(Market, e.market, e.market_seq),
                change(Position, e.seller_position, e.seller_position_seq)
                    .closing_if(e.seller_total == 0),
                change(Position, e.position, e.position_seq),
            ],
            Self::MarketSettled(e) => vec![
                change(Market, e.market, e.market_seq),
                change(Model, e.model, e.model_seq),
            ],
            Self::Claimed(e) => vec![
                change(Market, e.market, e.market_seq),
                change(Position, e.position, e.position_seq).closing(),
            ],
            Self::FeesCollected(e) => vec![change(Market, e.market, e.market_seq)],
            Self::MarketClosed(e) => vec![change(Market, e.market, e.market_seq).closing()],
            Self::VaultCreated(e) => vec![change(Vault, e.vault, e.vault_seq)],
            Self::VaultUpdated(e) => vec![change(Vault, e.vault, e.vault_seq)],
            Self::ModelListed(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(Exposure, e.exposure, e.exposure_seq),
            ],
            Self::Deposited(e) => vec![change(Vault, e.vault, e.vault_seq)],
            Self::WithdrawRequested(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(WithdrawRequest, e.request, e.request_seq),
            ],
            Self::WithdrawCancelled(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(WithdrawRequest, e.request, e.request_seq).closing(),
            ],
            Self::Withdrawn(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(WithdrawRequest, e.request, e.request_seq)
                    .closing_if(e.value == 0 && e.shares == 0),
            ],
            Self::ManagerFeesCollected(e) => vec![change(Vault, e.vault, e.vault_seq)],
            Self::ExposureClosed(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(Exposure, e.exposure, e.exposure_seq).closing(),
            ],
            Self::VaultClosed(e) => vec![change(Vault, e.vault, e.vault_seq).closing()],
            Self::PolicyBought(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(Exposure, e.exposure, e.exposure_seq),
                change(Policy, e.policy, e.policy_seq),
                change(Model, e.model, e.model_seq),
            ],
            Self::PolicyClaimed(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(Exposure, e.exposure, e.exposure_seq),
                change(Policy, e.policy, e.policy_seq).closing_if(e.paid == e.cover),
                change(Model, e.model, e.model_seq),
            ],
            Self::PolicyCancelled(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(Exposure, e.exposure, e.exposure_seq),
                change(Policy, e.policy, e.policy_seq).closing(),
                change(Model, e.model, e.model_seq),
            ],
            Self::PolicyRenewed(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(Exposure, e.exposure, e.exposure_seq),
                change(Policy, e.policy, e.policy_seq),
                change(Model, e.model, e.model_seq),
            ],
            Self::PolicyBegun(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(Exposure, e.exposure, e.exposure_seq),
                change(Policy, e.policy, e.policy_seq).closing_if(e.is_over),
                change(Model, e.model, e.model_seq),
            ],
            Self::PolicyExamined(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(Policy, e.policy, e.policy_seq),
            ],
            Self::PolicyExpired(e) => vec![
                change(Vault, e.vault, e.vault_seq),
                change(Exposure, e.exposure, e.exposure_seq),
                change(Policy, e.policy, e.policy_seq).closing(),
                change(Model, e.model, e.model_seq),
            ],
        }
    }
}

fn with_seats(mut changes: Vec<AccountChange>, seats: &[SeatRuled]) -> Vec<AccountChange> {
    let seats = seats.iter();
    changes.extend(seats.map(|seat| AccountChange::new(Seat, seat.seat, seat.seat_seq)));
    changes
}
