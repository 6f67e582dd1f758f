//! Actions on policies: begin, examine, claim, renew, expire.

use std::{collections::BTreeMap, ops::RangeInclusive};

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{
    Collateral, Entry, Examination, Findings, Policy, Probation, Vault, address, instruction,
    pause, quote_renewal,
};

use super::action::{Action, Step, create_token_account};
use crate::{
    periods::has_ended,
    snapshot::{ModelSnapshot, Snapshot},
};

/// Claims on policies that owe something for a run.
pub fn claims(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let claim = |policy: &Policy| {
        policy.due().ok()?;
        let vault = &snapshot.vault(&policy.vault)?.account;
        let claim = instruction::claim_policy(policy, vault);
        Some(with_payment(
            snapshot,
            Step::ClaimPolicy,
            policy,
            vault,
            claim,
            true,
        ))
    };
    model.policies.iter().filter_map(claim).collect()
}

fn policy_address(policy: &Policy) -> Address {
    address::policy(&policy.vault, &policy.holder, policy.id)
}

/// Decisions about terms on probation, as soon as the program can decide.
pub fn beginnings(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let begin = |policy: &Policy| {
        let refunds = decision(snapshot, model, policy)? != Probation::Passed;
        let vault = &snapshot.vault(&policy.vault)?.account;
        let begin = instruction::begin_policy(policy, vault);
        let step = Step::BeginPolicy;
        Some(with_payment(snapshot, step, policy, vault, begin, refunds))
    };
    model.policies.iter().filter_map(begin).collect()
}

/// How the probation of a policy's pending term ends; `None` if there is none, or if it isn't decided.
fn decision(snapshot: &Snapshot, model: &ModelSnapshot, policy: &Policy) -> Option<Probation> {
    if !policy.is_pending() {
        return None;
    }
    let (_, findings) = examine(snapshot, model, policy, policy.windows_to_begin(), true)?;
    findings.probation().ok()
}

/// Examinations of policies, as soon as a window adds to what they are worth. An examination that comes
/// too late lets those who have left by then bear nothing. The beginning of a term examines the one before.
pub fn examinations(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let examine = |policy: &Policy| {
        let windows = policy.windows_to_examine(&model.account, snapshot.now, usize::MAX);
        let (_, findings) = examine(snapshot, model, policy, windows.clone(), false)?;
        // A refund may fail, so only the beginning of a term is sure to examine the one before.
        if findings.booked == 0 || decision(snapshot, model, policy) == Some(Probation::Passed) {
            return None;
        }
        let examine = instruction::examine_policy(policy, windows);
        Some(Action::new(
            Step::ExaminePolicy,
            policy_address(policy),
            examine,
        ))
    };
    model.policies.iter().filter_map(examine).collect()
}

/// What `policy` is after an examination of `windows` now, and what they say. `None` if its vault is
/// missing. `is_last`: whether its last term that has begun is over.
fn examine(
    snapshot: &Snapshot,
    model: &ModelSnapshot,
    policy: &Policy,
    windows: RangeInclusive<u64>,
    is_last: bool,
) -> Option<(Policy, Findings)> {
    let (mut policy, mut vault) = (*policy, snapshot.vault(&policy.vault)?.account); // copies
    vault.accrue(snapshot.now);
    let undecided = model.account.first_undecided(snapshot.now);
    let mut examination = Examination::new(&mut policy, &vault, &model.account, is_last).ok()?;
    for window in windows {
        let entry = match model.entry(window) {
            Entry::None if undecided <= window => Entry::Open,
            entry => entry,
        };
        examination.visit(window, entry);
    }
    let findings = examination.finish();
    Some((policy, findings))
}

/// An action about a policy. If it `pays` the holder, it creates the holder's associated token account if that
/// is missing.
fn with_payment(
    snapshot: &Snapshot,
    step: Step,
    policy: &Policy,
    vault: &Vault,
    instruction: Instruction,
    pays: bool,
) -> Action {
    let at = policy_address(policy);
    if !pays {
        return Action::new(step, at, instruction);
    }
    let create = create_token_account(snapshot, &policy.holder, &vault.mint, vault.token_program);
    Action::with_token_account(step, at, create, instruction)
}

/// Renewals of policies with `auto_renew`, which need no signature of the holder. The renewals on
/// one model that draw on the same token account stay within its allowance: the tokens that the
/// account holds and delegates.
pub fn renewals(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let mint = model.account.bond_mint;
    let is_enabled = |collateral: &Collateral| collateral.enabled.get();
    let are_allowed = snapshot.paused & pause::RENEWALS == 0
        && snapshot.collaterals.get(&mint).is_some_and(is_enabled);
    if !are_allowed {
        return vec![];
    }
    let mut spent: BTreeMap<Address, u64> = BTreeMap::new(); // by token account
    let renew = |policy: &Policy| {
        let vault = &snapshot.vault(&policy.vault)?.account;
        let price = renewal_price(snapshot, model, policy, vault)?;
        let source = address::token_account(&policy.holder, &mint, vault.token_program.into());
        let authority = address::renewal_authority(&policy.holder);
        let token_account = snapshot.token_accounts.get(&source)?;
        let available = token_account.allowance(&policy.holder, &authority);
        let spent = spent.entry(source).or_default();
        let total = spent.checked_add(price)?;
        if available < total {
            return None;
        }
        *spent = total;
        let renew = instruction::renew_policy(policy, vault, source, false);
        Some(Action::new(
            Step::RenewPolicy,
            policy_address(policy),
            renew,
        ))
    };
    model.policies.iter().filter_map(renew).collect()
}

/// Premium of the renewal of `policy`, in base units. `None` if the renewal is not due or the
/// program would refuse it.
fn renewal_price(
    snapshot: &Snapshot,
    model: &ModelSnapshot,
    policy: &Policy,
    vault: &Vault,
) -> Option<u64> {
    if !policy.auto_renew.get() || !is_renewal_time(policy, vault, model, snapshot.now)? {
        return None;
    }
    vault
        .require_outsider(&policy.holder, &model.account)
        .ok()?;
    let mut exposures = model.exposures.iter();
    let exposure = exposures.find(|exposure| exposure.vault == policy.vault)?;
    let mut vault = *vault; // a copy
    let model = &model.account;
    let quote = quote_renewal(&mut vault, exposure, model, policy, false, snapshot.now);
    quote.ok().map(|quote| quote.price())
}

/// Whether `now` lies in the interval in which renewals are tried.
///
/// The interval ends at the last time that the program accepts: the vault's waiting period before
/// the next windows begin. It starts one waiting period or one window before its end, whichever is
/// longer. Until it starts, holders keep their tokens and can still decide; the premium is quoted
/// from the state at the renewal. The interval does not start before the current term begins,
/// unless it would be empty then.
fn is_renewal_time(
    policy: &Policy,
    vault: &Vault,
    model: &ModelSnapshot,
    now: i64,
) -> Option<bool> {
    let start = |window| model.account.window_start(window).ok();
    let next_window = policy.last_window + 1; // can't overflow: its times fit an i64
    let term_start = start(next_window.checked_sub(policy.windows)?)?;
    let last = start(next_window)? - vault.waiting_secs;
    let first = last - vault.waiting_secs.max(model.account.window_secs);
    let first = if term_start < last {
        first.max(term_start)
    } else {
        first
    };
    Some((first..=last).contains(&now))
}

/// Expirations of policies whose claim grace is over: once all that they owe is known, or is forfeited.
pub fn expirations(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let expire = |policy: &Policy| {
        if !has_ended(policy.expires_at(&model.account), snapshot.now) {
            return None;
        }
        let is_lapsed = has_ended(policy.lapses_at(&model.account), snapshot.now);
        let windows = policy.windows_to_expire();
        let (examined, findings) = examine(snapshot, model, policy, windows, true)?;
        let vault = &snapshot.vault(&policy.vault)?.account;
        let pays = !is_lapsed && {
            findings.require_decided().ok()?;
            0 < examined.set_aside()
        };
        let expire = instruction::expire_policy(policy, vault);
        let step = Step::ExpirePolicy;
        Some(with_payment(snapshot, step, policy, vault, expire, pays))
    };
    model.policies.iter().filter_map(expire).collect()
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::Collateral;

    use super::*;
    use crate::{
        due,
        fixtures::{
            insurance::{HOLDER, add_token_account, insured_snapshot, policy},
            key, set_entry, steps, zeroed,
        },
    };

    fn settle(snapshot: &mut Snapshot, window: u64, value: u64) {
        set_entry(&mut snapshot.models[0], window, Entry::Final(value));
    }

    /// Lets the windows before `until` be all that has been examined.
    fn examined(snapshot: &mut Snapshot, until: u64) {
        let policy = &mut snapshot.models[0].policies[0];
        (policy.examined_until, policy.returned_until) = (until, until);
    }

    /// A snapshot whose policy can be renewed. Two base units are delegated: for a premium and a rent
    /// of one each.
    fn renewable(now: i64) -> Snapshot {
        let mut snapshot = insured_snapshot(now);
        let mut collateral: Collateral = zeroed();
        collateral.enabled = true.into();
        snapshot.collaterals.insert(Address::default(), collateral);
        add_token_account(&mut snapshot, HOLDER, 2);
        snapshot
    }

    #[test]
    fn a_policy_is_examined_once_a_window_raises_its_worth() {
        let mut snapshot = insured_snapshot(150);
        examined(&mut snapshot, 2);
        assert_eq!(steps(&snapshot), []);
        settle(&mut snapshot, 4, 400);
        assert_eq!(steps(&snapshot), []); // the windows before are undecided
        settle(&mut snapshot, 2, 300);
        assert_eq!(steps(&snapshot), [Step::ExaminePolicy]);
        let examine = &due::actions(&snapshot)[0].instructions[0];
        let policy = &snapshot.models[0].policies[0];
        assert_eq!(*examine, instruction::examine_policy(policy, 2..=4));

        // A window under the trigger, or of a lower run, adds nothing
        let policy = &mut snapshot.models[0].policies[0];
        (policy.peak, policy.worth, policy.paid) = (300, 25, 25);
        assert_eq!(steps(&snapshot), []);
        settle(&mut snapshot, 3, 199);
        assert_eq!(steps(&snapshot), [Step::ExaminePolicy]); // window 4 is next
    }

    #[test]
    fn a_policy_is_claimed_once_it_owes_something() {
        let mut snapshot = insured_snapshot(150);
        assert_eq!(steps(&snapshot), []);
        snapshot.models[0].policies[0].worth = 50;
        let actions = due::actions(&snapshot);
        assert_eq!(steps(&snapshot), [Step::ClaimPolicy]);
        // The holder's token account may be missing, so it is created first.
        assert_eq!(actions[0].instructions.len(), 2);
        let model = &snapshot.models[0];
        let (policy, vault) = (&model.policies[0], &snapshot.vaults[0].account);
        let claim = instruction::claim_policy(policy, vault);
        assert_eq!(actions[0].instructions[1], claim);

        snapshot.models[0].policies[0].paid = 50;
        assert_eq!(steps(&snapshot), []);
    }

    #[test]
    fn a_policy_expires_when_its_claim_grace_is_over() {
        let at = |now| steps(&insured_snapshot(now));
        assert_eq!(at(289), []);
        assert_eq!(at(290), [Step::ExpirePolicy]);
        assert_eq!(at(319), [Step::ExpirePolicy]);

        // A receipt that is still open delays it, until another grace period is over
        let open = |now| {
            let mut snapshot = insured_snapshot(now);
            set_entry(&mut snapshot.models[0], 2, Entry::Open);
            examined(&mut snapshot, 2);
            steps(&snapshot)
        };
        assert_eq!(open(319), []);
        assert_eq!(open(320), [Step::ExpirePolicy]);
    }

    #[test]
    fn a_policy_is_examined_once_a_window_is_decided_without_a_value() {
        let at = |now, examined_until| {
            let mut snapshot = insured_snapshot(now);
            examined(&mut snapshot, examined_until);
            settle(&mut snapshot, 0, 100);
            steps(&snapshot)
        };
        let decided = {
            let model = &insured_snapshot(0).models[0].account;
            120 + model.submit_secs + model.challenge_secs // window 1 ends at 120
        };
        assert_eq!(at(decided - 1, 0), []);
        assert_eq!(at(decided, 0), [Step::ExaminePolicy]);
        assert_eq!(at(decided, 1), [Step::ExaminePolicy]);
        assert_eq!(at(decided, 2), []); // examined before
    }

    #[test]
    fn a_term_begins_once_its_probation_is_decided() {
        let pending = |now, drift| {
            let mut snapshot = insured_snapshot(now);
            let policy = &mut snapshot.models[0].policies[0];
            (policy.pending.premium, policy.pending.from_window) = (10, 9);
            (policy.examined_until, policy.returned_until) = (0, 0);
            settle(&mut snapshot, 9, drift);
            steps(&snapshot)
        };
        // Windows 8 and 9 can still get a value, the earlier ones can't
        assert_eq!(pending(210, 199), [Step::ExaminePolicy]);
        assert_eq!(pending(260, 199), [Step::BeginPolicy]);
        let failed = [Step::BeginPolicy, Step::ExaminePolicy];
        assert_eq!(pending(210, 200), failed); // at once; its refund may fail
    }

    #[test]
    fn renewals_are_tried_within_one_waiting_period_or_window_before_the_deadline() {
        for now in [101, 169, 186] {
            assert_eq!(steps(&renewable(now)), [], "at {now}");
        }
        for now in [170, 185] {
            assert_eq!(steps(&renewable(now)), [Step::RenewPolicy], "at {now}");
        }
        // A policy of two windows: not before its term begins at 180.
        let mut short = renewable(179);
        let policy = &mut short.models[0].policies[0];
        (policy.first_window, policy.windows, policy.term.start) = (8, 2, 180);
        assert_eq!(steps(&short), []);
        short.now = 180;
        assert_eq!(steps(&short), [Step::RenewPolicy]);
        // A policy of one window: its term begins too late, so the renewal comes earlier. The program
        // accepts it in the last quarter of the term before the deadline at 185.
        let policy = &mut short.models[0].policies[0];
        (policy.first_window, policy.windows, policy.term.start) = (9, 1, 190);
        short.now = 182;
        assert_eq!(steps(&short), []);
        short.now = 183;
        assert_eq!(steps(&short), [Step::RenewPolicy]);
    }

    #[test]
    fn renewals_that_the_program_would_refuse_are_not_sent() {
        let refused = |change: fn(&mut Snapshot)| {
            let mut snapshot = renewable(175);
            change(&mut snapshot);
            steps(&snapshot).is_empty()
        };
        assert!(!refused(|_| {}));
        assert!(refused(|snapshot| snapshot.paused = pause::RENEWALS));
        assert!(refused(|snapshot| snapshot.collaterals.clear()));
        assert!(refused(|snapshot| add_token_account(snapshot, HOLDER, 1)));
        assert!(refused(|snapshot| snapshot.token_accounts.clear()));
        assert!(refused(|snapshot| {
            snapshot.vaults[0].account.manager = key(HOLDER)
        }));
        assert!(refused(|snapshot| snapshot.models[0].exposures[0].cap = 99));
        let changes: [fn(&mut Policy); 4] = [
            |policy| policy.auto_renew = false.into(),
            |policy| (policy.worth, policy.paid) = (1, 1),
            |policy| policy.pending.premium = 1,
            |policy| policy.max_premium = 0,
        ];
        for change in changes {
            let mut snapshot = renewable(175);
            change(&mut snapshot.models[0].policies[0]);
            assert_eq!(steps(&snapshot), []);
        }
    }

    #[test]
    fn renewals_from_one_token_account_stay_within_its_allowance() {
        let mut snapshot = renewable(175);
        snapshot.models[0].policies.push(policy(2));
        assert_eq!(steps(&snapshot), [Step::RenewPolicy]);
        add_token_account(&mut snapshot, HOLDER, 4);
        assert_eq!(steps(&snapshot), [Step::RenewPolicy, Step::RenewPolicy]);
    }
}
