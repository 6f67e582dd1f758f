//! Output: accounts, events and lists as text and JSON.

mod fields;
mod format;
mod table;

use std::io::{ErrorKind, Write};

use anchor_lang::{Address, Discriminator, bytemuck};
use anyhow::Result;
use driftshield_sdk::json::{self, Decoded};
use serde_json::{Value, json};

pub use self::{
    fields::{Decimals, fields},
    format::{NONE, scaled, time},
    table::aligned,
};

/// Writes `text` and one newline to stdout. Ignores a closed pipe.
pub fn to_stdout(text: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Converts an account to its named JSON fields.
pub fn to_decoded<T>(account: &T) -> Result<Decoded>
where
    T: bytemuck::Pod + Discriminator,
{
    let data = [T::DISCRIMINATOR, bytemuck::bytes_of(account)].concat();
    Ok(json::account(&data)?)
}

/// An account as JSON.
pub fn account_json(address: &Address, account: &Decoded) -> Value {
    json!({ "address": address.to_string(), "name": account.name, "fields": account.fields })
}

/// An account as text: a title, and indented lines for the fields.
pub fn account_text(address: &Address, account: &Decoded, decimals: impl Into<Decimals>) -> String {
    format!("{} {address}\n{}", account.name, fields(account, decimals))
}

/// A list of accounts of one type, as a table and as JSON.
pub struct List {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    json: Vec<Value>,
}

impl List {
    /// An empty list. The table's columns are the address and the fields in `names`.
    pub fn new(names: &[&'static str]) -> Self {
        Self {
            header: [&["address"], names].concat(),
            rows: vec![],
            json: vec![],
        }
    }

    /// Adds an account. The JSON holds all fields.
    pub fn push<T>(
        &mut self,
        address: &Address,
        state: &T,
        decimals: impl Into<Decimals>,
    ) -> Result<()>
    where
        T: bytemuck::Pod + Discriminator,
    {
        let account = to_decoded(state)?;
        let decimals = decimals.into();
        let cells = self.header[1..]
            .iter()
            .map(|name| fields::field(&account.fields, name, decimals));
        self.rows
            .push(std::iter::once(address.to_string()).chain(cells).collect());
        self.json.push(account_json(address, &account));
        Ok(())
    }

    /// The accounts as a JSON array.
    pub fn json(&self) -> Value {
        Value::from(self.json.clone())
    }

    /// The accounts as a table with a header, or `none` for an empty list.
    pub fn text(&self) -> String {
        if self.rows.is_empty() {
            return "none".to_owned();
        }
        let header = self.header.iter().map(|&name| name.to_owned()).collect();
        aligned(std::iter::once(header).chain(self.rows.clone()))
    }
}
