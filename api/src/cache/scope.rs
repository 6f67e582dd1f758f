//! What part of the mirror an answer shows.

use axum::extract::{MatchedPath, RawPathParams};

/// Kinds of accounts that have a channel in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Model,
    Market,
    Vault,
    Policy,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Model, Self::Market, Self::Vault, Self::Policy];

    /// Prefix of the channels of these accounts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Market => "market",
            Self::Vault => "vault",
            Self::Policy => "policy",
        }
    }
}

/// The records of the feed that can change an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of one account's channel.
    Channel(String),
    /// Those of any account of these kinds.
    Kinds(&'static [Kind]),
    /// All.
    Everything,
}

impl Scope {
    /// The scope of a route's answer. A route that is not listed can show anything.
    ///
    /// An event is on the channels of all accounts that it changes, so what belongs to an account (a market's
    /// positions, a model's receipts and series, a vault's exposures and withdrawals) changes with records
    /// of its channel only.
    pub fn of(route: &MatchedPath, parameters: &RawPathParams) -> Self {
        let route = route.as_str();
        let route = route.strip_prefix("/api/v1").unwrap_or(route);
        match route {
            "/models" | "/users/{user}/models" => Self::Kinds(&[Kind::Model]),
            // A seat changes with its model; its end is on no account's channel, and changes everything.
            "/oracles/{oracle}" => Self::Kinds(&[Kind::Model]),
            "/markets" | "/models/{model}/markets" => Self::Kinds(&[Kind::Market]),
            "/insurance/vaults" | "/insurance/withdrawals" => Self::Kinds(&[Kind::Vault]),
            "/receipts/{receipt}" => Self::Kinds(&[Kind::Model]),
            // A position's asks fall with a report on the model.
            "/positions" | "/users/{user}/positions" | "/markets/{market}/positions" => {
                Self::Kinds(&[Kind::Market, Kind::Model])
            }
            "/insurance/policies" | "/insurance/policies/{policy}" => {
                Self::Kinds(&[Kind::Policy, Kind::Model])
            }
            "/models/{model}"
            | "/models/{model}/receipts"
            | "/models/{model}/windows"
            | "/models/{model}/history"
            | "/markets/{market}"
            | "/markets/{market}/odds"
            | "/markets/{market}/candles"
            | "/markets/{market}/sales"
            | "/markets/{market}/history"
            | "/insurance/vaults/{vault}"
            | "/insurance/vaults/{vault}/exposures"
            | "/insurance/vaults/{vault}/history" => match parameters.iter().next() {
                Some((kind, key)) => Self::Channel(format!("{kind}:{key}")),
                None => Self::Everything,
            },
            _ => Self::Everything,
        }
    }
}
