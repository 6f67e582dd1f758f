use driftshield_sdk::{
    CollateralTerms, PolicyTerms, PotTotals, VaultTotals,
    events::{CollateralRegistered, PolicyBought},
};

use super::{test_data::*, *};

const POLICY: [u8; 32] = [10; 32];
const COLLATERAL: [u8; 32] = [13; 32];

/// Applies the slots to lives that are known already. Returns the changed lives at the address.
fn changed_at(
    address: [u8; 32],
    known: Vec<Life>,
    slots: &[SealedSlot],
) -> Vec<(Life, Option<Account>)> {
    let mut lives = Lives::new(known, Mints::new());
    for slot in slots {
        lives.apply(slot, |_, _| {});
    }
    let at = lives
        .into_changes()
        .changed
        .into_iter()
        .filter(|changed| changed.life.address == address.into());
    at.map(|changed| {
        let state = changed
            .state
            .map(|state| Account::decode(&state).ok().unwrap());
        (changed.life, state)
    })
    .collect()
}

fn market_of(state: &Option<Account>) -> &Market {
    match state {
        Some(Account::Market(market)) => market,
        _ => panic!("not a market"),
    }
}

#[test]
fn an_open_life_shows_its_bytes() {
    let slots = [slot(
        7,
        vec![created(1)],
        vec![write(3, market_bytes(1, 0))],
    )];
    let [(life, state)] = &changed_at(MARKET, vec![], &slots)[..] else {
        panic!("one life");
    };
    assert_eq!(
        (life.life, life.is_current, life.closed_slot),
        (id(7, 0), true, None)
    );
    assert_eq!((life.slot, life.write_version, life.is_exact), (7, 3, true));
    assert_eq!(market_of(state).bump, 250);
}

#[test]
fn an_account_created_and_closed_in_one_slot_has_a_life() {
    let slots = [slot(7, vec![created(1), cancelled(2)], vec![])];
    let [(life, state)] = &changed_at(MARKET, vec![], &slots)[..] else {
        panic!("one life");
    };
    assert_eq!(
        (life.life, life.closed_slot, life.is_exact),
        (id(7, 0), Some(7), false)
    );
    assert_eq!(life.facts.end, Some(End::Cancelled));
    let market = market_of(state);
    assert_eq!(
        (market.seq, market.creator, market.last_window),
        (2, [4; 32].into(), 9)
    );
    assert_eq!((market.threshold_count, market.thresholds[1]), (2, 200));
}

#[test]
fn an_account_recreated_in_the_slot_of_its_close_has_two_lives() {
    let before = [slot(
        6,
        vec![created(1)],
        vec![write(1, market_bytes(1, 0))],
    )];
    let mut known = changed_at(MARKET, vec![], &before);
    let (known, _) = known.remove(0);
    let slots = [slot(
        7,
        vec![cancelled(2), created(1)],
        vec![write(9, market_bytes(1, 0))],
    )];
    let [(first, _), (second, _)] = &changed_at(MARKET, vec![known], &slots)[..] else {
        panic!("two lives");
    };
    assert_eq!(
        (first.life, first.is_current, first.closed_slot),
        (id(6, 0), false, Some(7))
    );
    assert_eq!(
        (second.life, second.is_current, second.closed_slot),
        (id(7, 1), true, None)
    );
}

#[test]
fn a_write_before_the_close_of_its_slot_does_not_reopen_the_account() {
    // The server sends a write of the slot although the account was closed after it.
    let slots = [
        slot(6, vec![created(1)], vec![write(1, market_bytes(1, 0))]),
        slot(
            7,
            vec![bet(2, 40), cancelled(3)],
            vec![write(9, market_bytes(2, 40))],
        ),
    ];
    let [(life, state)] = &changed_at(MARKET, vec![], &slots)[..] else {
        panic!("one life");
    };
    assert_eq!(
        (life.closed_slot, life.write_version),
        (Some(7), CLOSE_VERSION)
    );
    assert_eq!((market_of(state).seq, market_of(state).total), (3, 40));
    assert_eq!(life.data, market_bytes(2, 40));
}

#[test]
fn the_final_state_of_a_life_contains_the_events_after_its_bytes() {
    let slots = [slot(7, vec![bet(2, 40), claimed(2)], vec![])];
    let [(life, Some(Account::Position(position)))] = &changed_at(POSITION, vec![], &slots)[..]
    else {
        panic!("one position");
    };
    assert_eq!((position.stakes[1], position.seq), (40, 2));
    let facts = &life.facts;
    assert_eq!(
        (facts.payout, facts.destination),
        (Some(77), Some([9; 32].into()))
    );
    assert_eq!((facts.end, life.closed_slot), (Some(End::Claimed), Some(7)));
    assert_eq!(facts.ended_at, DateTime::from_timestamp(1_007, 0));
}

#[test]
fn events_that_the_bytes_include_are_not_folded_in_again() {
    let slots = [
        slot(6, vec![created(1)], vec![write(1, market_bytes(1, 0))]),
        // The bytes were read later than the bet, and have a further bet.
        slot(7, vec![bet(2, 40)], vec![write(9, market_bytes(3, 90))]),
    ];
    let [(_, state)] = &changed_at(MARKET, vec![], &slots)[..] else {
        panic!("one life");
    };
    assert_eq!((market_of(state).seq, market_of(state).total), (3, 90));
}

#[test]
fn events_without_their_write_are_folded_in_until_the_account_is_read_again() {
    let before = [slot(
        6,
        vec![created(1)],
        vec![write(1, market_bytes(1, 0))],
    )];
    let (known, _) = changed_at(MARKET, vec![], &before).remove(0);
    let (known, state) =
        changed_at(MARKET, vec![known], &[slot(7, vec![bet(2, 40)], vec![])]).remove(0);
    assert_eq!((known.is_exact, market_of(&state).pools[1]), (false, 40));
    let later = [slot(8, vec![bet(3, 90)], vec![])];
    let (known, state) = changed_at(MARKET, vec![known], &later).remove(0);
    assert_eq!((known.is_exact, market_of(&state).total), (false, 90));
}

#[test]
fn an_undecoded_close_is_seen_by_the_missing_lamports() {
    let before = [slot(
        6,
        vec![created(1)],
        vec![write(1, market_bytes(1, 0))],
    )];
    let (known, _) = changed_at(MARKET, vec![], &before).remove(0);
    let mut emptied = slot(7, vec![], vec![]);
    emptied.emptied = [MARKET.into()].into();
    let (life, _) = changed_at(MARKET, vec![known.clone()], &[emptied.clone()]).remove(0);
    assert_eq!(life.closed_slot, Some(7));
    // A later write of the slot shows that the account exists.
    emptied.writes = vec![write(4, market_bytes(1, 0))];
    let (life, _) = changed_at(MARKET, vec![known], &[emptied]).remove(0);
    assert_eq!(life.closed_slot, None);
}

#[test]
fn an_undecoded_close_is_seen_in_the_slot_of_a_decoded_event() {
    let before = [slot(
        6,
        vec![created(1)],
        vec![write(1, market_bytes(1, 0))],
    )];
    let (known, _) = changed_at(MARKET, vec![], &before).remove(0);
    let mut emptied = slot(7, vec![bet(2, 40)], vec![]);
    emptied.emptied = [MARKET.into()].into();
    let (life, state) = changed_at(MARKET, vec![known.clone()], &[emptied.clone()]).remove(0);
    assert_eq!((life.closed_slot, market_of(&state).total), (Some(7), 40));
    emptied.writes = vec![write(4, market_bytes(2, 40))];
    let (life, _) = changed_at(MARKET, vec![known], &[emptied]).remove(0);
    assert_eq!(life.closed_slot, None);
    // The address was empty before the account was created.
    let mut created = slot(7, vec![created(1)], vec![]);
    created.emptied = [MARKET.into()].into();
    let (life, _) = changed_at(MARKET, vec![], &[created]).remove(0);
    assert_eq!(life.closed_slot, None);
}

#[test]
fn an_account_older_than_the_mirror_has_life_0() {
    let slots = [slot(
        7,
        vec![bet(12, 40)],
        vec![write(1, market_bytes(12, 40))],
    )];
    let (life, _) = changed_at(MARKET, vec![], &slots).remove(0);
    assert_eq!((life.life, life.facts.began_at), (0, None));
}

#[test]
fn a_superseded_life_keeps_its_rows() {
    let before = [slot(6, vec![created(1), cancelled(2)], vec![])];
    let (known, _) = changed_at(MARKET, vec![], &before).remove(0);
    let next = [slot(
        7,
        vec![created(1)],
        vec![write(1, market_bytes(1, 0))],
    )];
    let mut lives = Lives::new(vec![known], Mints::new());
    lives.apply(&next[0], |_, _| {});
    let Changes {
        superseded,
        changed,
    } = lives.into_changes();
    assert_eq!((superseded.len(), changed.len()), (1, 1));
    assert_eq!(
        (superseded[0].life, superseded[0].is_current),
        (id(6, 0), false)
    );
    assert_eq!(changed[0].life.life, id(7, 0));
}

#[test]
fn a_closed_account_that_is_named_again_keeps_its_final_state() {
    let before = [slot(6, vec![created(1), cancelled(2)], vec![])];
    let (known, _) = changed_at(MARKET, vec![], &before).remove(0);
    let mut named = slot(7, vec![], vec![]);
    named.emptied = [MARKET.into()].into();
    assert!(changed_at(MARKET, vec![known], &[named]).is_empty());
}

#[test]
fn a_write_that_is_older_than_the_mirror_is_counted_and_not_applied() {
    let before = [slot(
        8,
        vec![created(1)],
        vec![write(1, market_bytes(1, 40))],
    )];
    let (known, _) = changed_at(MARKET, vec![], &before).remove(0);
    let older = [slot(7, vec![], vec![write(9, market_bytes(1, 0))])];
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let changed =
        metrics::with_local_recorder(&recorder, || changed_at(MARKET, vec![known], &older));
    assert!(changed.is_empty());
    let exposed = recorder.handle().render();
    let count = format!("{GUARD_REJECTIONS} 1\n");
    assert!(exposed.contains(&count), "{exposed}");
}

#[test]
fn a_policy_without_bytes_covers_the_windows_of_its_terms() {
    let terms = PolicyTerms {
        model_version: 1,
        cover: 50,
        trigger: 100,
        exhaustion: 200,
        persistence: 1,
        first_window: 20,
        windows: 10,
        max_premium: 9,
        max_cancel_fee_bps: 0,
        auto_renew: false,
    };
    let bought = Event::PolicyBought(PolicyBought {
        vault: [11; 32].into(),
        vault_seq: 4,
        exposure: [12; 32].into(),
        exposure_seq: 2,
        policy: POLICY.into(),
        policy_seq: 1,
        model: [5; 32].into(),
        model_seq: 9,
        holder: [8; 32].into(),
        id: 1,
        terms,
        from_window: 17, // of the probation
        last_window: 29,
        end: 3_000,
        premium: 7,
        protocol_part: 0,
        manager_part: 0,
        streamed_part: 7,
        rent: 0,
        totals: VaultTotals::default(),
        exposure_cover: 50,
        cover_risk: 50,
        model_exposure: 1,
        pot: PotTotals {
            held: 0,
            waiting: 0,
            unearned: 0,
            until: 0,
        },
    });
    let changed = changed_at(POLICY, vec![], &[slot(7, vec![bought], vec![])]);
    let [(_, Some(Account::Policy(policy)))] = &changed[..] else {
        panic!("one policy");
    };
    assert_eq!((policy.first_window, policy.last_window), (20, 19));
    assert_eq!((policy.examined_until, policy.returned_until), (20, 20));
    assert_eq!(policy.pending.from_window, 17);
}

#[test]
fn a_collateral_without_bytes_has_what_markets_copy() {
    let registered = Event::CollateralRegistered(CollateralRegistered {
        collateral: COLLATERAL.into(),
        collateral_seq: 1,
        mint: [6; 32].into(),
        token_program: TokenProgram::Token2022,
        extensions: 0,
        treasury: [14; 32].into(),
        decimals: 6,
        accepts_freeze: false,
        terms: CollateralTerms {
            min_bet: 1,
            min_bond: 4,
            slash_amount: 2,
            challenge_bond: 1,
            absence_penalty: 0,
        },
    });
    let changed = changed_at(COLLATERAL, vec![], &[slot(7, vec![registered], vec![])]);
    let [(_, Some(Account::Collateral(collateral)))] = &changed[..] else {
        panic!("one collateral");
    };
    assert_eq!((collateral.mint, collateral.decimals), ([6; 32].into(), 6));
    assert_eq!(collateral.token_program, TokenProgram::Token2022);
}
