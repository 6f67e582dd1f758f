//! Analytics: portfolios, the health of models, totals, and rankings.

mod health;
pub mod leaderboard;
mod period;
mod portfolio;
mod stats;
mod totals;

use utoipa_axum::router::OpenApiRouter;

use crate::state::AppState;

/// Routes whose answers depend on events alone.
pub fn router() -> OpenApiRouter<AppState> {
    portfolio::router()
}

/// Routes whose answers depend on the time, too.
pub fn untagged_router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(health::router())
        .merge(stats::router())
        .merge(leaderboard::router())
}
