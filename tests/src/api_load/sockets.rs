//! Messages to many sockets: how long they take from the commit, and the memory of a socket.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::watch, task::JoinSet, time::sleep};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use super::{Options, processes::Api, quantile, round};
use crate::ingest::mirror::Mirror;

/// Time that the last messages may take.
const GRACE: Duration = Duration::from_secs(2);
/// Sockets that are opened at the same time.
const OPENING: usize = 50;

/// A message that a socket got: the record that it is about, and when it came.
type Arrival = (u64, Instant);

/// Opens the sockets, each of which listens to one of the markets, and measures for a while.
pub async fn measure(
    options: &Options,
    api: &Api,
    markets: &[String],
    mirror: &Mirror,
) -> anyhow::Result<Value> {
    let before = api.0.memory_kib()?;
    let channels =
        (0..options.sockets).map(|index| format!("market:{}", markets[index % markets.len()]));
    let (opened, mut is_open) = watch::channel(false);
    let (end, is_over) = watch::channel(false);
    let listening = {
        let (channels, address) = (channels.collect::<Vec<_>>(), api.0.address.to_string());
        // A thread of their own: while they are served, this one notes commits.
        thread::spawn(move || listen(&channels, &address, &opened, &is_over))
    };
    let opening = is_open.wait_for(|open| *open).await;
    ensure!(
        opening.is_ok(),
        "sockets don't open: {:?}",
        listening.join()
    );
    let idle = api.0.memory_kib()?;
    let (begun, cpu, first) = (Instant::now(), api.0.cpu_secs()?, mirror.seq());
    sleep(Duration::from_secs(options.socket_secs)).await;
    let (secs, last) = (begun.elapsed().as_secs_f64(), mirror.seq());
    let cpu_share = (api.0.cpu_secs()? - cpu) / secs;
    sleep(GRACE).await;
    let loaded = api.0.memory_kib()?;
    end.send_replace(true);
    let arrivals = listening.join().map_err(|_| anyhow!("a socket failed"))??;

    let measured = arrivals
        .iter()
        .filter(|(seq, _)| first < *seq && *seq <= last);
    let mut millis = vec![];
    for (seq, at) in measured {
        let committed = mirror
            .committed_at(*seq)
            .context("a record is not committed")?;
        millis.push(at.saturating_duration_since(committed).as_secs_f64() * 1e3);
    }
    millis.sort_by(f64::total_cmp);
    let at = |share| quantile(&millis, share).map(round);
    let of_socket = |memory: f64| round((memory - before) / options.sockets as f64);
    let per_sec = (millis.len() as f64 / secs).round();
    println!(
        "{} sockets, {per_sec} messages/s: p50 {:?} ms, p99 {:?} ms; memory of a socket {} KiB, under load {} KiB",
        options.sockets,
        at(0.5),
        at(0.99),
        of_socket(idle),
        of_socket(loaded)
    );
    Ok(json!({
        "sockets": options.sockets,
        "messages_per_sec": per_sec,
        "from": "a listener on Postgres gets the commit's notification",
        "to": "the client has read the message",
        "p50_millis": at(0.5),
        "p99_millis": at(0.99),
        "max_millis": at(1.0),
        "kib_a_socket": of_socket(idle),
        "kib_a_socket_under_load": of_socket(loaded),
        "cpu_share": round(cpu_share),
    }))
}

/// Runs the clients until the measurement is over. Returns all messages that they got.
fn listen(
    channels: &[String],
    address: &str,
    opened: &watch::Sender<bool>,
    is_over: &watch::Receiver<bool>,
) -> anyhow::Result<Vec<Arrival>> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async {
        let mut readers = JoinSet::new();
        for channels in channels.chunks(OPENING) {
            let opening = channels.iter().map(|channel| open(address, channel));
            for socket in futures::future::try_join_all(opening).await? {
                readers.spawn(read(socket, is_over.clone()));
            }
        }
        opened.send_replace(true);
        let mut arrivals = vec![];
        while let Some(read) = readers.join_next().await {
            arrivals.extend(read??);
        }
        Ok(arrivals)
    })
}

/// Opens a socket, and waits for the snapshot of the channel.
async fn open(address: &str, channel: &str) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let config = WebSocketConfig::default().read_buffer_size(4 * 1024);
    let url = format!("ws://{address}/api/v1/ws");
    let (mut socket, _) = client_async_with_config(url, stream, Some(config)).await?;
    let subscribe = json!({ "op": "subscribe", "id": 1, "channel": channel });
    socket.send(Message::text(subscribe.to_string())).await?;
    loop {
        let message = socket.next().await.context("the socket has closed")??;
        if message
            .to_text()
            .is_ok_and(|text| text.contains("\"type\":\"snapshot\""))
        {
            return Ok(socket);
        }
    }
}

async fn read(
    mut socket: WebSocketStream<TcpStream>,
    mut is_over: watch::Receiver<bool>,
) -> anyhow::Result<Vec<Arrival>> {
    let mut arrivals = vec![];
    loop {
        let message = tokio::select! {
            message = socket.next() => message.context("the socket has closed")??,
            _ = is_over.wait_for(|is_over| *is_over) => return Ok(arrivals),
        };
        let now = Instant::now();
        let Message::Text(text) = message else {
            continue;
        };
        ensure!(
            !text.contains("\"type\":\"reset\""),
            "a socket was reset: {text}"
        );
        if text.contains("\"channel\":")
            && let Some(seq) = seq(&text)
        {
            arrivals.push((seq, now));
        }
    }
}

/// The `seq` of a message.
fn seq(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("\"seq\":")?;
    let digits = rest.find(|character: char| !character.is_ascii_digit())?;
    rest[..digits].parse().ok()
}
