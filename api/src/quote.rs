//! What a policy would cost: the program's own function on the accounts that the mirror has.

use chrono::{DateTime, TimeDelta, Utc};
use driftshield_sdk::{
    Account, Address, Collateral, Config, DriftShieldError, Exposure, Model, PolicyTerms, Vault,
    address, error, first_window, pause,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    problem::{Problem, ProblemBody},
    read::{Asked, MinSlot, Reply},
    values::{Key, Scaled, U64, ratio},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(quote))
}

/// The policy to quote. Amounts are in base units of the vault's mint, drift in micro-units.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuoteRequest {
    vault: Key,
    model: Key,
    cover: U64,
    /// Drift from which on it pays.
    trigger: U64,
    /// Drift from which on it pays all of its cover: at least the trigger.
    exhaustion: U64,
    /// Windows in a row that the trigger has to hold for: 1 to 4.
    persistence: u8,
    /// How many windows are covered: at least `persistence`.
    windows: U64,
    /// The first that begins at least the vault's `waiting_secs` after the purchase. The program
    /// takes no other; without it the quote says which it is.
    first_window: Option<U64>,
    /// Who would buy: the program refuses who knows the model from inside, and the vault's manager.
    holder: Option<Key>,
    /// When it would be bought (RFC 3339): at the time of the mirror's last block, as without it, or
    /// up to a day later. What happens to the accounts until then isn't foreseen.
    time: Option<DateTime<Utc>>,
}

/// What `buy_policy` charges on the accounts as they are at a slot. Amounts are in the vault's mint.
#[derive(Serialize, ToSchema)]
struct Quote {
    /// The slot that the accounts are from.
    slot: i64,
    /// When it would be bought: a premium is for the time from then on, and until then what others
    /// paid streams to the vault.
    time: DateTime<Utc>,
    vault: String,
    model: String,
    /// The model's version, to name in the purchase.
    model_version: u32,
    mint: String,
    decimals: u8,
    /// What the holder pays.
    premium: Scaled,
    /// The parts of it: the protocol's, the manager's, and what streams to the vault.
    protocol_part: Scaled,
    manager_part: Scaled,
    streamed_part: Scaled,
    /// The first covered window, to name in the purchase.
    first_window: U64,
    last_window: U64,
    /// When the first covered window begins.
    covered_from: Option<DateTime<Utc>>,
    /// When the last covered window ends.
    covered_until: Option<DateTime<Utc>>,
    /// The vault's capital.
    assets: Scaled,
    locked_before: Scaled,
    locked_after: Scaled,
    /// What is locked by the capital, to six places.
    #[schema(example = "0.25")]
    utilisation_before: Option<String>,
    utilisation_after: Option<String>,
}

/// What a policy would cost, by the program's own arithmetic on the accounts that the mirror has.
///
/// What the program would refuse is a problem of type `/problems/program-error`. The mirror sees
/// neither what the holder's token account holds nor whether the mint changed since it was accepted.
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
async fn quote(asked: Asked<QuoteRequest>) -> Result<Reply<Quote>, Problem> {
    let Asked {
        body: request,
        mut read,
    } = asked;
    let mirror = read
        .mirror
        .and_then(|mirror| mirror.block_time.map(|time| (mirror.slot, time)));
    // While the mirror is empty there is nothing to quote, and no time to quote it for.
    let (slot, block_time) = mirror.ok_or(Problem::Unavailable(sqlx::Error::RowNotFound))?;
    let time = time(request.time, block_time)?;
    let accounts = Accounts::read(&mut read.tx, &request).await?;
    let quote = accounts.quote(&request, time, slot)?;
    Ok(read.reply(quote).await?.untagged())
}

/// How far ahead of the mirror may be quoted.
const AHEAD: TimeDelta = TimeDelta::days(1);

/// The program sees the time of the block that a purchase lands in, which is later than the mirror's
/// last one, but by how much nobody knows: who knows better says it.
fn time(
    wanted: Option<DateTime<Utc>>,
    block_time: DateTime<Utc>,
) -> Result<DateTime<Utc>, Problem> {
    let time = wanted.unwrap_or(block_time);
    if (block_time..=block_time + AHEAD).contains(&time) {
        Ok(time)
    } else {
        Err(Problem::BadRequest(format!(
            "`time` is that of the mirror's last block, {}, or up to a day later",
            block_time.to_rfc3339()
        )))
    }
}

/// What a purchase reads.
struct Accounts {
    config: Box<Config>,
    collateral: Box<Collateral>,
    model: Box<Model>,
    vault: Box<Vault>,
    /// `None` where the vault doesn't cover the model.
    exposure: Option<Box<Exposure>>,
}

impl Accounts {
    async fn read(db: &mut PgConnection, request: &QuoteRequest) -> Result<Self, Problem> {
        let (vault_key, model_key) = (request.vault.address(), request.model.address());
        let Some(Account::Vault(vault)) = account(db, &vault_key).await? else {
            return Err(Problem::missing("vault", &request.vault));
        };
        let Some(Account::Model(model)) = account(db, &model_key).await? else {
            return Err(Problem::missing("model", &request.model));
        };
        let exposure = match account(db, &address::exposure(&vault_key, &model_key)).await? {
            Some(Account::Exposure(exposure)) => Some(exposure),
            _ => None,
        };
        let config = account(db, &address::config()).await?;
        let collateral = account(db, &address::collateral(&vault.mint)).await?;
        // They are made before any vault is and never closed.
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

    /// Asks what `buy_policy` asks, in its order.
    fn quote(
        mut self,
        request: &QuoteRequest,
        time: DateTime<Utc>,
        slot: i64,
    ) -> Result<Quote, Problem> {
        let now = time.timestamp();
        let (model, vault) = (&*self.model, &mut *self.vault);
        if model.bond_mint != vault.mint {
            return Err(refused(error::code(DriftShieldError::ModelNotListed)));
        }
        self.config
            .require_running(pause::POLICIES)
            .map_err(refused)?;
        self.collateral.require_enabled().map_err(refused)?;
        if let Some(holder) = &request.holder {
            vault
                .require_outsider(&holder.address(), model)
                .map_err(refused)?;
        }
        let exposure = self
            .exposure
            .ok_or_else(|| refused(error::code(DriftShieldError::ModelNotListed)))?;
        let first_window = request
            .first_window
            .map_or_else(|| first_window(vault, model, now), |U64(window)| window);
        let terms = PolicyTerms {
            model_version: model.version,
            cover: request.cover.0,
            trigger: request.trigger.0,
            exhaustion: request.exhaustion.0,
            persistence: request.persistence,
            first_window,
            windows: request.windows.0,
            max_premium: u64::MAX,
            auto_renew: false,
        };
        let quote =
            driftshield_sdk::quote(vault, &exposure, model, &terms, now).map_err(refused)?;

        let amount = |raw| Scaled::new(raw, vault.decimals);
        let starts_at = model.window_start(first_window).map_err(refused)?;
        Ok(Quote {
            slot,
            time,
            vault: request.vault.as_str().to_owned(),
            model: request.model.as_str().to_owned(),
            model_version: model.version,
            mint: vault.mint.to_string(),
            decimals: vault.decimals,
            premium: amount(quote.premium),
            protocol_part: amount(quote.protocol_part),
            manager_part: amount(quote.manager_part),
            streamed_part: amount(quote.streamed_part),
            first_window: U64(quote.first_window),
            last_window: U64(quote.last_window),
            covered_from: DateTime::from_timestamp(starts_at, 0),
            covered_until: DateTime::from_timestamp(quote.end, 0),
            assets: amount(vault.assets),
            locked_before: amount(quote.locked_before),
            locked_after: amount(quote.locked_after),
            utilisation_before: ratio(quote.locked_before, vault.assets),
            utilisation_after: ratio(quote.locked_after, vault.assets),
        })
    }
}

/// An account of the program as its bytes are on chain; `None` where there is none.
async fn account(db: &mut PgConnection, address: &Address) -> Result<Option<Account>, sqlx::Error> {
    let data: Option<Vec<u8>> = sqlx::query_scalar(
        "select data from chain.account where address = $1 and closed_slot is null",
    )
    .bind(address.to_string())
    .fetch_optional(db)
    .await?;
    data.map(|data| Account::decode(&data))
        .transpose()
        .map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Why the program refuses, by its error's number.
fn refused(number: impl Into<u64>) -> Problem {
    let number = number.into();
    let known = u32::try_from(number).ok().and_then(error::by_code);
    match known {
        Some(error) => Problem::Refused(error),
        None => Problem::Internal(sqlx::Error::Decode(
            format!("the program gives error {number}, which its IDL has not").into(),
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
    fn a_quote_is_of_the_last_block_or_a_day_later_at_most() {
        let day = AHEAD.num_seconds();
        assert_eq!(time(None, at(7)).unwrap(), at(7));
        assert_eq!(time(Some(at(7)), at(7)).unwrap(), at(7));
        assert_eq!(time(Some(at(7 + day)), at(7)).unwrap(), at(7 + day));
        for wanted in [at(6), at(8 + day)] {
            let refused = time(Some(wanted), at(7));
            assert!(matches!(refused, Err(Problem::BadRequest(_))));
        }
    }

    #[test]
    fn a_refusal_has_the_name_of_the_programs_error() {
        let refused = refused(error::code(DriftShieldError::ExposureFull));
        let Problem::Refused(error) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.name, "ExposureFull");
        assert!(matches!(super::refused(1_u32), Problem::Internal(_)));
    }

    #[test]
    fn numbers_of_64_bits_are_asked_for_as_strings() {
        let key = driftshield_sdk::ID.to_string();
        let asked = |cover: &str| {
            serde_json::from_str::<QuoteRequest>(&format!(
                r#"{{"vault":"{key}","model":"{key}","cover":{cover},"trigger":"200000",
                    "exhaustion":"400000","persistence":1,"windows":"3"}}"#
            ))
        };
        assert_eq!(asked("\"1500000\"").unwrap().cover, U64(1_500_000));
        assert!(asked("1500000").is_err());
    }
}
