//! Where the server may listen.

use std::net::SocketAddr;

/// Why an address is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenRefused {
    /// Everybody who reaches it could do everything.
    #[error(
        "{0} can be reached from other machines, and no keys are configured: anybody could read and change everything. \
         Configure keys and TLS, listen on 127.0.0.1, or say --insecure-listen if something else guards this address"
    )]
    Open(SocketAddr),
    /// Everybody on the way could read everything.
    #[error(
        "{0} can be reached from other machines, and TLS is off: addresses and attributes would cross the network in the \
         clear. Configure a certificate, listen on 127.0.0.1, or say --insecure-listen if something else guards this address"
    )]
    Clear(SocketAddr),
}

/// Whether the server may listen at `address`, with or without TLS and keys. `insecure` is the flag by which
/// the user takes the responsibility.
pub fn check_listen(address: SocketAddr, tls: bool, keys: bool, insecure: bool) -> Result<(), ListenRefused> {
    if insecure || address.ip().to_canonical().is_loopback() || (tls && keys) {
        Ok(())
    } else if keys {
        Err(ListenRefused::Clear(address))
    } else {
        Err(ListenRefused::Open(address))
    }
}

/// A listener of probes and metrics that everybody can read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} can be reached from other machines, and anybody could read the metrics. Set a token in [metrics], listen on \
     127.0.0.1, or say --insecure-listen if something else guards this address"
)]
pub struct ScrapeListenRefused(SocketAddr);

/// Whether probes and metrics may have a listener at `address`. It has no TLS: what it tells are counts.
pub fn check_scrape_listen(
    address: SocketAddr,
    token: bool,
    insecure: bool,
) -> Result<(), ScrapeListenRefused> {
    let guarded = insecure || token || address.ip().to_canonical().is_loopback();
    if guarded { Ok(()) } else { Err(ScrapeListenRefused(address)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_guarded_addresses_are_served() {
        let refused = |address: &str, tls, keys, insecure| {
            check_listen(address.parse().unwrap(), tls, keys, insecure).err().map(|error| error.to_string())
        };
        for address in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(refused(address, false, false, false), None, "{address}");
        }
        for address in ["0.0.0.0:1", "[::]:1", "192.168.0.1:1", "[fe80::1]:1"] {
            assert!(refused(address, false, false, false).unwrap().contains("no keys"), "{address}");
            assert!(refused(address, true, false, false).unwrap().contains("no keys"), "{address}");
            assert!(refused(address, false, true, false).unwrap().contains("TLS is off"), "{address}");
            assert_eq!(refused(address, true, true, false), None, "{address}");
            assert_eq!(refused(address, false, false, true), None, "{address}");
        }
    }
}
