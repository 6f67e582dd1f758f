//! What came of the policies and the vault, as the API tells it, held against what the windows say
//! and what the chain holds.

use anyhow::{Context, ensure};
use driftshield_sdk::{Address, address, math};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use super::{WindowSummary, drift, table, tokens};
use crate::{
    Localnet,
    example::{Example, TOKEN},
};

/// Base units of a share.
const SHARE: u64 = TOKEN * 10u64.pow(math::SHARE_DECIMALS as u32);

/// A policy, from the API into `summary.json`.
#[derive(Deserialize, Serialize)]
pub struct Policy {
    #[serde(rename(deserialize = "key"))]
    policy: String,
    #[serde(rename(deserialize = "trigger"), deserialize_with = "raw")]
    trigger_micro: u64,
    #[serde(rename(deserialize = "exhaustion"), deserialize_with = "raw")]
    exhaustion_micro: u64,
    #[serde(deserialize_with = "raw")]
    cover: u64,
    /// Of all its terms.
    #[serde(deserialize_with = "raw")]
    premium: u64,
    state: String,
    #[serde(deserialize_with = "raw")]
    paid: u64,
    #[serde(skip_serializing)]
    holder: String,
    #[serde(skip_serializing)]
    persistence: usize,
    #[serde(skip_serializing, deserialize_with = "text")]
    first_window: u64,
    #[serde(skip_serializing, deserialize_with = "text")]
    last_window: u64,
    #[serde(skip_serializing)]
    refund: Option<Scaled>,
}

/// A vault, from the API into `summary.json`.
#[derive(Deserialize, Serialize)]
pub struct Vault {
    #[serde(rename(deserialize = "key"))]
    vault: String,
    #[serde(deserialize_with = "raw")]
    assets: u64,
    #[serde(deserialize_with = "raw")]
    locked: u64,
    #[serde(deserialize_with = "raw")]
    unearned: u64,
    #[serde(deserialize_with = "raw")]
    shares: u64,
    #[serde(skip_serializing, deserialize_with = "raw")]
    protocol_credit: u64,
    #[serde(skip_serializing, deserialize_with = "raw")]
    manager_credit: u64,
}

/// An amount or a drift, as the API writes it.
#[derive(Deserialize)]
struct Scaled {
    #[serde(deserialize_with = "text")]
    raw: u64,
}

fn raw<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Scaled::deserialize(deserializer).map(|scaled| scaled.raw)
}

/// A number that is written as a text.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// The API's routes of insurance.
pub struct Api {
    base: String,
}

impl Api {
    pub fn of(localnet: &Localnet) -> anyhow::Result<Self> {
        let url = localnet.api_url.as_ref().context("the API is not up")?;
        Ok(Self {
            base: format!("{url}/api/v1/insurance"),
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = reqwest::get(format!("{}/{path}", self.base)).await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// The vault's policies, in the order in which they were bought.
    pub async fn policies(&self, vault: &Address) -> anyhow::Result<Vec<Policy>> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Policy>,
        }
        let mut page: Page = self
            .get(&format!("policies?vault={vault}&limit=500"))
            .await?;
        page.items.reverse();
        Ok(page.items)
    }

    pub async fn vault(&self, vault: &Address) -> anyhow::Result<Vault> {
        self.get(&format!("vaults/{vault}")).await
    }
}

impl Policy {
    /// What the policy is worth: by the run of covered windows whose lowest drift is highest.
    fn worth(&self, windows: &[WindowSummary]) -> u64 {
        let run = |run: &[WindowSummary]| {
            let covered =
                self.first_window <= run[0].window && run[run.len() - 1].window <= self.last_window;
            let consecutive = run[run.len() - 1].window - run[0].window + 1 == run.len() as u64;
            let is_final = run.iter().all(|window| window.state == "final");
            let lowest = run.iter().map(|window| window.value_micro).min()?;
            (covered && consecutive && is_final).then_some(lowest)
        };
        let best = windows.windows(self.persistence).filter_map(run).max();
        match best {
            Some(value) if self.trigger_micro <= value => {
                math::worth(self.cover, self.trigger_micro, self.exhaustion_micro, value)
            }
            _ => 0,
        }
    }

    fn is_cancelled(&self) -> bool {
        self.state == "cancelled"
    }

    /// What can still be paid.
    fn open_cover(&self) -> u64 {
        match self.state.as_str() {
            "open" => self.cover - self.paid,
            _ => 0,
        }
    }
}

/// Fails where one that ran its term was not paid what it is worth.
pub fn print_policies(
    example: &Example,
    policies: &[Policy],
    windows: &[WindowSummary],
) -> anyhow::Result<()> {
    let rows = policies.iter().map(|policy| {
        vec![
            example.name_of(&policy.holder).to_owned(),
            format!("{}..={}", policy.first_window, policy.last_window),
            policy.persistence.to_string(),
            drift(policy.trigger_micro),
            drift(policy.exhaustion_micro),
            tokens(policy.cover),
            tokens(policy.premium),
            policy.state.clone(),
            match policy.is_cancelled() {
                true => String::new(),
                false => tokens(policy.worth(windows)),
            },
            tokens(policy.paid),
            policy
                .refund
                .as_ref()
                .map_or(String::new(), |refund| tokens(refund.raw)),
        ]
    });
    let header = [
        "holder",
        "windows",
        "in a row",
        "trigger",
        "exhaustion",
        "cover",
        "premium",
        "state",
        "formula",
        "paid",
        "refund",
    ];
    table("Policies", &header, rows);
    for policy in policies.iter().filter(|policy| !policy.is_cancelled()) {
        let worth = policy.worth(windows);
        ensure!(
            policy.paid == worth,
            "policy {} was paid {} of {worth}",
            policy.policy,
            policy.paid
        );
    }
    Ok(())
}

/// Fails where a vault's token account holds anything but what the vault owes.
pub async fn print_vaults(
    example: &Example,
    vaults: &[Vault],
    policies: &[Policy],
) -> anyhow::Result<()> {
    let mut rows = vec![];
    for vault in vaults {
        let tokens_account = address::vault_tokens(&vault.vault.parse()?);
        let held = example.client.token_balance(&tokens_account).await?;
        let credits = vault.protocol_credit + vault.manager_credit;
        let owed = vault.assets + vault.unearned + credits;
        let amounts = [
            vault.assets,
            vault.locked,
            vault.unearned,
            credits,
            owed,
            held,
        ];
        let shares = format!("{}.{:09}", vault.shares / SHARE, vault.shares % SHARE);
        rows.push(
            [
                vec![vault.vault.clone(), shares],
                amounts.map(tokens).to_vec(),
            ]
            .concat(),
        );
        ensure!(
            owed == held,
            "vault {} owes {owed} and holds {held}",
            vault.vault
        );
        let cover: u64 = policies.iter().map(Policy::open_cover).sum();
        ensure!(
            vault.locked == cover,
            "vault {} has {} locked for {cover}",
            vault.vault,
            vault.locked
        );
    }
    let header = [
        "vault", "shares", "assets", "locked", "unearned", "credits", "owes", "holds",
    ];
    table("Vaults", &header, rows);
    Ok(())
}
