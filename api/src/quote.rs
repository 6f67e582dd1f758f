//! Quotes: the price of a policy, computed by the program's own function from the mirrored
//! accounts.

use chrono::{DateTime, TimeDelta, Utc};
use driftshield_sdk::{
    Account, Address, Collateral, Config, DriftShieldError, Exposure, Model, PolicyTerms, Refusal,
    Vault, address, error, first_window, pause, refusal,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    extract::{JsonRequest, MinSlot},
    problem::{Problem, ProblemBody},
    reply::Reply,
    state::AppState,
    values::{Scaled, U64, ratio},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(quote))
}

/// Longest time after the mirror's latest block for which a quote is given.
const MAX_LOOKAHEAD: TimeDelta = TimeDelta::days(1);

/// Policy to quote. Amounts are in base units of the vault's mint, drift is in micro-units.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuoteRequest {
    vault: Key,
    model: Key,
    cover: U64,
    /// Drift from which the policy pays.
    trigger: U64,
    /// Drift from which the policy pays all of its cover; at least `trigger` plus eight times the
    /// model's `max_spread`, which is the default.
    exhaustion: Option<U64>,
    /// Number of consecutive windows in which drift has to reach the trigger: 1, the default, to 4.
    #[serde(default = "one")]
    #[schema(default = 1)]
    persistence: u8,
    /// Number of covered windows; at least `persistence`.
    windows: U64,
    /// First covered window. The program accepts only the first window that begins at least the
    /// vault's `waiting_secs` after the purchase. That window is the default.
    first_window: Option<U64>,
    /// Buyer. If given, the quote fails for buyers that the program refuses: the vault's manager,
    /// and the model's owner and oracles.
    holder: Option<Key>,
    /// Time of the purchase (RFC 3339): from the time of the mirror's latest block, which is the
    /// default, to one day later. The quote assumes that the accounts don't change until then.
    time: Option<DateTime<Utc>>,
}

fn one() -> u8 {
    1
}

/// Price of a policy, as `buy_policy` charges it if the accounts don't change. Amounts are in the
/// vault's mint.
#[derive(Serialize, ToSchema)]
struct Quote {
    /// Slot of the accounts that the quote was computed from.
    slot: i64,
    /// Time of the purchase, at which the paid time begins. `assets` includes the premiums of other
    /// policies that stream until this time.
    time: DateTime<Utc>,
    vault: Key,
    model: Key,
    /// Version of the model, to pass to `buy_policy`.
    model_version: u32,
    mint: Key,
    /// Decimals of the mint.
    decimals: u8,
    /// Premium that the holder pays.
    premium: Scaled,
    /// Security rent that the holder pays to the model's oracles in addition. `max_premium` limits
    /// the sum of both.
    rent: Scaled,
    /// Protocol's part of the premium.
    protocol_part: Scaled,
    /// Manager's part of the premium.
    manager_part: Scaled,
    /// Part of the premium that streams to the vault.
    streamed_part: Scaled,
    /// Drift from which the policy pays all of its cover, to pass to `buy_policy`.
    exhaustion: Scaled,
    /// Number of consecutive windows in which drift has to reach the trigger, to pass to `buy_policy`.
    persistence: u8,
    /// Part of the unused premium that the vault keeps on cancellation, to pass to `buy_policy`.
    cancel_fee_bps: u16,
    /// First covered window, to pass to `buy_policy`.
    first_window: U64,
    /// Last covered window.
    last_window: U64,
    /// Start of the first covered window.
    covered_from: Option<DateTime<Utc>>,
    /// End of the last covered window.
    covered_until: Option<DateTime<Utc>>,
    /// Earned capital of the vault.
    assets: Scaled,
    /// Capital of the vault by which cover is priced.
    seasoned: Scaled,
    /// Locked capital before the purchase.
    locked_before: Scaled,
    /// Locked capital after the purchase.
    locked_after: Scaled,
    /// `locked_before` divided by `assets`, with up to six decimal places; null if there are no
    /// assets.
    #[schema(example = "0.25")]
    utilisation_before: Option<String>,
    /// `locked_after` divided by `assets`, with up to six decimal places; null if there are no
    /// assets.
    utilisation_after: Option<String>,
}

/// Price of a policy, by the program's own arithmetic on the mirrored accounts.
///
/// If the program would refuse the purchase, the answer is a problem of type
/// `/problems/program-error`. Its `program_error.limit` is what the rule would allow. The quote checks neither the balance of the holder's token account
/// nor whether the mint has changed since it was registered.
#[utoipa::path(
    post,
    path = "/insurance/quote",
    tag = "insurance",
    params(MinSlot),
    request_body = QuoteRequest,
    responses(
        (status = 200, body = Quote),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn quote(request: JsonRequest<QuoteRequest>) -> Result<Reply<Quote>, Problem> {
    let JsonRequest {
        body: request,
        mut snapshot,
    } = request;
    let mirror = snapshot
        .mirror
        .and_then(|mirror| mirror.block_time.map(|time| (mirror.slot, time)));
    // Without a mirrored block time there is no time to quote for: the mirror is empty, or no
    // block had one.
    let (slot, block_time) = mirror.ok_or(Problem::Unavailable(sqlx::Error::RowNotFound))?;
    let time = purchase_time(request.time, block_time)?;
    let accounts = PurchaseAccounts::read(&mut snapshot.tx, &request).await?;
    let quote = accounts.quote(&request, time, slot)?;
    Ok(snapshot.reply(quote).await?.untagged())
}

/// Time to quote for: the requested one, or that of the mirror's latest block. The program uses the
/// time of the block in which the purchase lands, which only the client can estimate.
fn purchase_time(
    requested: Option<DateTime<Utc>>,
    block_time: DateTime<Utc>,
) -> Result<DateTime<Utc>, Problem> {
    let time = requested.unwrap_or(block_time);
    let latest = block_time + MAX_LOOKAHEAD;
    if (block_time..=latest).contains(&time) {
        Ok(time)
    } else {
        Err(Problem::InvalidValue(format!(
            "`time` is {}; give a time from the mirror's latest block, {}, to one day later, {}",
            time.to_rfc3339(),
            block_time.to_rfc3339(),
            latest.to_rfc3339(),
        )))
    }
}

/// Accounts that a purchase reads.
struct PurchaseAccounts {
    config: Box<Config>,
    collateral: Box<Collateral>,
    model: Box<Model>,
    vault: Box<Vault>,
    /// `None` if the vault does not list the model.
    exposure: Option<Box<Exposure>>,
}

impl PurchaseAccounts {
    async fn read(db: &mut PgConnection, request: &QuoteRequest) -> Result<Self, Problem> {
        let (vault_key, model_key) = (request.vault.address(), request.model.address());
        let exposure_key = address::exposure(&vault_key, &model_key);
        let keys = [vault_key, model_key, exposure_key, address::config()];
        let [vault, model, exposure, config] = accounts(db, keys).await?;
        let Some(Account::Vault(vault)) = vault else {
            return Err(Problem::not_found("vault", request.vault));
        };
        let Some(Account::Model(model)) = model else {
            return Err(Problem::not_found("model", request.model));
        };
        let exposure = match exposure {
            Some(Account::Exposure(exposure)) => Some(exposure),
            _ => None,
        };
        let [collateral] = accounts(db, [address::collateral(&vault.mint)]).await?;
        // Both accounts are created before any vault, and never closed.
        let (Some(Account::Config(config)), Some(Account::Collateral(collateral))) =
            (config, collateral)
        else {
            return Err(sqlx::Error::RowNotFound.into());
        };
        Ok(Self {
            config,
            collateral,
            model,
            vault,
            exposure,
        })
    }

    /// Runs the checks of `buy_policy` on the mirrored accounts, in the same order, and computes
    /// the price.
    fn quote(
        mut self,
        request: &QuoteRequest,
        time: DateTime<Utc>,
        slot: i64,
    ) -> Result<Quote, Problem> {
        self.check_parties(request)?;
        let now = time.timestamp();
        let (model, vault) = (&*self.model, &mut *self.vault);
        let exposure = self.exposure.ok_or_else(not_listed)?;
        let first_window = request
            .first_window
            .map_or_else(|| first_window(vault, model, now), |U64(window)| window);
        let terms = PolicyTerms {
            model_version: model.version,
            cover: request.cover.0,
            trigger: request.trigger.0,
            exhaustion: request.exhaustion.map_or_else(
                || model.state().lowest_exhaustion(request.trigger.0),
                |U64(drift)| drift,
            ),
            persistence: request.persistence,
            first_window,
            windows: request.windows.0,
            max_premium: u64::MAX,
            max_cancel_fee_bps: u16::MAX,
            auto_renew: false,
        };
        let vault_decimals = vault.decimals;
        let quote = driftshield_sdk::quote(vault, &exposure, model, &terms, now)
            .map_err(|refusal| refused(refusal, vault_decimals))?;

        let amount = |raw| Scaled::new(raw, vault.decimals);
        let starts_at = model.window_start(first_window).map_err(program_error)?;
        Ok(Quote {
            slot,
            time,
            vault: request.vault,
            model: request.model,
            model_version: model.version,
            mint: vault.mint.into(),
            decimals: vault.decimals,
            premium: amount(quote.premium),
            rent: amount(quote.rent),
            protocol_part: amount(quote.protocol_part),
            manager_part: amount(quote.manager_part),
            streamed_part: amount(quote.streamed_part),
            exhaustion: Scaled::drift(terms.exhaustion),
            persistence: terms.persistence,
            cancel_fee_bps: vault.terms.cancel_fee_bps,
            first_window: U64(quote.first_window),
            last_window: U64(quote.last_window),
            covered_from: DateTime::from_timestamp(starts_at, 0),
            covered_until: DateTime::from_timestamp(quote.end, 0),
            assets: amount(vault.assets),
            locked_before: amount(quote.locked_before),
            locked_after: amount(quote.locked_after),
            seasoned: amount(vault.seasoned),
            utilisation_before: ratio(quote.locked_before, vault.assets),
            utilisation_after: ratio(quote.locked_after, vault.assets),
        })
    }

    /// Runs the checks of `buy_policy` that do not depend on the terms of the policy.
    fn check_parties(&self, request: &QuoteRequest) -> Result<(), Problem> {
        if self.model.bond_mint != self.vault.mint {
            return Err(not_listed());
        }
        self.config
            .require_running(pause::POLICIES)
            .map_err(program_error)?;
        self.collateral.require_enabled().map_err(program_error)?;
        if let Some(holder) = &request.holder {
            self.vault
                .require_outsider(&holder.address(), &self.model)
                .map_err(program_error)?;
        }
        Ok(())
    }
}

/// Reads accounts from their bytes on chain; `None` for each address without an open account.
async fn accounts<const N: usize>(
    db: &mut PgConnection,
    addresses: [Address; N],
) -> Result<[Option<Account>; N], sqlx::Error> {
    let rows: Vec<(Key, Vec<u8>)> = sqlx::query_as(
        "select address, data from chain.account
         where address = any($1) and is_current and closed_slot is null",
    )
    .bind(addresses.map(Key::from).to_vec())
    .fetch_all(db)
    .await?;
    let mut accounts = std::array::from_fn(|_| None);
    for (account, address) in accounts.iter_mut().zip(addresses) {
        let row = rows.iter().find(|(key, _)| key.address() == address);
        let decoded = row.map(|(_, data)| Account::decode(data)).transpose();
        *account = decoded.map_err(|error| sqlx::Error::Decode(error.into()))?;
    }
    Ok(accounts)
}

pub fn not_listed() -> Problem {
    program_error(error::code(DriftShieldError::ModelNotListed))
}

/// The problem for a purchase that a rule refuses.
pub fn refused(refusal: Refusal, decimals: u8) -> Problem {
    match program_error(error::code(refusal::error(refusal))) {
        Problem::ProgramError(error) => Problem::Refused {
            error,
            limit: refusal.limit,
            advice: refusal::advice(&refusal, decimals),
        },
        other => other,
    }
}

/// The problem for an error number of the program.
pub fn program_error(number: impl Into<u64>) -> Problem {
    let number = number.into();
    let known = u32::try_from(number).ok().and_then(error::by_code);
    match known {
        Some(error) => Problem::ProgramError(error),
        None => Problem::Internal(sqlx::Error::Decode(
            format!("program error {number} is not in the IDL").into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_quote_is_for_the_latest_block_or_at_most_a_day_later() {
        let day = MAX_LOOKAHEAD.num_seconds();
        assert_eq!(purchase_time(None, at(7)).unwrap(), at(7));
        assert_eq!(purchase_time(Some(at(7)), at(7)).unwrap(), at(7));
        assert_eq!(
            purchase_time(Some(at(7 + day)), at(7)).unwrap(),
            at(7 + day)
        );
        for requested in [at(6), at(8 + day)] {
            let time = purchase_time(Some(requested), at(7));
            assert!(matches!(time, Err(Problem::InvalidValue(_))));
        }
    }

    #[test]
    fn a_program_error_is_found_by_its_number() {
        let problem = program_error(error::code(DriftShieldError::ExposureFull));
        let Problem::ProgramError(error) = problem else {
            panic!("{problem:?}");
        };
        assert_eq!(error.name, "ExposureFull");
        assert!(matches!(program_error(1_u32), Problem::Internal(_)));
    }

    #[test]
    fn numbers_of_64_bits_are_strings_in_a_request() {
        let key = driftshield_sdk::ID.to_string();
        let request = |cover: &str| {
            serde_json::from_str::<QuoteRequest>(&format!(
                r#"{{"vault":"{key}","model":"{key}","cover":{cover},"trigger":"200000",
                    "exhaustion":"400000","persistence":1,"windows":"3"}}"#
            ))
        };
        assert_eq!(request("\"1500000\"").unwrap().cover, U64(1_500_000));
        assert!(request("1500000").is_err());
    }

    #[test]
    fn a_quote_needs_no_exhaustion_and_no_persistence() {
        let key = driftshield_sdk::ID.to_string();
        let request = format!(
            r#"{{"vault":"{key}","model":"{key}","cover":"1","trigger":"200000","windows":"3"}}"#
        );
        let request: QuoteRequest = serde_json::from_str(&request).unwrap();
        assert_eq!((request.exhaustion, request.persistence), (None, 1));
    }
}
