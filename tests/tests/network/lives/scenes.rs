//! Scenes in which accounts are closed and created again. Each states what the mirror must show.

use anchor_lang::Event;
use driftshield_sdk::{ID, Instruction, events, rpc::Signer};
use driftshield_tests::network::relay::{self, false_event, relay};

use super::{
    expected::{CANCELLED, CREATED, Expected, Life},
    insured::Insured,
    payouts::{self, VoidMarket},
    policies::{self, OldPolicies},
    stage::{Sent, Stage},
};

/// What a play needs that takes some time until it can be used.
pub struct Prepared {
    market: VoidMarket,
    policies: OldPolicies,
}

/// Prepares `N` plays.
pub async fn prepare<const N: usize>(stage: &Stage, insured: &Insured<'_>) -> [Prepared; N] {
    let mut prepared = vec![];
    for policies in policies::buy_old::<N>(insured).await {
        let market = payouts::open_void_market(stage).await;
        prepared.push(Prepared { market, policies });
    }
    prepared.try_into().ok().expect("as many as policies")
}

/// Plays all scenes.
pub async fn play(stage: &Stage, insured: &Insured<'_>, prepared: &Prepared) -> Expected {
    let mut expected = Expected::default();
    closed(stage, &mut expected).await;
    created_and_closed_in_one_transaction(stage, &mut expected).await;
    created_again_in_one_transaction(stage, &mut expected).await;
    created_again_later(stage, &mut expected).await;
    in_one_slot(stage, &mut expected).await;
    in_calls(stage, &mut expected).await;
    false_events(stage, &mut expected).await;
    failed_transactions(stage, &mut expected).await;
    funded_by_a_stranger(stage, &mut expected).await;
    payouts::sold_and_bet_again(stage, &mut expected).await;
    payouts::withdrawn(stage, &mut expected).await;
    policies::play(insured, &mut expected, &prepared.policies).await;
    payouts::claimed_and_created_again(stage, &mut expected, &prepared.market).await;
    expected
}

async fn closed(stage: &Stage, expected: &mut Expected) {
    let market = stage.new_market();
    let created = stage.send(&[stage.create(market, "first")]).await;
    let closed = stage.send(&[stage.cancel(market)]).await;
    expected.market(
        "closed",
        stage.address(market),
        &[Life::cancelled("first", &created, &closed)],
        &[CREATED, CANCELLED],
    );
}

async fn created_and_closed_in_one_transaction(stage: &Stage, expected: &mut Expected) {
    let market = stage.new_market();
    let both = [stage.create(market, "first"), stage.cancel(market)];
    let sent = stage.send(&both).await;
    expected.market(
        "created and closed in one transaction",
        stage.address(market),
        &[Life::cancelled("first", &sent, &sent)],
        &[CREATED, CANCELLED],
    );
    expected.transaction(
        "created and closed in one transaction",
        sent,
        &["MarketCreated", "MarketCancelled"],
    );
}

async fn created_again_in_one_transaction(stage: &Stage, expected: &mut Expected) {
    // A market from an earlier slot
    let market = stage.new_market();
    let created = stage.send(&[stage.create(market, "first")]).await;
    let again = [stage.cancel(market), stage.create(market, "second")];
    let again = stage.send(&again).await;
    expected.market(
        "closed and created again in one transaction",
        stage.address(market),
        &[
            Life::cancelled("first", &created, &again),
            Life::open("second", &again),
        ],
        &[CREATED, CANCELLED, CREATED],
    );

    // Two whole lives
    let market = stage.new_market();
    let lives = [
        stage.create(market, "first"),
        stage.cancel(market),
        stage.create(market, "second"),
        stage.cancel(market),
    ];
    let sent = stage.send(&lives).await;
    expected.market(
        "two lives in one transaction",
        stage.address(market),
        &[
            Life::cancelled("first", &sent, &sent),
            Life::cancelled("second", &sent, &sent),
        ],
        &[CREATED, CANCELLED, CREATED, CANCELLED],
    );
}

async fn created_again_later(stage: &Stage, expected: &mut Expected) {
    let market = stage.new_market();
    let mut lives = vec![];
    for question in ["first", "second"] {
        let created = stage.send(&[stage.create(market, question)]).await;
        let closed = stage.send(&[stage.cancel(market)]).await;
        lives.push(Life::cancelled(question, &created, &closed));
    }
    let created = stage.send(&[stage.create(market, "third")]).await;
    lives.push(Life::open("third", &created));
    expected.market(
        "created again across slots",
        stage.address(market),
        &lives,
        &[CREATED, CANCELLED, CREATED, CANCELLED, CREATED],
    );
}

/// Plays a scene of two transactions until they succeed in one slot. `scene` returns the transactions
/// for the number of a new market or policy.
pub async fn until_together(
    stage: &Stage,
    scene: impl AsyncFn(u64) -> [Vec<Instruction>; 2],
) -> (u64, Sent) {
    let mut results = vec![];
    for _ in 0..10 {
        let number = stage.new_market();
        let [first, second] = scene(number).await;
        let result = stage.send_together([&first, &second]).await;
        match result {
            Ok([first, second]) if first.slot == second.slot => return (number, first),
            result => results.push(result),
        }
    }
    panic!("two transactions failed or were in different slots ten times: {results:?}");
}

async fn in_one_slot(stage: &Stage, expected: &mut Expected) {
    let (market, sent) = until_together(stage, async |market| {
        [
            vec![stage.create(market, "first")],
            vec![stage.cancel(market)],
        ]
    })
    .await;
    expected.market(
        "created and closed in one slot",
        stage.address(market),
        &[Life::cancelled("first", &sent, &sent)],
        &[CREATED, CANCELLED],
    );

    let (market, sent) = until_together(stage, async |market| {
        [
            vec![stage.create(market, "first"), stage.cancel(market)],
            vec![stage.create(market, "second")],
        ]
    })
    .await;
    expected.market(
        "closed and created again in one slot",
        stage.address(market),
        &[
            Life::cancelled("first", &sent, &sent),
            Life::open("second", &sent),
        ],
        &[CREATED, CANCELLED, CREATED],
    );
}

/// Calls of other programs.
async fn in_calls(stage: &Stage, expected: &mut Expected) {
    let market = stage.new_market();
    let created = stage.send(&[stage.create(market, "first")]).await;
    let closed = stage.send(&[relay(&[stage.cancel(market)])]).await;
    expected.market(
        "closed inside a CPI",
        stage.address(market),
        &[Life::cancelled("first", &created, &closed)],
        &[CREATED, CANCELLED],
    );
    expected.transaction("closed inside a CPI", closed, &["MarketCancelled"]);

    let (market, other) = (stage.new_market(), stage.new_market());
    let siblings = relay(&[
        stage.create(market, "first"),
        stage.create(other, "other"),
        stage.cancel(market),
    ]);
    let sent = stage.send(&[siblings]).await;
    let scene = "sibling CPIs";
    expected.market(
        scene,
        stage.address(market),
        &[Life::cancelled("first", &sent, &sent)],
        &[CREATED, CANCELLED],
    );
    let other_life = Life::open("other", &sent);
    expected.market(scene, stage.address(other), &[other_life], &[CREATED]);
    expected.transaction(
        scene,
        sent,
        &["MarketCreated", "MarketCreated", "MarketCancelled"],
    );

    // As deep as the runtime allows: the program's event is the fifth level.
    let market = stage.new_market();
    let nested = relay(&[
        relay(&[relay(&[stage.create(market, "first")])]),
        relay(&[stage.cancel(market)]),
        stage.create(market, "second"),
    ]);
    let sent = stage.send(&[nested, stage.cancel(market)]).await;
    let scene = "nested CPIs";
    expected.market(
        scene,
        stage.address(market),
        &[
            Life::cancelled("first", &sent, &sent),
            Life::cancelled("second", &sent, &sent),
        ],
        &[CREATED, CANCELLED, CREATED, CANCELLED],
    );
    let events = [
        "MarketCreated",
        "MarketCancelled",
        "MarketCreated",
        "MarketCancelled",
    ];
    expected.transaction(scene, sent, &events);
}

/// The cancellation of a market as an event, without its tag.
fn cancellation(stage: &Stage, market: u64) -> Vec<u8> {
    let event = events::MarketCancelled {
        market: stage.address(market),
        market_seq: 2,
        creator: stage.creator.pubkey(),
        swept: 0,
    };
    event.data()
}

/// Data of events in instructions of another program.
async fn false_events(stage: &Stage, expected: &mut Expected) {
    let scene = "false event of another program";
    let (market, never) = (stage.new_market(), stage.new_market());
    let event = cancellation(stage, market);
    let calls = relay(&[
        false_event(relay::PROGRAM, &cancellation(stage, never)),
        stage.create(market, "first"),
        false_event(relay::PROGRAM, &event),
    ]);
    let outer = false_event(relay::PROGRAM, &event);
    let sent = stage.send(&[calls, outer]).await;
    let life = Life::open("first", &sent);
    expected.market(scene, stage.address(market), &[life], &[CREATED]);
    expected.market(scene, stage.address(never), &[], &[]);
    expected.transaction(scene, sent, &["MarketCreated"]);

    // A forged event of the program itself makes the transaction fail.
    let scene = "forged event";
    let market = stage.new_market();
    let event = cancellation(stage, market);
    let forged = relay(&[stage.create(market, "first"), false_event(ID, &event)]);
    let sent = stage.send_failing(&[forged]).await;
    expected.market(scene, stage.address(market), &[], &[]);
    expected.transaction(scene, sent, &[]);
}

async fn failed_transactions(stage: &Stage, expected: &mut Expected) {
    let scene = "failed transaction";
    let market = stage.new_market();
    let failing = [stage.create(market, "never"), stage.cancel_other()];
    let failed = stage.send_failing(&failing).await;
    let client = &stage.fixture.network.client;
    let emitted = client.transaction_event_data(&failed.signature).await;
    let (_, emitted) = emitted.unwrap();
    assert_eq!(emitted.len(), 1, "the failed transaction emitted no event");
    expected.transaction(scene, failed, &[]);

    // The market exists afterwards, and a transaction that would close it fails as well.
    let created = stage.send(&[stage.create(market, "first")]).await;
    let failing = [stage.cancel(market), stage.cancel_other()];
    let failed = stage.send_failing(&failing).await;
    expected.transaction(scene, failed, &[]);
    let life = Life::open("first", &created);
    expected.market(scene, stage.address(market), &[life], &[CREATED]);
}

async fn funded_by_a_stranger(stage: &Stage, expected: &mut Expected) {
    // In the transaction that closes it
    let market = stage.new_market();
    let created = stage.send(&[stage.create(market, "first")]).await;
    let closing = [stage.cancel(market), stage.fund(market)];
    let closed = stage.send(&closing).await;
    expected.market(
        "closed and funded in one transaction",
        stage.address(market),
        &[Life::cancelled("first", &created, &closed)],
        &[CREATED, CANCELLED],
    );

    // In the same slot
    let (market, sent) = until_together(stage, async |market| {
        [
            vec![stage.create(market, "first"), stage.cancel(market)],
            vec![stage.fund(market)],
        ]
    })
    .await;
    expected.market(
        "closed and funded in one slot",
        stage.address(market),
        &[Life::cancelled("first", &sent, &sent)],
        &[CREATED, CANCELLED],
    );

    // Later, and created again where the lamports are
    let market = stage.new_market();
    let created = stage.send(&[stage.create(market, "first")]).await;
    let closed = stage.send(&[stage.cancel(market)]).await;
    stage.send(&[stage.name(market)]).await;
    stage.send(&[stage.fund(market)]).await;
    let again = stage.send(&[stage.create(market, "second")]).await;
    expected.market(
        "closed, named, funded and created again",
        stage.address(market),
        &[
            Life::cancelled("first", &created, &closed),
            Life::open("second", &again),
        ],
        &[CREATED, CANCELLED, CREATED],
    );
}
