//! Calls about models and bonds.

use driftshield_sdk::{Address, Metric, ModelTerms, address};
use rand::{Rng, seq::SliceRandom};

use super::Generator;
use crate::soak::{
    books::{Seat, limits},
    call::Call,
    terms,
};

impl Generator<'_> {
    pub(super) fn register_model(&mut self) -> Option<Call> {
        let signer = self.actor("owner");
        let tokens = self.driver.actors.tokens;
        let token = self.prefer(&tokens[..2], &tokens)?;
        let metrics = [
            Metric::ErrorRate,
            Metric::Psi,
            Metric::JensenShannon,
            Metric::KolmogorovSmirnov,
            Metric::TotalVariation,
        ];
        let metric = self.pick(&metrics)?;
        let ahead = self.rng.random_range(0..=3_600);
        let mut spec = terms::spec(metric, self.books.now + ahead, 3_600);
        if self.chance(20) {
            match self.up_to(4) {
                0 => spec.reference[0] = 1, // too sparse, unless it has two bins
                1 => spec.window_secs = self.pick(&[0, 59, 60, 86_400, 86_401])?,
                2 => spec.genesis += self.pick(&[-3_601, 31 * 24 * 3_600, i64::MAX / 4])?,
                3 => spec.reference.truncate(1),
                _ => spec.min_samples = u64::MAX,
            }
        }
        let widest = match limits::check_spec(&spec) {
            Ok(()) => spec.widest_spread(),
            Err(_) => 0,
        };
        Some(Call::RegisterModel {
            signer,
            id: self.up_to(3),
            mint: token.mint,
            spec,
            terms: self.model_terms(widest),
        })
    }

    /// Terms of a model that allows a spread of up to `widest`.
    fn model_terms(&mut self, widest: u64) -> ModelTerms {
        let mut oracles = self.driver.actors.with_role("oracle");
        oracles.shuffle(self.rng);
        oracles.truncate(self.rng.random_range(1..=6));
        let mut terms = terms::model_terms(oracles);
        terms.max_spread = self.up_to(widest);
        terms.security_rent_bps = self.rng.random_range(1..=5_000);
        if self.chance(15) {
            match self.up_to(6) {
                0 => terms.quorum = 0,
                1 => terms.oracles.push(terms.oracles[0]),
                2 => terms.max_spread = 1_000_001,
                3 => terms.security_rent_bps = 0,
                4 => terms.market_budget_bps = 5_001,
                5 => terms.max_spread = widest + 1,
                _ => terms.name = "a name of more than thirty-two bytes".into(),
            }
        }
        terms
    }

    pub(super) fn update_model(&mut self) -> Option<Call> {
        let books = self.books;
        let idle: Vec<Address> = books
            .models
            .keys()
            .filter(|at| books.exposure_of(at) == 0 && books.open_receipts(at) == 0)
            .copied()
            .collect();
        let all: Vec<Address> = books.models.keys().copied().collect();
        let model = self.prefer(&idle, &all)?;
        Some(Call::UpdateModel {
            signer: self.usually(books.models[&model].owner),
            model,
            terms: self.model_terms(books.models[&model].noise_floor / 8),
        })
    }

    /// Retires a model other than the first ones, which a run needs until its end.
    pub(super) fn retire_model(&mut self) -> Option<Call> {
        let later: Vec<Address> = self
            .books
            .models
            .iter()
            .filter(|(_, model)| 0 < model.id)
            .map(|(at, _)| *at)
            .collect();
        let model = self.pick(&later)?;
        Some(Call::RetireModel {
            signer: self.usually(self.books.models[&model].owner),
            model,
        })
    }

    pub(super) fn bond(&mut self) -> Option<Call> {
        let books = self.books;
        let mut weak = Vec::new();
        let mut all = Vec::new();
        for (at, model) in &books.models {
            for oracle in &model.oracles {
                all.push((*at, *oracle));
                if !model.counts(oracle) {
                    weak.push((*at, *oracle));
                }
            }
        }
        let (model, oracle) = self.prefer(&weak, &all)?;
        let signer = self.usually(oracle);
        let state = &books.models[&model];
        let source = self.source(&signer, &state.mint);
        let all = self.tokens(&source);
        let amount = if self.chance(70) {
            state.min_bond as u64
        } else {
            self.amount(2 * state.min_bond, all)
        };
        Some(Call::Bond {
            signer,
            model,
            source,
            amount,
        })
    }

    pub(super) fn request_unbond(&mut self) -> Option<Call> {
        let seats: Vec<(Address, Address)> = self
            .books
            .seats
            .values()
            .map(|seat| (seat.model, seat.oracle))
            .collect();
        // Usually one whose notice is over, if there is any.
        let now = self.books.now;
        let left: Vec<(Address, Address)> = seats
            .iter()
            .filter(|(model, oracle)| {
                let standing = self.books.models[model].standings.get(oracle);
                let leaves_at = standing.and_then(|standing| standing.leaves_at);
                leaves_at.is_some_and(|leaves_at| leaves_at <= now)
            })
            .copied()
            .collect();
        let likely = if left.is_empty() { &seats } else { &left };
        let (model, signer) = self.prefer(likely, &seats)?;
        let active = self.books.seats[&address::seat(&model, &signer)].active();
        let all = self.chance(50);
        Some(Call::RequestUnbond {
            signer,
            model,
            amount: if all {
                active as u64
            } else {
                self.amount(active / 4, active)
            },
        })
    }

    /// Usually lets the oracle leave of whose seats the quorum needs every one.
    pub(super) fn leave_seat(&mut self) -> Option<Call> {
        let (mut counting, mut all) = (Vec::new(), Vec::new());
        for (at, model) in &self.books.models {
            for oracle in &model.oracles {
                all.push((*at, *oracle));
                if model.counts(oracle) {
                    counting.push((*at, *oracle));
                }
            }
        }
        let (model, oracle) = self.prefer(&counting, &all)?;
        Some(Call::LeaveSeat {
            signer: self.usually(oracle),
            model,
        })
    }

    /// Usually replaces an oracle whose seat does not count by one that is not listed.
    pub(super) fn replace_oracle(&mut self) -> Option<Call> {
        let (mut vacant, mut all) = (Vec::new(), Vec::new());
        for (at, model) in &self.books.models {
            for oracle in &model.oracles {
                all.push((*at, *oracle));
                let is_exposed = 0 < self.books.exposure_of(at);
                if is_exposed && 2 < model.quorum && !model.counts(oracle) {
                    vacant.push((*at, *oracle));
                }
            }
        }
        let (at, oracle) = self.prefer(&vacant, &all)?;
        let model = &self.books.models[&at];
        let oracles = self.driver.actors.with_role("oracle");
        let others: Vec<Address> = oracles
            .iter()
            .filter(|other| model.index(other).is_none())
            .copied()
            .collect();
        Some(Call::ReplaceOracle {
            signer: self.usually(model.owner),
            model: at,
            oracle,
            successor: self.prefer(&others, &oracles)?,
        })
    }

    pub(super) fn withdraw_bond(&mut self) -> Option<Call> {
        let (books, now) = (self.books, self.books.now);
        let seats = books.seats.values();
        let due: Vec<(Address, Address)> = seats
            .clone()
            .filter(|seat| 0 < seat.unbonding && seat.release_at <= now)
            .map(|seat| (seat.model, seat.oracle))
            .collect();
        let all: Vec<_> = seats.map(|seat| (seat.model, seat.oracle)).collect();
        let (model, oracle) = self.prefer(&due, &all)?;
        let (destination, signed) = self.destination(&oracle, &books.models[&model].mint);
        Some(Call::WithdrawBond {
            oracle,
            model,
            destination,
            signed,
        })
    }

    pub(super) fn sync_seat(&mut self) -> Option<Call> {
        let seats = self.books.seats.values();
        let owes = |seat: &&Seat| {
            self.books.models[&seat.model]
                .penalties
                .contains_key(&seat.oracle)
        };
        let owing: Vec<_> = seats
            .clone()
            .filter(owes)
            .map(|seat| (seat.model, seat.oracle))
            .collect();
        let all: Vec<_> = seats.map(|seat| (seat.model, seat.oracle)).collect();
        let (model, oracle) = self.prefer(&owing, &all)?;
        Some(Call::SyncSeat { oracle, model })
    }

    pub(super) fn close_seat(&mut self) -> Option<Call> {
        let seats = self.books.seats.values();
        let empty: Vec<(Address, Address)> = seats
            .clone()
            .filter(|seat| seat.bonded == 0 && self.books.open_receipts(&seat.model) == 0)
            .map(|seat| (seat.model, seat.oracle))
            .collect();
        let all: Vec<_> = seats.map(|seat| (seat.model, seat.oracle)).collect();
        let (model, oracle) = self.prefer(&empty, &all)?;
        Some(Call::CloseSeat { oracle, model })
    }
}
