//! Requests a second and their latencies.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{
    Options,
    processes::{Api, Server, start_constant},
    quantile, round,
};

const MAX_HEADERS: usize = 48;

/// What is asked for.
struct Target {
    name: &'static str,
    path: String,
    /// Whether the client has the answer already.
    is_known: bool,
}

/// Answers in a round.
#[derive(Default)]
struct Round {
    answers: usize,
    not_modified: usize,
    secs: f64,
    /// Share of the processor that the server used.
    cpu_share: f64,
    micros: Vec<u32>,
}

/// Measures each target and a bare handler with a body of the same length in turns.
pub async fn measure(options: &Options, api: &Api, market: &str) -> anyhow::Result<Value> {
    let target = |name, path: String, is_known| Target {
        name,
        path,
        is_known,
    };
    let of_market = format!("/api/v1/markets/{market}");
    let targets = [
        target("market", of_market.clone(), false),
        target("list_of_50", "/api/v1/markets?limit=50".to_owned(), false),
        target("odds_history", format!("{of_market}/odds"), false),
        target("not_modified", of_market.clone(), true),
    ];
    let mut results = serde_json::Map::new();
    for target in &targets {
        let result = measure_target(options, api, target).await;
        let result = result.with_context(|| target.path.clone())?;
        results.insert(target.name.to_owned(), result);
    }
    Ok(results.into())
}

async fn measure_target(options: &Options, api: &Api, target: &Target) -> anyhow::Result<Value> {
    let answer = reqwest::get(api.url(&target.path)).await?;
    let body = answer.error_for_status()?.bytes().await?.len();
    let bare = start_constant(if target.is_known { 0 } else { body }).await?;
    let (mut of_api, mut of_bare) = (vec![], vec![]);
    for _ in 0..options.rounds {
        let round = run_round(options, &api.0, &target.path, target.is_known);
        of_api.push(round.await?);
        of_bare.push(run_round(options, &bare, "/", false).await?);
    }
    // Of neighbours in time, because the machine's speed changes.
    let mut ratios: Vec<_> = of_api
        .iter()
        .zip(&of_bare)
        .map(|(api, bare)| api.per_sec() / bare.per_sec())
        .collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = quantile(&ratios, 0.5).context("no rounds")?;
    let (api, bare) = (report(&of_api)?, report(&of_bare)?);
    println!(
        "{}: {} requests/s, p99 {} ms; bare handler {} requests/s, p99 {} ms; ratio {:.2}",
        target.name, api["per_sec"], api["p99_millis"], bare["per_sec"], bare["p99_millis"], ratio
    );
    Ok(json!({ "bytes": body, "api": api, "bare_handler": bare, "ratio": round(ratio) }))
}

impl Round {
    fn per_sec(&self) -> f64 {
        self.answers as f64 / self.secs
    }
}

fn report(rounds: &[Round]) -> anyhow::Result<Value> {
    let median = |of: &dyn Fn(&Round) -> f64| {
        let mut values: Vec<_> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        quantile(&values, 0.5).context("no rounds")
    };
    let mut micros: Vec<_> = rounds
        .iter()
        .flat_map(|round| &round.micros)
        .copied()
        .collect();
    micros.sort_unstable();
    let millis = |share| Some(round(f64::from(quantile(&micros, share)?) / 1_000.0));
    let not_modified: usize = rounds.iter().map(|round| round.not_modified).sum();
    let share = not_modified as f64 / micros.len() as f64;
    Ok(json!({
        "per_sec": median(&Round::per_sec)?.round(),
        "p50_millis": millis(0.5),
        "p99_millis": millis(0.99),
        "not_modified_share": round(share),
        "cpu_share": round(median(&|round| round.cpu_share)?),
    }))
}

/// Lets all clients send for a while, each one request after the other.
async fn run_round(
    options: &Options,
    server: &Server,
    path: &str,
    is_known: bool,
) -> anyhow::Result<Round> {
    let clients = (0..options.clients).map(|_| Client::connect(server.address, path, is_known));
    let clients = try_join_all(clients).await?;
    let (begun, cpu) = (Instant::now(), server.cpu_secs()?);
    let end = begun + Duration::from_secs(options.round_secs);
    let tasks = clients
        .into_iter()
        .map(|client| tokio::spawn(client.send_until(end)));
    let rounds = try_join_all(tasks).await?;
    let secs = begun.elapsed().as_secs_f64();
    let mut all = Round {
        secs,
        cpu_share: (server.cpu_secs()? - cpu) / secs,
        ..Round::default()
    };
    for round in rounds {
        let round = round?;
        all.answers += round.answers;
        all.not_modified += round.not_modified;
        all.micros.extend(round.micros);
    }
    Ok(all)
}

/// A connection that is kept alive.
pub struct Client {
    stream: TcpStream,
    path: String,
    /// Tag of the last answer, sent with the next request if the client keeps answers.
    tag: Option<String>,
    is_known: bool,
    buffer: Vec<u8>,
}

struct Answer {
    status: u16,
    tag: Option<String>,
}

impl Client {
    async fn connect(address: SocketAddr, path: &str, is_known: bool) -> anyhow::Result<Self> {
        let mut client = Self::connect_from(Ipv4Addr::LOCALHOST, address, path).await?;
        client.is_known = is_known;
        client.ask().await?;
        Ok(client)
    }

    pub async fn connect_from(
        from: Ipv4Addr,
        address: SocketAddr,
        path: &str,
    ) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            path: path.to_owned(),
            tag: None,
            is_known: false,
            buffer: Vec::with_capacity(64 * 1024),
        })
    }

    async fn send_until(mut self, end: Instant) -> anyhow::Result<Round> {
        let mut round = Round::default();
        loop {
            let sent = Instant::now();
            if end <= sent {
                return Ok(round);
            }
            let status = self.ask().await?;
            ensure!([200, 304].contains(&status), "answer {status}");
            round.micros.push(sent.elapsed().as_micros() as u32);
            round.answers += 1;
            round.not_modified += usize::from(status == 304);
        }
    }

    /// Sends a request and reads the answer. Returns its status.
    pub async fn ask(&mut self) -> anyhow::Result<u16> {
        let condition = self
            .tag
            .as_deref()
            .map(|tag| format!("if-none-match: {tag}\r\n"));
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: api\r\n{}\r\n",
            self.path,
            condition.unwrap_or_default()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let answer = loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(0 < read, "the server has closed the connection");
            if let Some(answer) = parse(&self.buffer)? {
                break answer;
            }
        };
        if self.is_known {
            self.tag = answer.tag;
        }
        Ok(answer.status)
    }
}

/// An answer that is complete; `None` if more bytes are to come.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(begin) = response.parse(bytes)? else {
        return Ok(None);
    };
    let header = |name: &str| {
        let mut headers = response.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let status = response.code.context("no status")?;
    let length: usize = match (status, header("content-length")) {
        (304, _) => 0,
        (_, length) => length.context("no length")?.parse()?,
    };
    let tag = header("etag").map(str::to_owned);
    Ok((begin + length <= bytes.len()).then_some(Answer { status, tag }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\netag: \"a\"\r\ncontent-length: 3\r\n\r\nabc";
        for end in 0..answer.len() {
            assert!(parse(&answer[..end]).unwrap().is_none(), "{end}");
        }
        let complete = parse(answer).unwrap().expect("complete");
        assert_eq!(
            (complete.status, complete.tag.as_deref()),
            (200, Some("\"a\""))
        );
        let unchanged = b"HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\n";
        assert_eq!(parse(unchanged).unwrap().expect("complete").status, 304);
    }
}
