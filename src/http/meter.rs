//! What is counted, said by the surface and kept by whoever measures.

use std::time::Duration;

use super::serve::Observer;

/// Hears what happens, for metrics. Labels are `&'static str`: an input cannot become one.
pub trait Meter: Observer {
    /// A request was answered. `route` is the template, never the path.
    fn request(&self, route: &'static str, method: &'static str, status: u16, took: Duration);
    /// A caller was not recognised.
    fn auth_failed(&self, method: &'static str, reason: &'static str);
    /// A credential was locked after too many failures.
    fn locked_out(&self);
    /// A request was over a rate.
    fn rate_limited(&self, scope: &'static str);
    /// An operation on secrets, keys, tools or members ended.
    fn operation(&self, operation: &'static str, outcome: &'static str);
    /// A tool was run.
    fn execution(&self, outcome: &'static str);
    /// What is shown beside the counters: whether the vault is sealed, whether requests can be
    /// served, and the store's size in bytes.
    fn state(&self, sealed: bool, ready: bool, store_bytes: Option<u64>);
    /// The newest backup, in seconds since 1970, and whether the last try failed.
    fn backups(&self, last: Option<i64>, failing: bool);
    /// The hardening controls that are not in force.
    fn not_enforced(&self) -> Vec<&'static str>;
    /// The page that Prometheus reads.
    fn page(&self) -> String;
}
