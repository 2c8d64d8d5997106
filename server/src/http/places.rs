//! Who may have a connection. Each client may have a part of the places only. A connection that gets none has a spare place,
//! where probes alone are answered: of these there are a few, for a moment each, and a new one takes the oldest's.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::Limits;

/// The places of a server.
#[derive(Debug)]
pub(super) struct Places {
    all: usize,
    of_peer: usize,
    spare: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_peer: HashMap<IpAddr, usize>,
    next: u64,
    spare: VecDeque<(u64, CancellationToken)>,
}

/// A connection's place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Own(IpAddr),
    Spare(u64, CancellationToken),
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            all: limits.connections,
            of_peer: limits.connections_per_peer,
            spare: limits.spare_connections,
            taken: Mutex::default(),
        })
    }

    /// The place of a new connection.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Place {
        let peer = client(address);
        let mut taken = self.taken.lock();
        let own = taken.by_peer.get(&peer).copied().unwrap_or(0);
        let kind = if taken.all < self.all && own < self.of_peer {
            taken.all += 1;
            taken.by_peer.insert(peer, own + 1);
            Kind::Own(peer)
        } else {
            taken.next += 1;
            let (number, end) = (taken.next, CancellationToken::new());
            taken.spare.push_back((number, end.clone()));
            if taken.spare.len() > self.spare
                && let Some((_, oldest)) = taken.spare.pop_front()
            {
                oldest.cancel();
            }
            Kind::Spare(number, end)
        };
        Place { places: Arc::clone(self), kind }
    }
}

impl Place {
    /// For a spare place: it has to be left when this is cancelled.
    pub(super) fn spare(&self) -> Option<&CancellationToken> {
        match &self.kind {
            Kind::Own(_) => None,
            Kind::Spare(_, end) => Some(end),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        match &self.kind {
            Kind::Spare(number, _) => taken.spare.retain(|(other, _)| other != number),
            Kind::Own(peer) => {
                taken.all -= 1;
                let left = taken.by_peer.get(peer).map_or(0, |count| count - 1);
                if left == 0 {
                    taken.by_peer.remove(peer);
                } else {
                    taken.by_peer.insert(*peer, left);
                }
            }
        }
    }
}

/// Which client an address is one of: with IPv6 each has a network of its own.
pub(super) fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (!0 << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_leaves_places_to_others_and_probes() {
        let limits =
            Limits { connections: 3, connections_per_peer: 2, spare_connections: 2, ..Limits::default() };
        let places = Places::new(&limits);
        let enter = |address: &str| places.enter(address.parse().unwrap());
        let mut own: Vec<_> = (0..2).map(|_| enter("127.0.0.1")).collect();
        assert!(own.iter().all(|place| place.spare().is_none()));
        let spare: Vec<_> = (0..3).map(|_| enter("::ffff:127.0.0.1")).collect();
        let ended = |place: &Place| place.spare().unwrap().is_cancelled();
        assert_eq!(spare.iter().map(ended).collect::<Vec<_>>(), [true, false, false]);
        let other = enter("2001:db8::1");
        assert!(other.spare().is_none(), "another client has room");
        assert!(enter("2001:db8::2").spare().is_some(), "and then all are taken");
        drop((spare, own.pop()));
        assert_eq!(places.taken.lock().spare.len(), 0);
        assert!(enter("127.0.0.1").spare().is_none());
        drop((own, other));
        let taken = places.taken.lock();
        assert_eq!((taken.all, taken.by_peer.len()), (0, 0));
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let of = |text: &str| client(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
