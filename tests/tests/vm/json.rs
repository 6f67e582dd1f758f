//! Accounts and events as JSON, as the indexer stores them and the API returns them.

use anchor_lang::Event as _;
use driftshield_sdk::{
    Account, DecodeError, ReceiptState,
    events::{AdminAccepted, ReceiptSubmitted},
    json,
};
use driftshield_tests::world::{TOKEN, World, market_terms};
use serde_json::{Value, json};

#[test]
fn an_account_has_large_numbers_as_strings_and_texts_without_padding() {
    // Given a market with a bet
    let mut world = World::new();
    let model = world.default_model();
    let (creator, bettor) = (world.wallet(0), world.wallet(20 * TOKEN));
    let terms = market_terms(&world, &model);
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    world.bet(&market, &bettor, 1, 12_345_678).unwrap();

    // Then its JSON has every field under its name: large numbers as strings, texts without padding
    let data = world.svm.get_account(&market).unwrap().data;
    let decoded = json::account(&data).unwrap();
    let Account::Market(state) = Account::decode(&data).unwrap() else {
        panic!("the account is not a market");
    };
    assert_eq!(decoded.name, "Market");
    let field = |name: &str| &decoded.fields[name];
    assert_eq!(field("total"), &json!("12345678"));
    assert_eq!(
        field("pools"),
        &json!(state.pools.map(|pool| pool.to_string()))
    );
    assert_eq!(field("model"), &json!(state.model.to_string()));
    assert_eq!(
        field("terms_hash"),
        &json!(const_hex::encode(state.terms_hash))
    );
    assert_eq!(field("close_ts"), &json!(state.close_ts.to_string()));
    assert_eq!(field("model_version"), &json!(state.model_version));
    assert_eq!(field("state"), &json!("open"));
    assert_eq!(field("aggregate"), &json!("max"));
    let Value::String(question) = field("question") else {
        panic!("the question is not a string");
    };
    assert_eq!(question.as_bytes(), &state.question[..question.len()]);
    assert_eq!(state.question[question.len()], 0);
    assert!(!decoded.fields.contains_key("reserved"));
    // And `account_fields` lists the same names.
    let names: Vec<_> = json::account_fields("Market").unwrap();
    assert!(names.iter().all(|name| decoded.fields.contains_key(*name)));
    assert_eq!(names.len(), decoded.fields.len());
    assert_eq!(json::account_fields("Nothing"), None);
}

#[test]
fn nul_characters_in_texts_are_replaced() {
    let event = ReceiptSubmitted {
        model: [1; 32].into(),
        model_seq: u64::MAX,
        receipt: [2; 32].into(),
        receipt_seq: 1,
        window: 3,
        series: [8; 32].into(),
        series_seq: 2,
        seat: [4; 32].into(),
        seat_seq: 5,
        oracle: [6; 32].into(),
        version: 1,
        counts: vec![1, u32::MAX],
        samples: 7,
        submission: 8,
        evidence_hash: [255; 32],
        evidence_uri: "a\0b".into(),
        state: ReceiptState::Proposed,
        value: 9,
        submitted: 1,
        pay: 10,
        thin: 0,
    };
    let decoded = json::event(&event.data()).unwrap();
    assert_eq!(decoded.name, "ReceiptSubmitted");
    assert_eq!(decoded.fields["evidence_uri"], "a\u{fffd}b");
    assert_eq!(decoded.fields["evidence_hash"], "f".repeat(64));
    assert_eq!(decoded.fields["counts"], json!([1, u32::MAX]));
    assert_eq!(decoded.fields["model_seq"], u64::MAX.to_string());
    assert_eq!(decoded.fields["state"], "proposed");
}

#[test]
fn truncated_and_overlong_bytes_are_refused() {
    let event = AdminAccepted {
        config_seq: 4,
        admin: [1; 32].into(),
    };
    let bytes = event.data();
    let malformed = Err(DecodeError::Malformed("AdminAccepted"));
    assert_eq!(json::event(&bytes[..bytes.len() - 1]), malformed);
    assert_eq!(json::event(&[&bytes[..], &[0]].concat()), malformed);
    assert_eq!(json::event(&bytes[..7]), Err(DecodeError::TooShort(7)));
    assert_eq!(
        json::account(&bytes),
        Err(DecodeError::Unknown(bytes[..8].try_into().unwrap()))
    );
}
