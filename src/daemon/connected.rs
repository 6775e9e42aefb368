//! What connected accounts are made of: provider files, the way to providers, the flows' book.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::DaemonError;
use crate::config::Config;
use crate::egress::Egress;
use crate::name::HostPattern;
use crate::oauth::flow::{FlowBook, PublicUrl, ReturnRule};
use crate::oauth::provider::{Catalog, Reach};
use crate::oauth::{Accounts, AccountsParts, Caps, Outbound};
use crate::telemetry::Metrics;

/// The most provider files of an operator's own.
const MAX_FILES: usize = 500;

/// What the daemon hands on.
pub(super) struct Connected {
    pub(super) accounts: Arc<Accounts>,
    pub(super) flows: Arc<FlowBook>,
    pub(super) allowed_hosts: Vec<HostPattern>,
    pub(super) return_rules: Vec<ReturnRule>,
    /// The host that browsers ask for.
    pub(super) host: String,
}

pub(super) fn connect(
    config: &Config,
    egress: Egress,
    addresses: &[SocketAddr],
    metrics: &Arc<Metrics>,
) -> Result<Connected, DaemonError> {
    let settings = &config.oauth;
    let url = public_url(config, addresses)?;
    let (allowed_hosts, return_rules) = (allowed_hosts(config)?, return_rules(config)?);
    let accounts = Accounts::new(AccountsParts {
        catalog: catalog(config)?,
        outbound: Outbound::new(egress, &settings.private),
        meter: Arc::<Metrics>::clone(metrics),
        caps: Caps {
            member: settings.accounts_per_member,
            org: settings.accounts_per_org,
        },
    });
    let host = url.origin().host.to_string();
    Ok(Connected {
        accounts: Arc::new(accounts),
        flows: Arc::new(FlowBook::new(url)),
        allowed_hosts,
        return_rules,
        host,
    })
}

/// What can be told of the settings before anything is made or opened.
///
/// # Errors
/// What the start would fail with.
pub(super) fn check(config: &Config) -> Result<(), DaemonError> {
    settled_url(config)?;
    allowed_hosts(config)?;
    return_rules(config)?;
    catalog(config).map(drop)
}

/// Where browsers reach the broker, as far as the settings tell.
///
/// # Errors
/// What the start would fail with.
pub(super) fn settled_url(config: &Config) -> Result<PublicUrl, DaemonError> {
    // Any free port is none yet; which one it is does not matter here.
    let port = |port| if port == 0 { 8420 } else { port };
    let listen = config.listen.iter();
    let listen: Vec<_> = listen
        .map(|addr| SocketAddr::new(addr.ip(), port(addr.port())))
        .collect();
    public_url(config, &listen)
}

fn allowed_hosts(config: &Config) -> Result<Vec<HostPattern>, DaemonError> {
    let hosts = config.oauth.hosts.iter();
    let patterns: Result<_, _> = hosts.map(|host| HostPattern::parse(host)).collect();
    patterns.map_err(|_| bad("oauth.hosts", "each is a host, or *. and a domain"))
}

fn return_rules(config: &Config) -> Result<Vec<ReturnRule>, DaemonError> {
    let rules = config.oauth.return_to.iter();
    let rules: Result<_, _> = rules.map(|rule| ReturnRule::parse(rule)).collect();
    rules.map_err(|_| bad("oauth.return_to", "each is an https address with a path"))
}

const fn bad(key: &'static str, why: &'static str) -> DaemonError {
    DaemonError::Oauth { key, why }
}

/// As set; else the first address that it listens on, by the name that its certificate is for. One that
/// stands for all addresses is none that a browser could be sent to.
fn public_url(config: &Config, addresses: &[SocketAddr]) -> Result<PublicUrl, DaemonError> {
    let read = |text: &str| {
        PublicUrl::parse(text).map_err(|_| {
            bad(
                "oauth.public_url",
                "it is an origin: https://broker.example.com",
            )
        })
    };
    if let Some(set) = &config.oauth.public_url {
        return read(set);
    }
    let Some(first) = addresses.first() else {
        return read("http://127.0.0.1:8420");
    };
    match (config.tls_files(), config.public_hosts.first()) {
        (Some(_), Some(name)) => read(&format!("https://{name}:{}", first.port())),
        _ if first.ip().is_unspecified() => Err(DaemonError::NoPublicUrl(*first)),
        (Some(_), None) => read(&format!("https://{first}")),
        (None, _) => read(&format!("http://{first}")),
    }
}

/// The shipped files, and the operator's own. These may be in the private ranges that were named, and speak
/// plain http there.
fn catalog(config: &Config) -> Result<Catalog, DaemonError> {
    let mut catalog = Catalog::shipped()?;
    let Some(folder) = &config.oauth.providers_dir else {
        return Ok(catalog);
    };
    let reach = Reach::within(&config.oauth.private);
    let unreadable = |path: &Path| DaemonError::Providers(path.to_owned());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|_| unreadable(folder))? {
        let path = entry.map_err(|_| unreadable(folder))?.path();
        if path.extension().is_some_and(|kind| kind == "toml") {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(DaemonError::TooManyProviders {
                path: folder.clone(),
                most: MAX_FILES,
            });
        }
    }
    files.sort();
    let mut read = Vec::new();
    for path in &files {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| unreadable(path))?;
        let text = std::fs::read_to_string(path).map_err(|_| unreadable(path))?;
        read.push((name, text));
    }
    let read: Vec<_> = read
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    catalog.add_all(&read, &reach)?;
    Ok(catalog)
}

#[cfg(test)]
mod tests {
    use super::{MAX_FILES, catalog, public_url};
    use crate::config::Config;
    use crate::daemon::DaemonError;

    fn encrypted() -> Config {
        let mut config = Config::default();
        config.tls.cert = Some("cert.pem".into());
        config.tls.key = Some("key.pem".into());
        config
    }

    #[test]
    fn browsers_are_sent_to_an_address_that_is_one() {
        let url = |config: &Config, address: &str| {
            let url = public_url(config, &[address.parse().unwrap()]);
            url.map(|url| url.as_str().to_owned())
        };
        let plain = url(&Config::default(), "127.0.0.1:8420").unwrap();
        assert_eq!(plain, "http://127.0.0.1:8420");
        let mut config = encrypted();
        let own = url(&config, "192.0.2.1:8420").unwrap();
        assert_eq!(own, "https://192.0.2.1:8420");
        for every in ["0.0.0.0:8420", "[::]:8420"] {
            let refused = url(&config, every).unwrap_err();
            assert!(refused.to_string().contains(every), "{refused}");
            assert!(refused.hint().contains("oauth.public_url"));
        }
        config.public_hosts = vec!["vault.example.com".to_owned()];
        let named = url(&config, "0.0.0.0:8420").unwrap();
        assert_eq!(named, "https://vault.example.com:8420");
        config.oauth.public_url = Some("https://broker.example.com".to_owned());
        let set = url(&config, "[::]:8420").unwrap();
        assert_eq!(set, "https://broker.example.com");
    }

    #[test]
    fn no_provider_file_is_left_out_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..=MAX_FILES {
            std::fs::write(folder.path().join(format!("p{index}.toml")), "").unwrap();
        }
        let mut config = Config::default();
        config.oauth.providers_dir = Some(folder.path().to_owned());
        let refused = catalog(&config).err().unwrap();
        assert!(
            matches!(
                refused,
                DaemonError::TooManyProviders {
                    most: MAX_FILES,
                    ..
                }
            ),
            "{refused}"
        );
        assert!(refused.hint().contains("oauth.providers_dir"));
        // One less is read, and judged by what it says.
        std::fs::remove_file(folder.path().join("p0.toml")).unwrap();
        let judged = catalog(&config).err().unwrap();
        assert!(matches!(judged, DaemonError::Provider(_)), "{judged}");
    }
}
