//! Chooses the port: the remembered one while nobody else has it, else a free one. Never takes a
//! port from anybody; the server itself has the last word when it binds.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How long a listener on this machine may take to accept a probe.
const PROBE_MILLISECONDS: u64 = 300;

/// Whether nobody listens on a port of the loopback address.
pub(crate) fn is_free(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // Some systems let a second listener bind beside one on the wildcard address, so knock too.
    TcpListener::bind(address).is_ok()
        && TcpStream::connect_timeout(&address, Duration::from_millis(PROBE_MILLISECONDS)).is_err()
}

/// The remembered port if it is free, else one that the system picks.
pub(crate) fn choose(remembered: Option<u16>) -> std::io::Result<u16> {
    match remembered {
        Some(port) if is_free(port) => Ok(port),
        _ => {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            Ok(listener.local_addr()?.port())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over_and_a_free_one_kept() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(!is_free(port));
        assert_ne!(choose(Some(port)).unwrap(), port);
        drop(taken);
        // A child that another test starts at this moment has the listener until it executes.
        let kept = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            choose(Some(port)).unwrap() == port
        });
        assert!(kept);
    }

    #[test]
    fn a_listener_on_every_address_counts_as_taken() {
        let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
    }
}
