//! The oracle's part of a round: counts windows and stores the evidence.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anchor_lang::Address;
use anyhow::{Context, Result};
use driftshield_sdk::Model;

use crate::{
    config::{Config, EvidenceConfig, OracleConfig},
    data::Fingerprint,
    dataset::{CountError, Dataset},
    evidence::{Document, Store},
    snapshot::{ModelSnapshot, Submission},
    spec_file::SpecFile,
};

/// Delay before counting is tried again after the data file could not be read or an evidence
/// document could not be stored.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// The oracles of all configured models with data.
pub struct Oracles {
    publisher: Option<EvidencePublisher>,
    by_model: HashMap<Address, Oracle>,
}

impl Oracles {
    /// Reads the spec documents and opens the evidence store.
    pub fn open(config: &Config) -> Result<Self> {
        let mut by_model = HashMap::new();
        for model in &config.models {
            if let Some(oracle) = model.oracle()? {
                by_model.insert(model.address, Oracle::open(oracle)?);
            }
        }
        let publisher = config.evidence.clone().map(EvidencePublisher::open);
        Ok(Self {
            publisher: publisher.transpose()?,
            by_model,
        })
    }

    /// The evidence publisher; `None` without an `[evidence]` section.
    pub fn publisher(&self) -> Option<&EvidencePublisher> {
        self.publisher.as_ref()
    }

    /// Counts the windows that `key` can submit at `now`, and adds the counts to the model's
    /// submissions. Does nothing for a model without data.
    ///
    /// Fails with [`SpecMismatch`](crate::spec_file::SpecMismatch) if the model pins another spec
    /// document. Any other error is logged, and counting is tried again after [`RETRY_DELAY`].
    pub fn add_submissions(
        &mut self,
        model: &mut ModelSnapshot,
        key: &Address,
        now: i64,
    ) -> Result<()> {
        let oracle = self.by_model.get_mut(&model.address);
        let (Some(oracle), Some(publisher)) = (oracle, &self.publisher) else {
            return Ok(());
        };
        oracle.spec.require_pinned(model.address, &model.account)?;
        oracle.log_seat_status(model, key);
        if oracle.retry_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        let added = oracle.add_submissions(model, key, now, publisher);
        oracle.retry_at = added.as_ref().err().map(|_| Instant::now() + RETRY_DELAY);
        if let Err(error) = added {
            tracing::warn!(
                model = %model.address,
                error = format!("{error:#}"),
                "could not count windows"
            );
        }
        Ok(())
    }
}

/// The evidence store and the URL under which others read it.
#[derive(Clone)]
pub struct EvidencePublisher {
    pub config: EvidenceConfig,
    pub store: Store,
}

impl EvidencePublisher {
    fn open(config: EvidenceConfig) -> Result<Self> {
        let store = Store::open(&config.directory);
        let store = store.with_context(|| Self::directory_field(&config))?;
        Ok(Self { config, store })
    }

    /// Stores a document. Returns its SHA-256 and its public URI.
    fn publish(&self, document: &Document) -> Result<([u8; 32], String)> {
        let sha256 = self.store.put(&document.to_bytes());
        let sha256 = sha256.with_context(|| Self::directory_field(&self.config))?;
        Ok((sha256, self.config.uri(&sha256)))
    }

    /// The directory's field and value, for error messages.
    fn directory_field(config: &EvidenceConfig) -> String {
        format!("evidence.directory: {}", config.directory.display())
    }
}

/// The oracle of one model.
struct Oracle {
    config: OracleConfig,
    spec: SpecFile,
    /// The data with the fingerprint of its file; `None` before the first read.
    data: Option<(Fingerprint, Dataset)>,
    /// Windows that can't be counted from `data`, tried again when the file changes.
    uncountable: HashMap<u64, CountError>,
    /// The status that was logged last.
    seat_status: Option<SeatStatus>,
    retry_at: Option<Instant>,
}

/// Whether the model accepts submissions of the oracle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SeatStatus {
    Counts,
    NotListed,
    Unbonded,
}

impl Oracle {
    fn open(config: OracleConfig) -> Result<Self> {
        Ok(Self {
            spec: SpecFile::read(&config.spec)?,
            config,
            data: None,
            uncountable: HashMap::new(),
            seat_status: None,
            retry_at: None,
        })
    }

    /// Logs the seat's status when it changes.
    fn log_seat_status(&mut self, model: &ModelSnapshot, key: &Address) {
        let (account, address) = (&model.account, model.address);
        let status = match account.oracle_index(key) {
            None => SeatStatus::NotListed,
            Some(index) if account.seat_counts(index) => SeatStatus::Counts,
            Some(_) => SeatStatus::Unbonded,
        };
        if self.seat_status.replace(status) == Some(status) {
            return;
        }
        match status {
            SeatStatus::Counts => tracing::info!(model = %address, "the seat counts; submitting"),
            SeatStatus::NotListed => tracing::error!(
                model = %address,
                %key,
                "key is not one of the model's oracles; ask the model's owner to list it"
            ),
            SeatStatus::Unbonded => tracing::error!(
                model = %address,
                %key,
                min_bond = account.min_bond,
                "the seat does not count; bond until its bond is min_bond"
            ),
        }
    }

    fn add_submissions(
        &mut self,
        model: &mut ModelSnapshot,
        key: &Address,
        now: i64,
        publisher: &EvidencePublisher,
    ) -> Result<()> {
        self.reload_data()?;
        let windows = model.windows_to_submit(key, now);
        model
            .submissions
            .retain(|window, _| windows.contains(window));
        for window in windows {
            let is_counted = model.submissions.contains_key(&window);
            if is_counted || self.uncountable.contains_key(&window) {
                continue;
            }
            match self.count(&model.account, model.address, window, publisher)? {
                Ok(submission) => {
                    model.submissions.insert(window, submission);
                }
                Err(reason) => {
                    tracing::warn!(model = %model.address, window, %reason, "window not submitted");
                    self.uncountable.insert(window, reason);
                }
            }
        }
        Ok(())
    }

    /// Reads the data file again if it has changed.
    fn reload_data(&mut self) -> Result<()> {
        let path = &self.config.data;
        let current = Fingerprint::of(path).with_context(|| path.display().to_string())?;
        let is_current = |(read, _): &(Fingerprint, Dataset)| *read == current;
        if self.data.as_ref().is_some_and(is_current) {
            return Ok(());
        }
        let data = Dataset::read(&self.config, &self.spec.document);
        let data = data.with_context(|| path.display().to_string())?;
        tracing::info!(path = %path.display(), rows = data.row_count(), "data read");
        self.data = Some((current, data));
        self.uncountable.clear();
        Ok(())
    }

    /// Counts a window and stores the evidence document, which must exist before its hash goes on
    /// chain. The inner error says why the window is not counted.
    fn count(
        &self,
        model: &Model,
        address: Address,
        window: u64,
        publisher: &EvidencePublisher,
    ) -> Result<Result<Submission, CountError>> {
        let Some((_, data)) = &self.data else {
            return Ok(Err(CountError::Incomplete));
        };
        let counted = match data.count_window(model, window) {
            Ok(counted) => counted,
            Err(reason) => return Ok(Err(reason)),
        };
        let document = Document::new(
            &address,
            window,
            &counted,
            &self.config.windowing,
            &self.spec.sha256,
            &data.file_sha256,
        );
        let (evidence_hash, evidence_uri) = publisher.publish(&document)?;
        Ok(Ok(Submission {
            counts: counted.counts,
            evidence_hash,
            evidence_uri,
        }))
    }
}
