//! Capital that cover holds back though it was asked back in time: whoever stole the manager's key can't
//! sell cover on it on a listing that took effect later.

use driftshield_sdk::{
    DriftShieldError, Instruction, ListingTerms, PolicyTerms, VaultTerms, address, first_window,
    instruction,
};
use driftshield_tests::{insurance::*, world::*};

/// A vault whose provider has asked all shares back, and a model that thieves alone measure, listed at
/// the same time.
struct Scene {
    insured: Insured,
    provider: Wallet,
    accomplice: Wallet,
    model: TestModel,
}

impl Scene {
    /// The accomplice `buys` cover, all shares are asked back, and time goes on until the thieves' listing
    /// takes effect and their model has a history.
    fn after_the_notice(max_utilisation_bps: u16, buys: impl Fn(&mut Insured, &Wallet)) -> Self {
        let mut insured = Insured::with(VaultTerms {
            max_utilisation_bps,
            ..vault_terms()
        });
        let (provider, accomplice) = (insured.provider(), insured.world.wallet(4 * CAPITAL));
        buys(&mut insured, &accomplice);
        let shares = insured.shares(&provider);
        insured.request(&provider, shares).unwrap();

        let spec = share_spec(&insured.world);
        let model = insured.world.model_with(spec, 1, 10_000 * TOKEN);
        let manager = insured.manager.clone();
        let list = instruction::list_model(
            manager.address(),
            insured.vault,
            model.address,
            ListingTerms {
                model_version: 1,
                cap: u64::MAX,
                lowest_trigger: 100_000,
            },
        );
        insured.world.send(list, &[&manager.key]).unwrap();
        assert!(COOLDOWN + DAY <= HISTORY as i64 * DAY);
        for window in 0..HISTORY {
            let counts = share(CALM_DRIFT);
            insured.world.finalize_with(&model, window, &counts);
        }
        Self {
            insured,
            provider,
            accomplice,
            model,
        }
    }

    /// The provider is paid what is free, and no more until cover ends.
    fn require_held_back(&mut self) {
        self.insured.withdraw(&self.provider).unwrap();
        let again = self.insured.withdraw(&self.provider);
        assert_refused(again, DriftShieldError::CapitalLocked);
    }

    /// The accomplice buys `cover` on the thieves' model, after something else in the same transaction.
    fn buy_after(&mut self, first: Instruction, cover: u64) -> Outcome {
        let buy = instruction::buy_policy(
            self.accomplice.address(),
            2,
            self.insured.vault,
            &self.insured.vault(),
            self.model.address,
            self.accomplice.tokens,
            self.cover(&self.model, cover, 2),
        );
        let world = &mut self.insured.world;
        world.send_all(&[first, buy], &[&self.accomplice.key])
    }

    fn cover(&self, model: &TestModel, cover: u64, windows: u64) -> PolicyTerms {
        cover_on(&self.insured, model, cover, windows)
    }

    /// The thieves say that their model drifts.
    fn claim(&mut self) {
        let policy = self.insured.policy(&self.accomplice, 2);
        let counts = share(500_000);
        let world = &mut self.insured.world;
        world.finalize_with(&self.model, policy.first_window, &counts);
        self.insured
            .claim(&self.accomplice, 2, policy.first_window)
            .unwrap();
    }

    /// The provider leaves as soon as it can, and has `CAPITAL` then.
    fn require_paid_in_full(&mut self) {
        self.insured.world.pass(60 * DAY);
        let (vault, holder) = (self.insured.vault, self.accomplice.address());
        for id in [1, 2] {
            if self
                .insured
                .world
                .exists(&address::policy(&vault, &holder, id))
            {
                self.insured.expire(&self.accomplice, id).unwrap();
            }
        }
        self.insured.withdraw(&self.provider).unwrap();
        let held = self.insured.world.tokens(&self.provider.tokens);
        let put_up = 10 * CAPITAL; // what it had
        assert!(
            put_up - 10 <= held,
            "the provider has {} of {CAPITAL} left",
            CAPITAL - (put_up - held)
        );
    }
}

/// Cover that pays all from a drift of 0.1.
fn cover_on(insured: &Insured, model: &TestModel, cover: u64, windows: u64) -> PolicyTerms {
    let state = insured.world.model(&model.address);
    PolicyTerms {
        cover,
        exhaustion: 100_000,
        windows,
        first_window: first_window(&insured.vault(), &state, insured.world.now()),
        ..insured.terms()
    }
}

#[test]
fn room_that_a_deposit_makes_is_not_sold_at_the_cost_of_who_is_held_back() {
    // Given a provider that is held back by cover that was sold before the keys were stolen
    let half = CAPITAL / 2;
    let mut scene = Scene::after_the_notice(5_000, |insured, holder| {
        let terms = cover_on(insured, &insured.model, half, 30);
        insured.buy(holder, 1, terms).unwrap();
    });
    scene.require_held_back();
    let accomplice = scene.accomplice.clone();
    scene.insured.deposit(&accomplice, TOKEN).unwrap(); // makes the account of shares

    // When an accomplice provides capital and buys cover on it at once, and that pays
    let deposit = instruction::deposit(
        accomplice.address(),
        scene.insured.vault,
        &scene.insured.vault(),
        accomplice.tokens,
        CAPITAL,
        0,
    );
    if scene.buy_after(deposit, half).is_ok() {
        scene.claim();
    }

    // Then the provider has lost nothing
    scene.require_paid_in_full();
}

#[test]
fn thieves_do_not_hold_capital_back_until_their_listing_takes_effect() {
    // Given a provider that is held back by cover that an accomplice bought on the listing that was there
    let most = CAPITAL / 10 * 9;
    let mut scene = Scene::after_the_notice(9_000, |insured, accomplice| {
        let terms = cover_on(insured, &insured.model, most, 30);
        insured.buy(accomplice, 1, terms).unwrap();
    });
    scene.require_held_back();

    // When that gives its cover up for as much on the thieves' listing, at once, and that pays
    let policy = scene.insured.policy(&scene.accomplice, 1);
    let cancel = instruction::cancel_policy(&policy, &scene.insured.vault());
    let assets = scene.insured.vault().assets;
    if scene.buy_after(cancel, assets / 10 * 9).is_ok() {
        scene.claim();
    }

    // Then the provider has lost nothing
    scene.require_paid_in_full();
}
