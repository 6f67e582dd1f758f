//! A WebSocket client on bare TCP, which can break every rule of RFC 6455.

use std::{io, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::socket::asyncapi;

const TIMEOUT: Duration = Duration::from_secs(20);
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Headers of a valid handshake, with the key of the RFC's example.
pub const HANDSHAKE: [(&str, &str); 5] = [
    ("Host", "localhost"),
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

/// A frame from a client.
#[derive(Clone, Debug)]
pub struct Frame {
    /// FIN, the reserved bits, and the opcode.
    pub first: u8,
    pub is_masked: bool,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            first: 0x80 | opcode,
            is_masked: true,
            payload: payload.into(),
        }
    }

    /// A fragment that is not the last one.
    pub fn part(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            first: opcode,
            ..Self::new(opcode, payload)
        }
    }

    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        Self::new(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.first];
        let mask = u8::from(self.is_masked) << 7;
        match self.payload.len() {
            len @ 0..=125 => bytes.push(mask | len as u8),
            len @ 126..=0xffff => {
                bytes.push(mask | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(mask | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        if self.is_masked {
            bytes.extend(MASK);
            let masked = self.payload.iter().zip(MASK.iter().cycle());
            bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }
}

/// What a server sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    Json(Value),
    Ping,
    Pong(Vec<u8>),
    /// A close frame with its code, if it has one, and its reason.
    Close(Option<u16>, String),
    /// The server has ended the connection in order.
    End,
    /// The server has reset the connection: the client may have lost frames.
    Reset,
}

pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    /// Opens a WebSocket.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_on(TcpStream::connect(address).await.unwrap()).await
    }

    /// Opens a WebSocket that receives into a small buffer.
    pub async fn open_slow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        Self::open_on(socket.connect(address).await.unwrap()).await
    }

    async fn open_on(stream: TcpStream) -> Self {
        let mut client = Self { stream };
        let answer = client.handshake("HTTP/1.1", &HANDSHAKE).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        client
    }

    /// Sends a request for the WebSocket. Returns the head of the answer.
    pub async fn handshake(&mut self, version: &str, headers: &[(&str, &str)]) -> String {
        let mut request = format!("GET /api/v1/ws {version}\r\n");
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        self.send_bytes(format!("{request}\r\n").as_bytes()).await;
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// Sends bytes. The server may have ended the connection.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn send(&mut self, message: &Value) {
        let frame = Frame::new(TEXT, message.to_string());
        self.send_bytes(&frame.bytes()).await;
    }

    /// Reads what the server sends next.
    pub async fn next(&mut self) -> Got {
        let next = timeout(TIMEOUT, self.read()).await;
        match next.expect("the server sends something") {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Got::End,
            Err(_) => Got::Reset,
        }
    }

    /// Reads the next JSON message.
    pub async fn json(&mut self) -> Value {
        loop {
            match self.next().await {
                Got::Json(value) => return value,
                Got::Ping => {}
                got => panic!("{got:?}"),
            }
        }
    }

    /// Reads up to a message of this type.
    pub async fn find(&mut self, kind: &str) -> Value {
        loop {
            let message = self.json().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    async fn read(&mut self) -> io::Result<Got> {
        let mut text = vec![];
        loop {
            let (first, payload) = self.read_frame().await?;
            match first & 0x0f {
                TEXT | CONTINUATION => {
                    text.extend(payload);
                    if first & 0x80 != 0 {
                        let message = serde_json::from_slice(&text).unwrap();
                        asyncapi::tests::assert_described(&message);
                        return Ok(Got::Json(message));
                    }
                }
                PING => return Ok(Got::Ping),
                PONG => return Ok(Got::Pong(payload)),
                CLOSE => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    let reason = payload.get(2..).unwrap_or_default().to_vec();
                    return Ok(Got::Close(code, String::from_utf8(reason).unwrap()));
                }
                opcode => panic!("opcode {opcode}"),
            }
        }
    }

    async fn read_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let stream = &mut self.stream;
        let first = stream.read_u8().await?;
        assert_eq!(first & 0x70, 0, "reserved bits");
        let len = match stream.read_u8().await? {
            126 => stream.read_u16().await?.into(),
            127 => stream.read_u64().await?,
            len => len.into(),
        };
        assert!(len < 1 << 20, "masked, or too large");
        let mut payload = vec![0; len as usize];
        stream.read_exact(&mut payload).await?;
        Ok((first, payload))
    }
}
