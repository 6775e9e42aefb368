//! The surface's meter, kept in the series.

use std::time::Duration;

use super::Metrics;
use crate::http::Meter;

/// The status as a label: those that this API answers by number, others by their class.
const fn code(status: u16) -> &'static str {
    match status {
        200 => "200",
        201 => "201",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        412 => "412",
        413 => "413",
        415 => "415",
        421 => "421",
        422 => "422",
        429 => "429",
        500 => "500",
        503 => "503",
        507 => "507",
        _ => match status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        },
    }
}

impl Meter for Metrics {
    fn request(&self, route: &'static str, method: &'static str, status: u16, took: Duration) {
        self.http_request(route, method, code(status), took.as_secs_f64());
    }

    fn auth_failed(&self, method: &'static str, reason: &'static str) {
        self.auth_failure(method, reason);
    }

    fn locked_out(&self) {
        self.auth_lockouts.inc();
    }

    fn rate_limited(&self, scope: &'static str) {
        Self::rate_limited(self, scope);
    }

    fn operation(&self, operation: &'static str, outcome: &'static str) {
        Self::operation(self, operation, outcome);
    }

    fn execution(&self, outcome: &'static str) {
        self.tool_execution(outcome);
    }

    fn state(&self, sealed: bool, ready: bool, store_bytes: Option<u64>) {
        self.set_sealed(sealed);
        self.set_ready(ready);
        if let Some(bytes) = store_bytes.and_then(|bytes| i64::try_from(bytes).ok()) {
            self.store_size.set(bytes);
        }
    }

    fn backups(&self, last: Option<i64>, failing: bool) {
        self.backup_last.set(last.unwrap_or(0));
        self.backup_failing.set(i64::from(failing));
    }

    fn not_enforced(&self) -> Vec<&'static str> {
        self.lacking().iter().copied().collect()
    }

    fn page(&self) -> String {
        self.encode()
    }
}

impl crate::store::Probe for Metrics {
    fn store_synced(&self, took: Duration) {
        self.store_sync.observe(took.as_secs_f64());
    }
}

impl crate::audit::Probe for Metrics {
    fn audit_synced(&self, records: u64, took: Duration) {
        self.audit_records.inc_by(records);
        self.audit_fsync.observe(took.as_secs_f64());
    }

    fn audit_failed(&self) {
        self.audit_write_failures.inc();
    }
}
