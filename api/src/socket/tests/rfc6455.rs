//! Handshakes, frames and close codes against RFC 6455: the cases of the sections 2 to 7 of the
//! Autobahn suite, and of limits. The server's answer to a request repeats its `id`, which takes the
//! place of Autobahn's echo.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{net::TcpStream, time::sleep};

use super::{
    Server,
    client::{BINARY, CLOSE, CONTINUATION, Client, Frame, Got, HANDSHAKE, PING, PONG, TEXT},
    utf8,
};
use crate::socket::limits::MAX_MESSAGE;

/// Frames of a client, and what the server answers until it ends the connection or has no more to say.
struct Case {
    name: String,
    /// Written at once, unless `is_chopped`: byte by byte.
    frames: Vec<Frame>,
    is_chopped: bool,
    answers: Vec<Answer>,
}

#[derive(Clone, Debug, PartialEq)]
enum Answer {
    /// The answer to a request with this id; null for text that is no request.
    Echo(Value),
    Pong(Vec<u8>),
    /// A close frame, and then the end of the connection in order.
    Close(Option<u16>),
}

use Answer::{Close, Echo, Pong};

fn case(
    name: impl ToString,
    frames: impl Into<Vec<Frame>>,
    answers: impl Into<Vec<Answer>>,
) -> Case {
    Case {
        name: name.to_string(),
        frames: frames.into(),
        is_chopped: false,
        answers: answers.into(),
    }
}

fn chopped(case: Case) -> Case {
    Case {
        name: format!("{} byte by byte", case.name),
        is_chopped: true,
        ..case
    }
}

/// A request that is answered with its id.
fn request(id: &str) -> String {
    json!({ "op": "unsubscribe", "id": id, "channel": "events" }).to_string()
}

fn echo(id: &str) -> Answer {
    Echo(id.into())
}

fn text(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(TEXT, payload)
}

fn ping(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(PING, payload)
}

fn pong(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(PONG, payload)
}

fn begun(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::part(TEXT, payload)
}

fn middle(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::part(CONTINUATION, payload)
}

fn last(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(CONTINUATION, payload)
}

/// Fragments of one byte each.
fn fragments(payload: &[u8]) -> Vec<Frame> {
    let mut frames = vec![begun([])];
    frames.extend(payload.iter().map(|byte| middle([*byte])));
    frames.push(last([]));
    frames
}

fn pings_and_pongs() -> Vec<Case> {
    let binary = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    let full = || vec![0xfe; 125];
    let ten: Vec<_> = (0..10)
        .map(|index| ping(format!("payload-{index}")))
        .collect();
    let ten_pongs: Vec<_> = ten.iter().map(|ping| Pong(ping.payload.clone())).collect();
    vec![
        case("2.1", [ping([])], [Pong(vec![])]),
        case(
            "2.2",
            [ping("Hello, world!")],
            [Pong("Hello, world!".into())],
        ),
        case("2.3", [ping(binary)], [Pong(binary.into())]),
        case("2.4", [ping(full())], [Pong(full())]),
        case("2.5", [ping(vec![0xfe; 126])], [Close(Some(1002))]),
        chopped(case("2.6", [ping(full())], [Pong(full())])),
        case("2.7", [pong([])], []),
        case("2.8", [pong("unsolicited")], []),
        case("2.9", [pong("unsolicited"), ping("x")], [Pong("x".into())]),
        case("2.10", ten.clone(), ten_pongs.clone()),
        chopped(case("2.11", ten, ten_pongs)),
    ]
}

fn reserved_bits_and_opcodes() -> Vec<Case> {
    let mut cases = vec![];
    for bits in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70] {
        let mut frame = text(request("x"));
        frame.first |= bits;
        let name = format!("3 with reserved bits {bits:#x}");
        cases.push(case(
            name,
            [text(request("a")), frame],
            [echo("a"), Close(Some(1002))],
        ));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let name = format!("4 with opcode {opcode}");
        let frames = [text(request("a")), Frame::new(opcode, "x")];
        cases.push(case(name, frames, [echo("a"), Close(Some(1002))]));
    }
    let mut unmasked = text(request("x"));
    unmasked.is_masked = false;
    cases.push(case(
        "5.1 of the RFC: unmasked",
        [unmasked],
        [Close(Some(1002))],
    ));
    cases
}

fn fragmentation() -> Vec<Case> {
    let whole = request("fragment");
    let (one, two) = whole.split_at(20);
    let (two, three) = two.split_at(9);
    let violation = || [Close(Some(1002))];
    let mut cases = vec![
        case("5.1", [Frame::part(PING, "a"), last("b")], violation()),
        case("5.2", [Frame::part(PONG, "a"), last("b")], violation()),
        case(
            "5.3",
            [begun(one), middle(two), last(three)],
            [echo("fragment")],
        ),
        case(
            "5.6",
            [begun(one), ping("x"), middle(two), last(three)],
            [Pong("x".into()), echo("fragment")],
        ),
        case("5.9", [last("x"), text(request("a"))], violation()),
        case("5.12", [middle("x"), text(request("a"))], violation()),
        case(
            "5.15",
            [
                begun(one),
                middle(two),
                last(three),
                middle("x"),
                text(request("a")),
            ],
            [echo("fragment"), Close(Some(1002))],
        ),
        case("5.16", [middle("x"), begun("y"), last("z")], violation()),
        case("5.17", [last("x"), begun("y"), last("z")], violation()),
        case("5.18", [begun(one), text(two)], violation()),
        case(
            "5.19",
            [
                begun(one),
                middle(two),
                ping("1"),
                middle(""),
                ping("2"),
                last(three),
            ],
            [Pong("1".into()), Pong("2".into()), echo("fragment")],
        ),
    ];
    for index in [2, 3, 4, 6, 10] {
        let Case {
            name,
            frames,
            answers,
            ..
        } = &cases[index];
        cases.push(chopped(case(name, frames.clone(), answers.clone())));
    }
    cases
}

fn texts() -> Vec<Case> {
    let mut cases = vec![
        case("6.1.1", [text("")], [Echo(Value::Null)]),
        case(
            "6.1.2",
            [begun(""), middle(""), last("")],
            [Echo(Value::Null)],
        ),
        case("1.2.1", [Frame::new(BINARY, "x")], [Echo(Value::Null)]),
    ];
    for valid in utf8::VALID {
        let id = str::from_utf8(valid).unwrap();
        let name = format!("6 with {valid:x?}");
        cases.push(case(&name, [text(request(id))], [echo(id)]));
        cases.push(chopped(case(&name, [text(request(id))], [echo(id)])));
        let name = format!("{name} in fragments");
        cases.push(case(name, fragments(request(id).as_bytes()), [echo(id)]));
    }
    for invalid in utf8::INVALID {
        let name = format!("6 with {invalid:x?}");
        let payload = [b"\"", invalid, b"\""].concat();
        let frames = fragments(&payload);
        cases.push(case(&name, [text(payload)], [Close(Some(1007))]));
        cases.push(case(
            format!("{name} in fragments"),
            frames,
            [Close(Some(1007))],
        ));
    }
    // The text is refused before it is complete.
    let valid = begun("\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}");
    for (name, invalid) in [("6.4.1", &b"\xf4\x90\x80\x80"[..]), ("6.4.2", b"\xf4\x90")] {
        let frames = [valid.clone(), middle(invalid)];
        cases.push(case(name, frames, [Close(Some(1007))]));
    }
    cases
}

fn closes() -> Vec<Case> {
    let normal = || Frame::close(1000, "");
    let closed = |code| [Close(Some(code))];
    let mut cases = vec![
        case(
            "7.1.1",
            [text(request("a")), normal()],
            [echo("a"), Close(Some(1000))],
        ),
        case("7.1.2", [normal(), normal()], closed(1000)),
        case("7.1.3", [normal(), ping("x")], closed(1000)),
        case("7.1.4", [normal(), text(request("a"))], closed(1000)),
        case("7.1.5", [begun("x"), normal(), last("y")], closed(1000)),
        case("7.3.1", [Frame::new(CLOSE, [])], [Close(None)]),
        case("7.3.2", [Frame::new(CLOSE, [3])], closed(1002)),
        case("7.3.3", [normal()], closed(1000)),
        case("7.3.4", [Frame::close(1000, "Hello World!")], closed(1000)),
        case("7.3.5", [Frame::close(1000, [b'*'; 123])], closed(1000)),
        case("7.3.6", [Frame::close(1000, [b'*'; 124])], closed(1002)),
        case(
            "7.5.1",
            [Frame::close(1000, utf8::INVALID[0])],
            closed(1007),
        ),
    ];
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ] {
        let name = format!("7.7 with code {code}");
        cases.push(case(name, [Frame::close(code, "")], closed(code)));
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        let name = format!("7.9 and 7.13 with code {code}");
        cases.push(case(name, [Frame::close(code, "")], closed(1002)));
    }
    cases
}

fn sizes() -> Vec<Case> {
    let largest = "x".repeat(MAX_MESSAGE);
    let (head, tail) = largest.split_at(10_000);
    vec![
        case(
            "largest message",
            [text(largest.as_str())],
            [Echo(Value::Null)],
        ),
        case(
            "largest message in fragments",
            [begun(head), last(tail)],
            [Echo(Value::Null)],
        ),
        case(
            "too large message",
            [text(format!("{largest}x"))],
            [Close(Some(1009))],
        ),
        case(
            "much too large message",
            [text("x".repeat(1_000_000))],
            [Close(Some(1009))],
        ),
        case(
            "too large message in fragments",
            [begun(head), middle(tail), last("x")],
            [Close(Some(1009))],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_answered_by_the_rules() {
    let server = Server::start().await;
    let cases = [
        pings_and_pongs(),
        reserved_bits_and_opcodes(),
        fragmentation(),
        texts(),
        closes(),
        sizes(),
    ];
    let mut failures = vec![];
    for case in cases.into_iter().flatten() {
        let answers = run(&server, &case).await;
        let due: Vec<_> = case.answers.iter().cloned().map(Ok).collect();
        if answers != due {
            failures.push(format!("{}: {answers:?} instead of {due:?}", case.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Sends the frames of a case. Returns the answers, and what is none.
async fn run(server: &Server, case: &Case) -> Vec<Result<Answer, Got>> {
    let mut client = Client::open(server.address).await;
    client.stream.set_nodelay(true).unwrap();
    let bytes: Vec<_> = case.frames.iter().flat_map(Frame::bytes).collect();
    if case.is_chopped {
        for byte in bytes {
            client.send_bytes(&[byte]).await;
        }
    } else {
        client.send_bytes(&bytes).await;
    }
    let is_closed = case.answers.iter().any(|answer| matches!(answer, Close(_)));
    if !is_closed {
        // Answered after everything else.
        client.send_bytes(&ping("end").bytes()).await;
    }
    let mut answers = vec![];
    loop {
        match client.next().await {
            Got::Json(message) => answers.push(Ok(Echo(message["id"].clone()))),
            Got::Pong(payload) if payload == b"end" => return answers,
            Got::Pong(payload) => answers.push(Ok(Pong(payload))),
            Got::Close(code, _) => {
                answers.push(Ok(Close(code)));
                let end = client.next().await;
                if end != Got::End {
                    answers.push(Err(end));
                }
                return answers;
            }
            got => {
                answers.push(Err(got));
                return answers;
            }
        }
    }
}

#[tokio::test]
async fn a_frame_is_refused_by_its_length_before_it_has_come() {
    let server = Server::start().await;
    let mut client = Client::open(server.address).await;
    let head = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    client.send_bytes(&[&head[..], &[0; 4]].concat()).await;
    assert!(matches!(client.next().await, Got::Close(Some(1009), _)));
    assert_eq!(client.next().await, Got::End);
}

#[tokio::test]
async fn a_handshake_is_answered_by_the_rules() {
    let server = Server::start().await;
    let with = |name: &str, value: Option<&'static str>| {
        let mut headers = HANDSHAKE.to_vec();
        headers.retain(|(other, _)| *other != name);
        headers.extend(value.map(|value| (HANDSHAKE[index(name)].0, value)));
        headers
    };
    let valid = HANDSHAKE.to_vec();
    for (what, version, headers, status) in [
        ("valid", "HTTP/1.1", valid.clone(), 101),
        (
            "tokens",
            "HTTP/1.1",
            with("Connection", Some("keep-alive, UPGRADE")),
            101,
        ),
        ("case", "HTTP/1.1", with("Upgrade", Some("WebSocket")), 101),
        ("HTTP/1.0", "HTTP/1.0", valid, 400),
        ("no connection", "HTTP/1.1", with("Connection", None), 400),
        (
            "another connection",
            "HTTP/1.1",
            with("Connection", Some("close")),
            400,
        ),
        ("no upgrade", "HTTP/1.1", with("Upgrade", None), 400),
        (
            "another upgrade",
            "HTTP/1.1",
            with("Upgrade", Some("h2c")),
            400,
        ),
        ("no key", "HTTP/1.1", with("Sec-WebSocket-Key", None), 400),
        (
            "short key",
            "HTTP/1.1",
            with("Sec-WebSocket-Key", Some("dGhl")),
            400,
        ),
        (
            "no base64",
            "HTTP/1.1",
            with("Sec-WebSocket-Key", Some("*")),
            400,
        ),
        (
            "no version",
            "HTTP/1.1",
            with("Sec-WebSocket-Version", None),
            426,
        ),
        (
            "old version",
            "HTTP/1.1",
            with("Sec-WebSocket-Version", Some("8")),
            426,
        ),
        (
            "new version",
            "HTTP/1.1",
            with("Sec-WebSocket-Version", Some("14")),
            426,
        ),
    ] {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let answer = Client { stream }.handshake(version, &headers).await;
        let line = answer.lines().next().unwrap();
        assert_eq!(
            line.split(' ').nth(1),
            Some(&*status.to_string()),
            "{what}: {answer}"
        );
        let lower = answer.to_lowercase();
        let has_version = lower.contains("\r\nsec-websocket-version: 13\r\n");
        assert_eq!(has_version, status == 426, "{what}: {answer}");
        let accept = "\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n".to_lowercase();
        assert_eq!(lower.contains(&accept), status == 101, "{what}: {answer}");
        let is_problem = lower.contains("application/problem+json");
        assert_eq!(is_problem, status != 101, "{what}: {answer}");
    }
}

fn index(name: &str) -> usize {
    let mut names = HANDSHAKE.iter().map(|(name, _)| *name);
    names.position(|other| other == name).unwrap()
}

#[tokio::test]
async fn the_server_waits_for_the_close_frame_of_the_client_but_not_for_long() {
    let server = Server::start().await;
    let mut polite = Client::open(server.address).await;
    let mut rude = Client::open(server.address).await;
    for client in [&mut polite, &mut rude] {
        // Answered, so the session has begun.
        client.send(&json!({})).await;
        client.find("error").await;
    }
    server.app.shutdown.cancel();
    for client in [&mut polite, &mut rude] {
        let closed = client.next().await;
        assert!(matches!(closed, Got::Close(Some(1001), _)), "{closed:?}");
    }
    sleep(Duration::from_millis(300)).await;
    assert_eq!(server.app.sockets.len(), 2);
    polite.send_bytes(&Frame::close(1001, "").bytes()).await;
    assert_eq!(polite.next().await, Got::End);
    assert_eq!(rude.next().await, Got::End);
    server.app.sockets.close();
    drop(polite);
    server.app.sockets.wait().await;
    drop(rude);
}
