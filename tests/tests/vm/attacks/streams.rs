//! Attacks on premium streams, and vaults that everybody leaves while they run.

use driftshield_sdk::{
    ConfigParams, DriftShieldError, Instruction, PolicyTerms, PremiumPayee, VaultTerms, address,
    instruction,
};
use driftshield_tests::{insurance::*, world::*};
use solana_signer::Signer;

#[test]
fn attack_13_a_renewal_that_is_cancelled_before_its_term_returns_all_of_it() {
    // Given a policy that is renewed as soon as it has begun
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    scene.start(&holder, 1);
    scene.renew(&holder, 1, true).unwrap();
    let policy = scene.policy(&holder, 1);
    assert_eq!(policy.pending.start, policy.term.end);
    let (_, _, part) = scene.vault().split(policy.pending.premium);

    // When it is cancelled a second before the renewal's term begins
    scene.world.warp_to(policy.pending.start - 1);
    let before = scene.world.tokens(&holder.tokens);
    scene.cancel(&holder, 1).unwrap();

    // Then nine tenths of all that streams for the renewal are refunded: only the cancel fee is lost
    let refund = scene.world.tokens(&holder.tokens) - before;
    let whole = part * 9 / 10;
    assert!((whole..=whole + 1).contains(&refund), "{refund} of {whole}");
}

#[test]
fn attack_o_a_renewal_within_one_bucket_streams_for_a_bucket() {
    // Given buckets that are longer than a term
    let params = ConfigParams {
        bucket_secs: 31 * DAY,
        ..params()
    };
    let world = World::with(params, insurance_terms());
    let mut scene = Insured::on(world, vault_terms());
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        windows: 2,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();

    // When a renewal would begin and end in one bucket
    scene.start(&holder, 1);
    let first = scene.policy(&holder, 1).term;
    scene.renew(&holder, 1, true).unwrap();
    scene.start(&holder, 1);
    let policy = scene.policy(&holder, 1);
    let bucket = |time: i64| time / params.bucket_secs;
    assert_eq!(bucket(first.end), bucket(policy.term.end));

    // Then its stream begins at the end of that bucket, and lasts for one
    assert_eq!(policy.term.begins_at, first.ends_at);
    let secs = policy.term.ends_at - policy.term.begins_at;
    assert_eq!(secs, params.bucket_secs);
    // And all of it becomes capital in that time, no sooner
    scene.world.warp_to(policy.term.begins_at);
    assert!(policy.term.part <= scene.vault_now().unearned);
    scene.world.warp_to(policy.term.ends_at);
    let vault = scene.vault_now();
    assert_eq!((vault.unearned, vault.rate.get()), (0, 0));
}

/// What anybody can still do in a vault that everybody has left.
#[derive(Clone, Copy, Debug)]
enum Step {
    Deposit,
    Buy,
    Cancel,
    Expire,
    CollectTreasury,
    CollectManager,
    Leave,
}

const STEPS: [Step; 7] = [
    Step::Deposit,
    Step::Buy,
    Step::Cancel,
    Step::Expire,
    Step::CollectTreasury,
    Step::CollectManager,
    Step::Leave,
];

struct Deserted {
    scene: Insured,
    holder: Wallet,
    guest: Wallet,
}

impl Deserted {
    /// A vault that all providers have left while a premium of a year streams, `buckets` bucket ends ago.
    /// The cancelled policy refunds nothing, so that its stream goes on.
    fn after(buckets: i64) -> Self {
        let terms = VaultTerms {
            cancel_fee_bps: 10_000,
            ..vault_terms()
        };
        let mut scene = Insured::with(terms);
        let holder = scene.world.wallet(10 * CAPITAL);
        let guest = scene.world.wallet(10 * CAPITAL);
        let year = PolicyTerms {
            windows: 363,
            cover: 5_000 * TOKEN,
            ..scene.terms()
        };
        scene.buy(&holder, 1, year).unwrap();
        scene.cancel(&holder, 1).unwrap();
        let owner = scene.provider();
        scene.leave(&owner);
        assert_eq!(scene.vault().shares, 0);
        scene.world.pass(buckets * params().bucket_secs);
        Self {
            scene,
            holder,
            guest,
        }
    }

    /// Takes a step, which may be refused but must not abort.
    fn take(&mut self, step: Step) {
        let is_covered = self.is_covered();
        let scene = &mut self.scene;
        let outcome = match step {
            Step::Deposit => scene.deposit(&self.guest.clone(), 1_000 * TOKEN),
            Step::Buy => {
                let model = scene.model();
                let running = (scene.world.now() - model.genesis) / model.window_secs;
                scene.window = scene.window.max(running as u64);
                scene.measure(CALM_DRIFT);
                let terms = PolicyTerms {
                    windows: 2,
                    ..scene.terms()
                };
                scene.buy(&self.holder.clone(), 2, terms)
            }
            Step::Cancel if is_covered => scene.cancel(&self.holder.clone(), 2),
            Step::Expire if is_covered => {
                self.scene.world.pass(40 * DAY);
                self.scene.expire(&self.holder.clone(), 2)
            }
            Step::CollectTreasury => self.collect(PremiumPayee::Treasury),
            Step::CollectManager => self.collect(PremiumPayee::Manager),
            Step::Leave => {
                let guest = self.guest.clone();
                let shares = self.scene.shares(&guest);
                if 0 < shares {
                    self.scene.request(&guest, shares).unwrap();
                    self.scene.world.pass(COOLDOWN);
                    let _ = self.scene.withdraw(&guest);
                }
                return;
            }
            Step::Cancel | Step::Expire => return,
        };
        if let Err(failed) = outcome {
            let known = [
                DriftShieldError::UtilisationTooHigh,
                DriftShieldError::NothingToCollect,
                DriftShieldError::VaultWipedOut,
            ]
            .map(driftshield_sdk::error::code);
            assert!(known.contains(&code(Err(failed))), "{step:?}");
        }
    }

    fn is_covered(&self) -> bool {
        let policy = address::policy(&self.scene.vault, &self.holder.address(), 2);
        self.scene.world.exists(&policy)
    }

    fn collect(&mut self, payee: PremiumPayee) -> Outcome {
        let scene = &mut self.scene;
        let create = instruction::create_token_account(
            &scene.world.payer.pubkey(),
            &scene.manager.address(),
            &scene.world.mint,
            scene.world.token_program,
        );
        scene.world.send(create, &[]).unwrap();
        let collect = instruction::collect_manager_fees(scene.vault, &scene.vault(), payee);
        scene.world.send(collect, &[])
    }

    /// Ends what is left, and closes the vault.
    fn close(mut self) {
        if self.is_covered() {
            self.take(Step::Expire);
        }
        let guest = self.guest.clone();
        let request = address::withdraw_request(&self.scene.vault, &guest.address());
        if self.scene.world.exists(&request) {
            self.scene.request(&guest, 0).unwrap();
        }
        self.take(Step::Leave);
        if self.scene.world.exists(&request) {
            self.scene.world.pass(COOLDOWN);
            self.scene.withdraw(&guest).unwrap();
        }
        self.scene.list(0, 20_000).unwrap();
        self.take(Step::CollectManager);
        let scene = &mut self.scene;
        let (vault, model) = (scene.vault, scene.model.address);
        let close: [Instruction; 2] = [
            instruction::close_exposure(vault, &scene.vault(), model),
            instruction::close_vault(vault, &scene.vault(), false),
        ];
        scene.world.send_all(&close, &[]).unwrap();
        assert!(!scene.world.exists(&vault));
    }
}

#[test]
fn a_vault_that_everybody_left_goes_on_in_every_order() {
    for buckets in [1, 2, 63] {
        let deserted = Deserted::after(buckets);
        // Every pair of steps, one after the other, and then all others in turn.
        for first in 0..STEPS.len() {
            for second in 0..STEPS.len() {
                let mut next = Deserted {
                    scene: deserted.scene.clone(),
                    holder: deserted.holder.clone(),
                    guest: deserted.guest.clone(),
                };
                let order = [first, second].into_iter().chain((0..STEPS.len()).rev());
                for step in order {
                    next.take(STEPS[step]);
                    next.scene.world.pass(params().bucket_secs / 2);
                }
                next.close();
            }
        }
    }
}
