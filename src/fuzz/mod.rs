//! Whatever comes from outside, thrown at everything that reads some.
//!
//! A target is a function of any bytes. It stands beside what it tries, in the module's own `fuzz`, and says
//! what must hold besides that nothing panics: what was read is written in one way, a URL has one reading, a
//! value is not in what was scrubbed. Each has a folder in `tests/fuzz/corpus/`.
//!
//! Every run of the tests tries each target with its corpus, and for a second with mutations of it; a long run is
//! `RUNTOOLS_FUZZ_SECONDS=3600 cargo test --lib fuzz::`. A fuzzer that is guided by coverage builds the crate with
//! `--cfg fuzzing` and finds [`TARGETS`]. What breaks something goes into the corpus with the repair.

#[cfg(test)]
mod tests_engine;

/// Something to try bytes on.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What its corpus is called.
    pub name: &'static str,
    /// Tries these bytes; panics when something is wrong.
    pub run: fn(&[u8]),
}

/// Declares the targets, and a test of each.
macro_rules! targets {
    ($($name:ident = $run:path,)+) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[
            $(Target { name: stringify!($name), run: $run },)+
        ];

        #[cfg(test)]
        mod nothing_breaks {
            $(
                #[test]
                fn $name() {
                    super::tests_engine::attempt(stringify!($name), $run);
                }
            )+
        }
    };
}

targets! {
    anchor = crate::store::fuzz::anchor,
    audit_export = crate::audit::fuzz::export,
    audit_segment = crate::audit::fuzz::segment,
    backup_inside = crate::backup::fuzz::inside,
    backup_outside = crate::backup::fuzz::outside,
    connect_head = crate::proxy::fuzz::connect,
    custodian = crate::custody::fuzz::custodian,
    decoder = crate::broker::fuzz::decoder,
    format = crate::store::fuzz::format,
    http = crate::http::serve::fuzz::connection,
    id_token = crate::oauth::fuzz::id_token,
    name = crate::name::fuzz::names,
    oauth_answer = crate::oauth::fuzz::answer,
    oauth_callback = crate::oauth::fuzz::callback,
    oauth_provider = crate::oauth::fuzz::provider,
    placeholder = crate::broker::fuzz::placeholders,
    record = crate::crypto::fuzz::record,
    request = crate::http::fuzz::request,
    ring = crate::custody::fuzz::ring,
    scrubber = crate::broker::fuzz::scrubber,
    settings = crate::config::fuzz::settings,
    share = crate::custody::fuzz::share,
    signed = crate::crypto::fuzz::signed,
    spool = crate::store::fuzz::spool,
    tls_hello = crate::proxy::fuzz::first_bytes,
    token = crate::directory::fuzz::token,
    tool = crate::tools::fuzz::tool,
    url = crate::egress::fuzz::url,
    websocket = crate::broker::fuzz::frames,
}
