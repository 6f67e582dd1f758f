//! A Postgres server of a test's own, which the test can kill, restart and fail over.

use std::{
    fs::Permissions,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, User},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

use super::{free_address, wait_for};

const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that the server accepts, few enough that a test can take all of them.
pub const MAX_CONNECTIONS: usize = 30;

/// A server on a loopback port. Its data survive a crash of the server, but not of the machine.
pub struct Postgres {
    pub port: u16,
    data: TempDir,
    server: Option<Child>,
}

impl Postgres {
    /// Starts a server with an empty database of the name `driftshield`.
    pub async fn start() -> Self {
        let data = directory();
        run(Command::new(program("initdb"))
            .arg("--pgdata")
            .arg(data.path())
            .args(["--username", "postgres", "--auth", "trust"])
            .args(["--encoding", "UTF8", "--locale", "C", "--no-sync"]));
        let mut server = Self::over(data);
        server.restart().await;
        server.create("driftshield").await;
        server
    }

    fn over(data: TempDir) -> Self {
        Self {
            port: free_address().port(),
            data,
            server: None,
        }
    }

    /// Creates an empty database. Returns its URL.
    pub async fn create(&self, database: &str) -> String {
        let mut connection = connect(&self.url("postgres")).await;
        let create = format!("create database {database}");
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut connection)
            .await
            .unwrap();
        self.url(database)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Sends SIGKILL to the server and its processes.
    pub fn kill(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Starts the server again over its data, after a clean stop if it runs.
    pub async fn restart(&mut self) {
        self.stop();
        let mut command = Command::new(program("postgres"));
        command.arg("-D").arg(self.data.path());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            // Commits survive a kill of the server; only a crash of the machine could lose them.
            "fsync=off",
            "full_page_writes=off",
            "wal_level=replica",
            "wal_keep_size=256MB",
            "hot_standby=on",
            // A killed server's processes must be gone before the next one starts.
            "restart_after_crash=off",
        ] {
            command.args(["-c", setting]);
        }
        command.args(["-c", &format!("max_connections={MAX_CONNECTIONS}")]);
        command.args(["-c", &format!("port={}", self.port)]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // The processes of a killed server release its shared memory with a delay.
        let url = self.url("postgres");
        wait_for("Postgres", START_TIMEOUT, async || {
            let is_running = self
                .server
                .as_mut()
                .is_some_and(|server| server.try_wait().unwrap().is_none());
            if !is_running {
                self.server = Some(as_server_user(&mut command).spawn().unwrap());
            }
            PgConnection::connect(&url).await.ok()
        })
        .await;
    }

    /// A server that follows this one and accepts readers only.
    pub async fn standby(&self) -> Self {
        let mut standby = Self::over(directory());
        run(Command::new(program("pg_basebackup"))
            .arg("--pgdata")
            .arg(standby.data.path())
            .args(["--host", "127.0.0.1", "--port", &self.port.to_string()])
            .args([
                "--username",
                "postgres",
                "--no-sync",
                "--checkpoint",
                "fast",
            ])
            .args(["--write-recovery-conf", "--wal-method", "stream"]));
        standby.restart().await;
        standby
    }

    /// Stops receiving what the server commits from now on.
    pub async fn stop_following(&self) {
        let mut connection = connect(&self.url("postgres")).await;
        let sql = "alter system set primary_conninfo = ''";
        connection.execute(sql).await.unwrap();
        connection.execute("select pg_reload_conf()").await.unwrap();
        wait_for("the end of the replication", START_TIMEOUT, async || {
            let receivers = sqlx::query_scalar("select count(*) from pg_stat_wal_receiver");
            let receivers: i64 = receivers.fetch_one(&mut connection).await.unwrap();
            (receivers == 0).then_some(())
        })
        .await;
    }

    /// Makes a standby accept writers.
    pub async fn promote(&self) {
        let mut connection = connect(&self.url("postgres")).await;
        connection.execute("select pg_promote()").await.unwrap();
    }

    fn stop(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        let pid = Pid::from_raw(server.id().cast_signed());
        let _ = kill(pid, Signal::SIGINT); // "fast shutdown"
        server.wait().unwrap();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// A directory of the server's user. In /tmp, because that user may have no access elsewhere.
fn directory() -> TempDir {
    let directory = tempfile::Builder::new()
        .prefix("driftshield-postgres-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in("/tmp")
        .unwrap();
    if let Some(user) = server_user() {
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        chown(directory.path(), Some(uid), Some(gid)).unwrap();
    }
    directory
}

fn run(command: &mut Command) {
    let output = as_server_user(command).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
}

/// Postgres refuses to run as root.
fn as_server_user(command: &mut Command) -> &mut Command {
    if let Some(user) = server_user() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command.current_dir("/")
}

fn server_user() -> Option<User> {
    let is_root = Uid::effective().is_root();
    is_root.then(|| {
        User::from_name("postgres")
            .unwrap()
            .expect("the user postgres")
    })
}

/// A program of the newest version that Debian's packages installed, or of the PATH.
fn program(name: &str) -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut versions: Vec<(u32, PathBuf)> = installed
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path()))
        })
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, path)| path.join("bin").join(name));
    newest.unwrap_or_else(|| Path::new(name).to_owned())
}
