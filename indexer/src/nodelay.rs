//! `TCP_NODELAY` for the connections of this process.
//!
//! sqlx 0.9.0 leaves the option unset, and gives no access to a connection's socket. The end of a COPY then waits
//! for the acknowledgement of its rows, which Linux delays by 40 ms: in each slot, for each of some tables. Later
//! releases of sqlx set the option themselves.

use std::{fs, io};

use rustix::{
    net::sockopt::set_tcp_nodelay,
    process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
};

/// Sets the option for all TCP connections that the process has. None of them gains by holding back small messages.
///
/// # Errors
///
/// If the kernel lets a process not duplicate its own descriptors, as in some sandboxes.
pub fn set() -> io::Result<()> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match pidfd_getfd(&this, number, PidfdGetfdFlags::empty()) {
            // Fails for what is no TCP connection.
            Ok(descriptor) => drop(set_tcp_nodelay(&descriptor, true)),
            // Closed meanwhile.
            Err(rustix::io::Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn every_connection_of_the_process_sends_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!stream.nodelay().unwrap());
        super::set().unwrap();
        assert!(stream.nodelay().unwrap());
    }
}
