//! The spec document, which defines how a model's drift is measured.

use driftshield_sdk::spec::{Measure, MetricName, SpecDocument, SpecError, sha256};
use rand::{Rng, SeedableRng, rngs::StdRng};

fn document(edges: Vec<f64>) -> SpecDocument {
    SpecDocument {
        version: 1,
        metric: MetricName::Psi,
        reference: vec![100; edges.len() + 1],
        measure: Measure::Column {
            name: "score".into(),
            edges,
        },
        min_samples: 100,
        reference_sha256: "00".repeat(32),
    }
}

#[test]
fn edges_survive_a_round_trip_exactly() {
    // A score may equal an edge. An edge that is off by its last bit would move the score to another bin.
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..2_000 {
        let mut edges: Vec<f64> = (0..9).map(|_| random.random()).collect();
        edges.sort_by(f64::total_cmp);
        let document = document(edges);
        assert_eq!(SpecDocument::parse(&document.to_bytes()).unwrap(), document);
    }
}

#[test]
fn a_metric_spec_has_the_hash_of_the_document() {
    let document = document(vec![0.25, 0.5]);
    let bytes = document.to_bytes();
    let spec = document.metric_spec(&bytes, 1_000, 60);
    assert_eq!(spec.spec_hash, sha256(&bytes));
    assert_eq!(spec.reference, [100; 3]);
    assert_eq!(
        (spec.min_samples, spec.genesis, spec.window_secs),
        (100, 1_000, 60)
    );
}

#[test]
fn invalid_documents_are_refused() {
    let refusal = |document: &SpecDocument| SpecDocument::parse(&document.to_bytes()).unwrap_err();
    let descending = document(vec![0.5, 0.25]);
    assert!(matches!(
        refusal(&descending),
        SpecError::Edges { index: 1, .. }
    ));
    let mut bins = document(vec![0.25, 0.5]);
    bins.reference.push(1);
    assert!(matches!(
        refusal(&bins),
        SpecError::Bins { edges: 2, bins: 4 }
    ));
    let mut later = document(vec![0.25]);
    later.version = 2;
    assert!(matches!(refusal(&later), SpecError::Version(2)));
    let mut errors = document(vec![0.25]);
    errors.metric = MetricName::ErrorRate;
    assert!(matches!(refusal(&errors), SpecError::Metric { .. }));
    assert!(matches!(
        SpecDocument::parse(b"{}"),
        Err(SpecError::Json(_))
    ));
}
