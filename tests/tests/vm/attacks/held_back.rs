//! Capital that cover holds back though it was asked back in time: no purchase holds back any more of it,
//! so that whoever stole the manager's key sells no cover on it on a listing that took effect later.

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
    /// The accomplice buys `cover` on the listing that is there, all shares are asked back, and time goes
    /// on until the thieves' listing takes effect and their model has a history.
    fn after_the_notice(max_utilisation_bps: u16, cover: u64) -> Self {
        let mut insured = insured(max_utilisation_bps);
        let (provider, accomplice) = (insured.provider(), insured.world.wallet(4 * CAPITAL));
        let terms = cover_on(&insured, &insured.model, cover, 30);
        insured.buy(&accomplice, 1, terms).unwrap();
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
        let mut scene = Self {
            insured,
            provider,
            accomplice,
            model,
        };
        // The provider is paid what is free, and no more until cover ends.
        scene.insured.withdraw(&scene.provider).unwrap();
        let again = scene.insured.withdraw(&scene.provider);
        assert_refused(again, DriftShieldError::CapitalLocked);
        scene
    }

    /// What else the accomplice does in a transaction, and then buys `cover` on the thieves' model.
    fn buy_after(&mut self, first: Instruction, cover: u64) -> Outcome {
        let buy = instruction::buy_policy(
            self.accomplice.address(),
            2,
            self.insured.vault,
            &self.insured.vault(),
            self.model.address,
            self.accomplice.tokens,
            cover_on(&self.insured, &self.model, cover, 2),
        );
        let world = &mut self.insured.world;
        world.send_all(&[first, buy], &[&self.accomplice.key])
    }

    /// The accomplice puts `amount` into the vault.
    fn deposit(&mut self, amount: u64) -> Instruction {
        let accomplice = self.accomplice.clone();
        self.insured.deposit(&accomplice, TOKEN).unwrap(); // makes the account of shares
        instruction::deposit(
            accomplice.address(),
            self.insured.vault,
            &self.insured.vault(),
            accomplice.tokens,
            amount,
            0,
        )
    }

    /// The thieves say that their model drifts, and the accomplice is paid.
    fn claim(&mut self) {
        let first = self.insured.policy(&self.accomplice, 2).first_window;
        let world = &mut self.insured.world;
        world.finalize_with(&self.model, first, &share(500_000));
        self.insured.claim(&self.accomplice, 2, first).unwrap();
    }

    /// The provider is paid what is left of its capital.
    fn assert_paid_in_full(&mut self) {
        self.insured.withdraw(&self.provider).unwrap();
        let request = address::withdraw_request(&self.insured.vault, &self.provider.address());
        assert!(
            !self.insured.world.exists(&request),
            "it is still held back"
        );
        let held = self.insured.world.tokens(&self.provider.tokens);
        let had = 10 * CAPITAL;
        assert!(had - held <= 10, "it has lost {}", had - held);
    }
}

/// A vault of which so much may be locked.
fn insured(max_utilisation_bps: u16) -> Insured {
    Insured::with(VaultTerms {
        max_utilisation_bps,
        ..vault_terms()
    })
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
fn thieves_do_not_hold_capital_back_until_their_listing_takes_effect() {
    // Given a provider that is held back by cover that an accomplice bought on an honest listing
    let mut scene = Scene::after_the_notice(9_000, CAPITAL / 10 * 9);

    // When that gives it up for any cover on the thieves' listing, at once
    let policy = scene.insured.policy(&scene.accomplice, 1);
    let cancel = instruction::cancel_policy(&policy, &scene.insured.vault());
    let outcome = scene.buy_after(cancel.clone(), TOKEN);

    // Then it can't, and the provider is paid as soon as the old cover has ended
    assert_refused(outcome, DriftShieldError::UtilisationTooHigh);
    let accomplice = scene.accomplice.key.insecure_clone();
    scene.insured.world.send(cancel, &[&accomplice]).unwrap();
    scene.assert_paid_in_full();
}

#[test]
fn room_that_a_deposit_makes_belongs_first_to_who_is_held_back() {
    // Given a provider with half of its capital left, all of it held back by cover: as much cover as half
    // of that may be locked by
    let mut scene = Scene::after_the_notice(5_000, CAPITAL / 4);
    let room = CAPITAL / 2;

    // When an accomplice puts as much in and a token more, and buys more cover than half of that token
    let deposit = scene.deposit(room);
    let outcome = scene.buy_after(deposit, 2 * TOKEN);
    assert_refused(outcome, DriftShieldError::UtilisationTooHigh);

    // When it puts in twice as much more, and buys cover that leaves room for who is held back
    let deposit = scene.deposit(2 * room);
    scene.buy_after(deposit, room / 2).unwrap();

    // Then the provider can be paid in full at once, and bears nothing of what that pays
    scene.assert_paid_in_full();
    scene.claim();
}

#[test]
fn terms_that_are_announced_hold_nobody_back_by_what_is_sold_before() {
    // Given a vault that may lock all, two providers, and tighter terms that are announced
    let mut scene = insured(10_000);
    let (stays, leaves) = (scene.provider(), scene.world.wallet(CAPITAL));
    scene.deposit(&leaves, CAPITAL).unwrap();
    let shares = scene.shares(&leaves);
    scene.request(&leaves, shares).unwrap();
    let tighter = VaultTerms {
        max_utilisation_bps: 5_000,
        ..vault_terms()
    };
    let manager = scene.manager.clone();
    let update = instruction::update_vault(manager.address(), scene.vault, tighter);
    scene.world.send(update, &[&manager.key]).unwrap();

    // When somebody buys more than half of what stays, then it is refused; half of it isn't
    let holder = scene.world.wallet(CAPITAL);
    let half = CAPITAL / 2;
    let terms = |scene: &Insured, cover| cover_on(scene, &scene.model, cover, 30);
    let outcome = scene.buy(&holder, 1, terms(&scene, half + 1));
    assert_refused(outcome, DriftShieldError::UtilisationTooHigh);
    scene.buy(&holder, 1, terms(&scene, half)).unwrap();

    // And who leaves is paid in full under the new terms
    scene.world.pass(COOLDOWN + DAY);
    let before = scene.world.tokens(&leaves.tokens);
    scene.withdraw(&leaves).unwrap();
    assert_eq!(scene.vault().terms, tighter);
    assert_eq!(scene.world.tokens(&leaves.tokens) - before, CAPITAL);
    assert_eq!(scene.shares(&stays), scene.vault().shares);
}

#[test]
fn who_asks_capital_back_ends_no_renewals() {
    // Given cover of half of the capital, and some of the capital asked back
    let mut scene = insured(5_000);
    let (provider, holder) = (scene.provider(), scene.world.wallet(CAPITAL));
    let terms = cover_on(&scene, &scene.model, CAPITAL / 2, 10);
    scene.buy(&holder, 1, terms).unwrap();
    let half = scene.shares(&provider) / 2;
    scene.request(&provider, half).unwrap();

    // When its holder renews it, then it may: no more is locked by that. But nothing more is sold
    scene.renew(&holder, 1, true).unwrap();
    let terms = cover_on(&scene, &scene.model, TOKEN, 10);
    let outcome = scene.buy(&holder, 2, terms);
    assert_refused(outcome, DriftShieldError::UtilisationTooHigh);
}
