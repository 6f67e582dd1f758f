//! Models, as the API returns them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::{
    bytes::{Hash, Key, none_if_unset},
    event_id::EventId,
    rows::{AccountColumns, Token, WindowColumns, drift, select_by_row, time},
    values::{Scaled, U64},
};

use super::parts::{MirroredPot, Oracle, OracleColumns, Pot};

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

/// Row of `chain.model`, with the decimals of its bond mint.
#[derive(FromRow)]
struct ModelRow {
    #[sqlx(flatten)]
    account: AccountColumns,
    #[sqlx(flatten)]
    token: Token,
    #[sqlx(flatten)]
    windows: WindowColumns,
    #[sqlx(flatten)]
    oracles: OracleColumns,
    owner: Key,
    bond_mint: Key,
    bond_vault: Key,
    arbiter: Key,
    metadata_hash: Hash,
    artifact_hash: Hash,
    spec_hash: Hash,
    chain: Hash,
    id: U64,
    min_samples: U64,
    noise_floor: U64,
    max_spread: U64,
    min_bond: U64,
    slash_amount: U64,
    challenge_bond: U64,
    absence_penalty: U64,
    submit_secs: i64,
    challenge_secs: i64,
    ruling_secs: i64,
    appeal_secs: i64,
    unbond_secs: i64,
    leave_secs: i64,
    replace_secs: i64,
    retention_secs: i64,
    #[sqlx(json)]
    pot: MirroredPot,
    held: U64,
    security: U64,
    lasting_security: U64,
    market_risk: U64,
    cover_risk: U64,
    exposure: U64,
    open_receipts: U64,
    final_count: U64,
    last_value: U64,
    last_window: U64,
    latest: U64,
    latest_window: U64,
    max_value: U64,
    ewma: U64,
    reference: Vec<i64>,
    version: i64,
    security_multiple: i64,
    reports: i64,
    #[sqlx(try_from = "i32")]
    security_rent_bps: u16,
    #[sqlx(try_from = "i32")]
    market_budget_bps: u16,
    #[sqlx(try_from = "i32")]
    cover_budget_bps: u16,
    metric: String,
    #[sqlx(try_from = "i16")]
    bins: u8,
    quorum: i16,
    status: String,
    name: String,
    uri: String,
    replaced: i16,
}

select_by_row!(Model, ModelRow);

impl From<ModelRow> for Model {
    fn from(row: ModelRow) -> Self {
        let (account, token) = (row.account, row.token);
        let has_final = row.final_count != U64(0);
        let value = |window, value| WindowValue {
            window,
            value: drift(value),
        };
        let has_latest = has_final || (row.latest_window, row.latest) != (U64(0), U64(0));
        Self {
            key: account.address,
            life: account.life,
            owner: row.owner,
            id: row.id,
            name: row.name,
            uri: row.uri,
            metadata_hash: none_if_unset(row.metadata_hash),
            artifact_hash: none_if_unset(row.artifact_hash),
            spec_hash: row.spec_hash,
            chain: row.chain,
            status: row.status,
            version: row.version,
            metric: row.metric,
            reference: row.reference.into_iter().take(row.bins.into()).collect(),
            oracles: row.oracles.oracles(token),
            quorum: row.quorum,
            genesis: time(row.windows.genesis),
            window_secs: row.windows.window_secs,
            min_samples: row.min_samples,
            noise_floor: drift(row.noise_floor),
            max_spread: drift(row.max_spread),
            bond_mint: row.bond_mint,
            decimals: token.decimals,
            bond_vault: row.bond_vault,
            arbiter: row.arbiter,
            min_bond: token.amount(row.min_bond),
            slash_amount: token.amount(row.slash_amount),
            challenge_bond: token.amount(row.challenge_bond),
            absence_penalty: token.amount(row.absence_penalty),
            submit_secs: row.submit_secs,
            challenge_secs: row.challenge_secs,
            ruling_secs: row.ruling_secs,
            appeal_secs: row.appeal_secs,
            unbond_secs: row.unbond_secs,
            leave_secs: row.leave_secs,
            replace_secs: row.replace_secs,
            replaced: row.replaced,
            retention_secs: row.retention_secs,
            held: token.amount(row.held),
            pot: Pot::new(&row.pot, token),
            security: token.amount(row.security),
            lasting_security: token.amount(row.lasting_security),
            security_multiple: row.security_multiple,
            reports: row.reports,
            security_rent_bps: row.security_rent_bps,
            market_budget_bps: row.market_budget_bps,
            cover_budget_bps: row.cover_budget_bps,
            market_risk: token.amount(row.market_risk),
            cover_risk: token.amount(row.cover_risk),
            exposure: row.exposure,
            open_receipts: row.open_receipts,
            final_count: row.final_count,
            last: has_final.then(|| value(row.last_window, row.last_value)),
            latest: has_latest.then(|| value(row.latest_window, row.latest)),
            max_value: has_final.then(|| drift(row.max_value)),
            ewma: has_final.then(|| drift(row.ewma)),
            event_count: account.seq,
            created_at: account.began_at,
            created_slot: account.began_slot,
            slot: account.slot,
            stale: account.is_stale,
        }
    }
}
