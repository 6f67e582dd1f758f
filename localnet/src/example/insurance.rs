//! Insurance on the example's model: a vault, who puts capital into it, and who buys its cover.

use driftshield_sdk::{
    DriftShieldError, MIN_HISTORY, Model, Policy, Vault, address, first_window, rpc::Signer,
};
use futures::future::try_join_all;

use super::{
    CHALLENGE_SECS, Example, RULING_SECS, SUBMIT_SECS,
    scenario::{Act, Cover, MANAGER, PLANS, Plan},
};
use crate::Localnet;

/// Each holder's number of its policy.
const POLICY_ID: u64 = 1;
/// A year's prices, as high as they go: of a minute's cover nobody would see others.
const TERMS: [&str; 6] = [
    "--min-duration=1s",
    "--base-bps=60000",
    "--slope1-bps=10000",
    "--slope2-bps=60000",
    "--risk-slope-bps=60000",
    "--manager-fee-bps=1000",
];
/// What a purchase and each renewal may cost where they are to happen unattended.
const MAX_PREMIUM: &str = "1";

/// Refusals of a purchase that are over soon: it came a moment late, or others came first.
const RACES: [DriftShieldError; 4] = [
    DriftShieldError::WindowsBegan,
    DriftShieldError::PremiumTooHigh,
    DriftShieldError::TriggerReached,
    DriftShieldError::StaleHistory,
];

impl Example {
    /// Opens the vault and lists the model, before anybody has shares: it is covered at once.
    pub(super) async fn open_vault(&mut self, localnet: &Localnet) -> anyhow::Result<()> {
        self.vault = address::vault(&self.person(MANAGER).key.pubkey(), 1);
        let manager = self.person(MANAGER);
        let cooldown = self.window_secs as i64 + SUBMIT_SECS + CHALLENGE_SECS + RULING_SECS;
        let mut create = vec![
            "vault".into(),
            "create".into(),
            "--id=1".into(),
            format!("--mint={}", self.mint),
            format!("--cooldown={cooldown}s"),
        ];
        create.extend(TERMS.map(String::from));
        self.driftshield(localnet, &manager.file, &create).await?;
        let list = [
            "vault".into(),
            "list-model".into(),
            self.vault.to_string(),
            self.model.to_string(),
            "--cap=9000".into(),
            "--lowest-trigger=0.02".into(),
        ];
        self.driftshield(localnet, &manager.file, &list).await
    }

    /// Takes the steps that are due once `percent` of the data have been measured, as far as they
    /// are possible by now.
    pub(super) async fn insure(&mut self, localnet: &Localnet, percent: u64) -> anyhow::Result<()> {
        let each = PLANS
            .iter()
            .zip(self.taken)
            .map(|(plan, taken)| self.go_on(localnet, plan, taken, percent));
        let taken = try_join_all(each).await?;
        self.taken.copy_from_slice(&taken);
        Ok(())
    }

    /// Returns how many steps of the plan have been taken.
    async fn go_on(
        &self,
        localnet: &Localnet,
        plan: &Plan,
        mut taken: usize,
        percent: u64,
    ) -> anyhow::Result<usize> {
        for step in &plan.steps[taken..] {
            if percent < step.at || !self.act(localnet, plan.person, &step.act).await? {
                break;
            }
            taken += 1;
        }
        Ok(taken)
    }

    /// Returns whether it is done; else it is to be tried again.
    async fn act(&self, localnet: &Localnet, name: &str, act: &Act) -> anyhow::Result<bool> {
        let (vault, mint) = (self.vault.to_string(), self.mint.to_string());
        let command = match act {
            Act::Buy(cover) => return self.buy(localnet, name, cover).await,
            Act::Cancel => return self.cancel(localnet, name).await,
            Act::Deposit(amount) => vec!["vault", "deposit", &vault, "--amount", amount],
            Act::Leave => vec!["vault", "request-withdraw", &vault],
            Act::Approve(amount) => vec!["policy", "approve", &mint, "--amount", amount],
            Act::Revoke => vec!["policy", "revoke", &mint],
        };
        let command: Vec<_> = command.into_iter().map(String::from).collect();
        let file = &self.person(name).file;
        self.driftshield(localnet, file, &command).await?;
        Ok(true)
    }

    async fn buy(&self, localnet: &Localnet, name: &str, cover: &Cover) -> anyhow::Result<bool> {
        let model: Model = self.client.get(&self.model).await?;
        if model.final_count < MIN_HISTORY {
            return Ok(false);
        }
        let vault: Vault = self.client.get(&self.vault).await?;
        let first = first_window(&vault, &model, self.client.unix_timestamp().await?);
        // None that nobody can count, but as many as a policy needs.
        let windows = cover.windows.min(self.windows.saturating_sub(first));
        let windows = windows.max(cover.persistence.into());
        let mut buy = vec![
            "policy".into(),
            "buy".into(),
            self.vault.to_string(),
            self.model.to_string(),
            format!("--id={POLICY_ID}"),
            format!("--cover={}", cover.amount),
            format!("--trigger={}", cover.trigger),
            format!("--exhaustion={}", cover.exhaustion),
            format!("--persistence={}", cover.persistence),
            format!("--windows={windows}"),
        ];
        if cover.auto_renew {
            buy.extend([
                "--auto-renew".into(),
                format!("--max-premium={MAX_PREMIUM}"),
            ]);
        }
        let bought = self.driftshield(localnet, &self.person(name).file, &buy);
        match bought.await {
            Ok(()) => Ok(true),
            Err(error) => {
                let told = format!("{error:#}");
                let mut races = RACES.iter().map(|race| format!("{race:?}"));
                let race = races.find(|race| told.contains(&format!("{race} (")));
                let race = race.ok_or(error)?;
                localnet.say(&format!("  {name} tries again: {race}"));
                Ok(false)
            }
        }
    }

    /// Gives the policy up, unless it is over.
    async fn cancel(&self, localnet: &Localnet, name: &str) -> anyhow::Result<bool> {
        let holder = self.person(name);
        let policy = address::policy(&self.vault, &holder.key.pubkey(), POLICY_ID);
        let is_open = async || anyhow::Ok(self.client.find::<Policy>(&policy).await?.is_some());
        if is_open().await? {
            let cancel = ["policy".into(), "cancel".into(), policy.to_string()];
            let cancelled = self.driftshield(localnet, &holder.file, &cancel).await;
            // All of its cover may have been paid in the meantime.
            if cancelled.is_err() && is_open().await? {
                cancelled?;
            }
        }
        Ok(true)
    }
}
