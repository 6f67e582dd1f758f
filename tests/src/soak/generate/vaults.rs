//! Calls about vaults.

use driftshield_sdk::{Address, ListingTerms, PremiumPayee, VaultTerms, address};
use rand::Rng;

use super::Generator;
use crate::soak::{
    books::{Request, Vault},
    call::Call,
    step::Step,
    terms,
};

impl Generator<'_> {
    fn vault(&mut self, likely: impl Fn(&Address, &Vault) -> bool) -> Option<Address> {
        let vaults = self.books.vaults.iter();
        let all: Vec<Address> = self.books.vaults.keys().copied().collect();
        let likely: Vec<Address> = vaults
            .filter(|(at, vault)| likely(at, vault))
            .map(|(at, _)| *at)
            .collect();
        self.prefer(&likely, &all)
    }

    fn vault_terms(&mut self) -> VaultTerms {
        let utilisations = [5_000, 8_000, 9_000, 10_000];
        let max_utilisation_bps = self.pick(&utilisations).expect("some");
        let terms = VaultTerms {
            base_bps: self.up_to(1_000) as u16,
            slope1_bps: self.up_to(2_000) as u16,
            slope2_bps: self.up_to(20_000) as u16,
            kink_bps: self.rng.random_range(1..10_000),
            risk_slope_bps: self.up_to(5_000) as u16,
            persistence_bps: [10_000, 9_000, 9_000, self.up_to(9_000) as u16],
            cancel_fee_bps: self.up_to(10_000) as u16,
            min_cover: if self.chance(80) { 1 } else { 100_000 },
            min_duration_secs: if self.chance(80) { 60 } else { 4 * 3_600 },
            ..terms::vault_terms(max_utilisation_bps)
        };
        if self.chance(90) {
            return terms;
        }
        let bad = [
            VaultTerms {
                min_cover: 0,
                ..terms
            },
            VaultTerms {
                kink_bps: 10_000,
                ..terms
            },
            VaultTerms {
                max_utilisation_bps: 4_999,
                ..terms
            },
            VaultTerms {
                cancel_fee_bps: 10_001,
                ..terms
            },
            VaultTerms {
                persistence_bps: [9_999; 4],
                ..terms
            },
            VaultTerms {
                persistence_bps: [10_000, 1, 2, 2],
                ..terms
            },
        ];
        self.pick(&bad).expect("some")
    }

    pub(super) fn create_vault(&mut self) -> Option<Call> {
        let signer = self.actor("manager");
        let tokens = self.driver.actors.tokens;
        let token = self.prefer(&tokens[..2], &tokens)?;
        Some(Call::CreateVault {
            signer,
            id: self.up_to(9),
            mint: token.mint,
            cooldown_secs: match self.up_to(29) {
                0 => 0,
                1 => 126 * 24 * 3_600 + 1,
                2 => self.up_to(3_600) as i64,
                _ => terms::COOLDOWN,
            },
            manager_fee_bps: self.up_to(1_600) as u16,
            terms: self.vault_terms(),
        })
    }

    pub(super) fn update_vault(&mut self) -> Option<Call> {
        let vault = self.vault(|_, _| true)?;
        Some(Call::UpdateVault {
            signer: self.usually(self.books.vaults[&vault].manager),
            vault,
            terms: self.vault_terms(),
        })
    }

    pub(super) fn list_model(&mut self) -> Option<Call> {
        let vault_at = self.vault(|_, _| true)?;
        let vault = &self.books.vaults[&vault_at];
        let listed = |model: &Address| {
            let at = address::exposure(&vault_at, model);
            self.books
                .exposures
                .get(&at)
                .filter(|exposure| 0 < exposure.cap)
        };
        let models = self.books.models.iter();
        let fitting: Vec<Address> = models
            .filter(|(_, model)| model.mint == vault.mint && !model.is_retired)
            .map(|(at, _)| *at)
            .collect();
        let unlisted: Vec<Address> = fitting
            .iter()
            .filter(|at| listed(at).is_none())
            .copied()
            .collect();
        let all: Vec<Address> = self.books.models.keys().copied().collect();
        let likely = if unlisted.is_empty() {
            &fitting
        } else {
            &unlisted
        };
        let at = self.prefer(likely, &all)?;
        let before = listed(&at);
        let model = &self.books.models[&at];
        let floor = model.noise_floor;
        // Usually tighten an existing listing, which takes effect at once; loosening takes more than a day.
        let (cap, lowest_trigger) = match before {
            Some(before) if self.chance(60) => (
                (before.cap as u64).saturating_sub(self.up_to(1_000)),
                before.lowest_trigger + self.up_to(1_000),
            ),
            _ if self.chance(60) => (u64::MAX, floor),
            _ => {
                let sold = self.books.cover_sold(&vault_at, &at);
                let more = self.up_to(vault.assets as u64 / 2);
                (sold as u64 + more, floor + self.up_to(20_000))
            }
        };
        let percentile = self.up_to(99);
        Some(Call::ListModel {
            signer: self.usually(vault.manager),
            vault: vault_at,
            model: at,
            terms: ListingTerms {
                model_version: model.version + u32::from(percentile < 3),
                cap: if percentile < 15 { 0 } else { cap },
                lowest_trigger: if percentile == 99 {
                    floor - 1
                } else {
                    lowest_trigger
                },
                max_persistence: match self.up_to(29) {
                    0 => 0,
                    1 => 5,
                    2..=6 => 4,
                    _ => 2,
                },
            },
        })
    }

    /// Deposits capital. Creates the account for the shares first if necessary.
    pub(super) fn deposit(&mut self) -> Vec<Step> {
        match self.vault(|_, vault| 0 < vault.shares) {
            Some(vault) => self.deposit_into(vault),
            None => vec![],
        }
    }

    /// A deposit into `vault`.
    pub(super) fn deposit_into(&mut self, vault: Address) -> Vec<Step> {
        let signer = self.actor("provider");
        let mint = self.books.vaults[&vault].mint;
        let own = self.books.share_account(&signer, &vault);
        let mut steps = Vec::new();
        if !self.books.tokens.contains_key(&own) {
            steps.push(Step::Call(Call::OpenShares { signer, vault }));
        }
        let source = self.source(&signer, &mint);
        let all = self.tokens(&source);
        let assets = self.books.vaults[&vault].assets;
        let usual = if self.chance(70) {
            assets / 4
        } else {
            all / 1_000
        };
        let deposit = Call::Deposit {
            signer,
            vault,
            source,
            destination: if self.chance(97) {
                own
            } else {
                self.any_tokens()
            },
            amount: self.amount(usual, all),
            min_shares: if self.chance(90) {
                0
            } else {
                self.up_to(u64::MAX)
            },
        };
        steps.push(Step::Call(deposit));
        steps
    }

    pub(super) fn request_withdraw(&mut self) -> Option<Call> {
        let holdings = self.share_holdings();
        let (signer, vault, source) = self.pick(&holdings)?;
        let all = self.tokens(&source);
        Some(Call::RequestWithdraw {
            signer,
            vault,
            source,
            // Without more shares, a request only starts its cooldown anew.
            shares: if self.chance(3) {
                0
            } else {
                self.amount(all / 2, all)
            },
        })
    }

    fn request(&mut self, likely: impl Fn(&Request) -> bool) -> Option<(Address, Address)> {
        let requests = self.books.requests.values();
        let id = |request: &Request| (request.vault, request.owner);
        let all: Vec<(Address, Address)> = requests.clone().map(id).collect();
        let likely: Vec<_> = requests.filter(|request| likely(request)).map(id).collect();
        self.prefer(&likely, &all)
    }

    pub(super) fn cancel_withdraw(&mut self) -> Option<Call> {
        let (vault, owner) = self.request(|_| true)?;
        let signer = self.usually(owner);
        Some(Call::CancelWithdraw {
            signer,
            vault,
            destination: if self.chance(96) {
                self.books.share_account(&signer, &vault)
            } else {
                self.any_tokens()
            },
        })
    }

    pub(super) fn withdraw(&mut self) -> Option<Call> {
        let now = self.books.now;
        let (vault, owner) = self.request(|request| {
            let reserve_ends = request.reserved_until.is_some_and(|until| until <= now);
            reserve_ends || request.shares == 0 && request.unlock_at <= now
        })?;
        let (destination, signed) = self.destination(&owner, &self.books.vaults[&vault].mint);
        Some(Call::Withdraw {
            owner,
            vault,
            destination,
            signed,
        })
    }

    pub(super) fn collect_manager_fees(&mut self) -> Option<Call> {
        let at = self.vault(|_, vault| 0 < vault.protocol_credit + vault.manager_credit)?;
        let vault = &self.books.vaults[&at];
        let (payee, destination, signed) = if 0 < vault.manager_credit || self.chance(20) {
            let (destination, signed) = self.destination(&vault.manager, &vault.mint);
            (PremiumPayee::Manager, destination, signed)
        } else {
            let treasury = self.treasury_or_any(&vault.mint);
            (PremiumPayee::Treasury, treasury, false)
        };
        Some(Call::CollectManagerFees {
            vault: at,
            payee,
            destination,
            signed,
        })
    }

    pub(super) fn close_exposure(&mut self) -> Option<Call> {
        let books = self.books;
        let exposures = books.exposures.values();
        let closable: Vec<(Address, Address)> = exposures
            .clone()
            .filter(|exposure| {
                let model = &books.models[&exposure.model];
                exposure.cap == 0 || model.is_retired || model.version != exposure.version
            })
            .map(|exposure| (exposure.vault, exposure.model))
            .collect();
        let all: Vec<_> = exposures
            .map(|exposure| (exposure.vault, exposure.model))
            .collect();
        let (vault, model) = self.prefer(&closable, &all)?;
        Some(Call::CloseExposure { vault, model })
    }

    pub(super) fn close_vault(&mut self) -> Option<Call> {
        let vault = self.vault(|_, vault| vault.shares == 0)?;
        Some(Call::CloseVault {
            vault,
            signed: self.chance(60),
        })
    }
}
