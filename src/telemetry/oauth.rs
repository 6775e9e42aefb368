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
use crate::oauth::{Step, Way};

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
    over: ByProvider,
    clients_refused: ByProvider,
    breakers_open: Gauge,
    revocations: Family<[(&'static str, &'static str); 1], Counter>,
    steps: Family<[(&'static str, &'static str); 2], Counter>,
    unstored: Counter,
}

impl OauthSeries {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let series = Self {
            refreshes: Family::default(),
            refresh_seconds: Histogram::new(WAITS),
            left_seconds: Histogram::new(LEFT),
            wait_seconds: Histogram::new(WAITS),
            rotation_lost: Counter::default(),
            over: Family::default(),
            clients_refused: Family::default(),
            breakers_open: Gauge::default(),
            revocations: Family::default(),
            steps: Family::default(),
            unstored: Counter::default(),
        };
        series.register_refreshes(registry);
        series.register_ends(registry);
        series
    }

    fn register_refreshes(&self, registry: &mut Registry) {
        registry.register(
            "oauth_refresh",
            "Refreshes of tokens, by provider and how they ended",
            self.refreshes.clone(),
        );
        registry.register(
            "oauth_refresh_seconds",
            "Seconds of one refresh",
            self.refresh_seconds.clone(),
        );
        registry.register(
            "oauth_time_to_expiry_at_refresh_seconds",
            "Seconds that an access token still had when it was refreshed",
            self.left_seconds.clone(),
        );
        registry.register(
            "oauth_lease_wait_seconds",
            "Seconds that a caller waited for a refresh",
            self.wait_seconds.clone(),
        );
        registry.register(
            "oauth_rotation_lost",
            "Refresh tokens that were spent without their successor arriving",
            self.rotation_lost.clone(),
        );
    }

    fn register_ends(&self, registry: &mut Registry) {
        registry.register(
            "oauth_grants_over",
            "Grants that are over, by provider and reason",
            self.over.clone(),
        );
        registry.register(
            "oauth_clients_refused",
            "Clients that a provider refuses, each time that this begins",
            self.clients_refused.clone(),
        );
        registry.register(
            "oauth_breakers_open",
            "Token hosts that are left alone, because they do not answer",
            self.breakers_open.clone(),
        );
        registry.register(
            "oauth_revocations",
            "Tries to have a connection revoked at its provider, by how they ended",
            self.revocations.clone(),
        );
        registry.register(
            "oauth_steps",
            "How far flows that connect an account came, by the way they take",
            self.steps.clone(),
        );
        registry.register(
            "oauth_unstored",
            "Grants that the store did not take",
            self.unstored.clone(),
        );
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

    fn over(&self, provider: &ProviderId, reason: &'static str) {
        let labels = vec![
            ("provider", provider.to_string()),
            ("reason", reason.to_owned()),
        ];
        self.oauth.over.get_or_create(&labels).inc();
    }

    fn client_refused(&self, provider: &ProviderId) {
        let labels = vec![("provider", provider.to_string())];
        self.oauth.clients_refused.get_or_create(&labels).inc();
    }

    fn breakers_open(&self, hosts: usize) {
        let hosts = i64::try_from(hosts).unwrap_or(i64::MAX);
        self.oauth.breakers_open.set(hosts);
    }

    fn revoked(&self, outcome: &'static str) {
        let labels = [("outcome", outcome)];
        self.oauth.revocations.get_or_create(&labels).inc();
    }

    fn step(&self, way: Way, step: Step) {
        let labels = [("way", way.code()), ("step", step.code())];
        self.oauth.steps.get_or_create(&labels).inc();
    }

    fn unstored(&self) {
        self.oauth.unstored.inc();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::name::ProviderId;
    use crate::oauth::{Meter, Step, Way};
    use crate::telemetry::Metrics;

    /// What happens, and the line that says so afterwards.
    type Move = (fn(&Metrics, &ProviderId), &'static str);

    const MOVES: [Move; 11] = [
        (
            |metrics, id| metrics.refreshed(id, "success", Duration::from_millis(500)),
            "runtools_oauth_refresh_total{provider=\"github\",class=\"success\"} 1",
        ),
        (
            |metrics, id| metrics.refreshed(id, "transient", Duration::from_secs(2)),
            "runtools_oauth_refresh_seconds_sum 2.5",
        ),
        (
            |metrics, _| metrics.refreshed_with_left(Duration::from_mins(9)),
            "runtools_oauth_time_to_expiry_at_refresh_seconds_bucket{le=\"600.0\"} 1",
        ),
        (
            |metrics, _| metrics.waited(Duration::from_millis(300)),
            "runtools_oauth_lease_wait_seconds_bucket{le=\"0.5\"} 1",
        ),
        (
            |metrics, _| metrics.rotation_lost(),
            "runtools_oauth_rotation_lost_total 1",
        ),
        (
            |metrics, id| metrics.over(id, "user_revoked"),
            "runtools_oauth_grants_over_total{provider=\"github\",reason=\"user_revoked\"} 1",
        ),
        (
            |metrics, id| metrics.client_refused(id),
            "runtools_oauth_clients_refused_total{provider=\"github\"} 1",
        ),
        (
            |metrics, _| metrics.breakers_open(3),
            "runtools_oauth_breakers_open 3",
        ),
        (
            |metrics, _| metrics.revoked("pending"),
            "runtools_oauth_revocations_total{outcome=\"pending\"} 1",
        ),
        (
            |metrics, _| metrics.step(Way::Device, Step::Connected),
            "runtools_oauth_steps_total{way=\"device\",step=\"connected\"} 1",
        ),
        (
            |metrics, _| metrics.unstored(),
            "runtools_oauth_unstored_total 1",
        ),
    ];

    #[test]
    fn every_series_of_connected_accounts_moves_with_what_it_counts() {
        let metrics = Metrics::new();
        let github = ProviderId::parse("github").unwrap();
        let says = |line: &str| metrics.encode().lines().any(|found| found == line);
        for (happen, line) in MOVES {
            assert!(!says(line), "{line}");
            happen(&metrics, &github);
            assert!(says(line), "{line}\n{}", metrics.encode());
        }
        // A breaker that closes is gone from the gauge.
        metrics.breakers_open(0);
        assert!(says("runtools_oauth_breakers_open 0"));
    }
}
