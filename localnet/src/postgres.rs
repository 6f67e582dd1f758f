//! A temporary Postgres server on a Unix socket.
//!
//! The data may not survive a crash of the machine. That is no loss: the database mirrors a chain
//! that exists only in memory.

use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use backon::Retryable;
use nix::{
    sys::signal::Signal,
    unistd::{Uid, User},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::process::Command;

use crate::{children::Children, pid_file::DIRECTORY_PREFIX, poll};

const DATABASE: &str = "driftshield";
const SUPERUSER: &str = "postgres";
/// Makes Postgres abort open transactions and shut down ("fast shutdown").
const STOP_SIGNAL: Signal = Signal::SIGINT;
const START_TIMEOUT: Duration = Duration::from_secs(30);

struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
}

/// Starts Postgres with an empty database; returns the URL of that database.
pub async fn start(children: &Children) -> anyhow::Result<String> {
    let programs = find_programs()?;
    let user = server_user()?;
    // In /tmp, because the server's user may have no access to a home directory, and because the
    // path of a Unix socket must be short.
    let directory = tempfile::Builder::new()
        .prefix(DIRECTORY_PREFIX)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in("/tmp")
        .context("creating a directory for Postgres in /tmp")?;
    let path = directory.path().to_owned();
    if let Some(user) = &user {
        chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).with_context(|| {
            format!("changing the owner of {} to {}", path.display(), user.name)
        })?;
    }
    children.keep_directory(directory)?;
    let data = path.join("data");
    children
        .run("initdb", &initdb(&programs, &data), user.as_ref())
        .await?;
    let server = server(&programs, &data, &path);
    children.spawn("postgres", &server, user.as_ref(), STOP_SIGNAL)?;
    create_database(&path).await?;
    Ok(url(&path, DATABASE))
}

fn initdb(programs: &Programs, data: &Path) -> Command {
    let mut command = Command::new(&programs.initdb);
    command
        .arg("--pgdata")
        .arg(data)
        .args(["--username", SUPERUSER])
        // Access is limited by the permissions of the socket's directory.
        .args(["--auth", "trust"])
        .args(["--encoding", "UTF8", "--locale", "C"])
        .arg("--no-sync")
        .current_dir("/");
    command
}

fn server(programs: &Programs, data: &Path, socket_directory: &Path) -> Command {
    let mut command = Command::new(&programs.postgres);
    command
        .arg("-D")
        .arg(data)
        .arg("-k")
        .arg(socket_directory)
        .current_dir("/");
    for setting in [
        "listen_addresses=",
        "unix_socket_permissions=0700",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "max_connections=200",
    ] {
        command.args(["-c", setting]);
    }
    command
}

fn url(socket_directory: &Path, database: &str) -> String {
    format!(
        "postgres://{SUPERUSER}@localhost/{database}?host={}",
        socket_directory.display()
    )
}

/// Waits until the server accepts connections and creates the database.
async fn create_database(socket_directory: &Path) -> anyhow::Result<()> {
    let url = url(socket_directory, "postgres");
    let mut connection = (|| PgConnection::connect(&url))
        .retry(poll::schedule(START_TIMEOUT))
        .await
        .context("Postgres does not answer: see postgres.log")?;
    let create = format!("create database {DATABASE}");
    connection
        .execute(AssertSqlSafe(create))
        .await
        .context("creating the database")?;
    connection
        .close()
        .await
        .context("disconnecting from Postgres")
}

/// Finds the newest version that Debian's packages installed, or the programs on the PATH.
fn find_programs() -> anyhow::Result<Programs> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = versions.into_iter().rev().map(|(_, directory)| directory);
    directories
        .chain(std::env::split_paths(&path))
        .map(|directory| Programs {
            initdb: directory.join("initdb"),
            postgres: directory.join("postgres"),
        })
        .find(|programs| programs.initdb.is_file() && programs.postgres.is_file())
        .context(
            "`initdb` and `postgres` are neither in /usr/lib/postgresql nor on the PATH: \
             install them with `apt-get install postgresql`, or pass --database-url",
        )
}

/// The user to run Postgres as; `None` for the current user. Postgres refuses to run as root.
fn server_user() -> anyhow::Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        let user = User::from_name(name).with_context(|| format!("looking up user {name}"))?;
        if user.is_some() {
            return Ok(user);
        }
    }
    bail!(
        "Postgres does not run as root, and the users `postgres` and `nobody` do not exist: \
         create one of them, or pass --database-url"
    )
}
