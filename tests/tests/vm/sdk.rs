//! Decoding of accounts, events and errors by the SDK.

use anchor_lang::{Discriminator, Event as _};
use driftshield_sdk::{Account, DecodeError, Event, address, error, events::AdminAccepted};
use driftshield_tests::world::World;

#[test]
fn an_account_is_decoded_by_its_discriminator() {
    // Given the config of a new world
    let world = World::new();
    let config = world.svm.get_account(&address::config()).unwrap().data;

    // Then it is decoded, and bytes that are no account of the program are refused
    assert_eq!(Account::decode(&config).unwrap().kind().name(), "Config");
    let refusal = |bytes: &[u8]| Account::decode(bytes).err().unwrap();
    assert_eq!(refusal(&config[..7]), DecodeError::TooShort(7));
    assert_eq!(refusal(&config[..100]), DecodeError::Malformed("Config"));
    assert_eq!(refusal(&[0; 100]), DecodeError::Unknown([0; 8]));
}

#[test]
fn an_event_is_decoded_from_its_exact_bytes() {
    // Given an event's bytes
    let event = AdminAccepted {
        config_seq: 4,
        admin: address::config(),
    };
    let bytes = event.data();

    // Then they are decoded, and fewer or more bytes are refused
    let decoded = Event::decode(&bytes).unwrap();
    assert_eq!(decoded.name(), "AdminAccepted");
    let [change] = decoded.changes()[..] else {
        panic!("{decoded:?}");
    };
    assert_eq!((change.address, change.number), (address::config(), 4));
    assert!(!change.closes);
    let malformed = Err(DecodeError::Malformed("AdminAccepted"));
    assert_eq!(Event::decode(&bytes[..bytes.len() - 1]), malformed);
    assert_eq!(Event::decode(&[&bytes[..], &[0]].concat()), malformed);
    assert_eq!(Event::decode(&[9; 20]), Err(DecodeError::Unknown([9; 8])));
    // In an inner instruction, events are preceded by a tag. Other data is ignored.
    assert_eq!(Event::decode_inner_instruction(&bytes), None);
    assert_eq!(AdminAccepted::DISCRIMINATOR, &bytes[..8]);
}

#[test]
fn every_error_has_a_unique_code_and_a_message() {
    let mut codes: Vec<u32> = error::all().iter().map(|error| error.code).collect();
    assert!(error::all().iter().all(|error| error.message.len() > 10));
    assert_eq!(codes[0], 6000);
    let count = codes.len();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), count);
    assert_eq!(error::by_code(5999), None);
}
