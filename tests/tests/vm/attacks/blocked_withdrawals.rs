//! Withdrawal requests that are due but blocked by cover: no new purchase may lock the requested capital.
//!
//! Otherwise a thief of the manager's key could keep capital in the vault until a listing of the thief's
//! own takes effect, and sell cover against it.

use driftshield_sdk::{
    DepositLimits, DriftShieldError, Instruction, ListingTerms, PolicyTerms, VaultTerms, address,
    first_window, instruction,
};
use driftshield_tests::{insurance::*, world::*};

/// A vault whose provider has requested all shares, and a thief's model that was listed at the same time.
/// Cover still locks a part of the capital after the cooldown.
struct BlockedWithdrawal {
    insured: Insured,
    provider: Wallet,
    /// Buys cover for the thief.
    accomplice: Wallet,
    /// The thief's model: the thief controls its only oracle.
    model: TestModel,
}

impl BlockedWithdrawal {
    /// The accomplice buys `cover` on the honest listing, the provider requests all shares, and the thief
    /// lists its model. The notice of the listing passes, and the thief's model gets a history.
    fn after_the_notice(max_utilisation_bps: u16, cover: u64) -> Self {
        let mut insured = insured(max_utilisation_bps);
        let (provider, accomplice) = (insured.provider(), insured.world.wallet(4 * CAPITAL));
        let terms = cover_on(&insured, &insured.model, cover, 30);
        insured.buy(&accomplice, 1, terms).unwrap();
        let shares = insured.shares(&provider);
        insured.request(&provider, shares).unwrap();

        let spec = share_spec(&insured.world);
        let model = insured.world.model_with(spec, 1, 20_000 * TOKEN);
        let manager = insured.manager.clone();
        let list = instruction::list_model(
            manager.address(),
            insured.vault,
            model.address,
            ListingTerms {
                model_version: 1,
                cap: u64::MAX,
                lowest_trigger: 100_000,
                max_persistence: 1,
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
        // The provider is paid the free capital, and no more until the cover ends.
        scene.insured.withdraw(&scene.provider).unwrap();
        let again = scene.insured.withdraw(&scene.provider);
        assert_refused(again, DriftShieldError::CapitalLocked);
        scene
    }

    /// The accomplice sends `first` and buys `cover` on the thief's model in one transaction.
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

    /// The accomplice's instruction that deposits `amount`.
    fn deposit(&mut self, amount: u64) -> Instruction {
        let accomplice = self.accomplice.clone();
        self.insured.deposit(&accomplice, TOKEN).unwrap(); // creates the share account
        instruction::deposit(
            accomplice.address(),
            self.insured.vault,
            &self.insured.vault(),
            accomplice.tokens,
            amount,
            DepositLimits::as_read(&self.insured.vault(), 0),
        )
    }

    /// The thief reports a drift of its model once the probation is over, and the accomplice claims.
    fn claim(&mut self) {
        let first = self.insured.policy(&self.accomplice, 2).first_window;
        let world = &mut self.insured.world;
        for window in HISTORY..first {
            world.finalize_with(&self.model, window, &share(CALM_DRIFT));
        }
        self.insured.begin(&self.accomplice, 2).unwrap();
        let world = &mut self.insured.world;
        world.finalize_with(&self.model, first, &share(500_000));
        self.insured.claim(&self.accomplice, 2).unwrap();
    }

    /// The provider withdraws the rest, and has lost no more than rounding.
    fn assert_paid_in_full(&mut self) {
        self.insured.withdraw(&self.provider).unwrap();
        let request = address::withdraw_request(&self.insured.vault, &self.provider.address());
        assert!(
            !self.insured.world.exists(&request),
            "a part of the request is still blocked"
        );
        let held = self.insured.world.tokens(&self.provider.tokens);
        let had = 10 * CAPITAL;
        assert!(had - held <= 10, "the provider lost {}", had - held);
    }
}

/// A vault that may lock at most this share of its capital.
fn insured(max_utilisation_bps: u16) -> Insured {
    Insured::with(VaultTerms {
        max_utilisation_bps,
        ..vault_terms()
    })
}

/// Terms of cover that is paid in full from a drift of 0.1 on.
fn cover_on(insured: &Insured, model: &TestModel, cover: u64, windows: u64) -> PolicyTerms {
    let state = insured.world.model(&model.address);
    PolicyTerms {
        cover,
        exhaustion: state.state().lowest_exhaustion(100_000),
        windows,
        first_window: first_window(&insured.vault(), &state, insured.world.now()),
        ..insured.terms()
    }
}

#[test]
fn cover_cannot_be_moved_to_a_listing_that_a_due_request_did_not_accept() {
    // Given a withdrawal that is blocked by cover which an accomplice bought on an honest listing
    let mut scene = BlockedWithdrawal::after_the_notice(9_000, CAPITAL / 10 * 9);

    // When the accomplice cancels that cover and buys on the thief's listing in the same transaction
    let policy = scene.insured.policy(&scene.accomplice, 1);
    let cancel = instruction::cancel_policy(&policy, &scene.insured.vault());
    let outcome = scene.buy_after(cancel.clone(), TOKEN);

    // Then the purchase is refused, and the provider is paid as soon as the old cover ends
    assert_refused(outcome, DriftShieldError::UtilisationTooHigh);
    let accomplice = scene.accomplice.key.insecure_clone();
    scene.insured.world.send(cancel, &[&accomplice]).unwrap();
    scene.assert_paid_in_full();
}

#[test]
fn capacity_from_a_deposit_serves_blocked_requests_first() {
    // Given a vault that may lock half of its capital, and a provider whose remaining capital is all
    // blocked: cover locks half of it
    let mut scene = BlockedWithdrawal::after_the_notice(5_000, CAPITAL / 4);
    let room = CAPITAL / 2;

    // When an accomplice deposits as much as is blocked and one token more, and buys more cover than half
    // of that token, then it is refused
    let deposit = scene.deposit(room);
    let outcome = scene.buy_after(deposit, 2 * TOKEN);
    assert_refused(outcome, DriftShieldError::UtilisationTooHigh);

    // When it deposits twice as much, and buys cover that leaves room for the blocked request
    let deposit = scene.deposit(2 * room);
    scene.buy_after(deposit, room / 2).unwrap();

    // Then the provider is paid in full before the claim on that cover
    scene.assert_paid_in_full();
    scene.claim();
}

#[test]
fn an_announced_utilisation_limit_applies_to_purchases_at_once() {
    // Given a vault that may lock all of its capital, a provider that stays and one that has requested all
    // its shares, and announced terms that lower the utilisation limit to a half
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

    // When somebody buys cover of more than half of the capital that stays, then it is refused; cover of
    // half is sold
    let holder = scene.world.wallet(CAPITAL);
    let half = CAPITAL / 2;
    let terms = |scene: &Insured, cover| cover_on(scene, &scene.model, cover, 30);
    let outcome = scene.buy(&holder, 1, terms(&scene, half + 1));
    assert_refused(outcome, DriftShieldError::UtilisationTooHigh);
    scene.buy(&holder, 1, terms(&scene, half)).unwrap();

    // And the leaving provider is paid in full under the new terms
    scene.world.pass(COOLDOWN + DAY);
    let before = scene.world.tokens(&leaves.tokens);
    scene.withdraw(&leaves).unwrap();
    assert_eq!(scene.vault().terms, tighter);
    assert_eq!(scene.world.tokens(&leaves.tokens) - before, CAPITAL);
    assert_eq!(scene.shares(&stays), scene.vault().shares);
}

#[test]
fn withdrawal_requests_do_not_stop_renewals() {
    // Given cover of half of the capital, and a request for half of the shares
    let mut scene = insured(5_000);
    let (provider, holder) = (scene.provider(), scene.world.wallet(CAPITAL));
    let terms = cover_on(&scene, &scene.model, CAPITAL / 2, 10);
    scene.buy(&holder, 1, terms).unwrap();
    scene.start(&holder, 1);
    let half = scene.shares(&provider) / 2;
    scene.request(&provider, half).unwrap();

    // When the holder renews, then it succeeds, as a renewal locks no more; new cover is refused
    scene.renew(&holder, 1, true).unwrap();
    let terms = cover_on(&scene, &scene.model, TOKEN, 10);
    let outcome = scene.buy(&holder, 2, terms);
    assert_refused(outcome, DriftShieldError::UtilisationTooHigh);
}
