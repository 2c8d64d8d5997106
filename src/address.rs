//! Addresses as people write them.

use std::net::{SocketAddr, ToSocketAddrs as _};

/// An address to listen on: `127.0.0.1:7465`, `localhost:7465`, or `:7465` for this machine alone.
///
/// # Errors
/// What is wrong with it, and how to write it.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    let written = if text.starts_with(':') { format!("127.0.0.1{text}") } else { text.to_owned() };
    if let Ok(address) = written.parse() {
        return Ok(address);
    }
    let right = "write an address and a port, as in 127.0.0.1:7465, localhost:7465 or :7465";
    let named = written.rsplit_once(':').filter(|(host, _)| *host == "localhost");
    if named.is_none() {
        return Err(right.into());
    }
    let mut found: Vec<_> = written.to_socket_addrs().map_err(|error| format!("{error}; {right}"))?.collect();
    // Clients try both; the old form is the one that every machine has.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| right.into())
}

/// The URL of a server: `http://127.0.0.1:7465`, or without `http://` as in `localhost:7465` and `:7465`.
pub(crate) fn server(text: &str) -> String {
    match text {
        _ if text.contains("://") => text.to_owned(),
        _ if text.starts_with(':') => format!("http://127.0.0.1{text}"),
        _ if text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            format!("http://{text}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on_are_read() {
        for (text, address) in [
            ("127.0.0.1:7470", Some("127.0.0.1:7470")),
            (":7470", Some("127.0.0.1:7470")),
            ("localhost:7470", Some("127.0.0.1:7470")),
            ("[::1]:7470", Some("[::1]:7470")),
            ("0.0.0.0:1", Some("0.0.0.0:1")),
            ("7470", None),
            ("localhost", None),
            ("localhost:99999", None),
            ("example.com:80", None),
            (":", None),
        ] {
            assert_eq!(listen(text).ok(), address.map(|address| address.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn servers_need_no_scheme() {
        for (text, url) in [
            ("http://a:1", "http://a:1"),
            ("https://a", "https://a"),
            ("localhost:7470", "http://localhost:7470"),
            (":7470", "http://127.0.0.1:7470"),
            ("10.0.0.7:7465", "http://10.0.0.7:7465"),
            ("[::1]:7465", "http://[::1]:7465"),
            ("example.com", "example.com"),
            ("mailto:x", "mailto:x"),
        ] {
            assert_eq!(server(text), url);
        }
    }
}
