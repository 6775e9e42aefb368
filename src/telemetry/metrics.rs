//! The series, and one typed handle for each.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use super::oauth::OauthSeries;
use crate::http::serve::{Cut, Observer, Rejection};

type Label = (&'static str, &'static str);
type Counters<const N: usize> = Family<[Label; N], Counter>;

const SECONDS: [f64; 13] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];
const DISK_SECONDS: [f64; 11] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0,
];

/// Every series of the daemon. Counting is an atomic addition, or for those with labels a lookup
/// under a read lock. Labels are `&'static str` by type: an input cannot become one.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started: Instant,
    sealed: Gauge,
    ready: Gauge,
    uptime: Gauge<f64, AtomicU64>,
    http_requests: Counters<3>,
    http_seconds: Histogram,
    connections_open: Gauge,
    connections_rejected: Family<[Label; 1], Counter>,
    connections_cut: Family<[Label; 1], Counter>,
    auth_failures: Counters<2>,
    /// Credentials locked after too many failures.
    pub auth_lockouts: Counter,
    rate_limited: Counters<1>,
    operations: Counters<2>,
    tool_executions: Counters<1>,
    /// Audit records that are durable.
    pub audit_records: Counter,
    /// Audit records that could not be made durable.
    pub audit_write_failures: Counter,
    /// Seconds of one audit fdatasync.
    pub audit_fsync: Histogram,
    /// Seconds of one store sync.
    pub store_sync: Histogram,
    /// Bytes of the store on disk.
    pub store_size: Gauge<i64, AtomicI64>,
    /// When the newest backup was begun.
    pub(super) backup_last: Gauge<i64, AtomicI64>,
    /// Whether the last try failed.
    pub(super) backup_failing: Gauge,
    hardening: Family<[Label; 1], Gauge>,
    not_enforced: Mutex<BTreeSet<&'static str>>,
    certificate_expiry: Gauge<i64, AtomicI64>,
    certificate_reload_failures: Counter,
    pub(super) oauth: OauthSeries,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers a metric and hands it back.
struct Series(Registry);

impl Series {
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn zero<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.add(name, help, M::default())
    }
}

impl Metrics {
    /// All series at zero. Those whose labels are known beforehand exist from the start, since a
    /// series that appears with its first event has no rate.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a list: one line for each series")]
    pub fn new() -> Self {
        let mut s = Series(Registry::with_prefix("runtools"));
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        s.0.register("build", "Which version this is", version);
        let metrics = Self {
            started: Instant::now(),
            sealed: s.zero("sealed", "1 while the vault is sealed"),
            ready: s.zero("ready", "1 while requests are served"),
            uptime: s.zero("uptime_seconds", "Seconds since the start"),
            http_requests: s.zero("http_requests", "Requests answered"),
            http_seconds: s.add(
                "http_request_duration_seconds",
                "Seconds from a request's header to the end of its handler",
                Histogram::new(SECONDS),
            ),
            connections_open: s.zero("connections_open", "Open connections"),
            connections_rejected: s.zero("connections_rejected", "Connections not taken"),
            connections_cut: s.zero("connections_cut", "Connections closed on their client"),
            auth_failures: s.zero("auth_failures", "Refused credentials"),
            auth_lockouts: s.zero("auth_lockouts", "Credentials locked after failures"),
            rate_limited: s.zero("rate_limited", "Requests refused for their rate"),
            operations: s.zero("operations", "Operations that the journal records"),
            tool_executions: s.zero("tool_executions", "Tool executions"),
            audit_records: s.zero("audit_records", "Durable audit records"),
            audit_write_failures: s.zero("audit_write_failures", "Audit records not written"),
            audit_fsync: s.add(
                "audit_fsync_seconds",
                "Seconds of one audit sync",
                Histogram::new(DISK_SECONDS),
            ),
            store_sync: s.add(
                "store_sync_seconds",
                "Seconds of one store sync",
                Histogram::new(DISK_SECONDS),
            ),
            store_size: s.zero("store_size_bytes", "Bytes of the store on disk"),
            backup_last: s.zero(
                "backup_last_timestamp_seconds",
                "When the newest backup was begun, in seconds since 1970; 0 before there is one",
            ),
            backup_failing: s.zero("backup_failing", "1 while the last backup failed"),
            not_enforced: Mutex::default(),
            hardening: s.zero("hardening_enforced", "1 for a control that is in force"),
            certificate_expiry: s.zero(
                "tls_certificate_expiry_timestamp_seconds",
                "When the certificate in use ends, in seconds since 1970; 0 without TLS",
            ),
            certificate_reload_failures: s.zero(
                "tls_certificate_reload_failures",
                "Changed certificates that were not usable",
            ),
            oauth: OauthSeries::new(&mut s.0),
            registry: s.0,
        };
        for why in Rejection::ALL {
            drop(
                metrics
                    .connections_rejected
                    .get_or_create(&[("reason", why.label())]),
            );
        }
        for why in Cut::ALL {
            drop(
                metrics
                    .connections_cut
                    .get_or_create(&[("reason", why.label())]),
            );
        }
        metrics
    }

    /// Whether the vault is sealed.
    pub fn set_sealed(&self, sealed: bool) {
        self.sealed.set(i64::from(sealed));
    }

    /// Whether requests are served.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// Which hardening controls, by their labels, are in force.
    pub fn set_hardening(&self, controls: impl IntoIterator<Item = (&'static str, bool)>) {
        let mut lacking = self.lacking();
        for (control, enforced) in controls {
            self.hardening
                .get_or_create(&[("control", control)])
                .set(i64::from(enforced));
            if enforced {
                lacking.remove(control);
            } else {
                lacking.insert(control);
            }
        }
    }

    /// The hardening controls that are not in force.
    pub(super) fn lacking(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.not_enforced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// When the certificate in use ends, in seconds since 1970.
    pub fn set_certificate_expiry(&self, seconds: i64) {
        self.certificate_expiry.set(seconds);
    }

    /// A request was answered: the template of its route, its method, its status, its time.
    pub fn http_request(
        &self,
        route: &'static str,
        method: &'static str,
        code: &'static str,
        seconds: f64,
    ) {
        let labels = [("route", route), ("method", method), ("code", code)];
        self.http_requests.get_or_create(&labels).inc();
        self.http_seconds.observe(seconds);
    }

    /// A credential was refused.
    pub fn auth_failure(&self, method: &'static str, reason: &'static str) {
        let labels = [("method", method), ("reason", reason)];
        self.auth_failures.get_or_create(&labels).inc();
    }

    /// A request was refused for its rate.
    pub fn rate_limited(&self, scope: &'static str) {
        self.rate_limited.get_or_create(&[("scope", scope)]).inc();
    }

    /// Something was done that the journal records, or not.
    pub fn operation(&self, op: &'static str, outcome: &'static str) {
        let labels = [("op", op), ("outcome", outcome)];
        self.operations.get_or_create(&labels).inc();
    }

    /// A tool was run, or not.
    pub fn tool_execution(&self, outcome: &'static str) {
        self.tool_executions
            .get_or_create(&[("outcome", outcome)])
            .inc();
    }

    /// All series, as `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    #[must_use]
    pub fn encode(&self) -> String {
        self.uptime.set(self.started.elapsed().as_secs_f64());
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            // Writing into a String does not fail; half a page would be worse than none.
            text.clear();
        }
        text
    }
}

impl Observer for Metrics {
    fn opened(&self) {
        self.connections_open.inc();
    }

    fn closed(&self) {
        self.connections_open.dec();
    }

    fn rejected(&self, why: Rejection) {
        let labels = [("reason", why.label())];
        self.connections_rejected.get_or_create(&labels).inc();
    }

    fn cut(&self, why: Cut) {
        let labels = [("reason", why.label())];
        self.connections_cut.get_or_create(&labels).inc();
    }

    fn certificate(&self, loaded: bool) {
        if !loaded {
            self.certificate_reload_failures.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, Metrics, Observer, Rejection};

    #[test]
    fn every_documented_series_is_there_under_its_name() {
        let metrics = Metrics::new();
        metrics.set_sealed(true);
        metrics.set_hardening([("umask", true), ("unprivileged", false)]);
        metrics.http_request("/v1/secrets/{name}", "GET", "200", 0.003);
        metrics.auth_failure("api_key", "unknown");
        metrics.rate_limited("source");
        metrics.operation("set", "ok");
        metrics.tool_execution("ok");
        metrics.opened();
        metrics.rejected(Rejection::Source);
        metrics.cut(Cut::Silent);
        metrics.certificate(false);
        let text = metrics.encode();
        for line in [
            "runtools_build_info{version=\"0.1.0\"} 1",
            "runtools_sealed 1",
            "runtools_hardening_enforced{control=\"umask\"} 1",
            "runtools_hardening_enforced{control=\"unprivileged\"} 0",
            "runtools_ready 0",
            "runtools_http_requests_total{route=\"/v1/secrets/{name}\",method=\"GET\",code=\"200\"} 1",
            "runtools_http_request_duration_seconds_bucket{le=\"0.005\"} 1",
            "runtools_connections_open 1",
            "runtools_connections_rejected_total{reason=\"source\"} 1",
            "runtools_connections_rejected_total{reason=\"connections\"} 0",
            "runtools_connections_cut_total{reason=\"silent\"} 1",
            "runtools_auth_failures_total{method=\"api_key\",reason=\"unknown\"} 1",
            "runtools_auth_lockouts_total 0",
            "runtools_rate_limited_total{scope=\"source\"} 1",
            "runtools_operations_total{op=\"set\",outcome=\"ok\"} 1",
            "runtools_tool_executions_total{outcome=\"ok\"} 1",
            "runtools_audit_records_total 0",
            "runtools_audit_write_failures_total 0",
            "runtools_audit_fsync_seconds_count 0",
            "runtools_store_sync_seconds_count 0",
            "runtools_store_size_bytes 0",
            "runtools_backup_last_timestamp_seconds 0",
            "runtools_backup_failing 0",
            "runtools_tls_certificate_expiry_timestamp_seconds 0",
            "runtools_tls_certificate_reload_failures_total 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
        }
        assert!(text.contains("\nruntools_uptime_seconds "));
        assert!(text.ends_with("# EOF\n"));
    }
}
