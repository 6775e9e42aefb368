//! Connected accounts, in the series. A provider's id is a label, since there are as many as files; a
//! person, an account or a token never is.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Metrics;
use crate::name::ProviderId;

const WAITS: [f64; 8] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 25.0];
const LEFT: [f64; 7] = [0.0, 30.0, 60.0, 300.0, 600.0, 3600.0, 86_400.0];

type ByProvider = Family<Vec<(&'static str, String)>, Counter>;

/// The series of connected accounts.
#[derive(Debug)]
pub(super) struct OauthSeries {
    refreshes: ByProvider,
    refresh_seconds: Histogram,
    left_seconds: Histogram,
    wait_seconds: Histogram,
    rotation_lost: Counter,
    breakers_open: Gauge,
    revocations: Family<[(&'static str, &'static str); 1], Counter>,
}

impl OauthSeries {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let series = Self {
            refreshes: Family::default(),
            refresh_seconds: Histogram::new(WAITS),
            left_seconds: Histogram::new(LEFT),
            wait_seconds: Histogram::new(WAITS),
            rotation_lost: Counter::default(),
            breakers_open: Gauge::default(),
            revocations: Family::default(),
        };
        registry.register(
            "oauth_refresh",
            "Refreshes of tokens, by provider and how they ended",
            series.refreshes.clone(),
        );
        registry.register(
            "oauth_refresh_seconds",
            "Seconds of one refresh",
            series.refresh_seconds.clone(),
        );
        registry.register(
            "oauth_time_to_expiry_at_refresh_seconds",
            "Seconds that an access token still had when it was refreshed",
            series.left_seconds.clone(),
        );
        registry.register(
            "oauth_lease_wait_seconds",
            "Seconds that a caller waited for a refresh",
            series.wait_seconds.clone(),
        );
        registry.register(
            "oauth_rotation_lost",
            "Refresh tokens that were spent without their successor arriving",
            series.rotation_lost.clone(),
        );
        registry.register(
            "oauth_breakers_open",
            "Token hosts that are left alone, because they do not answer",
            series.breakers_open.clone(),
        );
        registry.register(
            "oauth_revocations",
            "Tries to have a connection revoked at its provider, by how they ended",
            series.revocations.clone(),
        );
        series
    }
}

impl crate::oauth::Meter for Metrics {
    fn refreshed(&self, provider: &ProviderId, class: &'static str, took: Duration) {
        let labels = vec![
            ("provider", provider.to_string()),
            ("class", class.to_owned()),
        ];
        self.oauth.refreshes.get_or_create(&labels).inc();
        self.oauth.refresh_seconds.observe(took.as_secs_f64());
    }

    fn refreshed_with_left(&self, left: Duration) {
        self.oauth.left_seconds.observe(left.as_secs_f64());
    }

    fn waited(&self, took: Duration) {
        self.oauth.wait_seconds.observe(took.as_secs_f64());
    }

    fn rotation_lost(&self) {
        self.oauth.rotation_lost.inc();
    }

    fn breakers_open(&self, hosts: usize) {
        let hosts = i64::try_from(hosts).unwrap_or(i64::MAX);
        self.oauth.breakers_open.set(hosts);
    }

    fn revoked(&self, outcome: &'static str) {
        let labels = [("outcome", outcome)];
        self.oauth.revocations.get_or_create(&labels).inc();
    }
}
