//! A Postgres of our own, on a unix socket.
//!
//! It keeps nothing safe from a crash of the machine: the chain it mirrors lives in memory.

use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use sqlx::{Connection, Executor, PgConnection};
use tokio::process::Command;

use crate::{
    children::{Ask, Children, User},
    record::FOLDER_PREFIX,
};

const DATABASE: &str = "driftshield";
const SUPERUSER: &str = "postgres";
const PATIENCE: Duration = Duration::from_secs(30);

struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
}

/// Starts it, with an empty database, and returns that database's URL.
pub async fn start(children: &Children) -> anyhow::Result<String> {
    let programs = find_programs()?;
    let user = unprivileged_user()?;
    // Not below a home folder: the user may not be let in. A socket's path has to be short.
    let folder = tempfile::Builder::new()
        .prefix(FOLDER_PREFIX)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in("/tmp")
        .context("making a folder for Postgres in /tmp")?;
    let path = folder.path().to_owned();
    if let Some(User { uid, gid }) = user {
        chown(&path, Some(uid), Some(gid)).context("handing Postgres its folder")?;
    }
    children.keep(folder)?;
    let data = path.join("data");
    children
        .run("initdb", &initdb(&programs, &data), user)
        .await?;
    let server = server(&programs, &data, &path);
    children.spawn("postgres", &server, user, Ask::Interrupt)?;
    create_database(&path).await?;
    Ok(url(&path, DATABASE))
}

fn initdb(programs: &Programs, data: &Path) -> Command {
    let mut command = Command::new(&programs.initdb);
    command
        .arg("--pgdata")
        .arg(data)
        .args(["--username", SUPERUSER])
        // Who may open the socket is what its folder says.
        .args(["--auth", "trust"])
        .args(["--encoding", "UTF8", "--locale", "C"])
        .arg("--no-sync")
        .current_dir("/");
    command
}

fn server(programs: &Programs, data: &Path, socket_folder: &Path) -> Command {
    let mut command = Command::new(&programs.postgres);
    command
        .arg("-D")
        .arg(data)
        .arg("-k")
        .arg(socket_folder)
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

fn url(socket_folder: &Path, database: &str) -> String {
    format!(
        "postgres://{SUPERUSER}@localhost/{database}?host={}",
        socket_folder.display()
    )
}

async fn create_database(socket_folder: &Path) -> anyhow::Result<()> {
    let url = url(socket_folder, "postgres");
    let since = Instant::now();
    let mut connection = loop {
        match PgConnection::connect(&url).await {
            Ok(connection) => break connection,
            Err(error) if since.elapsed() > PATIENCE => {
                return Err(error).context("Postgres does not answer: see postgres.log");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let create = format!("create database {DATABASE}");
    connection
        .execute(create.as_str())
        .await
        .context("making the database")?;
    connection.close().await.context("leaving Postgres")
}

/// The newest of Debian's versions, else what is on the PATH.
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
    let folders = versions.into_iter().rev().map(|(_, folder)| folder);
    folders
        .chain(std::env::split_paths(&path))
        .map(|folder| Programs {
            initdb: folder.join("initdb"),
            postgres: folder.join("postgres"),
        })
        .find(|programs| programs.initdb.is_file() && programs.postgres.is_file())
        .context(
            "`initdb` and `postgres` are neither in /usr/lib/postgresql nor on the PATH: \
             install them with `apt-get install postgresql`, or pass --database-url",
        )
}

/// Postgres does not run as root. Everybody else runs it as themselves.
fn unprivileged_user() -> anyhow::Result<Option<User>> {
    if id("-u", None) != Some(0) {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let (Some(uid), Some(gid)) = (id("-u", Some(name)), id("-g", Some(name))) {
            return Ok(Some(User { uid, gid }));
        }
    }
    bail!("Postgres does not run as root, and there is neither a user `postgres` nor `nobody`")
}

/// What `id` says of a user, or of us.
fn id(which: &str, name: Option<&str>) -> Option<u32> {
    let output = std::process::Command::new("id")
        .arg(which)
        .args(name)
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
