//! Node addresses: one address serves HTTP and WebSocket, so either scheme is taken for either use.

use crate::NodeRpcError;

fn split(url: &str) -> Result<(&str, &str), NodeRpcError> {
    let invalid = |reason: &str| NodeRpcError::InvalidUrl {
        url: url.to_string(),
        reason: reason.to_string(),
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("it has no scheme"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err(invalid("it has no host"));
    }
    if let Some((_, port)) = host.rsplit_once(':')
        && !port.ends_with(']')
        && port.parse::<u16>().is_err()
    {
        return Err(invalid("the port is not a number up to 65535"));
    }
    Ok((scheme, rest))
}

fn with_scheme(url: &str, plain: &str, secure: &str) -> Result<String, NodeRpcError> {
    let url = url.trim();
    let (scheme, rest) = split(url)?;
    match scheme.to_ascii_lowercase().as_str() {
        "ws" | "http" => Ok(format!("{plain}://{rest}")),
        "wss" | "https" => Ok(format!("{secure}://{rest}")),
        _ => Err(NodeRpcError::InvalidUrl {
            url: url.to_string(),
            reason: format!("scheme {scheme:?} is none of ws, wss, http, https"),
        }),
    }
}

/// The WebSocket form of a node address (`http` becomes `ws`, `https` becomes `wss`).
///
/// # Errors
/// [`NodeRpcError::InvalidUrl`] when there is no such form.
pub fn websocket_url(url: &str) -> Result<String, NodeRpcError> {
    with_scheme(url, "ws", "wss")
}

/// The HTTP form of a node address (`ws` becomes `http`, `wss` becomes `https`).
///
/// # Errors
/// [`NodeRpcError::InvalidUrl`] when there is no such form.
pub fn http_url(url: &str) -> Result<String, NodeRpcError> {
    with_scheme(url, "http", "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_serves_both_uses() {
        for (given, websocket, http) in [
            ("ws://10.0.0.1:9944", "ws://10.0.0.1:9944", "http://10.0.0.1:9944"),
            ("http://node:9944/", "ws://node:9944/", "http://node:9944/"),
            (" WSS://node/rpc ", "wss://node/rpc", "https://node/rpc"),
            ("https://[::1]:9944", "wss://[::1]:9944", "https://[::1]:9944"),
            ("ws://[::1]", "ws://[::1]", "http://[::1]"),
        ] {
            assert_eq!(websocket_url(given).unwrap(), websocket);
            assert_eq!(http_url(given).unwrap(), http);
        }
    }

    #[test]
    fn unusable_addresses_are_named() {
        for given in [
            "127.0.0.1:9944",
            "ws://",
            "ws://:9944",
            "ftp://node",
            "ws://node:99999",
            "",
        ] {
            let error = websocket_url(given).unwrap_err();
            assert!(
                error.to_string().contains(&format!("{:?}", given.trim())),
                "{error}"
            );
        }
    }
}
