//! Who may set the program up, change its settings, pause it and take its earnings.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{
    CollateralTerms, ConfigParams, DriftShieldError, Event, ID, TokenProgram, address, events,
    instruction, pause,
};
use driftshield_tests::world::*;
use solana_keypair::Keypair;
use solana_signer::Signer;

const MAX_PERIOD: i64 = 30 * DAY;

/// Every setting at the top of its range.
fn largest() -> ConfigParams {
    ConfigParams {
        submit_secs: MAX_PERIOD,
        challenge_secs: MAX_PERIOD,
        ruling_secs: MAX_PERIOD,
        unbond_secs: 400 * DAY,
        retention_secs: 4_000 * DAY,
        claim_grace_secs: MAX_PERIOD,
        waiting_secs: MAX_PERIOD,
        bucket_secs: 31 * DAY,
        min_window_secs: 31 * DAY,
        max_window_secs: 31 * DAY,
        max_spread_limit: 100_000_000,
        security_multiple: u32::MAX,
        protocol_fee_bps: 2_000,
        premium_fee_bps: 2_000,
    }
}

/// Every setting at the bottom of its range.
fn smallest() -> ConfigParams {
    ConfigParams {
        submit_secs: 1,
        challenge_secs: 1,
        ruling_secs: 1,
        unbond_secs: 4,
        retention_secs: 400 * DAY + 3 + MAX_PERIOD + 90 * DAY,
        claim_grace_secs: 1,
        waiting_secs: 1,
        bucket_secs: 1,
        min_window_secs: 1,
        max_window_secs: 1,
        max_spread_limit: 0,
        security_multiple: 1,
        protocol_fee_bps: 0,
        premium_fee_bps: 0,
    }
}

/// Settings with one field just outside its range, and the field's name.
fn out_of_range() -> Vec<(&'static str, ConfigParams)> {
    let above: [Change; 12] = [
        ("submit_secs", |p| p.submit_secs += 1),
        ("challenge_secs", |p| p.challenge_secs += 1),
        ("ruling_secs", |p| p.ruling_secs += 1),
        ("unbond_secs", |p| p.unbond_secs += 1),
        ("retention_secs", |p| p.retention_secs += 1),
        ("claim_grace_secs", |p| p.claim_grace_secs += 1),
        ("waiting_secs", |p| p.waiting_secs += 1),
        ("bucket_secs", |p| p.bucket_secs += 1),
        ("max_window_secs", |p| p.max_window_secs += 1),
        ("max_spread_limit", |p| p.max_spread_limit += 1),
        ("protocol_fee_bps", |p| p.protocol_fee_bps += 1),
        ("premium_fee_bps", |p| p.premium_fee_bps += 1),
    ];
    let below: [Change; 13] = [
        ("submit_secs", |p| p.submit_secs = 0),
        ("challenge_secs", |p| p.challenge_secs = 0),
        ("ruling_secs", |p| p.ruling_secs = 0),
        ("unbond_secs: not above a dispute", |p| p.unbond_secs = 3),
        ("retention_secs", |p| p.retention_secs -= 1),
        ("claim_grace_secs", |p| p.claim_grace_secs = 0),
        ("waiting_secs", |p| p.waiting_secs = 0),
        ("bucket_secs", |p| p.bucket_secs = 0),
        ("min_window_secs", |p| p.min_window_secs = 0),
        ("min_window_secs above the largest", |p| {
            p.min_window_secs = 2;
        }),
        ("security_multiple", |p| p.security_multiple = 0),
        ("ruling_secs: negative", |p| p.ruling_secs = i64::MIN),
        ("submit_secs: overflowing", |p| p.submit_secs = i64::MAX),
    ];
    let change = |base: ConfigParams| {
        move |(name, change): (&'static str, fn(&mut ConfigParams))| {
            let mut params = base;
            change(&mut params);
            (name, params)
        }
    };
    let above = above.into_iter().map(change(largest()));
    above
        .chain(below.into_iter().map(change(smallest())))
        .collect()
}

/// Terms with one field just outside its range, and the field's name.
fn bad_terms() -> [(&'static str, CollateralTerms); 4] {
    let smallest = smallest_terms();
    [
        (
            "min_bet",
            CollateralTerms {
                min_bet: 0,
                ..smallest
            },
        ),
        (
            "slash_amount",
            CollateralTerms {
                slash_amount: 1,
                ..smallest
            },
        ),
        (
            "min_bond under slash_amount",
            CollateralTerms {
                min_bond: 1,
                ..smallest
            },
        ),
        (
            "challenge_bond",
            CollateralTerms {
                challenge_bond: 0,
                ..smallest
            },
        ),
    ]
}

fn smallest_terms() -> CollateralTerms {
    CollateralTerms {
        min_bet: 1,
        min_bond: 2,
        slash_amount: 2,
        challenge_bond: 1,
    }
}

fn initialize(world: &World, authority: &Keypair) -> Instruction {
    instruction::initialize(
        authority.pubkey(),
        world.admin.pubkey(),
        world.guardian.pubkey(),
        world.arbiter.pubkey(),
        params(),
    )
}

/// A funded key that has no role.
fn stranger(world: &mut World) -> Keypair {
    world.wallet(0).key
}

fn admin(world: &World) -> Keypair {
    world.admin.insecure_clone()
}

fn update_config(world: &World, by: &Keypair, params: ConfigParams) -> Instruction {
    let (guardian, arbiter) = (world.guardian.pubkey(), world.arbiter.pubkey());
    instruction::update_config(by.pubkey(), guardian, arbiter, params)
}

/// A mint that is not registered.
fn new_mint(world: &mut World, freeze_authority: Option<&Address>) -> Address {
    let authority = world.payer.pubkey();
    let mint = key("an unregistered mint").pubkey();
    set_mint(&mut world.svm, &mint, &authority, freeze_authority)
}

/// Puts tokens into the treasury: dust and fees come by the same way.
fn fill_treasury(world: &mut World, amount: u64) {
    let treasury = world.treasury();
    world.mint_to(&treasury, amount);
}

// initialize

/// The name of a setting, and how it is set out of its range.
type Change = (&'static str, fn(&mut ConfigParams));

#[test]
fn a_stranger_cannot_initialize() {
    // Given a program that is deployed and not set up
    let mut world = World::bare();
    let stranger = stranger(&mut world);
    // When a stranger initializes it
    let initialize = initialize(&world, &stranger);
    let outcome = world.send(initialize, &[&stranger]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotUpgradeAuthority);
}

#[test]
fn nobody_can_initialize_by_another_programs_data() {
    // Given an account of the loader's that names the stranger as the authority of something else
    let mut world = World::bare();
    let stranger = stranger(&mut world);
    let mut data = world.svm.get_account(&address::program_data()).unwrap();
    data.data[13..45].copy_from_slice(stranger.pubkey().as_ref());
    let other = key("another program's data").pubkey();
    data.data.truncate(45);
    world.svm.set_account(other, data).unwrap();
    // When the stranger passes it for the program's
    let initialize = swapped(
        initialize(&world, &stranger),
        &address::program_data(),
        &other,
    );
    let outcome = world.send(initialize, &[&stranger]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotUpgradeAuthority);
}

#[test]
fn a_program_without_an_upgrade_authority_cannot_be_initialized() {
    // Given a program that nobody can upgrade any more, with the old authority's key left over
    let mut world = World::bare();
    let mut data = world.svm.get_account(&address::program_data()).unwrap();
    data.data[12] = 0;
    world
        .svm
        .set_account(address::program_data(), data)
        .unwrap();
    // When the old authority initializes
    let admin = admin(&world);
    let initialize = initialize(&world, &admin);
    let outcome = world.send(initialize, &[&admin]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotUpgradeAuthority);
}

#[test]
fn initialize_refuses_settings_out_of_range() {
    // Given a program that is not set up
    let mut world = World::bare();
    let admin = admin(&world);
    for (name, params) in out_of_range() {
        // When its authority initializes it with one setting out of range
        let [guardian, arbiter] = [world.guardian.pubkey(), world.arbiter.pubkey()];
        let initialize =
            instruction::initialize(admin.pubkey(), admin.pubkey(), guardian, arbiter, params);
        let outcome = world.send(initialize, &[&admin]);
        // Then it is refused
        eprintln!("{name}");
        assert_refused(outcome, DriftShieldError::InvalidConfig);
    }
}

#[test]
fn the_program_is_initialized_once() {
    // Given a program that is set up
    let mut world = World::new();
    let before = world.svm.get_account(&address::config()).unwrap().data;
    // When its upgrade authority initializes it again
    let admin = admin(&world);
    let again = initialize(&world, &admin);
    let outcome = world.send(again, &[&admin]);
    // Then it is refused, and nothing changed
    assert!(outcome.is_err());
    let after = world.svm.get_account(&address::config()).unwrap().data;
    assert_eq!(before, after);
}

#[test]
fn the_upgrade_authority_initializes() {
    // Given a program that is not set up
    let mut world = World::bare();
    let authority = admin(&world);
    let [new_admin, guardian, arbiter] =
        ["the admin", "the guardian", "the arbiter"].map(|name| key(name).pubkey());
    // When its authority names other keys for all roles
    let initialize =
        instruction::initialize(authority.pubkey(), new_admin, guardian, arbiter, smallest());
    let sent = world.send(initialize, &[&authority]).unwrap();
    // Then they have them, and nothing is paused
    assert_eq!(
        *sent.event(),
        Event::Initialized(events::Initialized {
            config_seq: 1,
            admin: new_admin,
            guardian,
            arbiter,
            params: smallest(),
        })
    );
    let config = world.config();
    assert_eq!(config.admin, new_admin);
    assert_eq!(config.pending_admin, Address::default());
    assert_eq!(config.guardian, guardian);
    assert_eq!(config.arbiter, arbiter);
    assert_eq!(config.params, smallest());
    assert_eq!((config.paused, config.seq), (0, 1));
}

// update_config

#[test]
fn only_the_admin_updates_the_config() {
    // Given keys that are not the admin: a stranger, the guardian and the arbiter
    let mut world = World::new();
    let stranger = stranger(&mut world);
    let others = [
        stranger,
        world.guardian.insecure_clone(),
        world.arbiter.insecure_clone(),
    ];
    for other in others {
        // When it updates the config
        let update = update_config(&world, &other, params());
        let outcome = world.send(update, &[&other]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::NotAdmin);
    }
}

#[test]
fn update_config_refuses_settings_out_of_range() {
    // Given a program that is set up
    let mut world = World::new();
    let admin = admin(&world);
    for (name, params) in out_of_range() {
        // When the admin puts one setting out of its range
        let update = update_config(&world, &admin, params);
        let outcome = world.send(update, &[&admin]);
        // Then it is refused
        eprintln!("{name}");
        assert_refused(outcome, DriftShieldError::InvalidConfig);
    }
    assert_eq!(world.config().params, params());
}

#[test]
fn settings_may_lie_at_the_ends_of_their_ranges() {
    // Given a program that is set up
    let mut world = World::new();
    let admin = admin(&world);
    for params in [largest(), smallest()] {
        // When the admin puts every setting at an end of its range
        let update = update_config(&world, &admin, params);
        world.send(update, &[&admin]).unwrap();
        // Then they hold
        assert_eq!(world.config().params, params);
    }
}

#[test]
fn update_config_changes_settings_guardian_and_arbiter_only() {
    // Given a program that is paused, with an admin proposed
    let mut world = World::new();
    let admin = admin(&world);
    world.pause(pause::BETS);
    let [pending, guardian, arbiter] =
        ["pending", "new guardian", "new arbiter"].map(|name| key(name).pubkey());
    let propose = instruction::propose_admin(admin.pubkey(), pending);
    world.send(propose, &[&admin]).unwrap();
    // When the admin updates the config
    let update = instruction::update_config(admin.pubkey(), guardian, arbiter, largest());
    let sent = world.send(update, &[&admin]).unwrap();
    // Then it says so, and all else is as it was
    assert_eq!(
        *sent.event(),
        Event::ConfigUpdated(events::ConfigUpdated {
            config_seq: 4,
            guardian,
            arbiter,
            params: largest(),
        })
    );
    let config = world.config();
    assert_eq!((config.guardian, config.arbiter), (guardian, arbiter));
    assert_eq!(config.params, largest());
    assert_eq!(config.admin, admin.pubkey());
    assert_eq!(config.pending_admin, pending);
    assert_eq!(config.paused, pause::BETS);
}

#[test]
fn a_model_keeps_the_settings_it_was_registered_with() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    let before = world.svm.get_account(&model.address).unwrap().data;
    // When the admin changes every setting, the arbiter and the collateral's terms
    let admin = admin(&world);
    let arbiter = key("another arbiter").pubkey();
    let guardian = world.guardian.pubkey();
    let update = instruction::update_config(admin.pubkey(), guardian, arbiter, smallest());
    world.send(update, &[&admin]).unwrap();
    let terms = CollateralTerms {
        min_bond: u64::MAX,
        slash_amount: u64::MAX,
        ..smallest_terms()
    };
    let update = instruction::update_collateral(admin.pubkey(), world.mint, terms, false);
    world.send(update, &[&admin]).unwrap();
    // Then the model is what it was, to the last byte
    let after = world.svm.get_account(&model.address).unwrap().data;
    assert_eq!(before, after);
}

// propose_admin, accept_admin

#[test]
fn only_the_admin_proposes_an_admin() {
    // Given the guardian, who is not the admin
    let mut world = World::new();
    let guardian = world.guardian.insecure_clone();
    // When it proposes itself
    let propose = instruction::propose_admin(guardian.pubkey(), guardian.pubkey());
    let outcome = world.send(propose, &[&guardian]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAdmin);
}

#[test]
fn only_the_proposed_admin_accepts() {
    // Given a proposed admin
    let mut world = World::new();
    let admin = admin(&world);
    let stranger = stranger(&mut world);
    let propose = instruction::propose_admin(admin.pubkey(), key("proposed").pubkey());
    world.send(propose, &[&admin]).unwrap();
    for other in [&stranger, &admin] {
        // When another key accepts, be it the admin's
        let outcome = world.send(instruction::accept_admin(other.pubkey()), &[other]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::NotPendingAdmin);
    }
}

#[test]
fn nobody_accepts_what_was_not_proposed() {
    // Given a program without a proposed admin
    let mut world = World::new();
    let stranger = stranger(&mut world);
    // When somebody accepts
    let outcome = world.send(instruction::accept_admin(stranger.pubkey()), &[&stranger]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotPendingAdmin);
}

#[test]
fn a_later_proposal_replaces_an_earlier_one() {
    // Given a proposed admin
    let mut world = World::new();
    let admin = admin(&world);
    let [first, second] = [stranger(&mut world), stranger(&mut world)];
    let propose = instruction::propose_admin(admin.pubkey(), first.pubkey());
    world.send(propose, &[&admin]).unwrap();
    // When the admin proposes another
    let propose = instruction::propose_admin(admin.pubkey(), second.pubkey());
    world.send(propose, &[&admin]).unwrap();
    // Then the first can no longer accept
    let outcome = world.send(instruction::accept_admin(first.pubkey()), &[&first]);
    assert_refused(outcome, DriftShieldError::NotPendingAdmin);
    let accept = instruction::accept_admin(second.pubkey());
    world.send(accept, &[&second]).unwrap();
}

#[test]
fn a_proposal_changes_nothing_until_it_is_accepted() {
    // Given a program that is set up
    let mut world = World::new();
    let admin = admin(&world);
    let proposed = stranger(&mut world);
    // When the admin proposes a key
    let propose = instruction::propose_admin(admin.pubkey(), proposed.pubkey());
    let sent = world.send(propose, &[&admin]).unwrap();
    // Then that key is proposed, and the admin still is the admin
    assert_eq!(
        *sent.event(),
        Event::AdminProposed(events::AdminProposed {
            config_seq: 2,
            admin: admin.pubkey(),
            pending_admin: proposed.pubkey(),
        })
    );
    assert_eq!(world.config().pending_admin, proposed.pubkey());
    assert_eq!(world.config().admin, admin.pubkey());
    let update = update_config(&world, &proposed, params());
    assert_refused(world.send(update, &[&proposed]), DriftShieldError::NotAdmin);
}

#[test]
fn the_proposed_admin_takes_the_role_once() {
    // Given a proposed admin
    let mut world = World::new();
    let old = admin(&world);
    let new = stranger(&mut world);
    let propose = instruction::propose_admin(old.pubkey(), new.pubkey());
    world.send(propose, &[&old]).unwrap();
    // When it accepts
    let sent = world
        .send(instruction::accept_admin(new.pubkey()), &[&new])
        .unwrap();
    // Then it is the admin, the old one is not, and nobody is proposed
    assert_eq!(
        *sent.event(),
        Event::AdminAccepted(events::AdminAccepted {
            config_seq: 3,
            admin: new.pubkey(),
        })
    );
    assert_eq!(world.config().admin, new.pubkey());
    assert_eq!(world.config().pending_admin, Address::default());
    let update = update_config(&world, &old, params());
    assert_refused(world.send(update, &[&old]), DriftShieldError::NotAdmin);
    let again = world.send(instruction::accept_admin(new.pubkey()), &[&new]);
    assert_refused(again, DriftShieldError::NotPendingAdmin);
}

// set_pause

#[test]
fn a_stranger_cannot_pause() {
    // Given keys that are neither the guardian nor the admin
    let mut world = World::new();
    let stranger = stranger(&mut world);
    for other in [stranger, world.arbiter.insecure_clone()] {
        // When it pauses
        let outcome = world.send(instruction::set_pause(other.pubkey(), 1), &[&other]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::NotGuardian);
    }
}

#[test]
fn the_guardian_cannot_unpause() {
    // Given two flags that are set
    let mut world = World::new();
    world.pause(pause::MARKETS | pause::BETS);
    let guardian = world.guardian.insecure_clone();
    for flags in [
        0,
        pause::BETS,
        pause::MARKETS,
        pause::MODELS,
        pause::ALL & !pause::BETS,
    ] {
        // When the guardian leaves one out, whatever it adds
        let outcome = world.send(
            instruction::set_pause(guardian.pubkey(), flags),
            &[&guardian],
        );
        // Then it is refused
        assert_refused(outcome, DriftShieldError::GuardianCannotUnpause);
    }
    assert_eq!(world.config().paused, pause::MARKETS | pause::BETS);
}

#[test]
fn an_unknown_pause_flag_is_refused() {
    // Given the admin and the guardian
    let mut world = World::new();
    for authority in [
        world.admin.insecure_clone(),
        world.guardian.insecure_clone(),
    ] {
        for flags in [1 << 6, 1 << 7, u8::MAX] {
            // When one sets a flag that there is not
            let set = instruction::set_pause(authority.pubkey(), flags);
            let outcome = world.send(set, &[&authority]);
            // Then it is refused
            assert_refused(outcome, DriftShieldError::UnknownPauseFlag);
        }
    }
}

#[test]
fn the_guardian_adds_pause_flags() {
    // Given one flag that is set
    let mut world = World::new();
    world.pause(pause::MARKETS);
    let guardian = world.guardian.insecure_clone();
    // When the guardian adds another
    let flags = pause::MARKETS | pause::RENEWALS;
    let set = instruction::set_pause(guardian.pubkey(), flags);
    let sent = world.send(set, &[&guardian]).unwrap();
    // Then both are set
    assert_eq!(
        *sent.event(),
        Event::PauseSet(events::PauseSet {
            config_seq: 3,
            authority: guardian.pubkey(),
            paused: flags,
        })
    );
    assert_eq!(world.config().paused, flags);
}

#[test]
fn the_admin_unpauses() {
    // Given a program of which all is paused
    let mut world = World::new();
    world.pause(pause::ALL);
    // When the admin sets no flag
    world.pause(0);
    // Then nothing is paused
    assert_eq!(world.config().paused, 0);
}

// register_collateral

#[test]
fn only_the_admin_registers_collateral() {
    // Given a mint and a key that is not the admin
    let mut world = World::new();
    let mint = new_mint(&mut world, None);
    let guardian = world.guardian.insecure_clone();
    // When it registers the mint
    let register = instruction::register_collateral(
        guardian.pubkey(),
        mint,
        TokenProgram::SplToken,
        terms(),
        false,
    );
    let outcome = world.send(register, &[&guardian]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAdmin);
}

#[test]
fn a_freeze_authority_has_to_be_accepted() {
    // Given a mint whose issuer can freeze accounts
    let mut world = World::new();
    let mint = new_mint(&mut world, Some(&key("issuer").pubkey()));
    let admin = admin(&world);
    // When the admin registers it without saying that this is accepted
    let register = instruction::register_collateral(
        admin.pubkey(),
        mint,
        TokenProgram::SplToken,
        terms(),
        false,
    );
    let outcome = world.send(register, &[&admin]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::FreezeAuthorityNotAccepted);
}

#[test]
fn a_freeze_authority_that_is_accepted_is_recorded() {
    // Given a mint whose issuer can freeze accounts
    let mut world = World::new();
    let mint = new_mint(&mut world, Some(&key("issuer").pubkey()));
    let admin = admin(&world);
    // When the admin registers it and accepts that
    let register = instruction::register_collateral(
        admin.pubkey(),
        mint,
        TokenProgram::SplToken,
        terms(),
        true,
    );
    world.send(register, &[&admin]).unwrap();
    // Then the collateral says so
    let collateral: driftshield_sdk::Collateral = world.read(&address::collateral(&mint));
    assert!(collateral.accepts_freeze.get());
    assert!(collateral.enabled.get());
}

#[test]
fn register_collateral_refuses_terms_out_of_range() {
    // Given a mint
    let mut world = World::new();
    let mint = new_mint(&mut world, None);
    let admin = admin(&world);
    for (name, terms) in bad_terms() {
        // When the admin registers it with one term out of range
        let register = instruction::register_collateral(
            admin.pubkey(),
            mint,
            TokenProgram::SplToken,
            terms,
            false,
        );
        let outcome = world.send(register, &[&admin]);
        // Then it is refused
        eprintln!("{name}");
        assert_refused(outcome, DriftShieldError::InvalidCollateralTerms);
    }
}

#[test]
fn a_mint_is_registered_once() {
    // Given a mint that is registered
    let mut world = World::new();
    let admin = admin(&world);
    // When the admin registers it again
    let register = instruction::register_collateral(
        admin.pubkey(),
        world.mint,
        TokenProgram::SplToken,
        smallest_terms(),
        false,
    );
    let outcome = world.send(register, &[&admin]);
    // Then it is refused, and the terms are what they were
    assert!(outcome.is_err());
    assert_eq!(world.collateral().terms, terms());
}

#[test]
fn a_mint_is_registered_with_a_treasury_of_its_own() {
    // Given a mint
    let mut world = World::new();
    let mint = new_mint(&mut world, None);
    let admin = admin(&world);
    // When the admin registers it
    let register = instruction::register_collateral(
        admin.pubkey(),
        mint,
        TokenProgram::SplToken,
        smallest_terms(),
        false,
    );
    let sent = world.send(register, &[&admin]).unwrap();
    // Then what was accepted is pinned, and its treasury is the collateral's
    let collateral = address::collateral(&mint);
    let treasury = address::treasury(&collateral);
    assert_eq!(
        *sent.event(),
        Event::CollateralRegistered(events::CollateralRegistered {
            collateral,
            collateral_seq: 1,
            mint,
            token_program: TokenProgram::SplToken,
            extensions: 0,
            treasury,
            decimals: 6,
            accepts_freeze: false,
            terms: smallest_terms(),
        })
    );
    let account: driftshield_sdk::Collateral = world.read(&collateral);
    assert_eq!(account.mint, mint);
    assert_eq!(account.treasury, treasury);
    assert_eq!(account.token_program, TokenProgram::SplToken);
    assert_eq!(account.decimals, 6);
    assert_eq!(account.terms, smallest_terms());
    assert!(account.enabled.get());
    let treasury = world.svm.get_account(&treasury).unwrap();
    assert_eq!(&treasury.data[..32], mint.as_ref());
    assert_eq!(&treasury.data[32..64], collateral.as_ref());
}

// update_collateral

#[test]
fn only_the_admin_updates_collateral() {
    // Given a key that is not the admin
    let mut world = World::new();
    let guardian = world.guardian.insecure_clone();
    // When it disables a token
    let update = instruction::update_collateral(guardian.pubkey(), world.mint, terms(), false);
    let outcome = world.send(update, &[&guardian]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAdmin);
}

#[test]
fn update_collateral_refuses_terms_out_of_range() {
    // Given a token that is registered
    let mut world = World::new();
    let admin = admin(&world);
    for (name, terms) in bad_terms() {
        // When the admin puts one term out of range
        let update = instruction::update_collateral(admin.pubkey(), world.mint, terms, true);
        let outcome = world.send(update, &[&admin]);
        // Then it is refused
        eprintln!("{name}");
        assert_refused(outcome, DriftShieldError::InvalidCollateralTerms);
    }
}

#[test]
fn collateral_is_disabled_and_enabled_again() {
    // Given a token that is registered
    let mut world = World::new();
    let admin = admin(&world);
    for (seq, enabled) in [(2, false), (3, true)] {
        // When the admin disables it, and then enables it
        let update =
            instruction::update_collateral(admin.pubkey(), world.mint, smallest_terms(), enabled);
        let sent = world.send(update, &[&admin]).unwrap();
        // Then it says so
        assert_eq!(
            *sent.event(),
            Event::CollateralUpdated(events::CollateralUpdated {
                collateral: address::collateral(&world.mint),
                collateral_seq: seq,
                mint: world.mint,
                enabled,
                terms: smallest_terms(),
            })
        );
        assert_eq!(world.collateral().enabled.get(), enabled);
        assert_eq!(world.collateral().terms, smallest_terms());
    }
}

#[test]
fn disabled_collateral_stops_new_risk_and_no_exit() {
    // Given a market with bets on both outcomes
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms_of_market = market_terms(&world, &model);
    let market = world
        .create_market(&model, &creator, 1, terms_of_market.clone())
        .unwrap();
    let bettor = world.wallet(100 * TOKEN);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    world.bet(&market, &bettor, 1, TOKEN).unwrap();
    // When the admin disables its token
    let admin = admin(&world);
    let update = instruction::update_collateral(admin.pubkey(), world.mint, terms(), false);
    world.send(update, &[&admin]).unwrap();
    // Then no market opens on it and no bet is taken in it, but bets are paid out
    assert_refused(
        world.bet(&market, &bettor, 0, TOKEN),
        DriftShieldError::CollateralDisabled,
    );
    let second = world.create_market(&model, &creator, 2, terms_of_market);
    let code = code(second.map(|_| unreachable!("refused")));
    assert_eq!(
        code,
        driftshield_sdk::error::code(DriftShieldError::CollateralDisabled)
    );
    for window in 1..=3 {
        world.finalize_with(&model, window, &CALM);
    }
    world.settle(&market, 3).unwrap();
    world.claim(&market, &bettor.address()).unwrap();
    assert_eq!(world.tokens(&bettor.tokens), 100 * TOKEN - TOKEN * 3 / 100);
}

// withdraw_treasury

#[test]
fn only_the_admin_withdraws_from_a_treasury() {
    // Given a treasury with tokens
    let mut world = World::new();
    fill_treasury(&mut world, TOKEN);
    let guardian = world.guardian.insecure_clone();
    let thief = world.wallet(0);
    // When another key withdraws
    let withdraw =
        instruction::withdraw_treasury(guardian.pubkey(), &world.collateral(), thief.tokens, TOKEN);
    let outcome = world.send(withdraw, &[&guardian]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAdmin);
}

#[test]
fn withdrawing_nothing_is_refused() {
    // Given a treasury with tokens
    let mut world = World::new();
    fill_treasury(&mut world, TOKEN);
    let admin = admin(&world);
    let payee = world.wallet(0);
    // When the admin withdraws nothing
    let withdraw =
        instruction::withdraw_treasury(admin.pubkey(), &world.collateral(), payee.tokens, 0);
    let outcome = world.send(withdraw, &[&admin]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::ZeroAmount);
}

#[test]
fn the_admin_withdraws_from_no_other_account_than_the_treasury() {
    // Given stakes in a market's vault and bonds in a model's, and another token's treasury
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(TOKEN);
    world.bet(&market, &bettor, 0, TOKEN).unwrap();
    let other = world.second_collateral();
    let others = [
        world.market(&market).vault,
        world.model(&model.address).bond_vault,
        address::treasury(&address::collateral(&other)),
    ];
    let admin = admin(&world);
    for account in others {
        // When the admin passes one of them for the treasury
        let withdraw = instruction::withdraw_treasury(
            admin.pubkey(),
            &world.collateral(),
            bettor.tokens,
            TOKEN,
        );
        let outcome = world.send(swapped(withdraw, &world.treasury(), &account), &[&admin]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::WrongTreasury);
    }
}

#[test]
fn a_treasury_pays_in_its_own_mint_only() {
    // Given a treasury with tokens, and another mint
    let mut world = World::new();
    fill_treasury(&mut world, TOKEN);
    let other = world.second_collateral();
    let admin = admin(&world);
    let payee = world.wallet(0);
    // When the admin names the other mint for it
    let withdraw =
        instruction::withdraw_treasury(admin.pubkey(), &world.collateral(), payee.tokens, 1);
    let outcome = world.send(swapped(withdraw, &world.mint, &other), &[&admin]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongMint);
}

#[test]
fn a_treasury_pays_no_more_than_it_has() {
    // Given a treasury with tokens
    let mut world = World::new();
    fill_treasury(&mut world, TOKEN);
    let admin = admin(&world);
    let payee = world.wallet(0);
    // When the admin withdraws one unit more
    let withdraw = instruction::withdraw_treasury(
        admin.pubkey(),
        &world.collateral(),
        payee.tokens,
        TOKEN + 1,
    );
    let outcome = world.send(withdraw, &[&admin]);
    // Then the token program refuses it
    assert_eq!(code(outcome), 1, "insufficient funds");
}

#[test]
fn the_admin_withdraws_from_a_treasury() {
    // Given a treasury with tokens
    let mut world = World::new();
    fill_treasury(&mut world, 3 * TOKEN);
    let admin = admin(&world);
    let payee = world.wallet(0);
    // When the admin withdraws a part
    let withdraw = instruction::withdraw_treasury(
        admin.pubkey(),
        &world.collateral(),
        payee.tokens,
        2 * TOKEN,
    );
    let sent = world.send(withdraw, &[&admin]).unwrap();
    // Then that part went where the admin said, and the rest is left
    assert_eq!(
        *sent.event(),
        Event::TreasuryWithdrawn(events::TreasuryWithdrawn {
            collateral: address::collateral(&world.mint),
            collateral_seq: 2,
            mint: world.mint,
            destination: payee.tokens,
            amount: 2 * TOKEN,
            remaining: TOKEN,
        })
    );
    assert_eq!(world.tokens(&payee.tokens), 2 * TOKEN);
    assert_eq!(world.tokens(&world.treasury()), TOKEN);
}

#[test]
fn the_config_is_the_programs_own() {
    // Given a copy of the config that names a stranger as the admin, of another owner
    let mut world = World::new();
    let stranger = stranger(&mut world);
    fill_treasury(&mut world, TOKEN);
    let mut forged = world.svm.get_account(&address::config()).unwrap();
    assert_eq!(forged.owner, ID);
    forged.owner = Address::default();
    forged.data[8..40].copy_from_slice(stranger.pubkey().as_ref());
    let place = key("forged config").pubkey();
    world.svm.set_account(place, forged).unwrap();
    let payee = world.wallet(0);
    // When the stranger passes it to take the treasury
    let withdraw =
        instruction::withdraw_treasury(stranger.pubkey(), &world.collateral(), payee.tokens, TOKEN);
    let outcome = world.send(swapped(withdraw, &address::config(), &place), &[&stranger]);
    // Then it is refused
    assert!(outcome.is_err());
    assert_eq!(world.tokens(&world.treasury()), TOKEN);
}
