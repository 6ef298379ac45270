//! Notices a node that is told to follow itself, which would wait for ever for its own RPC.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

/// Port of an address without one.
const WS_PORT: u16 = 80;
const WSS_PORT: u16 = 443;

/// Whether the node's address leads to `own`, where this process listens. Blocking: looks the name up.
pub(super) fn leads_to(url: &str, own: SocketAddr) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let port = if scheme == "wss" { WSS_PORT } else { WS_PORT };
    let with_port = match host.rsplit_once(':') {
        Some((_, digits)) if digits.parse::<u16>().is_ok() => host.to_string(),
        _ => format!("{host}:{port}"),
    };
    // A name that nobody knows leads nowhere; connecting will say so.
    let Ok(mut addresses) = with_port.to_socket_addrs() else {
        return false;
    };
    addresses.any(|address| address.port() == own.port() && is_reached(address.ip(), own.ip()))
}

/// Whether a connection to `ip` arrives at a socket that listens on `own`.
fn is_reached(ip: IpAddr, own: IpAddr) -> bool {
    if !own.is_unspecified() {
        return ip == own || ip.is_unspecified();
    }
    // Only an address of this machine can be bound.
    ip.is_loopback() || ip.is_unspecified() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_known() {
        let own = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (url, listening, expected) in [
            ("ws://127.0.0.1:9944", "127.0.0.1:9944", true),
            ("ws://localhost:9944/", "127.0.0.1:9944", true),
            ("ws://0.0.0.0:9944", "127.0.0.1:9944", true),
            ("ws://127.0.0.1:9944", "0.0.0.0:9944", true),
            ("ws://127.0.0.1", "127.0.0.1:80", true),
            ("wss://127.0.0.1/rpc", "127.0.0.1:443", true),
            ("ws://127.0.0.1:9945", "127.0.0.1:9944", false),
            // Reserved for documentation: no machine has it.
            ("ws://192.0.2.1:9944", "0.0.0.0:9944", false),
            ("ws://192.0.2.1:9944", "127.0.0.1:9944", false),
        ] {
            assert_eq!(leads_to(url, own(listening)), expected, "{url} at {listening}");
        }
    }
}
