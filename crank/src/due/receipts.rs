//! Actions on receipts: submit, finalize, collect credits, close.

use driftshield_sdk::{ChallengePayee, Receipt, address, instruction};

use super::action::{Action, Step, create_token_account};
use crate::{
    periods::has_ended,
    snapshot::{ModelSnapshot, Snapshot, is_settled_up},
};

pub fn submissions(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let submit = |window: u64| {
        let submission = model.submissions.get(&window)?.clone();
        let account = address::receipt(&model.address, window);
        let instruction = instruction::submit_receipt(
            snapshot.payer,
            model.address,
            window,
            submission.counts,
            submission.evidence_hash,
            submission.evidence_uri,
        );
        Some(Action::new(Step::Submit { window }, account, instruction))
    };
    let windows = model.windows_to_submit(&snapshot.payer, snapshot.now);
    windows.into_iter().filter_map(submit).collect()
}

pub fn finalizations(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let is_due = |receipt: &Receipt| {
        let (mut receipt, mut model) = (*receipt, model.account); // copies
        receipt.advance(&mut model, snapshot.now).unwrap_or(false)
    };
    let receipts = model.pending_receipts.iter();
    receipts
        .filter(|(_, receipt)| is_due(receipt))
        .map(|(&window, _)| {
            let account = address::receipt(&model.address, window);
            let instruction = instruction::finalize_receipt(model.address, window);
            Action::new(Step::Finalize { window }, account, instruction)
        })
        .collect()
}

/// Collections of a settled dispute's credits for the treasury and the challenger.
pub fn credit_collections(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let mut actions = vec![];
    for (window, receipt) in &model.pending_receipts {
        let account = address::receipt(&model.address, *window);
        let collect =
            |payee| instruction::collect_challenge(model.address, &model.account, receipt, payee);
        if 0 < receipt.treasury_credit {
            let collect = collect(ChallengePayee::Treasury);
            actions.push(Action::new(
                Step::CollectChallengeForTreasury,
                account,
                collect,
            ));
        }
        if 0 < receipt.challenger_credit {
            let create = create_token_account(
                snapshot,
                &receipt.challenger,
                &model.account.bond_mint,
                model.account.token_program,
            );
            let collect = collect(ChallengePayee::Challenger);
            let step = Step::CollectChallengeForChallenger;
            actions.push(Action::with_token_account(step, account, create, collect));
        }
    }
    actions
}

/// Closures of receipts that are Final or Void, owe no credit, and are past their retention.
pub fn closures(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let is_closable = |window: u64, receipt: &Receipt| {
        is_settled_up(receipt) && has_ended(model.account.retention_end(window), snapshot.now)
    };
    let receipts = model.pending_receipts.iter();
    receipts
        .filter(|(window, receipt)| is_closable(**window, receipt))
        .map(|(window, receipt)| {
            let account = address::receipt(&model.address, *window);
            let close = instruction::close_receipt(receipt);
            Action::new(Step::CloseReceipt, account, close)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{ModelStatus, ReceiptState};

    use super::*;
    use crate::fixtures::{key, receipt, snapshot, steps};

    fn with_receipt(now: i64, receipt: Receipt) -> Snapshot {
        let mut snapshot = snapshot(now);
        snapshot.models[0]
            .pending_receipts
            .insert(receipt.window, receipt);
        snapshot
    }

    #[test]
    fn a_window_is_submitted_from_its_end_until_its_submit_period_ends() {
        assert_eq!(steps(&snapshot(99)), []);
        assert_eq!(steps(&snapshot(109)), []);
        assert_eq!(steps(&snapshot(110)), [Step::Submit { window: 0 }]);
        let both = [Step::Submit { window: 0 }, Step::Submit { window: 1 }];
        assert_eq!(steps(&snapshot(129)), both);
        let later = [Step::Submit { window: 1 }, Step::Submit { window: 2 }];
        assert_eq!(steps(&snapshot(130)), later);
    }

    #[test]
    fn duplicate_and_invalid_submissions_are_not_sent() {
        let collecting = |submitted| receipt(0, ReceiptState::Collecting, 0, submitted);
        assert_eq!(steps(&with_receipt(110, collecting(0b001))), []);
        let others = with_receipt(110, collecting(0b010));
        assert_eq!(steps(&others), [Step::Submit { window: 0 }]);
        let proposed = receipt(0, ReceiptState::Proposed, 110, 0b110);
        assert_eq!(steps(&with_receipt(110, proposed)), []);

        let mut settled = snapshot(110);
        settled.models[0]
            .settled_receipts
            .insert(0, receipt(0, ReceiptState::Final, 0, 0));
        assert_eq!(steps(&settled), []);
        let mut unbonded = snapshot(110);
        unbonded.models[0].account.set_bond(0, 2, 0);
        assert_eq!(steps(&unbonded), []);
        let mut stranger = snapshot(110);
        stranger.payer = key(77);
        assert_eq!(steps(&stranger), []);
        let mut uncounted = snapshot(110);
        uncounted.models[0].submissions.clear();
        assert_eq!(steps(&uncounted), []);
        let mut retired = snapshot(110);
        retired.models[0].account.status = ModelStatus::Retired.into();
        assert_eq!(steps(&retired), []);
        retired.models[0].account.exposure = 1;
        assert_eq!(steps(&retired), [Step::Submit { window: 0 }]);
    }

    #[test]
    fn receipts_are_finalized_when_their_period_is_over() {
        let finalize = [Step::Finalize { window: 0 }];
        let at = |now, receipt| {
            let mut snapshot = with_receipt(now, receipt);
            snapshot.models[0].submissions.clear();
            steps(&snapshot)
        };
        for receipt in [
            receipt(0, ReceiptState::Proposed, 110, 0b011),
            receipt(0, ReceiptState::Challenged, 110, 0b011),
            receipt(0, ReceiptState::Collecting, 0, 0b001),
        ] {
            assert_eq!(at(129, receipt), []);
            assert_eq!(at(130, receipt), finalize);
        }
        assert_eq!(at(900, receipt(0, ReceiptState::Final, 130, 0b011)), []);
    }

    #[test]
    fn credits_are_collected_before_a_receipt_is_closed() {
        let at = |now, receipt| {
            let mut snapshot = with_receipt(now, receipt);
            snapshot.models[0].submissions.clear();
            steps(&snapshot)
        };
        let mut ruled = receipt(0, ReceiptState::Final, 130, 0b011);
        ruled.challenger_credit = 1;
        ruled.treasury_credit = 1;
        let both = [
            Step::CollectChallengeForTreasury,
            Step::CollectChallengeForChallenger,
        ];
        assert_eq!(at(2_000, ruled), both);
        (ruled.challenger_credit, ruled.treasury_credit) = (0, 0);
        assert_eq!(at(1_109, ruled), []);
        assert_eq!(at(1_110, ruled), [Step::CloseReceipt]);
    }
}
