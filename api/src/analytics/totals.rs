//! Sums of `chain.hourly` for one subject, by token.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use crate::{bytes::Key, signed::Sum};

/// Whose totals to read.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    Platform,
    Model(&'a Key),
    Wallet(&'a Key),
}

impl Subject<'_> {
    fn kind(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Model(_) => "model",
            Self::Wallet(_) => "wallet",
        }
    }

    fn address(self) -> Vec<u8> {
        match self {
            Self::Platform => vec![],
            Self::Model(key) | Self::Wallet(key) => key.address().to_bytes().to_vec(),
        }
    }
}

/// Sums over hours. The columns are described in the schema.
#[derive(FromRow)]
pub struct Totals {
    pub mint: Key,
    pub bets: Sum,
    pub staked: Sum,
    pub rents: Sum,
    pub sales: Sum,
    pub sold: Sum,
    pub sold_for: Sum,
    pub bought: Sum,
    pub bought_for: Sum,
    pub claims: Sum,
    pub settled: Sum,
    pub payouts: Sum,
    pub markets: Sum,
    pub settlements: Sum,
    pub fees: Sum,
    pub deposited: Sum,
    pub withdrawn: Sum,
    pub policies: Sum,
    pub renewals: Sum,
    pub premiums: Sum,
    pub refunds: Sum,
    pub cover_claims: Sum,
    pub cover_paid: Sum,
    pub models: Sum,
    pub submissions: Sum,
    pub challenges: Sum,
    pub rulings: Sum,
    pub slashed: Sum,
    pub finals: Sum,
    pub voids: Sum,
    pub thins: Sum,
    pub earned: Sum,
    pub silences: Sum,
    pub penalties: Sum,
}

impl Totals {
    /// Reads the sums from `start` on, in ascending order of token. Reads at most one row for each hour and token.
    pub async fn read(
        db: &mut PgConnection,
        subject: Subject<'_>,
        start: Option<DateTime<Utc>>,
    ) -> Result<Vec<Self>, sqlx::Error> {
        sqlx::query_as(
            "select mint, sum(bets) as bets, sum(staked) as staked, sum(rents) as rents,
               sum(sales) as sales, sum(sold) as sold, sum(sold_for) as sold_for,
               sum(bought) as bought, sum(bought_for) as bought_for, sum(claims) as claims,
               sum(settled) as settled, sum(payouts) as payouts, sum(markets) as markets,
               sum(settlements) as settlements, sum(fees) as fees, sum(deposited) as deposited,
               sum(withdrawn) as withdrawn, sum(policies) as policies, sum(renewals) as renewals,
               sum(premiums) as premiums, sum(refunds) as refunds, sum(cover_claims) as cover_claims,
               sum(cover_paid) as cover_paid, sum(models) as models, sum(submissions) as submissions,
               sum(challenges) as challenges, sum(rulings) as rulings, sum(slashed) as slashed,
               sum(finals) as finals, sum(voids) as voids, sum(thins) as thins,
               sum(earned) as earned, sum(silences) as silences,
               sum(penalties) as penalties
             from chain.hourly
             where kind = $1 and subject = $2 and coalesce($3, '-infinity') <= hour
             group by mint order by mint",
        )
        .bind(subject.kind())
        .bind(subject.address())
        .bind(start)
        .fetch_all(db)
        .await
    }

    /// Realised profit of a wallet on stakes.
    pub fn stake_profit(&self) -> i128 {
        self.payouts.0 - self.settled.0 + self.sold_for.0 - self.sold.0 + self.bought.0
            - self.bought_for.0
    }

    /// Realised profit of a wallet on cover.
    pub fn cover_profit(&self) -> i128 {
        self.cover_paid.0 + self.refunds.0 - self.premiums.0
    }
}
