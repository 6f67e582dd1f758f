//! Initializes the protocol, registers the collateral and the model, and bonds its oracles.

use driftshield_sdk::{address, rpc::Signer};
use futures::future::try_join_all;

use super::{
    scenario::{
        BINS, BOND, BUCKET_WINDOWS, CHALLENGE_SECS, CLAIM_GRACE_SECS, COLUMN, COVER_BUDGET_BPS,
        EXIT_SECS, FUNDING, LEAD_SECS, MARKET_BUDGET_BPS, MIN_SAMPLES, ORACLES, QUORUM,
        RULING_SECS, SEASON_SECS, SECURITY_RENT_BPS, SUBMIT_SECS,
    },
    state::Example,
};

impl Example<'_> {
    pub async fn set_up_protocol(&self) -> anyhow::Result<()> {
        let admin_key_file = &self.localnet.payer_file;
        let init = [
            "init".into(),
            "--min-window=1s".into(),
            format!("--submit={SUBMIT_SECS}s"),
            format!("--challenge={CHALLENGE_SECS}s"),
            format!("--ruling={RULING_SECS}s"),
            // The least that a vault may wait before the cover of this model.
            format!("--waiting={}s", self.window_secs as i64 + SUBMIT_SECS),
            format!("--claim-grace={CLAIM_GRACE_SECS}s"),
            format!("--exit={EXIT_SECS}s"),
            format!("--season={SEASON_SECS}s"),
            format!("--bucket={}s", BUCKET_WINDOWS * self.window_secs),
        ];
        self.driftshield(admin_key_file, &init).await?;
        // The model's security is half the slash amount, 10,000 tokens, and it secures stakes of up to
        // 2,500 and cover of up to 7,500. That suffices for all bets and policies of the scenario, and
        // lying costs an oracle more than it can win.
        let register_collateral = [
            "collateral".into(),
            "register".into(),
            self.mint.to_string(),
            "--min-bet=0.01".into(),
            format!("--min-bond={BOND}"),
            format!("--slash-amount={}", BOND / 2),
            "--challenge-bond=100".into(),
        ];
        self.driftshield(admin_key_file, &register_collateral).await
    }

    pub async fn register_model(&mut self) -> anyhow::Result<()> {
        let spec = self.directory.join("spec.json");
        let mut spec_command = self.localnet.command("crank");
        spec_command
            .arg("spec")
            .arg("--reference")
            .arg(self.data.join("reference.parquet"))
            .args(["--column", COLUMN])
            .args(["--bins", &BINS.to_string()])
            .args(["--min-samples", &MIN_SAMPLES.to_string()])
            .arg("--out")
            .arg(&spec);
        self.run(spec_command).await?;

        self.model = address::model(&self.participant("owner").key.pubkey(), 1);
        let owner = self.participant("owner");
        let mut register: Vec<String> = vec![
            "model".into(),
            "register".into(),
            "--id=1".into(),
            format!("--mint={}", self.mint),
            format!("--spec={}", spec.display()),
            format!("--genesis=+{LEAD_SECS}s"),
            format!("--window={}s", self.window_secs),
            format!("--quorum={QUORUM}"),
            format!("--security-rent-bps={SECURITY_RENT_BPS}"),
            format!("--market-budget-bps={MARKET_BUDGET_BPS}"),
            format!("--cover-budget-bps={COVER_BUDGET_BPS}"),
            "--name=employment-ma".into(),
            "--uri=https://github.com/NannyML/nannyml".into(),
        ];
        let oracles =
            ORACLES.map(|name| format!("--oracle={}", self.participant(name).key.pubkey()));
        register.extend(oracles);
        self.driftshield(&owner.key_file, &register).await?;
        try_join_all(ORACLES.map(|name| self.bond(name))).await?;
        self.fund_oracles().await
    }

    /// The owner pays the oracles for the windows with data.
    async fn fund_oracles(&self) -> anyhow::Result<()> {
        let fund = [
            "model".into(),
            "fund".into(),
            self.model.to_string(),
            format!("--amount={FUNDING}"),
            format!("--until=+{}s", self.windows * self.window_secs),
        ];
        let key_file = &self.participant("owner").key_file;
        self.driftshield(key_file, &fund).await
    }

    async fn bond(&self, oracle: &str) -> anyhow::Result<()> {
        let bond = [
            "oracle".into(),
            "bond".into(),
            self.model.to_string(),
            format!("--amount={BOND}"),
        ];
        let key_file = &self.participant(oracle).key_file;
        self.driftshield(key_file, &bond).await
    }
}
