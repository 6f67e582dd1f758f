//! Why slots could not be stored.

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("the row of chain.cursor is missing; the mirror begins anew")]
    NoCursor,
    #[error(
        "the chain continues from slot {ancestor}, but slot {finalized_slot} was finalized: the source \
         belongs to another cluster; correct the endpoints, or make the mirror anew with `indexer \
         rebuild`"
    )]
    Finalized { ancestor: i64, finalized_slot: i64 },
    #[error("slot {0} is not applied, so the slots after it can't be undone")]
    NotApplied(i64),
    #[error("the database has not answered for {0} s")]
    Timeout(u64),
    #[error("database error: {0}")]
    Database(#[from] sqlx::Error),
}

impl ApplyError {
    /// Whether a new connection can succeed.
    pub fn is_transient(&self) -> bool {
        /// SQLSTATE classes of statements that can never succeed: refused credentials, no such
        /// database, no right, no such table or column.
        const FINAL: [&str; 4] = ["28", "3D", "42", "0A"];
        match self {
            Self::NoCursor | Self::Timeout(_) => true,
            Self::Finalized { .. } | Self::NotApplied(_) => false,
            Self::Database(sqlx::Error::Database(error)) => !error
                .code()
                .is_some_and(|code| FINAL.iter().any(|class| code.starts_with(class))),
            Self::Database(error) => !matches!(error, sqlx::Error::Configuration(_)),
        }
    }
}
