//! Actions on receipts and on the series: submit, finalize, collect credits, close pages.

use driftshield_sdk::{ChallengePayee, Receipt, address, instruction};

use super::action::{Action, Step, create_token_account};
use crate::snapshot::{ModelSnapshot, Snapshot};

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
    let receipts = model.receipts.iter();
    receipts
        .filter(|(_, receipt)| is_due(receipt))
        .map(|(&window, receipt)| {
            let account = address::receipt(&model.address, window);
            let instruction = instruction::finalize_receipt(receipt);
            Action::new(Step::Finalize { window }, account, instruction)
        })
        .collect()
}

/// Collections of a settled dispute's credits for the treasury and the challenger.
pub fn credit_collections(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let mut actions = vec![];
    for (window, receipt) in &model.receipts {
        let account = address::receipt(&model.address, *window);
        let collect =
            |payee| instruction::collect_challenge(model.address, &model.account, receipt, payee);
        let (mut receipt, mut state) = (*receipt, model.account); // copies
        receipt.end_appeal(&mut state, snapshot.now);
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

/// Closures of pages whose retention is over.
pub fn page_closures(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let pages = model.series.values();
    pages
        .filter(|page| page.require_closable(&model.account, snapshot.now).is_ok())
        .map(|page| {
            let account = address::series_page(&model.address, page.page);
            Action::new(Step::CloseSeries, account, instruction::close_series(page))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{Entry, ModelStatus, ReceiptState};

    use super::*;
    use crate::fixtures::{key, receipt, set_entry, snapshot, steps};

    fn with_receipt(now: i64, receipt: Receipt) -> Snapshot {
        let mut snapshot = snapshot(now);
        let model = &mut snapshot.models[0];
        for oracle in receipt.submitters() {
            model.account.tenures[oracle].open_submissions = 1;
        }
        model.receipts.insert(receipt.window, receipt);
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
        for entry in [Entry::Open, Entry::Final(1), Entry::Void, Entry::Thin] {
            set_entry(&mut settled.models[0], 0, entry);
            assert_eq!(steps(&settled), []);
        }
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
        let mut challenged = receipt(0, ReceiptState::Challenged, 110, 0b011);
        challenged.challenger = key(50);
        for (receipt, due) in [
            (receipt(0, ReceiptState::Proposed, 110, 0b011), 130),
            (challenged, 130),
            (receipt(0, ReceiptState::Challenged, 110, 0b011), 150),
            (receipt(0, ReceiptState::Collecting, 0, 0b001), 130),
        ] {
            assert_eq!(at(due - 1, receipt), []);
            assert_eq!(at(due, receipt), finalize);
        }
        assert_eq!(at(900, receipt(0, ReceiptState::Final, 130, 0b011)), []);
    }

    #[test]
    fn the_credits_of_a_dispute_are_collected() {
        let mut ruled = receipt(0, ReceiptState::Final, 130, 0b011);
        ruled.challenger_credit = 1;
        ruled.treasury_credit = 1;
        let mut snapshot = with_receipt(2_000, ruled);
        snapshot.models[0].submissions.clear();
        let both = [
            Step::CollectChallengeForTreasury,
            Step::CollectChallengeForChallenger,
        ];
        assert_eq!(steps(&snapshot), both);
    }

    #[test]
    fn what_a_ruling_slashed_is_collected_once_it_cannot_be_returned() {
        let mut ruled = receipt(0, ReceiptState::Final, 130, 0b011);
        (ruled.held[0], ruled.reward, ruled.appeal_until) = (9, 4, 200);
        let at = |now| {
            let mut snapshot = with_receipt(now, ruled);
            snapshot.models[0].submissions.clear();
            let state = &mut snapshot.models[0].account;
            state.open_receipts = 1;
            (
                state.tenures[0].open_submissions,
                state.tenures[1].open_submissions,
            ) = (1, 1);
            steps(&snapshot)
        };
        assert_eq!(at(199), []);
        let both = [
            Step::CollectChallengeForTreasury,
            Step::CollectChallengeForChallenger,
        ];
        assert_eq!(at(200), both);
    }

    #[test]
    fn a_page_is_closed_when_the_retention_of_its_last_window_is_over() {
        let at = |now| {
            let mut snapshot = snapshot(now);
            snapshot.models[0].submissions.clear();
            set_entry(&mut snapshot.models[0], 0, Entry::Final(1));
            snapshot
        };
        // Window 255 ends at 2660 and is kept for 1000 s.
        assert_eq!(steps(&at(3_659)), []);
        assert_eq!(steps(&at(3_660)), [Step::CloseSeries]);
        let mut open = at(3_660);
        set_entry(&mut open.models[0], 1, Entry::Open);
        assert_eq!(steps(&open), []);
    }
}
