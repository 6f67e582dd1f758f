//! Database migrations.

use anyhow::{Context, ensure};
use sqlx::{Connection, PgConnection, migrate::Migrator};

use crate::endpoints::Endpoints;

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// Creates the tables, or updates them to the current schema.
///
/// # Errors
///
/// If the login lacks privileges, the error names the statements that grant them.
pub async fn migrate(endpoints: &Endpoints) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(endpoints.database()?)
        .await
        .context("cannot connect to Postgres; check --database-url")?;
    let context = "cannot migrate the database";
    if is_current(&mut connection).await.context(context)? {
        return Ok(());
    }
    let (login, grants) = missing_privileges(&mut connection).await.context(context)?;
    ensure!(
        grants.is_empty(),
        "{context}: login {login} lacks privileges; as a superuser, run in this database: {}",
        grants.join(" ")
    );
    MIGRATOR.run(&mut connection).await.context(context)?;
    // With the indexer's login, `indexer migrate` then finds that nothing is left to do.
    sqlx::query("grant select on _sqlx_migrations to driftshield_indexer")
        .execute(&mut connection)
        .await
        .context(context)?;
    Ok(())
}

/// Whether the login can read which migrations were applied, and nothing is left to apply.
async fn is_current(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let is_readable: Option<bool> = sqlx::query_scalar(
        "select has_table_privilege(to_regclass('_sqlx_migrations')::oid, 'select')",
    )
    .fetch_one(&mut *connection)
    .await?;
    if is_readable != Some(true) {
        return Ok(false);
    }
    let applied: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("select version, checksum from _sqlx_migrations where success")
            .fetch_all(connection)
            .await?;
    Ok(MIGRATOR.iter().all(|migration| {
        let version = (migration.version, migration.checksum.to_vec());
        applied.contains(&version)
    }))
}

/// Name of the login, and the statements that grant what it lacks to create the tables.
async fn missing_privileges(
    connection: &mut PgConnection,
) -> Result<(String, Vec<String>), sqlx::Error> {
    sqlx::query_as(
        "select current_user::text, array(
           select statement from (
             select 1 as place, format('create role %I nologin;', role) as statement
             from unnest(array['driftshield_indexer', 'driftshield_api']) role
             where to_regrole(role) is null
               and not (select rolsuper or rolcreaterole from pg_roles where rolname = current_user)
             union all
             select 2, format('grant create on database %I to %I;', current_database(), current_user)
             where not has_database_privilege(current_database(), 'create')
             union all
             select 3, format('grant create on schema public to %I;', current_user)
             where not has_schema_privilege('public', 'create')
             union all
             select 4, format('grant %I to %I;', owner.rolname, current_user)
             from pg_namespace join pg_roles owner on owner.oid = nspowner
             where nspname = 'chain' and not pg_has_role(owner.oid, 'usage')
           ) missing order by place)",
    )
    .fetch_one(connection)
    .await
}

/// Adds what to do if the tables don't exist or are of another version, or the login lacks a role.
pub fn with_advice(error: sqlx::Error) -> anyhow::Error {
    const UNDEFINED_TABLE: &str = "42P01";
    const UNDEFINED_COLUMN: &str = "42703";
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    let code = match &error {
        sqlx::Error::Database(error) => error.code(),
        _ => None,
    };
    match code.as_deref() {
        Some(UNDEFINED_TABLE | UNDEFINED_COLUMN) => anyhow::anyhow!(
            "the database has no tables of this version ({error}); run `indexer migrate` first"
        ),
        Some(INSUFFICIENT_PRIVILEGE) => anyhow::anyhow!(
            "the login may not use the mirror ({error}); `grant driftshield_indexer to LOGIN`"
        ),
        _ => anyhow::Error::new(error).context("database error"),
    }
}
