//! Scenes in which policies are bought, end in each way and are bought again at the same address.

use std::{array, time::Duration};

use driftshield_sdk::{Instruction, instruction};
use driftshield_tests::network::{relay::relay, wait_for};

use super::{
    expected::{Expected, Listed, Numbered, PaidLife},
    insured::{COVER, Cover, Insured},
    scenes::until_together,
    stage::Sent,
};

const BOUGHT: Numbered = ("PolicyBought", 1);
const CANCELLED: Numbered = ("PolicyCancelled", 2);

/// Policies that were bought some time before they end, with the transaction that bought them.
pub struct OldPolicies {
    /// Its model drifts while it covers it.
    claimable: (u64, Sent),
    /// Its model drifts while it is on probation.
    failing: (u64, Sent),
    expiring: (u64, Sent),
}

/// Buys policies for `N` plays.
pub async fn buy_old<const N: usize>(insured: &Insured<'_>) -> [OldPolicies; N] {
    let ids: [[u64; 3]; N] = array::from_fn(|_| array::from_fn(|_| insured.stage.new_market()));
    let buy = async |kind: usize, cover| {
        let buy = |first| {
            let ids = ids.iter();
            ids.map(|ids| insured.buy(ids[kind], cover, first))
                .collect()
        };
        insured.send(buy).await
    };
    let claimable = buy(0, Cover::Drift).await;
    let expiring = buy(2, Cover::Nothing).await;
    let covered_from = insured.read(ids[0][0]).await.first_window;
    while insured.next_sale().await <= covered_from {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let failing = buy(1, Cover::Drift).await;
    // The last window of its probation
    insured.let_drift(insured.read(ids[0][1]).await.first_window - 1);
    ids.map(|[first, second, third]| OldPolicies {
        claimable: (first, claimable),
        failing: (second, failing),
        expiring: (third, expiring),
    })
}

/// Plays all scenes of policies.
pub async fn play(insured: &Insured<'_>, expected: &mut Expected, old: &OldPolicies) {
    cancelled(insured, expected).await;
    in_one_slot(insured, expected).await;
    in_a_call_and_funded(insured, expected).await;
    expired(insured, expected, old.expiring).await;
    failed(insured, expected, old.failing).await;
    paid(insured, expected, old.claimable).await;
}

/// Adds what the mirror must show of a policy.
fn expect(
    insured: &Insured<'_>,
    expected: &mut Expected,
    scene: &'static str,
    id: u64,
    lives: &[PaidLife],
    events: &[Numbered],
) {
    let listed = Listed::Cover(insured.vault);
    expected.paid(scene, insured.policy(id), listed, lives, events);
}

/// A life that was cancelled.
fn ended(bought: &Sent, cancelled: &Sent) -> PaidLife {
    PaidLife::policy(bought).ended("cancelled", cancelled)
}

async fn cancelled(insured: &Insured<'_>, expected: &mut Expected) {
    let stage = insured.stage;
    let id = stage.new_market();
    let buy = |first| insured.buy(id, Cover::Nothing, first);
    let bought = insured.send(|first| vec![buy(first)]).await;
    // Closed and created again, and then both at once
    let again = insured
        .send(|first| vec![insured.cancel(id), buy(first)])
        .await;
    let closed = stage.send(&[insured.cancel(id)]).await;
    let both = insured
        .send(|first| vec![buy(first), insured.cancel(id)])
        .await;
    expect(
        insured,
        expected,
        "policy cancelled and bought again",
        id,
        &[
            ended(&bought, &again),
            ended(&again, &closed),
            ended(&both, &both),
        ],
        &[BOUGHT, CANCELLED, BOUGHT, CANCELLED, BOUGHT, CANCELLED],
    );
}

async fn in_one_slot(insured: &Insured<'_>, expected: &mut Expected) {
    let (id, sent) = until_together(insured.stage, async |id| {
        let buy = insured.buy(id, Cover::Nothing, insured.next_sale().await);
        [vec![buy], vec![insured.cancel(id)]]
    })
    .await;
    let scene = "policy bought and cancelled in one slot";
    let lives = [ended(&sent, &sent)];
    expect(insured, expected, scene, id, &lives, &[BOUGHT, CANCELLED]);

    let (id, sent) = until_together(insured.stage, async |id| {
        let first = insured.next_sale().await;
        let buy = || insured.buy(id, Cover::Nothing, first);
        [vec![buy(), insured.cancel(id)], vec![buy()]]
    })
    .await;
    let scene = "policy cancelled and bought again in one slot";
    let lives = [ended(&sent, &sent), PaidLife::policy(&sent)];
    let events = [BOUGHT, CANCELLED, BOUGHT];
    expect(insured, expected, scene, id, &lives, &events);
}

async fn in_a_call_and_funded(insured: &Insured<'_>, expected: &mut Expected) {
    let stage = insured.stage;
    let id = stage.new_market();
    let buy = |first| vec![insured.buy(id, Cover::Nothing, first)];
    let bought = insured.send(buy).await;
    let closing = [
        relay(&[insured.cancel(id)]),
        stage.fund_address(insured.policy(id)),
    ];
    let closed = stage.send(&closing).await;
    let again = insured.send(buy).await;
    expect(
        insured,
        expected,
        "policy cancelled inside a CPI, funded and bought again",
        id,
        &[ended(&bought, &closed), PaidLife::policy(&again)],
        &[BOUGHT, CANCELLED, BOUGHT],
    );
}

/// Anyone ends a policy whose time is over.
async fn expired(insured: &Insured<'_>, expected: &mut Expected, (id, bought): (u64, Sent)) {
    let policy = insured.read(id).await;
    let expires_at = policy.expires_at(&insured.model).unwrap();
    wait_until(insured, expires_at).await;
    let expire = instruction::expire_policy(&policy, &insured.state);
    let closed = insured.stage.send(&[relay(&[expire])]).await;
    let again = insured
        .send(|first| vec![insured.buy(id, Cover::Nothing, first)])
        .await;
    expect(
        insured,
        expected,
        "policy expired inside a CPI and bought again",
        id,
        &[
            PaidLife::policy(&bought).ended("expired", &closed),
            PaidLife::policy(&again),
        ],
        &[BOUGHT, ("PolicyExpired", 2), BOUGHT],
    );
}

/// A policy ends because its model drifts on probation.
async fn failed(insured: &Insured<'_>, expected: &mut Expected, (id, bought): (u64, Sent)) {
    let policy = insured.read(id).await;
    let begin = instruction::begin_policy(&policy, &insured.state);
    let closed = insured.stage.send(&[begin]).await;
    expect(
        insured,
        expected,
        "policy void",
        id,
        &[PaidLife::policy(&bought).ended("void", &closed)],
        &[BOUGHT, ("PolicyBegun", 2)],
    );
}

/// A policy pays all of its cover, and is bought again in the same transaction.
async fn paid(insured: &Insured<'_>, expected: &mut Expected, (id, bought): (u64, Sent)) {
    let stage = insured.stage;
    let policy = insured.read(id).await;
    let begin = instruction::begin_policy(&policy, &insured.state);
    stage.send(&[begin]).await;
    let policy = insured.read(id).await;
    let client = &stage.fixture.network.client;
    let now = client.unix_timestamp().await.unwrap();
    let windows = policy.windows_to_examine(&insured.model, now, usize::MAX);
    let examine = instruction::examine_policy(&policy, windows);
    stage.send(&[examine]).await;
    let claim = || instruction::claim_policy(&policy, &insured.state);
    let again: Sent = insured
        .send(|first| -> Vec<Instruction> { vec![claim(), insured.buy(id, Cover::Nothing, first)] })
        .await;
    expect(
        insured,
        expected,
        "policy paid and bought again",
        id,
        &[
            PaidLife::policy(&bought).ended("paid", &again).paid(COVER),
            PaidLife::policy(&again),
        ],
        &[
            BOUGHT,
            ("PolicyBegun", 2),
            ("PolicyExamined", 3),
            ("PolicyClaimed", 4),
            BOUGHT,
        ],
    );
}

async fn wait_until(insured: &Insured<'_>, time: i64) {
    let client = &insured.stage.fixture.network.client;
    wait_for("its time", Duration::from_secs(60), async || {
        (time <= client.unix_timestamp().await.ok()?).then_some(())
    })
    .await;
}

/// Policies that are cancelled while the indexer reads all accounts for the first time.
pub struct AroundSnapshot<'a> {
    insured: &'a Insured<'a>,
    /// Their ids: one that stays, and those that are cancelled before the snapshot, after it, and after it
    /// to be bought again.
    ids: [u64; 4],
    bought: [Sent; 2],
    early_closed: Option<Sent>,
    whole: Option<(u64, Sent)>,
}

impl<'a> AroundSnapshot<'a> {
    /// Buys policies before the indexer starts.
    pub async fn buy(insured: &'a Insured<'a>) -> Self {
        let ids: [u64; 4] = array::from_fn(|_| insured.stage.new_market());
        let buy = async |ids: &[u64]| {
            let buy = |first| {
                let ids = ids.iter();
                ids.map(|id| insured.buy(*id, Cover::Nothing, first))
                    .collect()
            };
            insured.send(buy).await
        };
        Self {
            insured,
            bought: [buy(&ids[..2]).await, buy(&ids[2..]).await],
            ids,
            early_closed: None,
            whole: None,
        }
    }

    /// Cancels a policy, and buys and cancels another one, before the node answers.
    pub async fn cancel_before(self) -> Self {
        let insured = self.insured;
        let cancel = insured.cancel(self.ids[1]);
        let whole = insured.stage.new_market();
        let both = |first| {
            let buy = insured.buy(whole, Cover::Nothing, first);
            vec![buy, insured.cancel(whole)]
        };
        Self {
            early_closed: Some(insured.stage.send(&[cancel]).await),
            whole: Some((whole, insured.send(both).await)),
            ..self
        }
    }

    /// Cancels policies after the node has answered, and adds what the mirror must show of all.
    pub async fn cancel_after(self, expected: &mut Expected) {
        let (insured, [kept, early, late, renewed]) = (self.insured, self.ids);
        let late_closed = insured.stage.send(&[insured.cancel(late)]).await;
        let renewed_closed = insured.stage.send(&[insured.cancel(renewed)]).await;
        let again = insured
            .send(|first| vec![insured.buy(renewed, Cover::Nothing, first)])
            .await;
        let [first, second] = self.bought;
        let mut expect = |scene, id, lives: &[PaidLife], events: &[Numbered]| {
            expect(insured, expected, scene, id, lives, events);
        };
        let open = [PaidLife::policy(&first)];
        expect("policy open all the time", kept, &open, &[BOUGHT]);
        let early_closed = self.early_closed.expect("cancelled before");
        let (whole, sent) = self.whole.expect("cancelled before");
        for (scene, id, bought, closed) in [
            (
                "policy cancelled before the snapshot",
                early,
                first,
                early_closed,
            ),
            ("policy bought and cancelled before it", whole, sent, sent),
            (
                "policy cancelled after the snapshot",
                late,
                second,
                late_closed,
            ),
        ] {
            expect(scene, id, &[ended(&bought, &closed)], &[BOUGHT, CANCELLED]);
        }
        expect(
            "policy cancelled and bought again after the snapshot",
            renewed,
            &[ended(&second, &renewed_closed), PaidLife::policy(&again)],
            &[BOUGHT, CANCELLED, BOUGHT],
        );
    }
}
