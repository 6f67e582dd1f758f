//! Attacks with the keys of owners, oracles and the arbiter.

use driftshield_sdk::{Address, ChallengePayee, Metric, RewardPayee, address};

use super::{Attackers, ID};
use crate::{
    soak::{
        books::{Books, ReceiptState},
        call::Call,
        driver::Driver,
        generate::Generator,
        terms,
    },
    world,
};

impl Attackers {
    pub(super) fn model_attack(&mut self, books: &Books, name: &str) -> Option<Call> {
        let own = self.own_model;
        let others = books.models.iter().filter(|(at, _)| Some(**at) != own);
        let (at, model) = self.pick(others)?;
        Some(match name {
            "register_model" => return Some(self.register_model(books, model.mint)),
            "update_model" => Call::UpdateModel {
                signer: model.owner,
                model: *at,
                terms: terms::model_terms(vec![self.puppet_oracle]),
            },
            "leave_seat" => {
                let (model, signer) = self.pick(self.stolen_seats(books))?;
                Call::LeaveSeat { signer, model }
            }
            "sync_seat" => {
                let seat = self.pick(books.seats.values())?;
                Call::SyncSeat {
                    oracle: seat.oracle,
                    model: seat.model,
                }
            }
            "replace_oracle" => {
                let oracles = model.oracles.iter().copied();
                let vacant = oracles.clone().filter(|oracle| !model.counts(oracle));
                Call::ReplaceOracle {
                    signer: model.owner,
                    model: *at,
                    oracle: self.pick(vacant).or_else(|| self.pick(oracles))?,
                    successor: self.puppet_oracle,
                }
            }
            "retire_model" => Call::RetireModel {
                signer: model.owner,
                model: *at,
            },
            "bond" => {
                let (model, signer) = self.pick(self.stolen_seats(books))?;
                let mint = books.models[&model].mint;
                Call::Bond {
                    signer,
                    model,
                    source: books.own_account(&signer, &mint),
                    amount: books.models[&model].min_bond as u64,
                }
            }
            "request_unbond" => {
                let (model, signer) = self.pick(self.stolen_seats(books))?;
                let seat = books.seats.get(&address::seat(&model, &signer));
                Call::RequestUnbond {
                    signer,
                    model,
                    amount: seat.map_or(1, |seat| seat.active().max(1)) as u64,
                }
            }
            "withdraw_bond" => {
                let seat = self.pick(books.seats.values())?;
                let mint = books.models[&seat.model].mint;
                let (destination, signed) = self.divert(books, &seat.oracle, &mint);
                Call::WithdrawBond {
                    oracle: seat.oracle,
                    model: seat.model,
                    destination,
                    signed,
                }
            }
            "close_seat" => {
                let seat = self.pick(books.seats.values())?;
                Call::CloseSeat {
                    oracle: seat.oracle,
                    model: seat.model,
                }
            }
            "fund_oracles" => Call::FundOracles {
                signer: self.accomplice,
                model: *at,
                source: books.own_account(&self.accomplice, &model.mint),
                amount: 1,
                until: books.now + world::HOUR,
            },
            "collect_reward" => {
                let rewarded = books.models.iter().flat_map(|(at, model)| {
                    let oracles = model.rewards.keys();
                    oracles.map(|oracle| (*at, *oracle))
                });
                let (at, oracle) = self.pick(rewarded).unwrap_or((*at, model.oracles[0]));
                let mint = books.models[&at].mint;
                let payee = if self.chance(70) {
                    RewardPayee::Oracle
                } else {
                    RewardPayee::Treasury
                };
                let (destination, signed) = self.divert(books, &oracle, &mint);
                Call::CollectReward {
                    oracle,
                    model: at,
                    payee,
                    destination,
                    signed,
                }
            }
            _ => return None,
        })
    }

    /// A call that registers a model whose only oracle is the puppet oracle.
    pub fn register_model(&self, books: &Books, mint: Address) -> Call {
        let owners: Vec<Address> = books.models.values().map(|model| model.owner).collect();
        Call::RegisterModel {
            signer: owners[0],
            id: ID,
            mint,
            spec: terms::spec(Metric::ErrorRate, books.now + terms::MINUTE, world::HOUR),
            terms: terms::model_terms(vec![self.puppet_oracle]),
        }
    }

    pub(super) fn receipt_attack(&mut self, driver: &Driver, name: &str) -> Option<Call> {
        let books = &driver.books;
        let receipt = self.pick(books.receipts.values());
        Some(match name {
            "submit_receipt" => return self.submit_false_drift(driver),
            "challenge_receipt" => {
                let proposed = books.receipts.values();
                let proposed = proposed.filter(|receipt| receipt.state == ReceiptState::Proposed);
                let receipt = self.pick(proposed).or(receipt)?;
                let model = &books.models[&receipt.model];
                let mint = model.mint;
                Call::ChallengeReceipt {
                    signer: self.accomplice,
                    model: receipt.model,
                    window: receipt.window,
                    counts: Generator::new(driver, &mut self.rng).counts(model, 900_000),
                    source: books.own_account(&self.accomplice, &mint),
                }
            }
            "rule_receipt" => return self.rule(driver),
            "return_slashes" => {
                let held = books.receipts.values();
                let held = held.filter(|receipt| receipt.appeal_until.is_some());
                let receipt = self.pick(held).or(receipt)?;
                let model = &books.models[&receipt.model];
                let slashed = receipt.held.keys();
                let seats =
                    slashed.map(|&index| address::seat(&receipt.model, &model.oracles[index]));
                Call::ReturnSlashes {
                    signer: books.config.as_ref()?.admin,
                    model: receipt.model,
                    window: receipt.window,
                    seats: seats.collect(),
                }
            }
            "finalize_receipt" => Call::FinalizeReceipt {
                model: receipt?.model,
                window: receipt?.window,
            },
            "collect_challenge" => {
                let challenged = books.receipts.values();
                let challenged = challenged.filter(|receipt| receipt.challenger.is_some());
                let receipt = self.pick(challenged).or(receipt)?;
                let mint = books.models[&receipt.model].mint;
                let challenger = receipt.challenger.unwrap_or_default();
                let (destination, signed) = self.divert(books, &challenger, &mint);
                Call::CollectChallenge {
                    model: receipt.model,
                    window: receipt.window,
                    payee: ChallengePayee::Challenger,
                    destination,
                    signed,
                }
            }
            "close_series" => {
                let series = self.pick(books.series.values())?;
                Call::CloseSeries {
                    model: series.model,
                    page: series.page,
                }
            }
            _ => return None,
        })
    }

    /// A submission of a false drift with a stolen key, to a model with an honest quorum.
    fn submit_false_drift(&mut self, driver: &Driver) -> Option<Call> {
        let books = &driver.books;
        let seats = self.stolen_seats(books).into_iter();
        let open = seats.filter(|(at, _)| self.has_honest_quorum(books, at));
        let open: Vec<(Address, Address)> = open.collect();
        let (at, signer) = self.pick(open)?;
        let model = &books.models[&at];
        let running = model.running_window(books.now);
        Some(self.submission(driver, signer, at, running.saturating_sub(1), 600_000))
    }

    /// A submission of a drift of about `value` micro-units.
    pub fn submission(
        &mut self,
        driver: &Driver,
        signer: Address,
        model: Address,
        window: u64,
        value: u64,
    ) -> Call {
        let state = &driver.books.models[&model];
        Call::SubmitReceipt {
            signer,
            model,
            window,
            counts: Generator::new(driver, &mut self.rng).counts(state, value),
            evidence: [9; 32],
            uri: "https://evidence.example/9".into(),
        }
    }

    /// A ruling with the arbiter's key. If `arbiter_rules`, on a disputed receipt if there is one; otherwise
    /// on a settled receipt, which the program refuses.
    fn rule(&mut self, driver: &Driver) -> Option<Call> {
        let books = &driver.books;
        let receipts = books.receipts.values();
        let arbiter_rules = self.arbiter_rules;
        // A ruling before it isn't allowed: a proposed receipt can only become final by itself.
        let receipts = receipts.filter(|receipt| {
            arbiter_rules || receipt.is_settled() || receipt.state == ReceiptState::Proposed
        });
        let disputed = receipts
            .clone()
            .filter(|receipt| receipt.state == ReceiptState::Challenged);
        let receipt = self.pick(disputed).or_else(|| self.pick(receipts))?;
        let model = &books.models[&receipt.model];
        let submitters = receipt.submissions.keys();
        let oracles = submitters.filter_map(|&index| model.oracles.get(index));
        let seats = oracles.map(|oracle| address::seat(&receipt.model, oracle));
        Some(Call::RuleReceipt {
            signer: model.arbiter,
            model: receipt.model,
            window: receipt.window,
            seats: seats.collect(),
            counts: Some(Generator::new(driver, &mut self.rng).counts(model, 900_000)),
        })
    }
}
