//! `crank check`: counts a window anew and compares.

use std::{fs, time::Duration};

use anchor_lang::Address;
use anyhow::{Context, Result, bail, ensure};
use driftshield_sdk::{
    Event, Model, Receipt, ReceiptState, address,
    events::ReceiptSubmitted,
    json::{hex, printable},
    rpc::Client,
    spec::{SpecDocument, sha256},
};

use crate::{
    config::{Config, OracleConfig},
    evidence::Document,
    measure::{Dataset, Window},
};

/// The largest evidence document that is read.
const EVIDENCE_BYTES: usize = 1 << 20;
const EVIDENCE_TIMEOUT: Duration = Duration::from_secs(10);

/// What to do about a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its value is within the model's spread of ours.
    Agree,
    /// It is not: a ruling by our counts would replace it.
    Challenge,
}

/// Counts `window` by the configured spec and data, compares with what was submitted, and
/// prints it.
pub async fn check(config: &Config, model: Address, window: u64) -> Result<Verdict> {
    let oracle = config.models.iter().find(|entry| entry.address == model);
    let oracle = oracle.context("the configuration does not name this model")?;
    let oracle = oracle.oracle()?;
    let oracle = oracle.context("the configuration has no spec, data and windows of this model")?;

    let client = Client::new(config.rpc_url.clone());
    let account = client.get::<Model>(&model).await?;
    let receipt_address = address::receipt(&model, window);
    let receipt = client.find::<Receipt>(&receipt_address).await?;
    let receipt = receipt.with_context(|| format!("window {window} has no receipt"))?;
    ensure!(
        receipt.state != ReceiptState::Void,
        "the receipt of window {window} is void: it has no value to compare"
    );
    let now = client.unix_timestamp().await?;

    let counted = recount(&oracle, &account, window)?;
    let (value, samples) = drift(&account, &counted)?;
    println!("window {window} of model {model}");
    println!("  state   {}", state(&account, &receipt, now));
    println!(
        "  ours    {value} micro-units, {samples} rows {:?}",
        counted.counts
    );
    println!("  chain   {} micro-units", receipt.value);

    // Before what others wrote: their documents, and transactions without number that name the
    // receipt, can keep it waiting.
    let verdict = verdict(&account, &receipt, value);
    println!("  verdict {}", advice(verdict, &account, &receipt, now));
    if let Err(error) = compare(&client, &receipt_address, window, &counted).await {
        println!("  what the oracles submitted could not be read: {error:#}");
    }
    Ok(verdict)
}

/// Prints how each oracle's submission and evidence compare with our counts.
async fn compare(client: &Client, receipt: &Address, window: u64, counted: &Window) -> Result<()> {
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
        let evidence = match evidence(&web, &submitted).await {
            Ok(document) => describe(&document, &submitted, counted),
            Err(error) => format!("{error:#}"),
        };
        let line = format!("{} {evidence}", submitted.evidence_uri);
        println!("    evidence   {}", printable(&line));
    }
    Ok(())
}

fn recount(oracle: &OracleConfig, model: &Model, window: u64) -> Result<Window> {
    let path = oracle.spec.display();
    let bytes = fs::read(&oracle.spec).with_context(|| path.to_string())?;
    ensure!(
        sha256(&bytes) == model.spec_hash,
        "{path}: its SHA-256 is {}, but the model pins {}",
        hex(&sha256(&bytes)),
        hex(&model.spec_hash)
    );
    let spec = SpecDocument::parse(&bytes).with_context(|| path.to_string())?;
    let path = oracle.data.display();
    let data = Dataset::read(oracle, &spec).with_context(|| path.to_string())?;
    let window = data.window(model, window);
    window.with_context(|| path.to_string())
}

fn drift(model: &Model, counted: &Window) -> Result<(u64, u64)> {
    model
        .drift(&counted.counts, model.min_samples)
        .map_err(|error| anyhow::anyhow!("the counts give no drift: {error:?}"))
}

/// The last submission of each oracle to the receipt that is there now: an earlier one of the same
/// address may have been closed.
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

/// Fetches a submission's document and checks that it is the one that the chain names.
async fn evidence(web: &reqwest::Client, submitted: &ReceiptSubmitted) -> Result<Document> {
    let response = web.get(&submitted.evidence_uri).send().await?;
    let mut response = response.error_for_status()?;
    let mut bytes = vec![];
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if EVIDENCE_BYTES < bytes.len() {
            bail!("is larger than {EVIDENCE_BYTES} bytes");
        }
    }
    let found = sha256(&bytes);
    ensure!(
        found == submitted.evidence_hash,
        "has SHA-256 {}, but the chain says {}",
        hex(&found),
        hex(&submitted.evidence_hash)
    );
    serde_json::from_slice(&bytes).context("is no evidence document")
}

/// What a document says that differs from its submission or from our rows.
fn describe(document: &Document, submitted: &ReceiptSubmitted, counted: &Window) -> String {
    let mut differences = vec![];
    if document.counts != submitted.counts {
        differences.push("its counts are not those submitted");
    }
    let named = document.model == submitted.model.to_string();
    if !named || document.window != submitted.window {
        differences.push("it is of another model or window");
    }
    if document.rows_sha256 != hex(&counted.sha256) {
        differences.push("its rows are not ours");
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

fn state(model: &Model, receipt: &Receipt, now: i64) -> String {
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
    let can = match receipt.state.into() {
        ReceiptState::Proposed if open => "challenge it",
        ReceiptState::Collecting => "challenge it once it is proposed",
        ReceiptState::Challenged => "it is in dispute already",
        _ => "it can no longer be challenged",
    };
    format!("further than the model's spread of {spread} micro-units from ours: {can}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::due::tests::zeroed;

    #[test]
    fn a_value_past_the_spread_is_to_be_challenged() {
        let (mut model, mut receipt): (Model, Receipt) = (zeroed(), zeroed());
        model.max_spread = 10;
        receipt.value = 100;
        assert_eq!(verdict(&model, &receipt, 90), Verdict::Agree);
        assert_eq!(verdict(&model, &receipt, 110), Verdict::Agree);
        assert_eq!(verdict(&model, &receipt, 111), Verdict::Challenge);
        assert_eq!(verdict(&model, &receipt, 89), Verdict::Challenge);
    }
}
