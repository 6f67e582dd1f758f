//! Policies and vaults as the API returns them.

use anyhow::Context;
use driftshield_sdk::Address;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use crate::network::Localnet;

/// A policy: deserialized from the API, serialized to `summary.json`.
#[derive(Deserialize, Serialize)]
pub struct PolicySummary {
    #[serde(rename(deserialize = "key"))]
    pub policy: String,
    #[serde(rename(deserialize = "trigger"), deserialize_with = "raw_number")]
    pub trigger_micro: u64,
    #[serde(rename(deserialize = "exhaustion"), deserialize_with = "raw_number")]
    pub exhaustion_micro: u64,
    #[serde(deserialize_with = "raw_number")]
    pub cover: u64,
    /// Total of all terms.
    #[serde(deserialize_with = "raw_number")]
    pub premium: u64,
    pub state: String,
    #[serde(deserialize_with = "raw_number")]
    pub paid: u64,
    #[serde(skip_serializing)]
    pub holder: String,
    #[serde(skip_serializing)]
    pub persistence: usize,
    #[serde(skip_serializing, deserialize_with = "number_text")]
    pub first_window: u64,
    #[serde(skip_serializing, deserialize_with = "number_text")]
    pub last_window: u64,
    #[serde(skip_serializing)]
    pub refund: Option<Scaled>,
}

/// A vault: deserialized from the API, serialized to `summary.json`.
#[derive(Deserialize, Serialize)]
pub struct VaultSummary {
    #[serde(rename(deserialize = "key"))]
    pub vault: String,
    #[serde(deserialize_with = "raw_number")]
    pub assets: u64,
    #[serde(deserialize_with = "raw_number")]
    pub locked: u64,
    #[serde(deserialize_with = "raw_number")]
    pub pending_losses: u64,
    #[serde(deserialize_with = "raw_number")]
    pub unearned: u64,
    #[serde(deserialize_with = "raw_number")]
    pub held: u64,
    #[serde(deserialize_with = "raw_number")]
    pub set_aside: u64,
    #[serde(deserialize_with = "raw_number")]
    pub shares: u64,
    #[serde(skip_serializing, deserialize_with = "raw_number")]
    pub protocol_credit: u64,
    #[serde(skip_serializing, deserialize_with = "raw_number")]
    pub manager_credit: u64,
}

/// An amount or a drift in the API's responses.
#[derive(Deserialize)]
pub struct Scaled {
    #[serde(deserialize_with = "number_text")]
    pub raw: u64,
}

/// The `raw` field of an amount or a drift.
fn raw_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Scaled::deserialize(deserializer).map(|scaled| scaled.raw)
}

/// A number in a JSON string.
fn number_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// Client of the API's insurance routes.
pub struct Api {
    base: String,
}

impl Api {
    pub fn new(localnet: &Localnet) -> anyhow::Result<Self> {
        let url = localnet
            .api_url
            .as_ref()
            .context("the API is not running")?;
        Ok(Self {
            base: format!("{url}/api/v1/insurance"),
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = reqwest::get(format!("{}/{path}", self.base)).await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// The vault's policies, in the order of their purchase.
    pub async fn policies(&self, vault: &Address) -> anyhow::Result<Vec<PolicySummary>> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<PolicySummary>,
        }
        let mut page: Page = self
            .get(&format!("policies?vault={vault}&limit=500"))
            .await?;
        page.items.reverse();
        Ok(page.items)
    }

    pub async fn vault(&self, vault: &Address) -> anyhow::Result<VaultSummary> {
        self.get(&format!("vaults/{vault}")).await
    }
}
