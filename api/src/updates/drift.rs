//! Drift detection: compares final receipts with the thresholds of the model's unsettled markets
//! and the triggers of its open policies.

use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    events::Event,
    feed::DerivedState,
    values::{Scaled, U64},
};

/// A receipt that became final.
pub struct FinalReceipt {
    receipt: Key,
    window: U64,
    value: u64,
}

/// Data of `model:drift_detected`.
#[derive(Serialize, ToSchema)]
pub struct DriftDetected {
    /// Address of the model.
    model: Key,
    /// Address of the receipt that became final.
    receipt: Key,
    /// Window of the receipt.
    #[schema(example = "12")]
    window: U64,
    /// Drift of the window.
    value: Scaled,
    /// Lowest of the thresholds of the model's unsettled markets and the triggers of its open policies;
    /// null if it has neither.
    threshold: Option<Scaled>,
    /// Noise floor of the model.
    noise_floor: Scaled,
}

/// The receipt that an event made final; `None` if it made none.
pub fn final_receipt(name: &str, body: &Value) -> Option<FinalReceipt> {
    let settles = matches!(name, "ReceiptRuled" | "ReceiptFinalized");
    if !settles || body["state"] != "final" {
        return None;
    }
    Some(FinalReceipt {
        receipt: Key::parse(body["receipt"].as_str()?)?,
        window: U64(body["window"].as_str()?.parse().ok()?),
        value: body["value"].as_str()?.parse().ok()?,
    })
}

/// The state `model:drift_detected`; `None` if the receipt's value does not count as drift.
///
/// The value counts as drift if it reaches the lowest of the thresholds of the model's unsettled
/// markets and the triggers of its open policies. If the model had neither right before the event,
/// the value counts as drift if it exceeds the noise floor.
pub async fn detected(
    db: &mut PgConnection,
    model: Key,
    receipt: FinalReceipt,
    event: &Event,
) -> Result<Option<DerivedState>, sqlx::Error> {
    let limits: Option<(U64, Option<U64>)> = sqlx::query_as(LIMITS)
        .bind(model)
        .bind(event.id)
        .bind(event.slot)
        .fetch_optional(db)
        .await?;
    let Some((U64(noise_floor), threshold)) = limits else {
        return Ok(None);
    };
    let is_drift = threshold.map_or(noise_floor < receipt.value, |U64(threshold)| {
        threshold <= receipt.value
    });
    let state = || DerivedState {
        kind: "model:drift_detected",
        key: None,
        channels: vec![format!("model:{model}")],
        json: super::to_json(&DriftDetected {
            model,
            receipt: receipt.receipt,
            window: receipt.window,
            value: Scaled::drift(receipt.value),
            threshold: threshold.map(|U64(threshold)| Scaled::drift(threshold)),
            noise_floor: Scaled::drift(noise_floor),
        }),
    };
    Ok(is_drift.then(state))
}

/// Query for the noise floor of model `$1`, and the lowest of the thresholds of its unsettled
/// markets and the triggers of its open policies, as of before the event `$2` in slot `$3`.
///
/// The query reads the history instead of the current state, so that a client that resumes gets the
/// same states as a client that stayed connected.
///
/// Each part reads a range of an index: what is open, and what was settled, cancelled or ended since then.
const LIMITS: &str = "
    select k.noise_floor, (select min(bar) from (
       select m.thresholds[1] as bar from chain.market m
         where m.model = k.address and m.status = 'open' and m.life < $2
           and (m.ended_slot is null or m.ended_slot > $3)
       union all
       select m.thresholds[1] from chain.market m
         where m.model = k.address and m.settled_by >= $2 and m.life < $2
           and (m.ended_slot is null or m.ended_slot > $3)
       union all
       select m.thresholds[1] from chain.market m
         where m.model = k.address and m.status = 'cancelled' and m.ended_slot > $3 and m.life < $2
       union all
       select m.trigger from chain.policy m
         where m.model = k.address and m.ended_slot is null and m.life < $2
       union all
       select m.trigger from chain.policy m
         where m.model = k.address and m.ended_slot >= $3 and m.life < $2
     ) limits)
     from chain.model k where k.address = $1 and k.is_current";

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sqlx::PgPool;

    use super::*;

    #[test]
    fn only_a_receipt_that_became_final_has_a_value() {
        let value = |name, state| {
            let receipt = "DriftSh1e1d11111111111111111111111111111111";
            let body = json!({ "receipt": receipt, "window": "1", "state": state, "value": "70" });
            final_receipt(name, &body).map(|receipt| receipt.value)
        };
        assert_eq!(value("ReceiptFinalized", "final"), Some(70));
        assert_eq!(value("ReceiptRuled", "final"), Some(70));
        assert_eq!(value("ReceiptRuled", "thin"), None);
        assert_eq!(value("ReceiptFinalized", "proposed"), None);
        assert_eq!(value("ReceiptSubmitted", "final"), None);
    }

    /// The limits as the tables say them, whatever it costs.
    const ALL_LIMITS: &str = "
        select k.noise_floor, least((
           select min(m.thresholds[1]) from chain.market m
           where m.model = k.address and m.life < $2
             and (m.status in ('open', 'cancelled') or m.settled_by >= $2)
             and (m.ended_slot is null or m.ended_slot > $3)
         ), (
           select min(m.trigger) from chain.policy m
           where m.model = k.address and m.life < $2
             and (m.ended_slot is null or m.ended_slot >= $3)
         ))
         from chain.model k where k.address = $1 and k.is_current";

    #[sqlx::test(
        migrator = "crate::db_tests::SCHEMA",
        fixtures(path = "../db_tests/fixtures", scripts("mirror"))
    )]
    async fn the_limits_are_those_that_stood_before_the_event(db: PgPool) {
        // Given markets and policies of which each has another limit
        sqlx::raw_sql(
            "update chain.market set thresholds[1] = 2000 - (life >> 31);
             update chain.policy set trigger = 2000 - (life >> 31)",
        )
        .execute(&db)
        .await
        .unwrap();

        // Then the limits at each slot are those of all markets and policies of that time
        let model = Key::parse(&crate::db_tests::key(2, 1)).unwrap();
        let mut found = std::collections::BTreeSet::new();
        for slot in 1_190..1_720_i64 {
            let limits = async |sql: &'static str| {
                let limits = sqlx::query_as(sql).bind(model).bind(slot << 31).bind(slot);
                let limits: (U64, Option<U64>) = limits.fetch_one(&db).await.unwrap();
                limits
            };
            let expected = limits(ALL_LIMITS).await;
            assert_eq!(limits(LIMITS).await, expected, "{slot}");
            found.insert(expected.1);
        }
        assert!(3 < found.len(), "{found:?}");
    }
}
