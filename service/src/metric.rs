//! Prometheus metrics of a process, each described once: for the exposition and for the documentation.

use anyhow::Context;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// A label, with all of its values; none if they are not known from the start.
pub type Label = (&'static str, &'static [&'static str]);

/// A metric that the process exposes.
pub struct Metric {
    pub name: &'static str,
    kind: Kind,
    labels: &'static [Label],
    help: &'static str,
}

#[derive(Clone, Copy)]
pub enum Kind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

impl Metric {
    pub const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            kind,
            labels: &[],
            help,
        }
    }

    pub const fn labelled(self, labels: &'static [Label]) -> Self {
        Self { labels, ..self }
    }

    /// The metric's row in a table with the columns name, kind, labels and meaning.
    pub fn row(&self) -> String {
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|(label, values)| match values {
                [] => format!("`{label}`"),
                values => format!("`{label}`: {}", values.join(", ")),
            })
            .collect();
        let (name, labels) = (self.name, labels.join("; "));
        format!("| `{name}` | {kind} | {labels} | {} |", self.help)
    }

    /// Describes the metric and sets it to zero, with every combination of its labels' values if they are
    /// known: a counter that appears with its first increment has none that a query could see.
    fn register(&self) {
        let Self {
            name, kind, help, ..
        } = *self;
        match kind {
            Kind::Counter => describe_counter!(name, Unit::Count, help),
            Kind::Gauge => describe_gauge!(name, help),
            Kind::Histogram(_) => describe_histogram!(name, help),
        }
        for labels in self.combinations() {
            match kind {
                Kind::Counter => counter!(name, &labels).absolute(0),
                Kind::Gauge => gauge!(name, &labels).set(0),
                Kind::Histogram(_) => drop(histogram!(name, &labels)),
            }
        }
    }

    fn combinations(&self) -> Vec<Vec<(&'static str, &'static str)>> {
        let mut combinations = vec![vec![]];
        for (label, values) in self.labels {
            let extended = combinations.into_iter().flat_map(|labels: Vec<_>| {
                values
                    .iter()
                    .map(move |value| [&labels[..], &[(*label, *value)]].concat())
            });
            combinations = extended.collect();
        }
        combinations
    }
}

/// Installs the recorder of the process, with all `metrics` at zero. Until then, recording is free of cost
/// and effect.
///
/// # Errors
///
/// If a histogram's buckets are invalid, or the process has a recorder already.
pub fn install(metrics: &[Metric]) -> anyhow::Result<PrometheusHandle> {
    let recorder = recorder(metrics)?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("cannot record metrics")?;
    metrics.iter().for_each(Metric::register);
    Ok(handle)
}

/// What a process exposes that has recorded nothing yet.
///
/// # Errors
///
/// If a histogram's buckets are invalid.
pub fn exposition_at_start(metrics: &[Metric]) -> Result<String, BuildError> {
    let recorder = recorder(metrics)?;
    metrics::with_local_recorder(&recorder, || metrics.iter().for_each(Metric::register));
    Ok(recorder.handle().render())
}

fn recorder(metrics: &[Metric]) -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in metrics {
        if let Kind::Histogram(buckets) = metric.kind {
            let name = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(name, buckets)?;
        }
    }
    Ok(builder.build_recorder())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[Metric] = &[
        Metric::new("slot", Kind::Gauge, "Last slot."),
        Metric::new("requests_total", Kind::Counter, "Requests.")
            .labelled(&[("method", &["a", "b"]), ("result", &["ok", "error"])]),
        Metric::new("seconds", Kind::Histogram(&[0.1, 1.0]), "Seconds."),
    ];

    #[test]
    fn every_metric_is_exposed_from_the_start_with_all_of_its_labels() {
        let exposed = exposition_at_start(SAMPLE).expect("valid buckets");
        for line in [
            "slot 0",
            r#"requests_total{method="a",result="error"} 0"#,
            r#"requests_total{method="b",result="ok"} 0"#,
            "# HELP requests_total Requests.",
        ] {
            assert!(
                exposed.lines().any(|exposed| exposed == line),
                "{line}: {exposed}"
            );
        }
    }

    #[test]
    fn a_row_of_the_documentation_lists_the_values_of_labels() {
        assert_eq!(SAMPLE[0].row(), "| `slot` | gauge |  | Last slot. |");
        assert_eq!(
            SAMPLE[1].row(),
            "| `requests_total` | counter | `method`: a, b; `result`: ok, error | Requests. |"
        );
    }
}
