//! The client of an RPC node: requests, their time limits and their retries.

use std::{
    io,
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable};
use driftshield_service::error_chain;
use metrics::counter;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use solana_rpc_client::http_sender::HttpSender;
use solana_rpc_client_api::{
    client_error::{
        Error as ClientError, ErrorKind,
        reqwest::{Client, header::CONTENT_TYPE},
    },
    request::{RpcError, RpcResponseErrorData},
};
use tokio::time::timeout;

use super::ReadError;
use crate::{metrics::RPC_REQUESTS, waits::scaled};

/// Time limit of an answer, and of each pause while the answer to [`LIST`] arrives. Slots can wait for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit of the answer to [`LIST`], for which no slot waits. The node can take minutes before it
/// sends the first byte.
const LIST_TIMEOUT: Duration = Duration::from_secs(1_800);
/// The request for all accounts of a type.
pub const LIST: &str = "getProgramAccounts";
/// Time after which a failed request is not sent again: a node that is behind has a minute to catch up.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// Times after which the kernel asks a silent peer whether it is there, and asks again. A peer that
/// doesn't answer for half a minute is gone.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 4;
/// Number of retries after the node refused a request because of its rate, or failed.
const MAX_RETRIES: usize = 10;
const MIN_RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// Client of an RPC node, at confirmed commitment.
#[derive(Clone)]
pub struct Rpc {
    http: Client,
    url: String,
    limits: Limits,
    is_patient: bool,
}

/// Time limits of requests.
#[derive(Clone, Copy)]
struct Limits {
    answer: Duration,
    list: Duration,
    retries: Duration,
}

impl Rpc {
    pub fn new(url: &str) -> Self {
        let limits = Limits {
            answer: scaled(ANSWER_TIMEOUT),
            list: scaled(LIST_TIMEOUT),
            retries: scaled(RETRY_TIMEOUT),
        };
        Self::with_limits(url, limits)
    }

    fn with_limits(url: &str, limits: Limits) -> Self {
        let http = Client::builder()
            .default_headers(HttpSender::default_headers())
            .connect_timeout(limits.answer)
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE_INTERVAL)
            .tcp_keepalive_retries(KEEPALIVE_RETRIES);
        Self {
            http: http.build().expect("a client without files"),
            url: url.to_owned(),
            limits,
            is_patient: false,
        }
    }

    /// A client for work for which no slot waits: it also sends requests again that the node did not
    /// answer.
    pub fn patient(&self) -> Self {
        Self {
            is_patient: true,
            ..self.clone()
        }
    }

    /// Sends a request; retries it if the node or the network fails, or refuses its rate. If the node
    /// doesn't answer in time, another source may have what it was asked for.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, ReadError> {
        let begun = Instant::now();
        let send = || async {
            let sent = self.send_once(method, &params);
            count(method, sent.await).map_err(Box::new)
        };
        let is_worthwhile = |error: &ClientError| {
            let is_soon = !is_unanswered(error) && begun.elapsed() < self.limits.retries;
            !is_answer(error) && (self.is_patient || is_soon)
        };
        let retries = ExponentialBuilder::new()
            .with_min_delay(MIN_RETRY_DELAY)
            .with_max_delay(scaled(MAX_RETRY_DELAY))
            .with_jitter()
            .with_max_times(MAX_RETRIES);
        send.retry(retries)
            .when(|error| is_worthwhile(error))
            .notify(|error, _| {
                let error = without_url(error);
                tracing::debug!(method, error, "RPC request failed; retrying");
            })
            .await
            .map_err(|error| ReadError::Request { method, error })
    }

    /// Sends a request once, and returns the result of the node's answer.
    async fn send_once<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Value,
    ) -> Result<T, ClientError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            result: Value,
            error: Option<Refusal>,
        }
        #[derive(Deserialize)]
        struct Refusal {
            code: i64,
            message: String,
        }
        let limit = match method {
            LIST => self.limits.list,
            _ => self.limits.answer,
        };
        let body = in_time(limit, self.exchange(method, params)).await?;
        let answer: Answer = serde_json::from_slice(&body)?;
        drop(body);
        if let Some(Refusal { code, message }) = answer.error {
            let data = RpcResponseErrorData::Empty;
            return Err(RpcError::RpcResponseError {
                code,
                message,
                data,
            }
            .into());
        }
        Ok(serde_json::from_value(answer.result)?)
    }

    /// The bytes of the node's answer.
    async fn exchange(&self, method: &str, params: &Value) -> Result<Vec<u8>, ClientError> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let post = self.http.post(&self.url);
        let post = post.header(CONTENT_TYPE, "application/json");
        let sent = post.body(request.to_string()).send().await?;
        let mut response = sent.error_for_status()?;
        let mut body = vec![];
        let mut next = async || Ok::<_, ClientError>(response.chunk().await?);
        while let Some(part) = in_time(self.limits.answer, next()).await? {
            body.extend_from_slice(&part);
        }
        Ok(body)
    }
}

/// Limits the time of an exchange with the node.
async fn in_time<T>(
    limit: Duration,
    exchange: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    let unanswered = |_| {
        let message = format!("the node has not answered for {} s", limit.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, message)
    };
    timeout(limit, exchange).await.map_err(unanswered)?
}

/// Counts a request by its result, which it returns.
fn count<T>(method: &'static str, sent: Result<T, ClientError>) -> Result<T, ClientError> {
    let result = if sent.is_ok() { "ok" } else { "error" };
    counter!(RPC_REQUESTS, "method" => method, "result" => result).increment(1);
    sent
}

/// The error with its causes, without the node's URL, which can contain an access key.
pub fn without_url(error: &ClientError) -> String {
    const URL: &str = " for url (";
    let mut rest = error_chain(error);
    let mut message = String::new();
    while let Some(start) = rest.find(URL) {
        message.push_str(&rest[..start]);
        // A URL has no space. It ends with the message, or with a parenthesis and a colon.
        let url = rest.split_off(start + URL.len());
        rest = url
            .find("): ")
            .map_or(String::new(), |end| url[end + 1..].to_owned());
    }
    message + &rest
}

/// Whether the error is the node's answer to the request, so that a retry gets the same. A node that
/// is behind answers otherwise later.
fn is_answer(error: &ClientError) -> bool {
    const BEHIND: i64 = -32016; // minimum context slot not reached
    const UNHEALTHY: i64 = -32005;
    const NOT_YET: i64 = -32004; // block not available for slot
    const STATUS_NOT_YET: i64 = -32014; // its transactions are not available yet
    match error.kind() {
        ErrorKind::RpcError(RpcError::RpcResponseError { code, .. }) => {
            ![BEHIND, UNHEALTHY, NOT_YET, STATUS_NOT_YET].contains(code)
        }
        _ => false,
    }
}

/// Whether the node did not answer in time, or is gone.
fn is_unanswered(error: &ClientError) -> bool {
    match error.kind() {
        ErrorKind::Io(error) => error.kind() == io::ErrorKind::TimedOut,
        ErrorKind::Reqwest(error) => error.is_timeout(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use driftshield_sdk::AccountKind;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::sleep,
    };

    use super::*;

    const LIMITS: Limits = Limits {
        answer: Duration::from_millis(300),
        list: Duration::from_secs(20),
        retries: Duration::from_secs(20),
    };

    /// A node that sends parts of an answer, each after a pause, and then nothing without closing the
    /// connection. Returns its client, and the number of connections.
    async fn node<const N: usize>(parts: [(Duration, &'static str); N]) -> (Rpc, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Relaxed);
                tokio::spawn(async move {
                    let _ = client.read(&mut [0; 4096]).await;
                    for (pause, part) in parts {
                        sleep(pause).await;
                        client.write_all(part.as_bytes()).await.unwrap();
                    }
                    std::future::pending::<()>().await
                });
            }
        });
        (Rpc::with_limits(&url, LIMITS), accepted)
    }

    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 51\r\n\r\n";
    const BODY: &str = r#"{"id":1,"result":{"context":{"slot":7},"value":[]}}"#;

    #[tokio::test]
    async fn a_request_that_is_not_answered_is_given_up_soon() {
        let (rpc, accepted) = node([]).await;
        let begun = Instant::now();
        let error = rpc.slot().await.expect_err("no answer");
        assert!(begun.elapsed() < 3 * LIMITS.answer, "{:?}", begun.elapsed());
        assert!(error.to_string().contains("not answered"), "{error}");
        assert_eq!(accepted.load(Relaxed), 1);
        // Nothing waits for a patient one.
        let patient = rpc.patient();
        let patient = timeout(10 * LIMITS.answer, patient.slot());
        assert!(patient.await.is_err());
        assert!(2 < accepted.load(Relaxed));
    }

    #[tokio::test]
    async fn a_list_may_take_long_until_it_begins_but_not_pause_afterwards() {
        let late = 3 * LIMITS.answer;
        let (rpc, _) = node([(late, HEAD), (LIMITS.answer / 3, BODY)]).await;
        let accounts = rpc.accounts_of(Some(AccountKind::Market), 7);
        assert_eq!(accounts.await.unwrap().slot(), 7);

        let (rpc, accepted) = node([(late, HEAD), (Duration::ZERO, "{")]).await;
        let begun = Instant::now();
        let accounts = rpc.accounts_of(Some(AccountKind::Market), 7);
        let error = accounts.await.err().expect("half an answer");
        assert!(error.to_string().contains("not answered"), "{error}");
        assert!(begun.elapsed() < LIMITS.list / 4);
        assert_eq!(accepted.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn a_refusal_is_the_answer() {
        const REFUSAL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n\
             {\"error\":{\"code\":-32001,\"message\":\"cleaned up\"}}  ";
        let (rpc, accepted) = node([(Duration::ZERO, REFUSAL)]).await;
        let block = rpc.block(7).await;
        assert!(matches!(block, Err(ReadError::NoBlock(7))));
        assert_eq!(accepted.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn errors_keep_the_url_secret_and_name_the_cause() {
        // Nothing listens on port 1.
        let url = "http://user:secret@127.0.0.1:1/path?api-key=secret";
        let client = Rpc::new(url);
        let params = json!([]);
        let sent = client.send_once::<u64>("getSlot", &params);
        let error = sent.await.expect_err("refused");
        assert!(error.to_string().contains("secret"));
        let message = without_url(&error);
        assert!(!message.contains("secret"), "{message}");
        assert!(message.contains("refused"), "{message}");
        let error = ReadError::Request {
            method: "getSlot",
            error: Box::new(error),
        };
        assert!(!error_chain(&error).contains("secret"));
    }
}
