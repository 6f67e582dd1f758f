//! Policies and vaults, checked against the windows' drift and the balances on chain.

use anyhow::ensure;
use driftshield_sdk::{address, math};

use super::{
    api::{PolicySummary, VaultSummary},
    summary::WindowSummary,
    table::{drift, print_table, tokens},
};
use crate::example::state::{Example, TOKEN};

/// Base units of one share.
const SHARE: u64 = TOKEN * 10u64.pow(math::SHARE_DECIMALS as u32);

impl PolicySummary {
    /// The claim value: the payout for the run of `persistence` covered windows whose lowest drift
    /// is highest.
    fn claim_value(&self, windows: &[WindowSummary]) -> u64 {
        let lowest_drift = |run: &[WindowSummary]| {
            let covered =
                self.first_window <= run[0].window && run[run.len() - 1].window <= self.last_window;
            let consecutive = run[run.len() - 1].window - run[0].window + 1 == run.len() as u64;
            let is_final = run.iter().all(|window| window.state == "final");
            let lowest = run.iter().map(|window| window.value_micro).min()?;
            (covered && consecutive && is_final).then_some(lowest)
        };
        let highest = windows
            .windows(self.persistence)
            .filter_map(lowest_drift)
            .max();
        match highest {
            Some(value) if self.trigger_micro <= value => {
                math::worth(self.cover, self.trigger_micro, self.exhaustion_micro, value)
            }
            _ => 0,
        }
    }

    fn is_cancelled(&self) -> bool {
        self.state == "cancelled"
    }

    /// Cover that can still be paid.
    fn open_cover(&self) -> u64 {
        match self.state.as_str() {
            "pending" | "open" => self.cover - self.paid,
            _ => 0,
        }
    }
}

/// Prints the policies. Fails if claims on a policy that was not cancelled paid another amount than
/// its claim value.
pub fn print_policies(
    example: &Example<'_>,
    policies: &[PolicySummary],
    windows: &[WindowSummary],
) -> anyhow::Result<()> {
    let rows = policies.iter().map(|policy| {
        vec![
            example.name_of(&policy.holder).to_owned(),
            match policy.first_window <= policy.last_window {
                true => format!("{}..={}", policy.first_window, policy.last_window),
                false => "none".to_owned(), // its first term never began
            },
            policy.persistence.to_string(),
            drift(policy.trigger_micro),
            drift(policy.exhaustion_micro),
            tokens(policy.cover),
            tokens(policy.premium),
            policy.state.clone(),
            match policy.is_cancelled() {
                true => String::new(),
                false => tokens(policy.claim_value(windows)),
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
        "persistence",
        "trigger",
        "exhaustion",
        "cover",
        "premium",
        "state",
        "claim value",
        "paid",
        "refund",
    ];
    print_table("Policies", &header, rows);
    for policy in policies.iter().filter(|policy| !policy.is_cancelled()) {
        let value = policy.claim_value(windows);
        ensure!(
            policy.paid == value,
            "claims on policy {} paid {}, but its claim value is {value}",
            policy.policy,
            policy.paid
        );
    }
    Ok(())
}

/// Prints the vaults. Fails if a vault's token account does not hold exactly what the vault owes,
/// or if what is locked and set aside differs from the cover of its open policies.
pub async fn print_vaults(
    example: &Example<'_>,
    vaults: &[VaultSummary],
    policies: &[PolicySummary],
) -> anyhow::Result<()> {
    let mut rows = vec![];
    for vault in vaults {
        let tokens_account = address::vault_tokens(&vault.vault.parse()?);
        let held = example.client.token_balance(&tokens_account).await?;
        let credits = vault.protocol_credit + vault.manager_credit;
        let capital = vault.assets - vault.pending_losses;
        let owed = capital + vault.unearned + vault.held + vault.set_aside + credits;
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
            "vault {} owes {owed}, but holds {held}",
            vault.vault
        );
        let cover: u64 = policies.iter().map(PolicySummary::open_cover).sum();
        ensure!(
            vault.locked + vault.set_aside == cover + vault.pending_losses,
            "vault {} has {} locked and {} set aside, but its open policies cover {cover}",
            vault.vault,
            vault.locked,
            vault.set_aside
        );
    }
    let header = [
        "vault", "shares", "assets", "locked", "unearned", "credits", "owes", "holds",
    ];
    print_table("Vaults", &header, rows);
    Ok(())
}
