//! Rankings of bettors, underwriters, oracles and models.
//!
//! They are computed beside the requests, by [`keeper`], and stored one generation after the other.

mod boards;
pub mod keeper;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    extract::{InPath, MinSlot},
    mirror::Snapshot,
    page::{ListQuery, Order, Page, SortKey},
    problem::{Problem, ProblemBody},
    reply::Reply,
    signed::{Signed, Sum},
    state::AppState,
    wallet::tokens::Decimals,
};

use super::period::Period;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(leaderboard))
}

/// What is ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Board {
    /// Wallets by realised profit on stakes: payouts less the stakes of claimed positions, proceeds of sales less the
    /// stakes sold, and stakes bought less their prices. Those who realised nothing in the period are left out.
    Bettors,
    /// Open vaults by return on their shares: the price of a share at the end of the period over its price at the
    /// beginning, less 1. A younger vault began with the price of its first share. Vaults without shares are left out.
    Underwriters,
    /// Oracles by the number of Final and Thin receipts with which they agreed, and among equals by fewer slashes
    /// (ever). Those who earned for none in the period are left out.
    Oracles,
    /// Models by volume: bets, and premiums of purchases and renewals. Those without any in the period are left out.
    Models,
}

impl Board {
    pub const EACH: [Self; 4] = [
        Self::Bettors,
        Self::Underwriters,
        Self::Oracles,
        Self::Models,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bettors => "bettors",
            Self::Underwriters => "underwriters",
            Self::Oracles => "oracles",
            Self::Models => "models",
        }
    }
}

impl<'de> Deserialize<'de> for Board {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = Self::EACH.into_iter().find(|board| board.name() == text);
        found.ok_or_else(|| {
            let names = Self::EACH.map(Self::name).join(", ");
            D::Error::custom(format!("`{text}` is no ranking; give one of {names}"))
        })
    }
}

/// Place in a ranking.
#[derive(Serialize, ToSchema)]
struct Place {
    /// From 1, without gaps. Subjects with equal values are in ascending order of `subject` (as bytes).
    rank: i64,
    /// Wallet of a bettor or oracle; vault; model.
    subject: Key,
    /// Profit of a bettor, or volume of a model, in tokens; return of a vault, in which `raw` is in millionths; null
    /// for an oracle.
    value: Option<Signed>,
    /// Receipts of an oracle; null for others.
    #[schema(value_type = Option<String>, pattern = "^[0-9]+$")]
    receipts: Option<String>,
    /// Slashes of an oracle's seats ever; null for others.
    #[schema(value_type = Option<String>, pattern = "^[0-9]+$")]
    slashes: Option<String>,
    /// Stakes that a bettor realised, by claims, sales and purchases; assets of a vault; null for others.
    basis: Option<Signed>,
    /// Number of a model's bets, purchases and renewals of cover; null for others.
    #[schema(value_type = Option<String>, pattern = "^[0-9]+$")]
    trades: Option<String>,
}

/// A ranking, as of some moment.
#[derive(Serialize, ToSchema)]
struct Leaderboard {
    board: Board,
    period: Period,
    /// Token of all amounts, and of the markets, vaults and bonds that count.
    mint: Key,
    /// Slot of the mirror from which the ranking was computed; null, with an empty page, if none was computed yet.
    slot: Option<i64>,
    /// Time of that slot's block, which ends the period.
    until: Option<DateTime<Utc>>,
    /// Places, best first: at most the first 1,000.
    places: Page<Place>,
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LeaderboardFilter {
    /// Token: amounts of different tokens can't be compared.
    mint: Key,
    #[serde(default)]
    #[param(inline, value_type = Option<Period>)]
    period: Period,
}

#[derive(FromRow)]
struct Generation {
    generation: i64,
    slot: i64,
    block_time: DateTime<Utc>,
}

impl Generation {
    /// The generation of the list whose previous page ended at `after`, or the newest one.
    ///
    /// # Errors
    ///
    /// If the generation was removed.
    async fn find(
        db: &mut PgConnection,
        epoch: i64,
        after: Option<&PlaceKey>,
    ) -> Result<Option<Self>, Problem> {
        let found: Option<Self> = sqlx::query_as(
            "select generation, slot, block_time from app.ranking_generation
             where epoch = $1 and generation = coalesce($2, (
               select generation from app.ranking_generation
               where epoch = $1 order by generation desc limit 1))",
        )
        .bind(epoch)
        .bind(after.map(|after| after.0))
        .fetch_optional(db)
        .await?;
        if after.is_some() && found.is_none() {
            return Err(Problem::CursorExpired(
                "the ranking was computed anew since",
            ));
        }
        Ok(found)
    }
}

#[derive(FromRow)]
struct PlaceRow {
    generation: i64,
    rank: i64,
    subject: Key,
    value: Sum,
    basis: Sum,
}

/// Generation, and rank in it.
#[derive(Serialize, Deserialize)]
struct PlaceKey(i64, i64);

impl SortKey for PlaceKey {
    fn push(self, sql: &mut QueryBuilder<Postgres>) {
        sql.push_bind(self.1);
    }
}

impl Place {
    fn new(row: PlaceRow, board: Board, decimals: u8) -> Self {
        let mut place = Self {
            rank: row.rank,
            subject: row.subject,
            value: None,
            receipts: None,
            slashes: None,
            basis: None,
            trades: None,
        };
        let (value, basis) = (row.value.0, row.basis.0);
        match board {
            Board::Bettors => {
                place.value = Some(Signed::new(value, decimals));
                place.basis = Some(Signed::new(basis, decimals));
            }
            Board::Underwriters => {
                place.value = Some(Signed::new(value, 6));
                place.basis = Some(Signed::new(basis, decimals));
            }
            Board::Oracles => {
                place.receipts = Some(value.to_string());
                place.slashes = Some(basis.to_string());
            }
            Board::Models => {
                place.value = Some(Signed::new(value, decimals));
                place.trades = Some(basis.to_string());
            }
        }
        place
    }
}

/// Ranking of bettors, underwriters, oracles or models in one token.
///
/// Rankings are computed again and again beside the requests, every 15 seconds on a small mirror and less often on a
/// large one, and all pages are of one computation: a cursor expires some 10 minutes after its first page.
#[utoipa::path(
    get,
    path = "/analytics/leaderboard/{board}",
    tag = "analytics",
    params(
        ("board" = Board, Path, description = "What is ranked"),
        ListQuery<LeaderboardFilter>,
        MinSlot
    ),
    responses(
        (status = 200, body = Leaderboard),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn leaderboard(
    InPath(board): InPath<Board>,
    query: ListQuery<LeaderboardFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Leaderboard>, Problem> {
    let LeaderboardFilter { mint, period } = query.filter;
    let pager = query.pager(("leaderboard", board), snapshot.epoch());
    let after: Option<PlaceKey> = pager.after()?;
    let epoch = snapshot.epoch();
    let db = &mut snapshot.tx;
    let generation = Generation::find(db, epoch, after.as_ref()).await?;
    let mut places = Page {
        items: vec![],
        next_cursor: None,
    };
    if let Some(generation) = &generation {
        let decimals = Decimals::read(db).await?.of(&mint);
        let mut sql = QueryBuilder::new(
            "select generation, rank, subject, value, basis from app.ranking r
             where r.generation = ",
        );
        sql.push_bind(generation.generation);
        sql.push(" and r.board = ").push_bind(board.name());
        sql.push(" and r.period = ").push_bind(period.name());
        sql.push(" and r.mint = ").push_bind(mint);
        let order = Order::ascending(&["r.rank"]);
        let key = |row: &PlaceRow| PlaceKey(row.generation, row.rank);
        let rows = pager.fetch(db, sql, order, key).await?;
        places = Page {
            items: rows
                .items
                .into_iter()
                .map(|row| Place::new(row, board, decimals))
                .collect(),
            next_cursor: rows.next_cursor,
        };
    }
    let leaderboard = Leaderboard {
        board,
        period,
        mint,
        slot: generation.as_ref().map(|generation| generation.slot),
        until: generation.map(|generation| generation.block_time),
        places,
    };
    Ok(snapshot.reply(leaderboard).await?.untagged())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_are_named_as_in_paths() {
        for board in Board::EACH {
            assert_eq!(serde_json::to_value(board).unwrap(), board.name());
        }
    }

    #[test]
    fn each_board_shows_its_own_numbers() {
        let place = |board| {
            let row = PlaceRow {
                generation: 1,
                rank: 2,
                subject: Key::default(),
                value: Sum(-1_500_000),
                basis: Sum(3),
            };
            serde_json::to_value(Place::new(row, board, 3)).unwrap()
        };
        assert_eq!(place(Board::Bettors)["value"]["scaled"], "-1500");
        assert_eq!(place(Board::Underwriters)["value"]["scaled"], "-1.5");
        assert_eq!(place(Board::Oracles)["slashes"], "3");
        assert_eq!(place(Board::Models)["trades"], "3");
    }
}
