//! What a resolution is told of the proxy: where it is, and whom to trust there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::authority::{LeafKey, OwnAuthority};
use super::leaves::Leaves;
use crate::broker::{Authority, Gateway, NoAuthority, Reach};
use crate::clock::Clock;
use crate::id::ResolutionId;
use crate::name::HostPattern;
use crate::wire;

/// The user to name. Any will do.
const USER: &str = "runtools";

/// The proxy, as resolutions see it.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    socket: PathBuf,
    clock: Arc<dyn Clock>,
    leaves: Arc<Leaves>,
}

impl Gate {
    /// A proxy that listens at `address` and `socket`.
    ///
    /// # Errors
    /// [`NoAuthority`] when the key of its certificates cannot be drawn.
    pub fn new(
        address: SocketAddr,
        socket: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NoAuthority> {
        let leaves = Arc::new(Leaves::new(LeafKey::draw()?));
        Ok(Self {
            address,
            socket,
            clock,
            leaves,
        })
    }
}

impl Gateway for Gate {
    fn authority(
        &self,
        id: ResolutionId,
        reach: &[Reach],
        life: Duration,
    ) -> Result<Arc<dyn Authority>, NoAuthority> {
        let leaves = Arc::clone(&self.leaves);
        let drawn = OwnAuthority::draw(id, reach, life, &*self.clock, leaves)?;
        Ok(Arc::new(drawn))
    }

    fn place(&self, authority: &dyn Authority, bound: &[HostPattern]) -> wire::ProxyPlace {
        wire::ProxyPlace {
            url: format!("http://{}", self.address),
            socket: Some(self.socket.display().to_string()),
            username: USER.to_owned(),
            certificate_authority: authority.certificate().to_owned(),
            bound_hosts: bound.iter().map(ToString::to_string).collect(),
        }
    }

    fn listens(&self) -> (String, String) {
        (self.address.to_string(), self.socket.display().to_string())
    }
}
