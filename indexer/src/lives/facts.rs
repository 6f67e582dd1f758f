//! What the events of a life say and its bytes don't.

use chrono::{DateTime, Utc};
use driftshield_sdk::{Address, Event, MarketState, ReceiptState};
use serde::{Deserialize, Serialize};

use crate::event_id::EventId;

/// Facts about a life from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Time of the block in which the life began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began_at: Option<DateTime<Utc>>,
    /// Time of the block in which the life ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// How the life ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// The settlement of a market or receipt; the latest payment or the cancellation of a withdrawal
    /// request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// Sum of the payouts of a position or withdrawal request, in base units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payout: Option<u64>,
    /// Token account that received the payout of a position.
    #[serde(skip_serializing_if = "Option::is_none", with = "key")]
    pub destination: Option<Address>,
    /// Refund of premiums at the end of a policy, in base units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refund: Option<u64>,
}

/// Event that settled an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    pub id: i64,
    pub at: Option<DateTime<Utc>>,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// A market without a bet or a withdrawal request was cancelled, or a policy was.
    Cancelled,
    /// A position was claimed.
    Claimed,
    /// All stakes of a position were sold.
    Sold,
    /// The whole cover of a policy was paid.
    Paid,
    Expired,
    /// A policy never began.
    Void,
}

impl End {
    pub fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Claimed => "claimed",
            Self::Sold => "sold",
            Self::Paid => "paid",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }
}

impl Facts {
    /// Takes up what an event says about the account at `address`.
    pub fn note(
        &mut self,
        event: &Event,
        address: &Address,
        id: EventId,
        at: Option<DateTime<Utc>>,
    ) {
        let settled = Some(Settled { id: id.get(), at });
        match event {
            Event::MarketSettled(e) if *address == e.market && e.state != MarketState::Open => {
                self.settled = settled;
            }
            Event::MarketCancelled(e) if *address == e.market => self.end = Some(End::Cancelled),
            Event::Claimed(e) if *address == e.position => {
                self.end = Some(End::Claimed);
                self.payout = Some(e.paid);
                self.destination = Some(e.destination);
            }
            Event::PositionBought(e) if *address == e.seller_position && e.seller_total == 0 => {
                self.end = Some(End::Sold);
            }
            Event::ReceiptFinalized(e) if *address == e.receipt && is_settled(e.state) => {
                self.settled = settled;
            }
            Event::ReceiptRuled(e) if *address == e.receipt && is_settled(e.state) => {
                self.settled = settled;
            }
            Event::Withdrawn(e) if *address == e.request => {
                self.settled = settled;
                let paid = self.payout.unwrap_or(0);
                self.payout = Some(paid.saturating_add(e.amount));
            }
            Event::WithdrawCancelled(e) if *address == e.request => {
                self.settled = settled;
                self.end = Some(End::Cancelled);
            }
            Event::PolicyClaimed(e) if *address == e.policy && e.paid == e.cover => {
                self.end_policy(End::Paid, e.refund);
            }
            Event::PolicyCancelled(e) if *address == e.policy => {
                self.end_policy(End::Cancelled, e.refund);
            }
            Event::PolicyExpired(e) if *address == e.policy => {
                self.end_policy(End::Expired, e.refund);
            }
            Event::PolicyBegun(e) if *address == e.policy && e.is_over => {
                self.end_policy(End::Void, e.refund);
            }
            _ => {}
        }
    }

    /// Takes up what an event says that may be older than events noted before.
    pub fn note_late(
        &mut self,
        event: &Event,
        address: &Address,
        id: EventId,
        at: Option<DateTime<Utc>>,
    ) {
        let later = self.settled.filter(|settled| id.get() < settled.id);
        self.note(event, address, id, at);
        self.settled = later.or(self.settled);
    }

    fn end_policy(&mut self, end: End, refund: u64) {
        self.end = Some(end);
        self.refund = Some(refund);
    }
}

fn is_settled(state: ReceiptState) -> bool {
    matches!(
        state,
        ReceiptState::Final | ReceiptState::Void | ReceiptState::Thin
    )
}

/// An optional key in base58.
mod key {
    use driftshield_sdk::Address;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(key: &Option<Address>, to: S) -> Result<S::Ok, S::Error> {
        match key {
            Some(key) => to.collect_str(key),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Address>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        text.map(|text| text.parse().map_err(D::Error::custom))
            .transpose()
    }
}
