//! Where browsers and clients are told to come, and whether that is here.

use super::finding::{Finding, quoted};
use super::mend::Mend;
use crate::config::Config;
use crate::daemon::connected::settled_url;
use crate::http::serve::TlsCertificate;

/// Where providers send browsers back to.
pub(super) fn redirect(config: &Config) -> Finding {
    const CHECK: &str = "redirect";
    const FIX: &str = "Set oauth.public_url to the origin at which browsers reach the broker, and register it with every client.";
    // One that cannot be read is told with the settings.
    let Ok(url) = settled_url(config) else {
        return Finding::unexamined(CHECK, "not examined: the settings come first");
    };
    let shown = url.as_str();
    let open = |addr: &std::net::SocketAddr| !addr.ip().to_canonical().is_loopback();
    if !url.is_encrypted() && config.listen.iter().any(open) {
        let text = format!(
            "browsers on other machines are sent back to {shown}, which is each machine itself"
        );
        return Finding::warn(CHECK, text, FIX);
    }
    if url.is_encrypted() && config.tls_files().is_none() {
        let text = format!("browsers are sent back to {shown}: what stands before the broker");
        return Finding::ok(CHECK, text);
    }
    Finding::ok(CHECK, format!("browsers are sent back to {shown}"))
}

/// Whether the certificate is for the names by which the broker is called.
pub(super) fn names(config: &Config) -> Option<Finding> {
    const CHECK: &str = "certificate_names";
    let certificate = TlsCertificate::load(config.tls_files()?).ok()?;
    let url = settled_url(config)
        .ok()
        .filter(|_| config.oauth.public_url.is_some());
    let url = url.map(|url| url.origin().host.to_string());
    let mut names: Vec<String> = config.public_hosts.iter().cloned().chain(url).collect();
    names.sort();
    names.dedup();
    let other: Vec<String> = names
        .iter()
        .filter(|name| !certificate.is_for(name))
        .cloned()
        .collect();
    Some(if other.is_empty() {
        Finding::ok(CHECK, format!("it is for {}", in_words(&names)))
    } else {
        Finding::warn(
            CHECK,
            format!(
                "it is not for {}, by which the settings call the broker",
                other.join(", ")
            ),
            "Have it issued for these names too; or correct public_hosts and oauth.public_url.",
        )
    })
}

fn in_words(names: &[String]) -> String {
    match names {
        [] => "whatever name it has: the settings give none".to_owned(),
        names => names.join(", "),
    }
}

/// Whether others may read the certificate's key. A group may: it is how several services share one.
pub(super) fn key_mode(config: &Config) -> Option<Finding> {
    use std::os::unix::fs::MetadataExt;
    const CHECK: &str = "certificate_key";
    let path = config.tls_files()?.key;
    let mode = std::fs::metadata(&path).ok()?.mode() & 0o7777;
    if mode.trailing_zeros() >= 3 {
        return Some(Finding::ok(
            CHECK,
            format!("not everybody's (mode {mode:04o})"),
        ));
    }
    let text = format!("everybody on this machine may read it (mode {mode:04o})");
    let fix = format!("chmod o= {}", quoted(&path));
    Some(Finding::fail(CHECK, text, fix).mended_by(Mend::new(path, 0o7770)))
}
