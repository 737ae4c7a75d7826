//! From where: an address, a network as `10.0.0.0/8` (KIP-1276), or `*`.

use std::net::IpAddr;

use super::WILDCARD;

/// Whether `host` can be what an ACL says of where its principal is. A name is taken as well, as
/// in Kafka, and covers nobody.
#[must_use]
pub fn is_host(host: &str) -> bool {
    !host.contains('/') || network(host).is_some()
}

/// Whether `host` covers the address.
pub(super) fn covers(host: &str, address: IpAddr) -> bool {
    if host == WILDCARD {
        return true;
    }
    match network(host) {
        Some((of_network, shift)) => {
            let (of_address, width) = bits(address);
            let (of_network, network_width) = bits(of_network);
            // a shift by all bits leaves nothing to compare
            let rest = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
            width == network_width && rest(of_address) == rest(of_network)
        }
        None => host.parse() == Ok(address),
    }
}

/// A network's address, and how many of its last bits do not count.
fn network(host: &str) -> Option<(IpAddr, u32)> {
    let (address, prefix) = host.split_once('/')?;
    let address = address.parse().ok()?;
    let prefix: u32 = prefix.parse().ok()?;
    let shift = bits(address).1.checked_sub(prefix)?;
    Some((address, shift))
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), u32::BITS),
        IpAddr::V6(address) => (address.to_bits(), u128::BITS),
    }
}

#[test]
fn a_network_covers_the_addresses_in_it() {
    for (host, address, is_covered) in [
        ("*", "10.0.0.1", true),
        ("10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1", "10.0.0.2", false),
        ("::1", "0:0:0:0:0:0:0:1", true),
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.0.0.1/32", "10.0.0.1", true),
        ("10.0.0.1/32", "10.0.0.0", false),
        ("0.0.0.0/0", "192.0.2.1", true),
        ("0.0.0.0/0", "::1", false),
        ("::/0", "2001:db8::1", true),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("10.0.0.0/33", "10.0.0.0", false),
        ("10.0.0.0/", "10.0.0.0", false),
        ("broker-1", "10.0.0.0", false),
    ] {
        let covered = covers(host, address.parse().unwrap());
        assert_eq!(covered, is_covered, "{host} and {address}");
    }
    for (host, is) in [
        ("h", true),
        ("::/128", true),
        ("::/129", false),
        ("h/8", false),
    ] {
        assert_eq!(is_host(host), is, "{host}");
    }
}
