//! How the sockets of a server adapt to the line.

use socket2::SockRef;
use std::os::fd::AsFd;
use tracing::debug;

/// The algorithm that says how much may be under way (`TCP_CONGESTION`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Congestion {
    /// Cubic. Members mostly stand at one site, where lines lose nothing; algorithms that pace each segment with a timer, as BBR does,
    /// cost the sender and the receiver half as much processor time again there.
    #[default]
    Cubic,
    /// Whatever the system uses for everything.
    System,
}

impl Congestion {
    /// Sets a listening socket, whose connections inherit it from their first byte on; later it would leave pacing as it is.
    pub(super) fn apply(self, listener: &impl AsFd) {
        if self == Self::Cubic
            && let Err(error) = SockRef::from(listener).set_tcp_congestion(b"cubic")
        {
            debug!(%error, "the system has no cubic; it chooses for itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn algorithm(socket: &impl AsFd) -> Vec<u8> {
        let name = SockRef::from(socket).tcp_congestion().unwrap();
        name.into_iter().take_while(|byte| *byte != 0).collect()
    }

    #[test]
    fn connections_inherit_it() {
        for congestion in [Congestion::Cubic, Congestion::System] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let system = algorithm(&listener);
            congestion.apply(&listener);
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(algorithm(&accepted), algorithm(&listener));
            if congestion == Congestion::System {
                assert_eq!(algorithm(&accepted), system);
            }
        }
    }
}
