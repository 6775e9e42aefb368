//! What clients may take of the API, and tool code of the lanes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Config;
use crate::broker::LaneLimits;
use crate::http::serve::ServeLimits;
use crate::proxy::ProxyLimits;

/// Seconds, bytes and counts; see [`ServeLimits`], [`LaneLimits`] and [`ProxyLimits`] for each.
#[expect(
    missing_docs,
    reason = "each is documented where it is enforced, and in config/broker.toml"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    pub tls_handshake_seconds: u64,
    pub first_byte_seconds: u64,
    pub header_read_seconds: u64,
    pub body_idle_seconds: u64,
    pub whole_request_seconds: u64,
    pub keep_alive_idle_seconds: u64,
    pub write_stall_seconds: u64,
    pub drain_seconds: u64,
    pub header_bytes: usize,
    pub headers: usize,
    pub uri_bytes: usize,
    pub connections: usize,
    pub connections_per_source: usize,
    pub connections_per_user: usize,
    pub in_flight: usize,
    pub running_per_user: usize,
    pub upload_mb: u64,
    pub stream_seconds: u64,
    pub websocket_idle_seconds: u64,
    pub tunnel_idle_seconds: u64,
    pub tunnel_grace_seconds: u64,
    pub proxy_connections: usize,
    pub proxy_connections_per_org: usize,
    pub proxy_connections_per_user: usize,
    pub proxy_connections_per_handle: usize,
    pub handles: usize,
    pub handles_per_org: usize,
    pub handles_per_user: usize,
}

impl Config {
    /// The limits as the accept loop takes them.
    #[must_use]
    pub const fn serve_limits(&self) -> ServeLimits {
        let l = &self.limits;
        ServeLimits {
            tls_handshake: Duration::from_secs(l.tls_handshake_seconds),
            first_byte: Duration::from_secs(l.first_byte_seconds),
            header_read: Duration::from_secs(l.header_read_seconds),
            body_idle: Duration::from_secs(l.body_idle_seconds),
            whole_request: Duration::from_secs(l.whole_request_seconds),
            keep_alive_idle: Duration::from_secs(l.keep_alive_idle_seconds),
            write_stall: Duration::from_secs(l.write_stall_seconds),
            drain: Duration::from_secs(l.drain_seconds),
            header_bytes: l.header_bytes,
            headers: l.headers,
            uri_bytes: l.uri_bytes,
            connections: l.connections,
            connections_per_source: l.connections_per_source,
            connections_per_user: l.connections_per_user,
            in_flight: l.in_flight,
        }
    }

    /// The limits as the broker takes them.
    #[must_use]
    pub const fn lane_limits(&self) -> LaneLimits {
        let l = &self.limits;
        LaneLimits {
            whole: Duration::from_secs(self.egress.total_seconds),
            stream: Duration::from_secs(l.stream_seconds),
            socket_idle: Duration::from_secs(l.websocket_idle_seconds),
            upload_bytes: l.upload_mb << 20,
            running_per_user: l.running_per_user,
            handles: l.handles,
            handles_per_org: l.handles_per_org,
            handles_per_user: l.handles_per_user,
        }
    }

    /// The limits as the egress proxy takes them.
    #[must_use]
    pub const fn proxy_limits(&self) -> ProxyLimits {
        let l = &self.limits;
        ProxyLimits {
            idle: Duration::from_secs(l.tunnel_idle_seconds),
            grace: Duration::from_secs(l.tunnel_grace_seconds),
            connections: l.proxy_connections,
            per_org: l.proxy_connections_per_org,
            per_user: l.proxy_connections_per_user,
            per_handle: l.proxy_connections_per_handle,
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        let l = ServeLimits::default();
        let lane = LaneLimits::default();
        let proxy = ProxyLimits::default();
        Self {
            tls_handshake_seconds: l.tls_handshake.as_secs(),
            first_byte_seconds: l.first_byte.as_secs(),
            header_read_seconds: l.header_read.as_secs(),
            body_idle_seconds: l.body_idle.as_secs(),
            whole_request_seconds: l.whole_request.as_secs(),
            keep_alive_idle_seconds: l.keep_alive_idle.as_secs(),
            write_stall_seconds: l.write_stall.as_secs(),
            drain_seconds: l.drain.as_secs(),
            header_bytes: l.header_bytes,
            headers: l.headers,
            uri_bytes: l.uri_bytes,
            connections: l.connections,
            connections_per_source: l.connections_per_source,
            connections_per_user: l.connections_per_user,
            in_flight: l.in_flight,
            running_per_user: lane.running_per_user,
            upload_mb: lane.upload_bytes >> 20,
            stream_seconds: lane.stream.as_secs(),
            websocket_idle_seconds: lane.socket_idle.as_secs(),
            tunnel_idle_seconds: proxy.idle.as_secs(),
            tunnel_grace_seconds: proxy.grace.as_secs(),
            proxy_connections: proxy.connections,
            proxy_connections_per_org: proxy.per_org,
            proxy_connections_per_user: proxy.per_user,
            proxy_connections_per_handle: proxy.per_handle,
            handles: lane.handles,
            handles_per_org: lane.handles_per_org,
            handles_per_user: lane.handles_per_user,
        }
    }
}
