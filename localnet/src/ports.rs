//! Ports of this machine's loopback address.

use std::{
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::{Context, bail};

/// A port that is ours until this is dropped.
#[derive(Debug)]
pub struct Port(TcpListener);

impl Port {
    /// Takes a port, `0` for any that is free; `flag` is what chooses another.
    pub fn take(port: u16, flag: &str) -> anyhow::Result<Self> {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => Ok(Self(listener)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                let user = user_of(port).unwrap_or_else(|| "another process".to_owned());
                bail!("port {port} is in use, by {user}: end it or pass {flag}")
            }
            Err(error) => Err(error).with_context(|| format!("taking port {port} ({flag})")),
        }
    }

    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.0.local_addr().context("reading a port's number")
    }

    pub fn port(&self) -> anyhow::Result<u16> {
        Ok(self.address()?.port())
    }

    /// What clients connect to.
    pub fn listener(self) -> anyhow::Result<tokio::net::TcpListener> {
        self.0
            .set_nonblocking(true)
            .and_then(|()| tokio::net::TcpListener::from_std(self.0))
            .context("listening")
    }
}

/// Name and number of the process that listens on a port, where it can be seen.
fn user_of(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inode = tables
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|table| listening_inode(&table, port))?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pid = processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| has_open(*pid, &socket))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (process {pid})", name.trim()))
}

/// The inode of the socket that listens on a port, from the kernel's table of sockets.
fn listening_inode(table: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let local = format!(":{port:04X}");
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&local) && *fields.get(3)? == LISTEN;
        listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    })
}

fn has_open(pid: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| target.as_os_str() == socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_its_user() {
        let taken = Port::take(0, "--rpc-port").unwrap();
        let port = taken.port().unwrap();
        let error = Port::take(port, "--rpc-port").unwrap_err().to_string();
        assert!(error.starts_with(&format!("port {port} is in use, by ")));
        assert!(error.contains(&format!("(process {})", std::process::id())));
        assert!(error.ends_with("end it or pass --rpc-port"));
    }
}
