//! Ports of the loopback address, reserved before the parts that listen on them start.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::{Context, bail};
use procfs::{
    net::TcpState,
    process::{FDTarget, Process},
};

use crate::options::Options;

/// The ports of all parts.
///
/// All of them are reserved before any is released, so no two parts get the same port.
pub struct Ports {
    pub rpc: Port,
    pub ws: Port,
    pub grpc: Port,
    /// `None` without `--faults-port`.
    pub faults: Option<Port>,
    /// `None` with `--bare`.
    pub api: Option<Port>,
}

impl Ports {
    pub fn reserve(options: &Options) -> anyhow::Result<Self> {
        Ok(Self {
            rpc: Port::reserve(options.rpc_port, "--rpc-port")?,
            ws: Port::reserve(options.ws_port, "--ws-port")?,
            grpc: Port::reserve(options.grpc_port, "--grpc-port")?,
            faults: options
                .faults_port
                .map(|port| Port::reserve(port, "--faults-port"))
                .transpose()?,
            api: match options.bare {
                true => None,
                false => Some(Port::reserve(options.api_port, "--api-port")?),
            },
        })
    }
}

/// A port that no other process can bind until this is dropped.
#[derive(Debug)]
pub struct Port(TcpListener);

impl Port {
    /// Reserves a port, or any free port for `0`. `flag` is the option that errors suggest for
    /// choosing another port.
    pub fn reserve(port: u16, flag: &str) -> anyhow::Result<Self> {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => Ok(Self(listener)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let owner = owner_of(port).unwrap_or_else(|| "another process".to_owned());
                bail!("port {port} is in use by {owner}: stop it or pass {flag}")
            }
            Err(error) => Err(error).with_context(|| format!("reserving port {port} ({flag})")),
        }
    }

    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.0.local_addr().context("reading a port's address")
    }

    pub fn number(&self) -> anyhow::Result<u16> {
        Ok(self.address()?.port())
    }

    /// The listener that reserved the port.
    pub fn into_listener(self) -> anyhow::Result<tokio::net::TcpListener> {
        self.0
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(self.0))
            .context("listening")
    }
}

/// Returns the number of a port that is free now. The port is not reserved.
pub fn free_port() -> anyhow::Result<u16> {
    Port::reserve(0, "")?.number()
}

/// Name and PID of the process that listens on a port; `None` if this user may not see it.
fn owner_of(port: u16) -> Option<String> {
    let sockets = [procfs::net::tcp(), procfs::net::tcp6()];
    let listener =
        sockets.into_iter().flatten().flatten().find(|socket| {
            socket.state == TcpState::Listen && socket.local_address.port() == port
        })?;
    let owner = procfs::process::all_processes()
        .ok()?
        .flatten()
        .find(|process| has_open_socket(process, listener.inode))?;
    let name = owner.stat().ok()?.comm;
    Some(format!("{name} (process {})", owner.pid))
}

fn has_open_socket(process: &Process, inode: u64) -> bool {
    let files = process.fd().into_iter().flatten().flatten();
    files
        .into_iter()
        .any(|file| matches!(file.target, FDTarget::Socket(socket) if socket == inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_the_owner_of_a_port_in_use() {
        let reserved = Port::reserve(0, "--rpc-port").unwrap();
        let port = reserved.number().unwrap();
        let error = Port::reserve(port, "--rpc-port").unwrap_err().to_string();
        assert!(error.starts_with(&format!("port {port} is in use by ")));
        assert!(error.contains(&format!("(process {})", std::process::id())));
        assert!(error.ends_with("stop it or pass --rpc-port"));
    }
}
