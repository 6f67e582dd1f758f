//! `crank check`: recounts a window and compares it with the receipt.

use std::time::Duration;

use anchor_lang::Address;
use anyhow::{Context, Result, bail, ensure};
use driftshield_sdk::{
    Event, Model, Receipt, ReceiptState, address, events::ReceiptSubmitted, json::printable,
    rpc::Client, spec::sha256,
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

/// Whether a receipt agrees with our recount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receipt's value is within the model's `max_spread` of ours.
    Agree,
    /// The receipt's value is further away. A ruling by our counts would not uphold it.
    Challenge,
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
    let receipt_address = address::receipt(&model, window);
    let receipt = client.find::<Receipt>(&receipt_address).await?;
    let receipt = receipt.with_context(|| {
        format!("window {window} has no receipt; check the model and the window")
    })?;
    ensure!(
        receipt.state != ReceiptState::Void,
        "the receipt of window {window} is Void and has no value to compare; check another window"
    );
    let now = client.unix_timestamp().await?;

    let counted = recount(&oracle, model, &account, window)?;
    let (value, samples) = drift(&account, &counted)?;
    println!("window {window} of model {model}");
    println!("  state   {}", receipt_state(&account, &receipt, now));
    println!(
        "  ours    {value} micro-units, {samples} rows {:?}",
        counted.counts
    );
    println!("  chain   {} micro-units", receipt.value);

    // The verdict is printed first. Reading the submissions can take long: others control the
    // evidence servers, and can name the receipt in any number of transactions.
    let verdict = verdict(&account, &receipt, value);
    println!("  verdict {}", advice(verdict, &account, &receipt, now));
    let printed = print_submissions(&client, &receipt_address, window, &counted).await;
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
            "    submitted  {} micro-units, {} rows {:?}: counts {}",
            submitted.submission,
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

/// The drift of our counts in micro-units, and the number of rows.
fn drift(model: &Model, counted: &CountedWindow) -> Result<(u64, u64)> {
    model
        .drift(&counted.counts, model.min_samples)
        .map_err(|error| anyhow::anyhow!("no drift can be computed from the counts: {error:?}"))
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

fn verdict(model: &Model, receipt: &Receipt, value: u64) -> Verdict {
    if model.max_spread < receipt.value.abs_diff(value) {
        Verdict::Challenge
    } else {
        Verdict::Agree
    }
}

fn receipt_state(model: &Model, receipt: &Receipt, now: i64) -> String {
    let left = |end: i64| format!("{} s left", (end - now).max(0));
    match receipt.state.into() {
        ReceiptState::Collecting => "collecting".to_owned(),
        ReceiptState::Proposed => {
            let left = left(receipt.since + model.challenge_secs);
            format!("proposed, {left} to challenge")
        }
        ReceiptState::Challenged => {
            format!(
                "challenged, {} to rule",
                left(receipt.since + model.ruling_secs)
            )
        }
        ReceiptState::Final => "final".to_owned(),
        ReceiptState::Void => "void".to_owned(),
    }
}

fn advice(verdict: Verdict, model: &Model, receipt: &Receipt, now: i64) -> String {
    let spread = model.max_spread;
    if verdict == Verdict::Agree {
        return format!("agree: within the model's spread of {spread} micro-units");
    }
    let open =
        receipt.state == ReceiptState::Proposed && now < receipt.since + model.challenge_secs;
    let next = match receipt.state.into() {
        ReceiptState::Proposed if open => "challenge it",
        ReceiptState::Collecting => "challenge it once it is proposed",
        ReceiptState::Challenged => "it is already challenged",
        _ => "it can no longer be challenged",
    };
    format!("differs by more than the model's spread of {spread} micro-units: {next}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::zeroed;

    #[test]
    fn a_value_further_than_max_spread_from_ours_is_challenged() {
        let (mut model, mut receipt): (Model, Receipt) = (zeroed(), zeroed());
        model.max_spread = 10;
        receipt.value = 100;
        assert_eq!(verdict(&model, &receipt, 90), Verdict::Agree);
        assert_eq!(verdict(&model, &receipt, 110), Verdict::Agree);
        assert_eq!(verdict(&model, &receipt, 111), Verdict::Challenge);
        assert_eq!(verdict(&model, &receipt, 89), Verdict::Challenge);
    }
}
