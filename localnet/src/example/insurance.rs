//! Insurance of the example's model: the vault, the liquidity providers and the policy holders.

use driftshield_sdk::{
    DriftShieldError, MIN_HISTORY, Model, Policy, Vault, address, first_window, rpc::Signer,
};
use futures::future::try_join_all;

use super::{
    scenario::{
        CHALLENGE_SECS, MANAGER, PolicyOrder, RULING_SECS, SUBMIT_SECS, VAULT_PLANS, VaultAction,
        VaultPlan,
    },
    state::Example,
};
use crate::console::print_line;

/// The id that each holder gives to its policy.
const POLICY_ID: u64 = 1;
/// Prices per year, far above usual ones: the example's policies last about a minute, and at usual
/// prices their premiums would be too small to see.
const PRICES: [&str; 6] = [
    "--min-duration=1s",
    "--base-bps=60000",
    "--slope1-bps=10000",
    "--slope2-bps=60000",
    "--risk-slope-bps=60000",
    "--manager-fee-bps=1000",
];
/// Upper limit of each premium of a policy that renews automatically, in tokens.
const MAX_PREMIUM: &str = "1";

/// Errors of a purchase that was overtaken by a new window or by other purchases. A retry may
/// succeed.
const RETRYABLE_ERRORS: [DriftShieldError; 4] = [
    DriftShieldError::WindowsBegan,
    DriftShieldError::PremiumTooHigh,
    DriftShieldError::TriggerReached,
    DriftShieldError::StaleHistory,
];

impl Example<'_> {
    /// Creates the vault and lists the model. The vault has no shares yet, so the listing takes
    /// effect at once.
    pub async fn open_vault(&mut self) -> anyhow::Result<()> {
        self.vault = address::vault(&self.participant(MANAGER).key.pubkey(), 1);
        let manager = self.participant(MANAGER);
        // The longest persistence of a policy is 2. Two steps, each a sixtieth of the cooldown, come on top.
        let run = 2 * self.window_secs as i64 + SUBMIT_SECS + CHALLENGE_SECS + RULING_SECS;
        let cooldown = run + run / 20 + 2;
        let mut create = vec![
            "vault".into(),
            "create".into(),
            "--id=1".into(),
            format!("--mint={}", self.mint),
            format!("--cooldown={cooldown}s"),
        ];
        create.extend(PRICES.map(String::from));
        self.driftshield(&manager.key_file, &create).await?;
        let list = [
            "vault".into(),
            "list-model".into(),
            self.vault.to_string(),
            self.model.to_string(),
            "--cap=9000".into(),
            "--lowest-trigger=0.02".into(),
            "--max-persistence=2".into(),
        ];
        self.driftshield(&manager.key_file, &list).await
    }

    /// Takes the steps of all plans that are due once `percent` of the data are measured. A step
    /// that is not possible yet delays the rest of its plan.
    pub async fn take_vault_steps(&mut self, percent: u64) -> anyhow::Result<()> {
        let plans = VAULT_PLANS.iter().zip(self.steps_taken);
        let advanced = plans.map(|(plan, taken)| self.advance_plan(plan, taken, percent));
        let steps_taken = try_join_all(advanced).await?;
        self.steps_taken.copy_from_slice(&steps_taken);
        Ok(())
    }

    /// Returns the number of steps of the plan that are now taken.
    async fn advance_plan(
        &self,
        plan: &VaultPlan,
        mut taken: usize,
        percent: u64,
    ) -> anyhow::Result<usize> {
        for step in &plan.steps[taken..] {
            let is_due = step.due_percent <= percent;
            if !is_due || !self.perform(plan.participant, &step.action).await? {
                break;
            }
            taken += 1;
        }
        Ok(taken)
    }

    /// Returns `false` if the action has to be retried later.
    async fn perform(&self, name: &str, action: &VaultAction) -> anyhow::Result<bool> {
        let (vault, mint) = (self.vault.to_string(), self.mint.to_string());
        let command = match action {
            VaultAction::Buy(order) => return self.buy(name, order).await,
            VaultAction::CancelPolicy => return self.cancel_policy(name).await,
            VaultAction::Deposit(amount) => vec!["vault", "deposit", &vault, "--amount", amount],
            VaultAction::RequestWithdrawal => vec!["vault", "request-withdraw", &vault],
            VaultAction::ApproveRenewals(amount) => {
                vec!["policy", "approve", &mint, "--amount", amount]
            }
            VaultAction::RevokeRenewals => vec!["policy", "revoke", &mint],
        };
        let command: Vec<_> = command.into_iter().map(String::from).collect();
        let key_file = &self.participant(name).key_file;
        self.driftshield(key_file, &command).await?;
        Ok(true)
    }

    async fn buy(&self, name: &str, order: &PolicyOrder) -> anyhow::Result<bool> {
        let model: Model = self.client.get(&self.model).await?;
        if model.final_count < MIN_HISTORY {
            return Ok(false);
        }
        let vault: Vault = self.client.get(&self.vault).await?;
        let first = first_window(&vault, &model, self.client.unix_timestamp().await?);
        // Only windows with data, but at least as many as the policy needs in a row.
        let windows = order.windows.min(self.windows.saturating_sub(first));
        let windows = windows.max(order.persistence.into());
        let mut buy = vec![
            "policy".into(),
            "buy".into(),
            self.vault.to_string(),
            self.model.to_string(),
            format!("--id={POLICY_ID}"),
            format!("--cover={}", order.cover),
            format!("--trigger={}", order.trigger),
            format!("--persistence={}", order.persistence),
            format!("--windows={windows}"),
        ];
        let exhaustion = order
            .exhaustion
            .map(|drift| format!("--exhaustion={drift}"));
        buy.extend(exhaustion);
        if order.auto_renew {
            buy.extend([
                "--auto-renew".into(),
                format!("--max-premium={MAX_PREMIUM}"),
            ]);
        }
        let key_file = &self.participant(name).key_file;
        let Err(error) = self.driftshield(key_file, &buy).await else {
            return Ok(true);
        };
        let message = format!("{error:#}");
        let retryable = RETRYABLE_ERRORS.map(|error| format!("{error:?}"));
        let Some(cause) = retryable
            .iter()
            .find(|name| message.contains(&format!("{name} (")))
        else {
            return Err(error);
        };
        print_line(&format!("  {name} retries later: {cause}"));
        Ok(false)
    }

    /// Cancels the participant's policy, unless the policy has already ended.
    async fn cancel_policy(&self, name: &str) -> anyhow::Result<bool> {
        let holder = self.participant(name);
        let policy = address::policy(&self.vault, &holder.key.pubkey(), POLICY_ID);
        let is_open = async || anyhow::Ok(self.client.find::<Policy>(&policy).await?.is_some());
        if is_open().await? {
            let cancel = ["policy".into(), "cancel".into(), policy.to_string()];
            let result = self.driftshield(&holder.key_file, &cancel).await;
            // A claim may have paid all of the cover and closed the policy in the meantime.
            if result.is_err() && is_open().await? {
                result?;
            }
        }
        Ok(true)
    }
}
