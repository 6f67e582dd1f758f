//! Series: what became of a model's windows.

use std::mem::offset_of;

use anchor_lang::Address;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use driftshield_sdk::{Entry, Model, Series, address, entry_state, entry_value, instruction};
use serde_json::{Value, json};

use crate::{
    args::DRIFT_DECIMALS,
    print::{List, NONE, aligned, scaled},
    session::Session,
};

#[derive(Subcommand)]
pub enum Command {
    /// Show the drift of a model's windows
    Show {
        model: Address,
        /// Show only the windows of one page
        #[arg(long)]
        page: Option<u64>,
    },
    /// List the pages of a model's series. A page holds 256 windows
    List { model: Address },
    /// Close a page after the retention of its last window; callable by anyone
    Close(PageArgs),
}

/// Identifies a page.
#[derive(Args)]
pub struct PageArgs {
    model: Address,
    page: u64,
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Show { model, page } => show(session, model, page).await,
            Self::List { model } => list(session, model).await,
            Self::Close(page) => page.close(session).await,
        }
    }
}

impl PageArgs {
    async fn close(&self, session: &Session) -> Result<()> {
        let address = address::series_page(&self.model, self.page);
        let Some(series) = session.client.find::<Series>(&address).await? else {
            bail!(
                "page {} of the series does not exist: none of its windows has a submission, or it \
                 is closed",
                self.page
            );
        };
        session.send(&[instruction::close_series(&series)], 0).await
    }
}

async fn show(session: &Session, model: Address, page: Option<u64>) -> Result<()> {
    session.client.get::<Model>(&model).await?; // a wrong address isn't an empty series
    let pages = pages(session, model).await?;
    let pages = pages
        .iter()
        .filter(|(_, series)| page.is_none_or(|page| series.page == page));
    let windows: Vec<(u64, Entry)> = pages
        .flat_map(|(_, series)| {
            series
                .windows()
                .map(|window| (window, series.entry(window)))
        })
        .filter(|(_, entry)| *entry != Entry::None)
        .collect();
    session.print(&windows_json(&windows), &windows_text(&windows))
}

fn windows_json(windows: &[(u64, Entry)]) -> Value {
    windows
        .iter()
        .map(|&(window, entry)| {
            json!({
                "window": window.to_string(),
                "state": entry_state(entry),
                "value": entry_value(entry).map(|value| value.to_string()),
            })
        })
        .collect()
}

fn windows_text(windows: &[(u64, Entry)]) -> String {
    if windows.is_empty() {
        return "none".to_owned();
    }
    let row = |&(window, entry): &(u64, Entry)| {
        let value = entry_value(entry);
        let value = value.map_or(NONE.to_owned(), |value| {
            scaled(value.into(), DRIFT_DECIMALS)
        });
        [window.to_string(), entry_state(entry).to_owned(), value]
    };
    let header = ["window", "state", "value"].map(str::to_owned);
    aligned(std::iter::once(header).chain(windows.iter().map(row)))
}

/// Reads the pages of a model's series, in order.
async fn pages(session: &Session, model: Address) -> Result<Vec<(Address, Series)>> {
    let of_model = [(offset_of!(Series, model), Some(model))];
    let mut pages = session.list::<Series>(&of_model).await?;
    pages.sort_by_key(|(_, series)| series.page);
    Ok(pages)
}

async fn list(session: &Session, model: Address) -> Result<()> {
    let mut list = List::new(&["page", "payer"]);
    for (address, series) in pages(session, model).await? {
        list.push(&address, &series, 0)?;
    }
    session.print_list(&list)
}
