//! The address of a client, by which limits count.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Address of a client: an IPv4 address, or the /64 network of an IPv6 address, which is what one
/// customer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// First address of the client's network.
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Ipv6Addr::from(network).into()
            }
            v4 => v4,
        })
    }
}

/// Networks of the reverse proxies that requests pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Address of the client of a request that arrived from `peer`: the last address of
    /// X-Forwarded-For that is not a trusted proxy's. Proxies append to the header, so what stands before
    /// is the client's own claim. If the header lacks an address, that of the last trusted proxy.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer;
        let forwarded = headers.get_all(FORWARDED_FOR).iter();
        let lines: Vec<_> = forwarded.filter_map(|line| line.to_str().ok()).collect();
        let addresses = lines.iter().rev().flat_map(|line| line.rsplit(','));
        for address in addresses {
            if !self.contains(client) {
                break;
            }
            let Ok(address) = address.trim().parse() else {
                break;
            };
            client = address;
        }
        client.into()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> ClientAddress {
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers)
    }

    fn address(text: &str) -> ClientAddress {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn only_trusted_proxies_name_the_client() {
        assert_eq!(client("1.2.3.4", &["9.9.9.9"]), address("1.2.3.4"));
        assert_eq!(client("10.0.0.1", &["9.9.9.9"]), address("9.9.9.9"));
        assert_eq!(client("10.0.0.1", &[]), address("10.0.0.1"));
        assert_eq!(client("::ffff:10.0.0.1", &["9.9.9.9"]), address("9.9.9.9"));
    }

    #[test]
    fn what_a_client_claims_itself_is_ignored() {
        let behind_two = ["6.6.6.6, 9.9.9.9, 10.0.0.2"];
        assert_eq!(client("10.0.0.1", &behind_two), address("9.9.9.9"));
        let lines = ["6.6.6.6", "9.9.9.9"];
        assert_eq!(client("10.0.0.1", &lines), address("9.9.9.9"));
        assert_eq!(client("10.0.0.1", &["9.9.9.9, x"]), address("10.0.0.1"));
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_ne!(address("1.2.3.4"), address("1.2.3.5"));
        assert_eq!(address("::ffff:1.2.3.4"), address("1.2.3.4"));
    }
}
