//! The servers that are measured, each on CPU 0.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use anyhow::Context;
use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use tokio::{net::TcpStream, time::sleep};

use crate::network::{binary, free_address};

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A server's process, killed when dropped.
pub struct Server {
    pub address: SocketAddr,
    process: Child,
}

impl Server {
    async fn start(mut command: Command, address: SocketAddr) -> anyhow::Result<Self> {
        let process = command.spawn().context("taskset doesn't start")?;
        let server = Self { address, process };
        let answers = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let started = tokio::time::timeout(START_TIMEOUT, answers).await;
        started.with_context(|| format!("{command:?} doesn't listen"))?;
        Ok(server)
    }

    /// Seconds of processor time so far.
    pub fn cpu_secs(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // After the name in parentheses, the 12th and 13th fields: user and system time in ticks of 10 ms.
        let (_, fields) = stat.rsplit_once(')').context("no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        Ok(ticks
            .filter_map(|text| text.parse::<f64>().ok())
            .sum::<f64>()
            / 100.0)
    }

    /// Resident memory, in KiB.
    pub fn memory_kib(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.split_whitespace().next());
        Ok(resident.context("no VmRSS")?.parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(program);
    command
}

pub struct Api(pub Server);

impl Api {
    /// Starts the API with options. Returns when it serves the mirror.
    pub async fn start(
        database_url: &str,
        folder: &Path,
        options: &[&str],
    ) -> anyhow::Result<Self> {
        let address = free_address();
        let mut command = pinned(&binary("api"));
        let log = fs::File::create(folder.join("api.log"))?;
        command
            .args(["--listen", &address.to_string()])
            .args(options)
            .env("DATABASE_URL", database_url)
            .env("NO_COLOR", "1")
            .stdout(log.try_clone()?)
            .stderr(log);
        let api = Self(Server::start(command, address).await?);
        let is_ready = async {
            while !api.is_ready().await {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let ready = tokio::time::timeout(START_TIMEOUT, is_ready).await;
        ready.context("the API doesn't become ready")?;
        Ok(api)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.address)
    }

    /// Whether the API answers from the mirror. It doesn't count as ready, because the recorded blocks are old.
    async fn is_ready(&self) -> bool {
        let response = reqwest::get(self.url("/api/v1/markets?limit=1")).await;
        response.is_ok_and(|response| response.status().is_success())
    }
}

/// Starts this program as the server of [`serve_constant`].
pub async fn start_constant(bytes: usize) -> anyhow::Result<Server> {
    let address = free_address();
    let mut command = pinned(&std::env::current_exe()?);
    command
        .arg("constant")
        .args(["--bytes", &bytes.to_string()])
        .args(["--listen", &address.to_string()]);
    Server::start(command, address).await
}

/// Answers every request with the same body, or with 304 if that is empty, until the process is killed.
pub async fn serve_constant(listen: SocketAddr, bytes: usize) -> anyhow::Result<()> {
    let body: &'static str = "x".repeat(bytes).leak();
    let answer = move || async move {
        match body {
            "" => StatusCode::NOT_MODIFIED.into_response(),
            body => ([("content-type", "application/json")], body).into_response(),
        }
    };
    let router = Router::new().route("/", get(answer));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    Ok(axum::serve(listener, router).await?)
}
