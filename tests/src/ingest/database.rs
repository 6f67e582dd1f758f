//! A Postgres server of its own, with the durability of its defaults.

use std::{
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use nix::unistd::{Uid, User};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

/// Where Debian's packages are. The newest version is used.
const INSTALLED: &str = "/usr/lib/postgresql";
const START_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Postgres {
    programs: PathBuf,
    directory: TempDir,
    user: Option<User>,
    server: Child,
}

impl Postgres {
    /// Creates a cluster in /var/tmp, which is on a disk, and starts it with the default settings, fsync
    /// included, but for the connections.
    pub async fn start() -> anyhow::Result<Self> {
        let programs = programs()?;
        let user = server_user()?;
        let directory = tempfile::Builder::new()
            .prefix("driftshield-bench-")
            .tempdir_in("/var/tmp")?;
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700))?;
        if let Some(user) = &user {
            let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
            std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid))?;
        }
        let data = directory.path().join("data");
        let mut initdb = command(&programs, "initdb", user.as_ref());
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        let output = initdb
            .args(["--locale=C", "--pgdata"])
            .arg(&data)
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "initdb: {text}");
        let log = std::fs::File::create(directory.path().join("log"))?;
        let server = command(&programs, "postgres", user.as_ref())
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(directory.path())
            .args(["-c", "listen_addresses="])
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()?;
        let postgres = Self {
            programs,
            directory,
            user,
            server,
        };
        postgres.wait().await?;
        Ok(postgres)
    }

    async fn wait(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            match PgConnection::connect(&self.url("postgres")).await {
                Ok(connection) => return Ok(connection.close().await?),
                Err(error) if START_TIMEOUT < started.elapsed() => {
                    return Err(error).context("Postgres doesn't start");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    pub fn url(&self, database: &str) -> String {
        let directory = self.directory.path().display();
        format!("postgres://postgres@localhost/{database}?host={directory}")
    }

    /// Creates an empty database; returns its URL.
    pub async fn create(&self, database: &str) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        let create = format!("create database {database}");
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(self.url(database))
    }

    pub async fn version(&self) -> anyhow::Result<String> {
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        let version = sqlx::query_scalar("show server_version");
        Ok(version.fetch_one(&mut connection).await?)
    }

    /// Microseconds that `fdatasync` takes after a write of 8 kB on the disk of the cluster, as
    /// `pg_test_fsync` measures it.
    pub fn fdatasync_micros(&self) -> anyhow::Result<f64> {
        let file = self.directory.path().join("pg_test_fsync");
        let mut test = command(&self.programs, "pg_test_fsync", self.user.as_ref());
        let output = test
            .args(["--secs-per-test=2", "--filename"])
            .arg(file)
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        // `fdatasync   1234.567 ops/sec     810 usecs/op`; the first line is of one write.
        let mut lines = text.lines().map(str::split_whitespace);
        let found = lines.find_map(|mut words| {
            (words.next() == Some("fdatasync")).then(|| words.next()?.parse::<f64>().ok())?
        });
        let rate = found.with_context(|| format!("pg_test_fsync printed: {text}"))?;
        Ok(1e6 / rate)
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        let mut stop = command(&self.programs, "pg_ctl", self.user.as_ref());
        let data = self.directory.path().join("data");
        stop.args(["stop", "--mode=fast", "--silent", "--pgdata"])
            .arg(data);
        ensure!(stop.status()?.success(), "pg_ctl stop failed");
        self.server.wait()?;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("stopping Postgres: {error:#}");
            let _ = self.server.kill();
        }
    }
}

fn command(programs: &Path, name: &str, user: Option<&User>) -> Command {
    let mut command = Command::new(programs.join(name));
    command.current_dir("/");
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

fn programs() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir(INSTALLED).into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .map(|entry| entry.path())
        .filter(|path| version(path).is_some())
        .max_by_key(|path| version(path));
    let newest = newest.context("no Postgres; install it with `apt-get install postgresql`")?;
    Ok(newest.join("bin"))
}

/// The user to run Postgres as, which refuses to run as root; `None` for the current user.
fn server_user() -> anyhow::Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name("postgres")?;
    if user.is_none() {
        bail!("Postgres doesn't run as root, and there is no user `postgres`; create it");
    }
    Ok(user)
}
