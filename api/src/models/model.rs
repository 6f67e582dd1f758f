//! Models, as the API returns them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, postgres::PgRow};
use utoipa::ToSchema;

use crate::{
    bytes::{Hash, Key, none_if_unset},
    columns::Columns,
    event_id::EventId,
    values::{Scaled, U64},
};

use super::parts::{Oracle, Pot};

/// Machine-learning model whose drift is measured. Amounts are in the model's bond mint.
#[derive(Serialize, ToSchema)]
pub struct Model {
    /// Address of the model's account.
    pub key: Key,
    /// Event that created the account; 0 if the mirror does not have it.
    pub life: EventId,
    pub owner: Key,
    /// Number chosen by the owner.
    pub id: U64,
    pub name: String,
    /// URI of the metadata document.
    pub uri: String,
    /// SHA-256 of the document at `uri`; null if not set.
    pub metadata_hash: Option<Hash>,
    /// Hash of the model artifact; null if not set.
    pub artifact_hash: Option<Hash>,
    /// SHA-256 of the metric-spec document.
    pub spec_hash: Hash,
    /// Head of the hash chain of receipts.
    pub chain: Hash,
    #[schema(example = "active")]
    pub status: String,
    /// Version, incremented by each update of the model.
    pub version: i64,
    /// Metric that measures drift.
    #[schema(example = "psi")]
    pub metric: String,
    /// Reference row counts by bin.
    pub reference: Vec<i64>,
    pub oracles: Vec<Oracle>,
    /// Minimum number of submissions from which a value is proposed.
    pub quorum: i16,
    /// Start of window 0.
    pub genesis: Option<DateTime<Utc>>,
    /// Length of a window.
    pub window_secs: i64,
    /// Minimum number of rows from which a value is computed. Counts with fewer rows are thin.
    pub min_samples: U64,
    /// Lowest allowed threshold of a market, and lowest allowed trigger of a policy.
    pub noise_floor: Scaled,
    /// Maximum distance from the median, or from a ruling, at which a submission agrees with it.
    pub max_spread: Scaled,
    pub bond_mint: Key,
    /// Decimals of the bond mint.
    pub decimals: u8,
    /// Token account that holds the bonds.
    pub bond_vault: Key,
    /// Key that rules on disputes.
    pub arbiter: Key,
    /// Bond from which an oracle's seat counts. A slash ends that only below half of it.
    pub min_bond: Scaled,
    /// Amount that an oracle loses if a ruling proves its submission wrong; its whole bond if that
    /// is less.
    pub slash_amount: Scaled,
    /// Bond that a challenger puts up.
    pub challenge_bond: Scaled,
    /// Amount that an oracle loses for each window for which it owed a submission and was silent.
    pub absence_penalty: Scaled,
    /// Submit period, from the end of a window.
    pub submit_secs: i64,
    /// Challenge period of a proposed receipt.
    pub challenge_secs: i64,
    /// Ruling period of a challenged receipt.
    pub ruling_secs: i64,
    /// Period in which the admin may return slashes of a ruling.
    pub appeal_secs: i64,
    /// Waiting time of a bond withdrawal.
    pub unbond_secs: i64,
    /// Notice of a seat that leaves.
    pub leave_secs: i64,
    /// Time without counting after which the oracle of a seat can be replaced while the model is
    /// exposed.
    pub replace_secs: i64,
    /// Number of oracles replaced since `exposure` was last 0.
    pub replaced: i16,
    /// Minimum time for which a page of the series is kept, from the end of its last window.
    pub retention_secs: i64,
    /// Amount that the bond vault owes: bonds, challenge bonds, credits and rewards that are not
    /// collected, and the pot.
    pub held: Scaled,
    /// Pay of the oracles that no receipt has taken yet.
    pub pot: Pot,
    /// Half of what the oracles lose who move the median; 0 if fewer than a quorum of seats count.
    pub security: Scaled,
    /// Security without the seats that are leaving.
    pub lasting_security: Scaled,
    /// Maximum of stakes and cover together, as a multiple of `lasting_security`.
    pub security_multiple: i64,
    /// Number of submissions, challenges and rulings so far, to pass to `set_ask` and
    /// `buy_position`.
    pub reports: i64,
    /// Rent of secured stakes and cover, in basis points a year.
    pub security_rent_bps: u16,
    /// Part of the maximum that stakes may reach, in basis points.
    pub market_budget_bps: u16,
    /// Part of the maximum that cover may reach, in basis points.
    pub cover_budget_bps: u16,
    /// Unsettled stakes.
    pub market_risk: Scaled,
    /// Cover of open policies.
    pub cover_risk: Scaled,
    /// Number of unsettled markets with a bet, and of open policies.
    pub exposure: U64,
    /// Number of receipts that are not settled, or hold what a ruling slashed.
    pub open_receipts: U64,
    /// Number of final receipts of this version.
    pub final_count: U64,
    /// Latest window of this version with a final receipt; null if there is none.
    pub last: Option<WindowValue>,
    /// Latest window of this version that was proposed or ruled to have a value, and was not ruled
    /// thin since; null if there is none. While no receipt is final, also null if that window is 0
    /// and its drift is 0.
    pub latest: Option<WindowValue>,
    /// Largest final value of this version; null if there is none.
    pub max_value: Option<Scaled>,
    /// Exponentially weighted moving average of this version's final values; null if there is none.
    pub ewma: Option<Scaled>,
    /// Number of events that reference the model.
    pub event_count: U64,
    /// Time of the registration; null if the registration is older than the mirror's history.
    pub created_at: Option<DateTime<Utc>>,
    pub created_slot: Option<i64>,
    /// Slot of this state.
    pub slot: i64,
    /// Whether the account has newer content that this version cannot decode.
    pub stale: bool,
}

impl Model {
    /// Start of a window; `None` if it is outside the calendar's range.
    pub fn window_start(&self, window: u64) -> Option<DateTime<Utc>> {
        let start = i64::try_from(window).ok()?.checked_mul(self.window_secs)?;
        let start = self.genesis?.timestamp().checked_add(start)?;
        DateTime::from_timestamp(start, 0)
    }
}

/// Drift measured in a window.
#[derive(Serialize, ToSchema)]
pub struct WindowValue {
    pub window: U64,
    pub value: Scaled,
}

impl FromRow<'_, PgRow> for Model {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let reference: Vec<i64> = columns.get("reference")?;
        let has_final = columns.get::<U64>("final_count")? != U64(0);
        let window_value = |window, value| {
            let window_value = WindowValue {
                window: columns.get(window)?,
                value: columns.drift(value)?,
            };
            let is_set = window_value.window != U64(0) || window_value.value.raw != U64(0);
            Ok::<_, sqlx::Error>((has_final || is_set).then_some(window_value))
        };
        let final_drift = |name| Ok::<_, sqlx::Error>(has_final.then_some(columns.drift(name)?));
        Ok(Self {
            key: columns.get("address")?,
            life: columns.get("life")?,
            owner: columns.get("owner")?,
            id: columns.get("id")?,
            name: columns.get("name")?,
            uri: columns.get("uri")?,
            metadata_hash: none_if_unset(columns.get("metadata_hash")?),
            artifact_hash: none_if_unset(columns.get("artifact_hash")?),
            spec_hash: columns.get("spec_hash")?,
            chain: columns.get("chain")?,
            status: columns.get("status")?,
            version: columns.get("version")?,
            metric: columns.get("metric")?,
            reference: reference.into_iter().take(columns.count("bins")?).collect(),
            oracles: Oracle::list(&columns)?,
            quorum: columns.get("quorum")?,
            genesis: columns.time("genesis")?,
            window_secs: columns.get("window_secs")?,
            min_samples: columns.get("min_samples")?,
            noise_floor: columns.drift("noise_floor")?,
            max_spread: columns.drift("max_spread")?,
            bond_mint: columns.get("bond_mint")?,
            decimals: columns.decimals,
            bond_vault: columns.get("bond_vault")?,
            arbiter: columns.get("arbiter")?,
            min_bond: columns.amount("min_bond")?,
            slash_amount: columns.amount("slash_amount")?,
            challenge_bond: columns.amount("challenge_bond")?,
            absence_penalty: columns.amount("absence_penalty")?,
            submit_secs: columns.get("submit_secs")?,
            challenge_secs: columns.get("challenge_secs")?,
            ruling_secs: columns.get("ruling_secs")?,
            appeal_secs: columns.get("appeal_secs")?,
            unbond_secs: columns.get("unbond_secs")?,
            leave_secs: columns.get("leave_secs")?,
            replace_secs: columns.get("replace_secs")?,
            replaced: columns.get("replaced")?,
            retention_secs: columns.get("retention_secs")?,
            held: columns.amount("held")?,
            pot: Pot::from_columns(&columns)?,
            security: columns.amount("security")?,
            lasting_security: columns.amount("lasting_security")?,
            security_multiple: columns.get("security_multiple")?,
            reports: columns.get("reports")?,
            security_rent_bps: columns.basis_points("security_rent_bps")?,
            market_budget_bps: columns.basis_points("market_budget_bps")?,
            cover_budget_bps: columns.basis_points("cover_budget_bps")?,
            market_risk: columns.amount("market_risk")?,
            cover_risk: columns.amount("cover_risk")?,
            exposure: columns.get("exposure")?,
            open_receipts: columns.get("open_receipts")?,
            final_count: columns.get("final_count")?,
            last: has_final
                .then_some(window_value("last_window", "last_value")?)
                .flatten(),
            latest: window_value("latest_window", "latest")?,
            max_value: final_drift("max_value")?,
            ewma: final_drift("ewma")?,
            event_count: columns.get("seq")?,
            created_at: columns.get("began_at")?,
            created_slot: columns.get("began_slot")?,
            slot: columns.get("slot")?,
            stale: columns.get("is_stale")?,
        })
    }
}
