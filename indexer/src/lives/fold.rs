//! The state of an account after an event.
//!
//! The program writes more into an account than its events say. What no event says stays as it was:
//! for an account that the mirror never received, zero.

use driftshield_sdk::{
    Account, Address, Collateral, Event, Exposure, Market, Model, Pending, Policy, Position,
    Probation, Receipt, Seat, Series, Vault, VaultTotals, WithdrawRequest, address,
};

use super::Mints;

/// Changes the account at `at` as far as the event says what the instruction changed. `mints` are the
/// registered mints.
pub fn fold(account: &mut Account, at: &Address, event: &Event, mints: &Mints) {
    match account {
        Account::Market(market) => fold_market(market, at, event, mints),
        Account::Position(position) => fold_position(position, at, event),
        Account::Policy(policy) => fold_policy(policy, event),
        Account::Receipt(receipt) => fold_receipt(receipt, event),
        Account::WithdrawRequest(request) => fold_request(request, event),
        Account::Vault(vault) => fold_vault(vault, at, event, mints),
        Account::Exposure(exposure) => fold_exposure(exposure, event),
        Account::Seat(seat) => fold_seat(seat, at, event),
        Account::Series(series) => fold_series(series, event),
        Account::Model(model) => fold_model(model, event),
        Account::Collateral(collateral) => fold_collateral(collateral, event),
        // It is never closed, so its bytes show its state.
        Account::Config(_) => {}
    }
}

/// Collaterals are never closed, so their bytes show their state. Only what markets and vaults copy is folded in.
fn fold_collateral(collateral: &mut Collateral, event: &Event) {
    if let Event::CollateralRegistered(e) = event {
        (collateral.mint, collateral.decimals) = (e.mint, e.decimals);
        collateral.token_program = e.token_program.into();
    }
}

/// Models are never closed, so their bytes show their state. Only what later events refer to is folded in.
fn fold_model(model: &mut Model, event: &Event) {
    match event {
        Event::ModelRegistered(e) => {
            (model.owner, model.bond_mint) = (e.owner, e.bond_mint);
            list_oracles(model, &e.terms.oracles);
        }
        Event::ModelUpdated(e) => list_oracles(model, &e.terms.oracles),
        Event::OracleReplaced(e) => {
            if let Some(oracle) = model.oracles.get_mut(usize::from(e.slot)) {
                *oracle = e.successor;
            }
        }
        _ => {}
    }
}

fn list_oracles(model: &mut Model, oracles: &[Address]) {
    model.oracles.fill(Address::default());
    copy_into(&mut model.oracles, oracles);
    model.oracle_count = oracles.len() as u8;
}

fn fold_market(market: &mut Market, at: &Address, event: &Event, mints: &Mints) {
    match event {
        Event::MarketCreated(e) => {
            market.creator = e.creator;
            market.id = e.id;
            market.model = e.model;
            market.mint = e.mint;
            market.vault = address::market_vault(at);
            market.terms_hash = e.terms_hash;
            market.protocol_fee_bps = e.protocol_fee_bps;
            market.model_version = e.terms.model_version;
            copy_into(&mut market.thresholds, &e.terms.thresholds);
            market.threshold_count = e.terms.thresholds.len() as u8;
            market.aggregate = e.terms.aggregate.into();
            market.first_window = e.terms.first_window;
            market.last_window = e.terms.last_window;
            market.next_window = e.terms.first_window;
            market.min_observed = e.terms.min_observed;
            market.close_ts = e.terms.close_ts;
            market.creator_fee_bps = e.terms.creator_fee_bps;
            copy_into(&mut market.question, e.terms.question.as_bytes());
            if let Some(&(decimals, token_program)) = mints.get(&e.mint) {
                market.decimals = decimals;
                market.token_program = token_program.into();
            }
        }
        Event::BetPlaced(e) => {
            if let Some(pool) = market.pools.get_mut(usize::from(e.outcome)) {
                *pool = e.pool;
            }
            market.total = e.total;
            market.owed = e.total; // nothing is paid before settlement
            if e.position_seq == 1 {
                market.positions += 1;
            }
        }
        Event::PositionBought(e) => market.positions = e.positions,
        Event::MarketSettled(e) => {
            market.next_window = e.next_window;
            market.observed = e.observed;
            market.accumulator = e.accumulator;
            market.state = e.state.into();
            market.outcome = e.outcome.unwrap_or(0);
            market.value = e.value;
            market.winnings = e.winnings;
            market.protocol_credit = e.protocol_fee;
            market.creator_credit = e.creator_fee;
        }
        Event::Claimed(e) => {
            market.owed = e.owed;
            market.positions = e.positions;
        }
        Event::FeesCollected(e) => {
            market.owed = e.owed;
            match e.payee {
                driftshield_sdk::FeePayee::Treasury => market.protocol_credit = 0,
                driftshield_sdk::FeePayee::Creator => market.creator_credit = 0,
            }
        }
        _ => {}
    }
}

fn fold_position(position: &mut Position, at: &Address, event: &Event) {
    let outcome = |outcome: u8| usize::from(outcome).min(position.stakes.len() - 1);
    match event {
        Event::BetPlaced(e) => {
            position.stakes[outcome(e.outcome)] = e.stake;
            (position.market, position.owner) = (e.market, e.owner);
        }
        Event::AskSet(e) => {
            let outcome = outcome(e.outcome);
            position.stakes[outcome] = e.stake;
            position.asks[outcome] = e.ask;
            (position.market, position.owner) = (e.market, e.owner);
        }
        // A buyer's position takes in the stake that the seller's loses.
        Event::PositionBought(e) if *at == e.seller_position => {
            let outcome = outcome(e.outcome);
            position.stakes[outcome] = e.seller_stake;
            position.asks[outcome] = e.seller_ask;
            (position.market, position.owner) = (e.market, e.seller);
        }
        Event::PositionBought(e) => {
            position.stakes[outcome(e.outcome)] = e.stake;
            (position.market, position.owner) = (e.market, e.buyer);
        }
        Event::Claimed(e) => (position.market, position.owner) = (e.market, e.owner),
        _ => {}
    }
}

fn fold_policy(policy: &mut Policy, event: &Event) {
    match event {
        Event::PolicyBought(e) => {
            (policy.vault, policy.model, policy.holder) = (e.vault, e.model, e.holder);
            policy.id = e.id;
            policy.cover = e.terms.cover;
            policy.trigger = e.terms.trigger;
            policy.exhaustion = e.terms.exhaustion;
            policy.persistence = e.terms.persistence;
            policy.windows = e.terms.windows;
            policy.max_premium = e.terms.max_premium;
            policy.auto_renew = e.terms.auto_renew.into();
            policy.model_version = e.terms.model_version;
            policy.first_window = e.terms.first_window;
            policy.last_window = e.terms.first_window.saturating_sub(1);
            policy.examined_until = e.terms.first_window;
            policy.returned_until = e.terms.first_window;
            policy.pending.premium = e.premium;
            policy.pending.from_window = e.from_window;
            policy.pending.end = e.end;
        }
        Event::PolicyRenewed(e) => {
            policy.pending.premium = e.premium;
            policy.pending.from_window = e.from_window;
            policy.pending.end = e.end;
        }
        Event::PolicyBegun(e) => {
            if e.probation == Probation::Passed {
                policy.premium += policy.pending.premium;
            }
            policy.last_window = e.last_window;
            policy.worth = e.worth;
            policy.unmeasured = e.unmeasured;
            policy.pending = Pending {
                premium: 0,
                start: 0,
                end: 0,
                from_window: 0,
            };
        }
        Event::PolicyExamined(e) => {
            policy.examined_until = e.examined_until;
            policy.peak = e.peak;
            policy.peak_window = e.peak_window;
            policy.worth = e.worth;
            policy.unmeasured = e.unmeasured;
        }
        Event::PolicyClaimed(e) => {
            (policy.vault, policy.model, policy.holder) = (e.vault, e.model, e.holder);
            (policy.paid, policy.cover) = (e.paid, e.cover);
        }
        Event::PolicyCancelled(e) => {
            (policy.vault, policy.model, policy.holder) = (e.vault, e.model, e.holder);
            policy.paid = e.paid;
        }
        Event::PolicyExpired(e) => {
            (policy.vault, policy.model, policy.holder) = (e.vault, e.model, e.holder);
            policy.paid = e.paid;
        }
        _ => {}
    }
}

fn fold_receipt(receipt: &mut Receipt, event: &Event) {
    match event {
        Event::ReceiptSubmitted(e) => {
            (receipt.model, receipt.window) = (e.model, e.window);
            receipt.version = e.version;
            receipt.state = e.state.into();
            receipt.value = e.value;
            receipt.pay = e.pay;
            // `submitted` is the set of all submissions so far: the added bit is this oracle's.
            let added = (e.submitted & !receipt.submitted).trailing_zeros() as usize;
            if let Some(value) = receipt.values.get_mut(added) {
                *value = e.submission;
                receipt.samples[added] = e.samples;
                receipt.evidence[added] = e.evidence_hash;
            }
            receipt.submitted = e.submitted;
            receipt.thin = e.thin;
        }
        Event::ReceiptChallenged(e) => {
            (receipt.model, receipt.window) = (e.model, e.window);
            receipt.version = e.version;
            receipt.challenger = e.challenger;
            receipt.asserted = e.asserted;
            receipt.asserts_thin = e.asserts_thin.into();
            receipt.value = e.value;
            receipt.state = driftshield_sdk::ReceiptState::Challenged.into();
        }
        Event::ReceiptRuled(e) => {
            (receipt.model, receipt.window) = (e.model, e.window);
            receipt.state = e.state.into();
            receipt.value = e.value;
            receipt.reward = e.reward;
            receipt.appeal_until = e.appeal_until;
            receipt.challenger_credit = e.challenger_credit;
            receipt.treasury_credit = e.treasury_credit;
            receipt.pay = e.pay;
            receipt.earners = e.earners;
        }
        Event::ReceiptFinalized(e) => {
            (receipt.model, receipt.window) = (e.model, e.window);
            receipt.state = e.state.into();
            receipt.value = e.value;
            receipt.challenger_credit = e.challenger_credit;
            receipt.pay = e.pay;
            receipt.earners = e.earners;
        }
        Event::SlashesReturned(e) => {
            receipt.reward = 0;
            receipt.appeal_until = 0;
            receipt.held = [0; 7];
            (receipt.model, receipt.window) = (e.model, e.window);
        }
        Event::ChallengeCollected(e) => {
            (receipt.model, receipt.window) = (e.model, e.window);
            match e.payee {
                driftshield_sdk::ChallengePayee::Treasury => receipt.treasury_credit = 0,
                driftshield_sdk::ChallengePayee::Challenger => receipt.challenger_credit = 0,
            }
        }
        _ => {}
    }
}

fn fold_request(request: &mut WithdrawRequest, event: &Event) {
    match event {
        Event::WithdrawRequested(e) => {
            (request.vault, request.owner) = (e.vault, e.owner);
            request.value = e.value;
            request.unlock_at = e.unlock_at;
            request.lapses_at = e.lapses_at;
        }
        Event::WithdrawCancelled(e) => {
            (request.vault, request.owner) = (e.vault, e.owner);
            request.shares = e.shares;
        }
        Event::Withdrawn(e) => {
            (request.vault, request.owner) = (e.vault, e.owner);
            request.value = e.value;
            request.shares = e.shares;
            request.is_short = e.is_short.into();
            request.reserved_until = e.reserved_until;
        }
        _ => {}
    }
}

fn fold_vault(vault: &mut Vault, at: &Address, event: &Event, mints: &Mints) {
    match event {
        Event::VaultCreated(e) => {
            (vault.manager, vault.id, vault.mint) = (e.manager, e.id, e.mint);
            vault.share_mint = e.share_mint;
            vault.tokens = address::vault_tokens(at);
            vault.cooldown_secs = e.cooldown_secs;
            vault.waiting_secs = e.waiting_secs;
            vault.claim_grace_secs = e.claim_grace_secs;
            vault.bucket_secs = e.bucket_secs;
            vault.exit_secs = e.exit_secs;
            vault.season_secs = e.season_secs;
            vault.protocol_fee_bps = e.protocol_fee_bps;
            vault.manager_fee_bps = e.manager_fee_bps;
            (vault.terms, vault.next_terms) = (e.terms, e.terms);
            if let Some(&(decimals, token_program)) = mints.get(&e.mint) {
                vault.decimals = decimals;
                vault.token_program = token_program.into();
            }
        }
        Event::VaultUpdated(e) => {
            vault.next_terms = e.terms;
            vault.terms_at = e.terms_at;
        }
        _ => {}
    }
    if let Some((of, totals)) = vault_totals(event)
        && of == at
    {
        vault.assets = totals.assets;
        vault.leaving = totals.leaving;
        vault.seasoned = totals.seasoned;
        vault.locked = totals.locked;
        vault.pending_losses = totals.pending_losses;
        vault.unearned = totals.unearned;
        vault.held = totals.held;
        vault.set_aside = totals.set_aside;
        vault.shares = totals.shares;
        vault.reserved_shares = totals.reserved_shares;
        vault.protocol_credit = totals.protocol_credit;
        vault.manager_credit = totals.manager_credit;
    }
}

/// Vault whose totals the event carries, and its totals after the event.
pub fn vault_totals(event: &Event) -> Option<(&Address, &VaultTotals)> {
    Some(match event {
        Event::VaultUpdated(event) => (&event.vault, &event.totals),
        Event::Deposited(event) => (&event.vault, &event.totals),
        Event::WithdrawRequested(event) => (&event.vault, &event.totals),
        Event::WithdrawCancelled(event) => (&event.vault, &event.totals),
        Event::Withdrawn(event) => (&event.vault, &event.totals),
        Event::ManagerFeesCollected(event) => (&event.vault, &event.totals),
        Event::PolicyBought(event) => (&event.vault, &event.totals),
        Event::PolicyClaimed(event) => (&event.vault, &event.totals),
        Event::PolicyCancelled(event) => (&event.vault, &event.totals),
        Event::PolicyRenewed(event) => (&event.vault, &event.totals),
        Event::PolicyBegun(event) => (&event.vault, &event.totals),
        Event::PolicyExpired(event) => (&event.vault, &event.totals),
        Event::PolicyExamined(event) => (&event.vault, &event.totals),
        _ => return None,
    })
}

fn fold_exposure(exposure: &mut Exposure, event: &Event) {
    match event {
        Event::ModelListed(e) => {
            (exposure.vault, exposure.model) = (e.vault, e.model);
            exposure.cap = e.terms.cap;
            exposure.lowest_trigger = e.terms.lowest_trigger;
            exposure.max_persistence = e.terms.max_persistence;
            exposure.model_version = e.terms.model_version;
            exposure.active_at = e.active_at;
        }
        Event::ExposureClosed(e) => (exposure.vault, exposure.model) = (e.vault, e.model),
        Event::PolicyBought(e) => {
            exposure.cover = e.exposure_cover;
            exposure.policies += 1;
        }
        Event::PolicyClaimed(e) => {
            exposure.cover = e.exposure_cover;
            if e.paid == e.cover {
                exposure.policies = exposure.policies.saturating_sub(1);
            }
        }
        Event::PolicyBegun(e) => {
            exposure.cover = e.exposure_cover;
            if e.is_over {
                exposure.policies = exposure.policies.saturating_sub(1);
            }
        }
        Event::PolicyCancelled(e) => {
            exposure.cover = e.exposure_cover;
            exposure.policies = exposure.policies.saturating_sub(1);
        }
        Event::PolicyExpired(e) => {
            exposure.cover = e.exposure_cover;
            exposure.policies = exposure.policies.saturating_sub(1);
        }
        _ => {}
    }
}

fn fold_seat(seat: &mut Seat, at: &Address, event: &Event) {
    match event {
        Event::Bonded(e) => {
            (seat.model, seat.oracle) = (e.model, e.oracle);
            (seat.bonded, seat.unbonding) = (e.bonded, e.unbonding);
        }
        Event::UnbondRequested(e) => {
            (seat.bonded, seat.unbonding) = (e.bonded, e.unbonding);
            seat.release_at = e.release_at;
        }
        Event::BondWithdrawn(e) => (seat.bonded, seat.unbonding) = (e.bonded, 0),
        Event::SeatSynced(e) => (seat.bonded, seat.unbonding) = (e.bonded, e.unbonding),
        Event::ReceiptSubmitted(_) => seat.submissions += 1,
        Event::SeatClosed(e) => (seat.model, seat.oracle) = (e.model, e.oracle),
        Event::ModelUpdated(e) => rule_seat(seat, at, &e.seats),
        Event::OracleReplaced(e) => rule_seat(seat, at, &e.seats),
        Event::ReceiptRuled(e) => rule_seat(seat, at, &e.seats),
        Event::SlashesReturned(e) => rule_seat(seat, at, &e.seats),
        _ => {}
    }
}

fn rule_seat(seat: &mut Seat, at: &Address, ruled: &[driftshield_sdk::events::SeatRuled]) {
    if let Some(ruled) = ruled.iter().find(|ruled| ruled.seat == *at) {
        (seat.bonded, seat.unbonding) = (ruled.bonded, ruled.unbonding);
    }
}

fn fold_series(series: &mut Series, event: &Event) {
    match event {
        Event::ReceiptSubmitted(e) => {
            series.model = e.model;
            series.page = Series::page_of(e.window);
        }
        Event::SeriesClosed(e) => {
            (series.model, series.page, series.payer) = (e.model, e.page, e.payer);
        }
        _ => {}
    }
}

/// Copies as many elements as fit.
fn copy_into<T: Copy>(target: &mut [T], source: &[T]) {
    for (target, source) in target.iter_mut().zip(source) {
        *target = *source;
    }
}
