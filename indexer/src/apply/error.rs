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
        /// database, no right, no such table or column. Not 0A: a migration meanwhile changes what a
        /// prepared statement returns, which is prepared again on a new connection.
        const FINAL: [&str; 3] = ["28", "3D", "42"];
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

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, error::Error, fmt};

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    /// An answer of Postgres with a SQLSTATE.
    #[derive(Debug)]
    struct Answer(&'static str);

    impl fmt::Display for Answer {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }
    }

    impl Error for Answer {}

    impl DatabaseError for Answer {
        fn message(&self) -> &str {
            self.0
        }
        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }
        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    #[test]
    fn a_plan_that_a_migration_outdated_is_made_again_on_a_new_connection() {
        let is_transient = |code| {
            let error = sqlx::Error::Database(Box::new(Answer(code)));
            ApplyError::Database(error).is_transient()
        };
        assert!(is_transient("0A000"));
        for code in ["28P01", "3D000", "42P01"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
