use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::*;
use crate::{
    feed::{DerivedState, Rollback},
    socket::{
        limits::{RECENT_RECORDS, REMEMBERED_CHANNELS},
        outbox::Entry,
    },
};

fn update(seq: i64, channels: &[&str]) -> Record {
    let channels: Vec<_> = channels.iter().map(|&name| name.to_owned()).collect();
    let update = Update {
        epoch: 1,
        seq,
        slot: 90,
        kind: "event",
        channels: channels.clone(),
        json: "{}".to_owned(),
        states: vec![DerivedState {
            kind: "market:odds_updated",
            key: Some("m".into()),
            channels: vec!["markets".to_owned()],
            json: "{}".to_owned(),
        }],
    };
    Record {
        seq,
        channels,
        message: Some(FeedMessage::Update(Arc::new(update))),
    }
}

fn at(seq: i64) -> Position {
    Position { epoch: 1, seq }
}

fn hub(seq: i64) -> Arc<Hub> {
    let hub = Arc::new(Hub::default());
    hub.take(&Change::Begun { position: at(seq) });
    hub
}

fn socket(hub: &Arc<Hub>) -> Registration {
    hub.register()
}

fn attach(
    hub: &Arc<Hub>,
    socket: &Registration,
    channel: &str,
    seq: i64,
) -> Result<Attached, NotAttached> {
    let id = hub.new_id();
    hub.attach((&channel.into(), id), &socket.outbox, at(seq), true)
}

fn messages(socket: &Registration) -> Vec<(i64, Utf8Bytes)> {
    let entries = socket.outbox.take(usize::MAX).entries.into_iter();
    let messages = entries.filter_map(|entry| match entry {
        Entry::Message(message) => Some((message.seq, message.text)),
        Entry::Notice(_) => None,
    });
    messages.collect()
}

fn prevs(socket: &Registration) -> Vec<(i64, i64)> {
    let prev = |text: &str| {
        let message: serde_json::Value = serde_json::from_str(text).unwrap();
        message["prev"].as_i64().unwrap()
    };
    let messages = messages(socket).into_iter();
    messages.map(|(seq, text)| (seq, prev(&text))).collect()
}

#[test]
fn a_record_reaches_the_listeners_of_its_channels_only_and_is_shared() {
    let hub = hub(5);
    let (one, other, third) = (socket(&hub), socket(&hub), socket(&hub));
    let _listening = [
        attach(&hub, &one, "a", 5).unwrap(),
        attach(&hub, &other, "a", 5).unwrap(),
        attach(&hub, &third, "b", 5).unwrap(),
    ];
    hub.take(&Change::Record(&update(6, &["a", "events"])));
    let (one, other) = (messages(&one), messages(&other));
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].1.as_str().as_ptr(), other[0].1.as_str().as_ptr());
    assert!(third.outbox.is_empty());
    assert_eq!(hub.sent_by(&third.outbox), Some(at(6)));
}

#[test]
fn prev_is_the_previous_record_of_the_channel_or_where_the_hub_began() {
    let hub = hub(5);
    let socket = socket(&hub);
    hub.take(&Change::Record(&update(6, &["a"])));
    hub.take(&Change::Record(&update(7, &["b"])));
    let _a = attach(&hub, &socket, "a", 7).unwrap();
    let _c = attach(&hub, &socket, "c", 7).unwrap();
    hub.take(&Change::Record(&update(8, &["a"])));
    hub.take(&Change::Record(&update(9, &["b", "c"])));
    hub.take(&Change::Record(&update(10, &["a"])));
    assert_eq!(prevs(&socket), [(8, 6), (9, 5), (10, 8)]);
}

#[test]
fn a_subscription_gets_what_came_since_its_snapshot() {
    let hub = hub(5);
    let socket = socket(&hub);
    for seq in 6..=9 {
        hub.take(&Change::Record(&update(
            seq,
            &[["a", "b"][seq as usize % 2]],
        )));
    }
    let attached = attach(&hub, &socket, "a", 6).unwrap();
    let missed = attached.missed.iter().map(|missed| match missed {
        Missed::Update(update) => update.seq,
        Missed::Gap(gap) => gap.seq,
    });
    assert_eq!(missed.collect::<Vec<_>>(), [8]);
    assert_eq!(attached.position, at(9));
    // From before the hub began, the database knows.
    assert_eq!(
        attach(&hub, &socket, "a", 4).err(),
        Some(NotAttached::Behind)
    );
    // The database can be ahead of the hub.
    assert!(attach(&hub, &socket, "a", 12).is_ok());
}

#[test]
fn prev_is_never_above_what_a_listener_has() {
    let hub = hub(5);
    let (one, other) = (socket(&hub), socket(&hub));
    hub.take(&Change::Record(&update(6, &["b"])));
    hub.take(&Change::Record(&update(7, &["b"])));
    // The hub does not know the latest record of `a`, but that there is none after 6.
    let _one = attach(&hub, &one, "a", 7).unwrap();
    let _other = attach(&hub, &other, "a", 5).unwrap();
    hub.take(&Change::Record(&update(8, &["a"])));
    assert_eq!(prevs(&other), [(8, 5)]);
}

#[test]
fn a_rollback_and_a_discontinuity_end_what_was_read_before() {
    let hub = hub(5);
    let socket = socket(&hub);
    let rollback = Rollback {
        epoch: 1,
        seq: 6,
        to_slot: 80,
    };
    assert!(hub.is_current("a", at(5)));
    hub.take(&Change::Record(&Record {
        seq: 6,
        channels: vec![],
        message: Some(FeedMessage::Rollback(rollback)),
    }));
    assert!(!hub.is_current("a", at(5)) && hub.is_current("a", at(6)));
    assert_eq!(
        attach(&hub, &socket, "a", 5).err(),
        Some(NotAttached::RolledBack)
    );
    let listening = attach(&hub, &socket, "a", 6).unwrap();
    hub.take(&Change::Discontinued {
        position: Position { epoch: 2, seq: 1 },
        reason: "mirror was rebuilt",
    });
    assert!(!hub.is_current("a", at(6)));
    assert_eq!(
        attach(&hub, &socket, "a", 6).err(),
        Some(NotAttached::OtherEpoch)
    );
    let notices = socket.outbox.take(9).entries;
    assert!(matches!(
        notices[..],
        [
            Entry::Notice(Notice::Rollback(..)),
            Entry::Notice(Notice::Discontinued(..))
        ]
    ));
    // Nobody listens any more.
    hub.take(&Change::Record(&update(2, &["a"])));
    assert!(socket.outbox.is_empty());
    drop(listening);
}

#[test]
fn a_snapshot_is_current_until_a_record_of_its_channel_comes() {
    let hub = hub(5);
    assert!(hub.is_current("a", at(5)));
    hub.take(&Change::Record(&update(6, &["b"])));
    assert!(hub.is_current("a", at(5)) && !hub.is_current("b", at(5)));
    hub.take(&Change::Record(&update(7, &["a"])));
    assert!(!hub.is_current("a", at(6)) && hub.is_current("a", at(7)));
}

#[test]
fn gaps_are_missed_by_those_who_resume_only() {
    let hub = hub(5);
    let socket = socket(&hub);
    let gap = Gap {
        epoch: 1,
        seq: 6,
        from_slot: 91,
        to_slot: 92,
        state: "open".to_owned(),
    };
    hub.take(&Change::Record(&Record {
        seq: 6,
        channels: vec![],
        message: Some(FeedMessage::Gap(Arc::new(gap))),
    }));
    assert_eq!(attach(&hub, &socket, "a", 5).unwrap().missed.len(), 1);
    let id = hub.new_id();
    let attached = hub.attach((&"a".into(), id), &socket.outbox, at(5), false);
    assert!(attached.unwrap().missed.is_empty());
}

#[test]
fn memory_is_bounded_and_what_is_forgotten_comes_from_the_database() {
    let hub = hub(0);
    let socket = socket(&hub);
    let _a = attach(&hub, &socket, "a", 0).unwrap();
    let last = REMEMBERED_CHANNELS as i64 + 2048;
    for seq in 1..=last {
        hub.take(&Change::Record(&update(seq, &[&format!("wallet:{seq}")])));
    }
    let recent = last - RECENT_RECORDS as i64;
    assert!(hub.lock().channels.last("wallet:1") <= last);
    assert_eq!(
        attach(&hub, &socket, "wallet:1", recent - 1).err(),
        Some(NotAttached::Behind)
    );
    assert!(
        attach(&hub, &socket, "wallet:1", recent)
            .unwrap()
            .missed
            .is_empty()
    );
    // Channels with listeners are not forgotten.
    assert_eq!(hub.lock().channels.last("a"), 0);
}
