//! `crank run`: rounds without end.

use std::{
    collections::HashMap,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use anchor_lang::Address;
use anyhow::{Context, Result};
use driftshield_sdk::{
    Model, json,
    rpc::{Client, Keypair, Signer, read_keypair},
    spec::{SpecDocument, sha256},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, EvidenceConfig, OracleConfig},
    data::Stamp,
    due::{self, ModelState, Submission},
    evidence::{self, Document, Store},
    measure::{Dataset, Unavailable},
    send::Sender,
    state::{MissingModel, Reader},
};

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Looks after the configured models until `stop`. Fails on a configuration that can't work;
/// waits where the RPC node is out of reach.
pub async fn run(config: Config, stop: CancellationToken) -> Result<()> {
    let keypair = read_keypair(&config.keypair).map_err(anyhow::Error::msg)?;
    let mut oracles = Oracles::open(&config)?;
    let server = match oracles.evidence.clone() {
        Some((evidence, store)) => serve(&evidence, store, &stop).await?,
        None => None,
    };
    let client = Arc::new(Client::new(config.rpc_url.clone()));
    let rounds = rounds(&config, client, keypair, &mut oracles, &stop).await;
    stop.cancel(); // ends the server where the rounds failed
    if let Some(server) = server {
        server.await??;
    }
    rounds
}

type Server = tokio::task::JoinHandle<std::io::Result<()>>;

async fn serve(
    config: &EvidenceConfig,
    store: Store,
    stop: &CancellationToken,
) -> Result<Option<Server>> {
    let Some(listen) = config.listen else {
        return Ok(None);
    };
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("evidence.listen: {listen}"))?;
    tracing::info!(%listen, url = config.url, "serving evidence");
    Ok(Some(tokio::spawn(evidence::serve(
        store,
        listener,
        stop.clone(),
    ))))
}

async fn rounds(
    config: &Config,
    client: Arc<Client>,
    keypair: Keypair,
    oracles: &mut Oracles,
    stop: &CancellationToken,
) -> Result<()> {
    let key = keypair.pubkey();
    let models: Vec<Address> = config.models.iter().map(|model| model.address).collect();
    tracing::info!(%key, models = models.len(), rpc_url = config.rpc_url, "running");
    let mut sender = Sender::new(client.clone(), Arc::new(keypair));
    let mut reader = None;
    let mut wait = FIRST_WAIT;
    loop {
        let began = Instant::now();
        let round = round(&client, key, &models, &mut reader, &mut sender, oracles);
        let round = tokio::select! {
            () = stop.cancelled() => break,
            round = round => round,
        };
        let pause = match round {
            Ok(()) => {
                wait = FIRST_WAIT;
                config.poll.saturating_sub(began.elapsed())
            }
            Err(error) if error.is::<MissingModel>() || error.is::<Misfit>() => return Err(error),
            Err(error) => {
                let wait_ms = wait.as_millis();
                tracing::warn!(wait_ms, error = format!("{error:#}"), "round failed");
                let pause = wait;
                wait = (2 * wait).min(LONGEST_WAIT);
                pause
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    sender.finish().await;
    tracing::info!("ended");
    Ok(())
}

/// Follows what was sent, reads the chain, decides, sends.
async fn round(
    client: &Arc<Client>,
    key: Address,
    models: &[Address],
    reader: &mut Option<Reader>,
    sender: &mut Sender,
    oracles: &mut Oracles,
) -> Result<()> {
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(Reader::start(client.clone(), key, models).await?),
    };
    sender.follow().await?;
    let blockhash = reader.read().await?;
    let state = &mut reader.state;
    for model in &mut state.models {
        // Counting takes the processor for a while, once a window.
        tokio::task::block_in_place(|| oracles.count(model, &state.payer, state.now))?;
    }
    sender.send(due::due(state), blockhash);
    Ok(())
}

/// A spec document that is not the model's.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path}: its SHA-256 is {found}, but model {model} pins {pinned}: use the document that the \
     model was registered with, byte for byte"
)]
struct Misfit {
    path: String,
    model: Address,
    found: String,
    pinned: String,
}

/// The models that this process is an oracle of.
struct Oracles {
    evidence: Option<(EvidenceConfig, Store)>,
    by_model: HashMap<Address, Oracle>,
}

impl Oracles {
    fn open(config: &Config) -> Result<Self> {
        let mut by_model = HashMap::new();
        for model in &config.models {
            if let Some(oracle) = model.oracle()? {
                by_model.insert(model.address, Oracle::open(oracle)?);
            }
        }
        let evidence = config.evidence.clone();
        let evidence = evidence.map(|evidence| {
            let store = Store::open(&evidence.directory);
            let store = store
                .with_context(|| format!("evidence.directory: {}", evidence.directory.display()))?;
            Ok::<_, anyhow::Error>((evidence, store))
        });
        Ok(Self {
            evidence: evidence.transpose()?,
            by_model,
        })
    }

    /// Adds what there is to submit to the model's state. Fails where the spec is not the model's;
    /// what can pass is logged and tried again later.
    fn count(&mut self, model: &mut ModelState, key: &Address, now: i64) -> Result<()> {
        let oracle = self.by_model.get_mut(&model.address);
        let (Some(oracle), Some(evidence)) = (oracle, &self.evidence) else {
            return Ok(());
        };
        oracle.require_spec(model)?;
        oracle.watch_standing(model, key);
        if oracle.retry_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        let counted = oracle.count(model, key, now, evidence);
        oracle.retry_at = counted.as_ref().err().map(|_| Instant::now() + RETRY);
        if let Err(error) = counted {
            tracing::warn!(model = %model.address, error = format!("{error:#}"), "can't count");
        }
        Ok(())
    }
}

/// How long after a fault of the data or the evidence directory to try again.
const RETRY: Duration = Duration::from_secs(5);

/// What this process knows as an oracle of one model.
struct Oracle {
    config: OracleConfig,
    spec: SpecDocument,
    spec_sha256: [u8; 32],
    data: Option<(Stamp, Dataset)>,
    /// Windows that the data, as it is, can't give.
    unavailable: HashMap<u64, Unavailable>,
    standing: Option<Standing>,
    retry_at: Option<Instant>,
}

/// Whether the model takes this key's submissions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Counts,
    NotListed,
    Unbonded,
}

impl Oracle {
    fn open(config: OracleConfig) -> Result<Self> {
        let path = config.spec.display();
        let bytes = fs::read(&config.spec).with_context(|| format!("{path}: could not be read"))?;
        let spec = SpecDocument::parse(&bytes).with_context(|| path.to_string())?;
        Ok(Self {
            spec,
            spec_sha256: sha256(&bytes),
            data: None,
            unavailable: HashMap::new(),
            standing: None,
            retry_at: None,
            config,
        })
    }

    fn require_spec(&self, model: &ModelState) -> Result<(), Misfit> {
        if self.spec_sha256 == model.model.spec_hash {
            return Ok(());
        }
        Err(Misfit {
            path: self.config.spec.display().to_string(),
            model: model.address,
            found: json::hex(&self.spec_sha256),
            pinned: json::hex(&model.model.spec_hash),
        })
    }

    /// Tells when the standing changes.
    fn watch_standing(&mut self, state: &ModelState, key: &Address) {
        let (model, address) = (&state.model, state.address);
        let standing = match model.oracle_index(key) {
            None => Standing::NotListed,
            Some(index) if model.seat_counts(index) => Standing::Counts,
            Some(_) => Standing::Unbonded,
        };
        if self.standing.replace(standing) == Some(standing) {
            return;
        }
        match standing {
            Standing::Counts => tracing::info!(model = %address, "submitting"),
            Standing::NotListed => {
                tracing::error!(model = %address, %key, "not among the model's oracles: have its owner list the key");
            }
            Standing::Unbonded => {
                let min_bond = model.min_bond;
                tracing::error!(model = %address, %key, min_bond, "the seat does not count: bond more");
            }
        }
    }

    fn count(
        &mut self,
        state: &mut ModelState,
        key: &Address,
        now: i64,
        evidence: &(EvidenceConfig, Store),
    ) -> Result<()> {
        self.refresh()?;
        let awaited = due::awaited(state, key, now);
        state
            .submissions
            .retain(|window, _| awaited.contains(window));
        for window in awaited {
            let known = state.submissions.contains_key(&window);
            if known || self.unavailable.contains_key(&window) {
                continue;
            }
            match self.submission(&state.model, state.address, window, evidence)? {
                Ok(submission) => {
                    state.submissions.insert(window, submission);
                }
                Err(reason) => {
                    tracing::warn!(model = %state.address, window, %reason, "window not submitted");
                    self.unavailable.insert(window, reason);
                }
            }
        }
        Ok(())
    }

    /// Reads the data where it changed.
    fn refresh(&mut self) -> Result<()> {
        let path = &self.config.data;
        let stamp = Stamp::of(path).with_context(|| path.display().to_string())?;
        if self.data.as_ref().is_some_and(|(read, _)| *read == stamp) {
            return Ok(());
        }
        let data = Dataset::read(&self.config, &self.spec);
        let data = data.with_context(|| path.display().to_string())?;
        tracing::info!(path = %path.display(), rows = data.len(), "data read");
        self.data = Some((stamp, data));
        self.unavailable.clear();
        Ok(())
    }

    /// Counts a window and keeps the evidence, before anything of it goes on chain.
    fn submission(
        &self,
        model: &Model,
        address: Address,
        window: u64,
        (config, store): &(EvidenceConfig, Store),
    ) -> Result<Result<Submission, Unavailable>> {
        let Some((_, data)) = &self.data else {
            return Ok(Err(Unavailable::NotYet));
        };
        let counted = match data.window(model, window) {
            Ok(counted) => counted,
            Err(reason) => return Ok(Err(reason)),
        };
        let windows = &self.config.windows;
        let document = Document::new(
            &address,
            window,
            &counted,
            windows,
            &self.spec_sha256,
            &data.sha256,
        );
        let evidence_hash = store.put(&document.to_bytes());
        let evidence_hash = evidence_hash
            .with_context(|| format!("evidence.directory: {}", config.directory.display()))?;
        Ok(Ok(Submission {
            counts: counted.counts,
            evidence_uri: config.uri(&evidence_hash),
            evidence_hash,
        }))
    }
}
