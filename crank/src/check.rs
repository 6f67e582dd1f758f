//! `crank check`: recounts a window and compares it with the chain.

use std::time::Duration;

use anchor_lang::Address;
use anyhow::{Context, Result, bail, ensure};
use driftshield_sdk::{
    Entry, Event, Measurement, Model, Receipt, ReceiptState, Series, address, entry_in,
    events::ReceiptSubmitted, json::printable, rpc::Client, spec::sha256,
};

use crate::{
    config::{Config, OracleConfig},
    dataset::{CountedWindow, Dataset},
    evidence::Document,
    spec_file::SpecFile,
};

/// Maximum size of a downloaded evidence document, in bytes.
const MAX_EVIDENCE_BYTES: usize = 1 << 20;
const EVIDENCE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the chain agrees with our recount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The window's value is within the model's `max_spread` of ours, or both are thin.
    Agree,
    /// It isn't. A ruling by our counts would not uphold it.
    Challenge,
}

/// What the chain has of a window.
enum OnChain {
    /// The window has a receipt, with what it proposes or has settled: the median of the values
    /// submitted so far if no quorum agrees.
    Receipt(Box<Receipt>, Measurement),
    /// The window is settled, and its receipt closed.
    Settled(Measurement),
}

impl OnChain {
    async fn read(client: &Client, model: Address, state: &Model, window: u64) -> Result<Self> {
        let receipt = address::receipt(&model, window);
        if let Some(receipt) = client.find::<Receipt>(&receipt).await? {
            let stands = receipt.agreed(state);
            let stands = stands.unwrap_or(Measurement::Value(receipt.value));
            return Ok(Self::Receipt(Box::new(receipt), stands));
        }
        let page = client
            .find::<Series>(&address::series(&model, window))
            .await?;
        match entry_in(page.as_ref(), window) {
            Entry::Final(value) => Ok(Self::Settled(Measurement::Value(value))),
            Entry::Thin => Ok(Self::Settled(Measurement::Thin)),
            Entry::Void => {
                bail!("window {window} is void and has no value to compare; check another window")
            }
            Entry::None | Entry::Open => {
                bail!("no oracle has submitted window {window}; check the model and the window")
            }
        }
    }

    fn measurement(&self) -> Measurement {
        match self {
            Self::Receipt(_, measurement) | Self::Settled(measurement) => *measurement,
        }
    }
}

/// Recounts `window` from the configured spec and data, and prints how the receipt and each
/// oracle's submission compare with our counts.
pub async fn check(config: &Config, model: Address, window: u64) -> Result<Verdict> {
    let oracle = config.models.iter().find(|entry| entry.address == model);
    let oracle =
        oracle.context("the configuration has no [[models]] section for this model; add one")?;
    let oracle = oracle.oracle()?;
    let oracle = oracle
        .context("the configuration of this model lacks spec, data and windows; set all three")?;

    let client = Client::new(config.rpc_url.clone());
    let account = client.get::<Model>(&model).await?;
    let found = OnChain::read(&client, model, &account, window).await?;
    let now = client.unix_timestamp().await?;

    let counted = recount(&oracle, model, &account, window)?;
    let (ours, samples) = account
        .measure(&counted.counts)
        .map_err(|error| anyhow::anyhow!("no drift can be computed from the counts: {error:?}"))?;
    println!("window {window} of model {model}");
    println!("  state   {}", state(&account, &found, now));
    println!(
        "  ours    {}, {samples} rows {:?}",
        in_words(ours),
        counted.counts
    );
    println!("  chain   {}", in_words(found.measurement()));

    // The verdict is printed first. Reading the submissions can take long: others control the
    // evidence servers, and can name the receipt in any number of transactions.
    let verdict = verdict(&account, found.measurement(), ours);
    println!("  verdict {}", advice(verdict, &account, &found, now));
    let receipt = address::receipt(&model, window);
    let printed = print_submissions(&client, &receipt, window, &counted).await;
    if let Err(error) = printed {
        println!("  could not read the oracles' submissions: {error:#}");
    }
    Ok(verdict)
}

/// Prints how each oracle's submission and evidence compare with our counts.
async fn print_submissions(
    client: &Client,
    receipt: &Address,
    window: u64,
    counted: &CountedWindow,
) -> Result<()> {
    let web = web_client()?;
    for submitted in submissions(client, receipt, window).await? {
        let agrees = submitted.counts == counted.counts;
        println!("  oracle  {}", submitted.oracle);
        println!(
            "    submitted  {} rows {:?}: counts {}",
            submitted.samples,
            submitted.counts,
            if agrees {
                "equal ours"
            } else {
                "differ from ours"
            }
        );
        let evidence = match fetch_evidence(&web, &submitted).await {
            Ok(document) => compare_evidence(&document, &submitted, counted),
            Err(error) => format!("{error:#}"),
        };
        let line = format!("{} {evidence}", submitted.evidence_uri);
        println!("    evidence   {}", printable(&line));
    }
    Ok(())
}

/// Counts the window from the configured spec and data.
fn recount(
    oracle: &OracleConfig,
    address: Address,
    model: &Model,
    window: u64,
) -> Result<CountedWindow> {
    let spec = SpecFile::read(&oracle.spec)?;
    spec.require_pinned(address, model)?;
    let path = oracle.data.display();
    let data = Dataset::read(oracle, &spec.document).with_context(|| path.to_string())?;
    let counted = data.count_window(model, window);
    counted.with_context(|| path.to_string())
}

/// The submissions to the receipt.
async fn submissions(
    client: &Client,
    receipt: &Address,
    window: u64,
) -> Result<Vec<ReceiptSubmitted>> {
    let events = client.events(receipt).await?;
    let submitted = events.into_iter().filter_map(|event| match event.event {
        Event::ReceiptSubmitted(submitted) => Some(submitted),
        _ => None,
    });
    Ok(submitted
        .filter(|event| event.receipt == *receipt && event.window == window)
        .collect())
}

fn web_client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .timeout(EVIDENCE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::limited(3))
        .build()?)
}

/// Downloads a submission's evidence document, and checks the hash on chain. The caller prints an
/// error after the document's URI.
async fn fetch_evidence(web: &reqwest::Client, submitted: &ReceiptSubmitted) -> Result<Document> {
    let response = web.get(&submitted.evidence_uri).send().await?;
    let mut response = response.error_for_status()?;
    let mut bytes = vec![];
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if MAX_EVIDENCE_BYTES < bytes.len() {
            bail!("is larger than {MAX_EVIDENCE_BYTES} bytes");
        }
    }
    let found = sha256(&bytes);
    ensure!(
        found == submitted.evidence_hash,
        "has SHA-256 {}, but the submission names {}",
        const_hex::encode(found),
        const_hex::encode(submitted.evidence_hash)
    );
    serde_json::from_slice(&bytes).context("is not an evidence document")
}

/// Describes how a document differs from its submission and from our rows.
fn compare_evidence(
    document: &Document,
    submitted: &ReceiptSubmitted,
    counted: &CountedWindow,
) -> String {
    let mut differences = vec![];
    if document.counts != submitted.counts {
        differences.push("its counts differ from those submitted");
    }
    let is_same_model = document.model == submitted.model.to_string();
    if !is_same_model || document.window != submitted.window {
        differences.push("it is about another model or window");
    }
    if document.rows_sha256 != const_hex::encode(counted.rows_sha256) {
        differences.push("its rows differ from ours");
    }
    match differences[..] {
        [] => "matches the chain and our rows".to_owned(),
        _ => differences.join("; "),
    }
}

fn verdict(model: &Model, chain: Measurement, ours: Measurement) -> Verdict {
    if ours.agrees(chain, model.max_spread) {
        Verdict::Agree
    } else {
        Verdict::Challenge
    }
}

fn in_words(measurement: Measurement) -> String {
    match measurement {
        Measurement::Value(value) => format!("{value} micro-units"),
        Measurement::Thin => "thin: too few rows for a value".to_owned(),
    }
}

fn state(model: &Model, found: &OnChain, now: i64) -> String {
    let receipt = match found {
        OnChain::Receipt(receipt, _) => receipt,
        OnChain::Settled(_) => return "settled".to_owned(),
    };
    let left = |secs: i64| format!("{} s left", (receipt.since + secs - now).max(0));
    match receipt.state.into() {
        ReceiptState::Collecting => "collecting".to_owned(),
        ReceiptState::Proposed => format!("proposed, {} to challenge", left(model.challenge_secs)),
        ReceiptState::Challenged => format!("challenged, {} to rule", left(model.ruling_secs)),
        ReceiptState::Final | ReceiptState::Void | ReceiptState::Thin => "settled".to_owned(),
    }
}

fn advice(verdict: Verdict, model: &Model, found: &OnChain, now: i64) -> String {
    let spread = model.max_spread;
    if verdict == Verdict::Agree {
        return format!("agree: within the model's spread of {spread} micro-units, or both thin");
    }
    let next = match found {
        OnChain::Settled(_) => "it can no longer be challenged",
        OnChain::Receipt(receipt, _) => match receipt.state.into() {
            ReceiptState::Proposed if now < receipt.since + model.challenge_secs => "challenge it",
            ReceiptState::Collecting => "challenge it once it is proposed",
            ReceiptState::Challenged => "it is already challenged",
            _ => "it can no longer be challenged",
        },
    };
    format!("differs by more than the model's spread of {spread} micro-units: {next}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::zeroed;

    #[test]
    fn a_measurement_that_does_not_agree_with_ours_is_challenged() {
        let mut model: Model = zeroed();
        model.max_spread = 10;
        let verdict = |chain, ours| verdict(&model, chain, ours);
        let value = Measurement::Value;
        assert_eq!(verdict(value(100), value(90)), Verdict::Agree);
        assert_eq!(verdict(value(100), value(110)), Verdict::Agree);
        assert_eq!(verdict(value(100), value(111)), Verdict::Challenge);
        assert_eq!(verdict(value(100), value(89)), Verdict::Challenge);
        assert_eq!(verdict(value(100), Measurement::Thin), Verdict::Challenge);
        assert_eq!(verdict(Measurement::Thin, value(100)), Verdict::Challenge);
        assert_eq!(
            verdict(Measurement::Thin, Measurement::Thin),
            Verdict::Agree
        );
    }
}
