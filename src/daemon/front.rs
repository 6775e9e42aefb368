//! The egress proxy, from settings to listeners.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::DaemonError;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::App;
use crate::http::serve::{Listener, Shutdown};
use crate::proxy::{Gate, Listed, Passing, Proxy};

/// A proxy that listens and does not serve yet.
#[derive(Debug)]
pub(super) struct Front {
    listeners: Vec<Listener>,
    gate: Arc<Gate>,
    pub(super) address: SocketAddr,
    pub(super) socket: PathBuf,
}

impl Front {
    /// Listens, where the settings want a proxy.
    pub(super) async fn listen(
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, DaemonError> {
        if !config.proxy.enabled {
            return Ok(None);
        }
        let tcp = Listener::tcp(config.proxy.listen).await;
        let tcp = tcp.map_err(DaemonError::ListenProxy)?;
        let address = tcp.addr().unwrap_or(config.proxy.listen);
        let socket = config.proxy_socket();
        let unix = Listener::unix(&socket, config.socket_mode());
        let unix = unix.map_err(DaemonError::ListenProxy)?;
        let gate = Gate::new(address, socket.clone(), clock);
        Ok(Some(Self {
            listeners: vec![tcp, unix],
            gate: Arc::new(gate.map_err(|_| DaemonError::NoProxyKey)?),
            address,
            socket,
        }))
    }

    /// Every address that the process listens at.
    pub(super) fn addresses(front: Option<&Self>, api: &[SocketAddr]) -> Vec<SocketAddr> {
        let own = front.map(|front| front.address);
        api.iter().copied().chain(own).collect()
    }

    /// The broker, so that handles for the proxy can be asked of it.
    pub(super) fn before(front: Option<&Self>, broker: Broker) -> Broker {
        match front {
            Some(front) => broker.behind(Arc::<Gate>::clone(&front.gate)),
            None => broker,
        }
    }

    /// Serves until it is told to end; how many connections were cut.
    pub(super) async fn serve(
        front: Option<Self>,
        app: App,
        shutdown: Shutdown,
        config: &Config,
    ) -> usize {
        let Some(front) = front else {
            return 0;
        };
        let listed = config.proxy.pass_through.iter();
        // What is no host was refused when the settings were read.
        let listed = listed.filter_map(|text| Listed::parse(text)).collect();
        let passing = Passing::new(listed, &config.proxy.private);
        let proxy = Proxy::new(
            app,
            passing,
            config.proxy_limits(),
            (shutdown, config.serve_limits().drain),
        );
        proxy.serve(front.listeners).await.cut
    }
}
