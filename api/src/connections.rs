//! How many connections, or WebSockets, are open at the same time: of one client, and in total.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::client_address::ClientAddress;

/// Most connections at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub total: usize,
    /// Of one [`ClientAddress`].
    pub per_address: usize,
}

/// Counts the open connections.
pub struct Connections {
    limits: ConnectionLimits,
    open: Mutex<OpenConnections>,
}

#[derive(Default)]
struct OpenConnections {
    total: usize,
    by_address: HashMap<ClientAddress, usize>,
}

/// The right to one open connection, which ends with it.
pub struct ConnectionSlot {
    connections: Arc<Connections>,
    /// `None` if the address does not count.
    address: Option<ClientAddress>,
}

/// Why a connection is refused: the limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    Total(usize),
    PerAddress(usize),
}

impl Connections {
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            open: Mutex::default(),
        })
    }

    /// Admits a connection of the client, or of clients that are not told apart.
    ///
    /// # Errors
    ///
    /// If the client, or all clients together, have as many as they can.
    pub fn admit(
        self: &Arc<Self>,
        address: Option<ClientAddress>,
    ) -> Result<ConnectionSlot, LimitReached> {
        let ConnectionLimits { total, per_address } = self.limits;
        let mut open = self.open();
        if total <= open.total {
            return Err(LimitReached::Total(total));
        }
        if let Some(address) = address {
            let of_address = open.by_address.entry(address).or_default();
            if per_address <= *of_address {
                return Err(LimitReached::PerAddress(per_address));
            }
            *of_address += 1;
        }
        open.total += 1;
        Ok(ConnectionSlot {
            connections: self.clone(),
            address,
        })
    }

    /// Number of open connections.
    pub fn len(&self) -> usize {
        self.open().total
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.total -= 1;
        if let Some(address) = self.address
            && let Some(of_address) = open.by_address.get_mut(&address)
        {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn connections_are_limited_by_address_and_in_total() {
        let connections = Connections::new(ConnectionLimits {
            total: 3,
            per_address: 2,
        });
        let admit = |last| {
            let address = IpAddr::from([192, 0, 2, last]).into();
            connections.admit(Some(address))
        };
        let first = admit(1).expect("free");
        let _second = admit(1).expect("free");
        assert_eq!(admit(1).err(), Some(LimitReached::PerAddress(2)));
        let _other = admit(2).expect("free");
        assert_eq!(admit(3).err(), Some(LimitReached::Total(3)));
        assert_eq!(connections.admit(None).err(), Some(LimitReached::Total(3)));
        drop(first);
        assert_eq!(connections.len(), 2);
        let _again = admit(1).expect("free again");
        assert_eq!(connections.open().by_address.len(), 2);
    }

    #[test]
    fn connections_of_nobody_in_particular_count_in_total_alone() {
        let connections = Connections::new(ConnectionLimits {
            total: 2,
            per_address: 1,
        });
        let mut open: Vec<_> = (0..2).map(|_| connections.admit(None)).collect();
        assert!(open.iter().all(Result::is_ok));
        open.pop();
        assert!(connections.admit(None).is_ok());
    }
}
