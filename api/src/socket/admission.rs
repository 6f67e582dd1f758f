//! Admission: how many sockets are open in the process and from each address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::limits::SocketLimits;
use crate::problem::Problem;

/// Counts the open sockets.
pub struct Admissions {
    limits: SocketLimits,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Permission for one socket, given back when dropped.
pub struct Admission {
    admissions: Arc<Admissions>,
    /// `None` if the address does not count.
    address: Option<IpAddr>,
}

impl Admissions {
    pub fn new(limits: SocketLimits) -> Self {
        Self {
            limits,
            open: Mutex::default(),
        }
    }

    /// Admits a socket from `address`.
    ///
    /// # Errors
    ///
    /// If the process or the address has its maximum of sockets.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Admission, Problem> {
        let SocketLimits {
            sockets,
            sockets_of_address,
        } = self.limits;
        let address = address.map(network);
        let address = address.filter(|address| !address.is_loopback());
        let mut open = self.lock();
        if sockets <= open.total {
            return Err(Problem::TooManySockets(sockets));
        }
        if let Some(address) = address {
            let of_address = open.by_address.entry(address).or_default();
            if sockets_of_address <= *of_address {
                return Err(Problem::TooManySocketsOfAddress(sockets_of_address));
            }
            *of_address += 1;
        }
        open.total += 1;
        Ok(Admission {
            admissions: Arc::clone(self),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.admissions.lock();
        open.total -= 1;
        let Some(address) = self.address else {
            return;
        };
        if let Some(of_address) = open.by_address.get_mut(&address) {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

/// The address that counts: of IPv6 the /64, which one customer has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admissions() -> Arc<Admissions> {
        Arc::new(Admissions::new(SocketLimits {
            sockets: 3,
            sockets_of_address: 2,
        }))
    }

    fn of(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_has_a_maximum_of_sockets() {
        let admissions = admissions();
        let admit = |address| admissions.admit(of(address));
        let first = admit("2001:db8::1").unwrap();
        let _second = admit("2001:db8::2").unwrap();
        let refused = admit("2001:db8::3").err();
        assert!(matches!(refused, Some(Problem::TooManySocketsOfAddress(2))));
        assert!(admit("2001:db8:0:1::1").is_ok());
        drop(first);
        assert!(admit("2001:db8::3").is_ok());
    }

    #[test]
    fn the_process_has_a_maximum_of_sockets_from_wherever() {
        let admissions = admissions();
        let admit = || admissions.admit(of("::ffff:127.0.0.1"));
        let mut open = vec![admit().unwrap(), admit().unwrap(), admit().unwrap()];
        assert!(matches!(admit().err(), Some(Problem::TooManySockets(3))));
        open.pop();
        assert!(admit().is_ok());
        open.clear();
        let counts = admissions.lock();
        assert_eq!((counts.total, counts.by_address.len()), (0, 0));
    }
}
