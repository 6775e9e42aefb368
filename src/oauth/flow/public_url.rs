//! Where browsers reach this broker. Every address that is given away is built from it, and never
//! from what a request calls itself (A4).

use std::net::IpAddr;

use super::FlowId;
use crate::egress::{Origin, Scheme, Url};
use crate::name::{Host, ProviderId};

/// The origin under which browsers reach the broker: https, or http for this machine itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: Origin,
    text: Box<str>,
}

/// A text that is no such origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the public URL is https://HOST or https://HOST:PORT, without a path; http is for 127.0.0.1, [::1] and localhost only"
)]
pub struct PublicUrlError;

impl PublicUrl {
    /// Reads one, such as `https://broker.example.com`.
    ///
    /// # Errors
    /// [`PublicUrlError`].
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let url = Url::parse(text).map_err(|_| PublicUrlError)?;
        let bare = url.path() == "/" && url.query().is_none();
        let origin = url.origin().clone();
        let text = origin.to_string().into();
        (bare && is_safe(&origin))
            .then_some(Self { origin, text })
            .ok_or(PublicUrlError)
    }

    /// The origin as text, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The origin.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether cookies can be kept to encrypted connections.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.origin.scheme == Scheme::Https
    }

    /// The one redirect URI of a provider (A5).
    #[must_use]
    pub fn redirect_uri(&self, provider: &ProviderId) -> String {
        format!("{}/v1/oauth/callback/{provider}", self.text)
    }

    /// The page of a flow.
    #[must_use]
    pub fn connect(&self, flow: &FlowId) -> String {
        format!("{}/connect/{flow}", self.text)
    }

    /// The page that says how a flow ended.
    #[must_use]
    pub fn result(&self, flow: &FlowId) -> String {
        format!("{}/connect/{flow}/result", self.text)
    }
}

/// Whether what is sent there is encrypted, or stays on the machine.
pub(super) fn is_safe(origin: &Origin) -> bool {
    origin.scheme == Scheme::Https || is_loopback(&origin.host)
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Name(name) => **name == *"localhost",
        Host::Address(IpAddr::V4(address)) => address.is_loopback(),
        Host::Address(IpAddr::V6(address)) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::PublicUrl;
    use crate::name::ProviderId;

    #[test]
    fn a_public_url_is_an_origin_that_nobody_listens_in_on() {
        for (text, shown) in [
            ("https://Broker.Example.com", "https://broker.example.com"),
            ("https://broker.example.com/", "https://broker.example.com"),
            (
                "https://broker.example.com:443",
                "https://broker.example.com",
            ),
            (
                "https://broker.example.com:8420",
                "https://broker.example.com:8420",
            ),
            ("http://127.0.0.1:8420", "http://127.0.0.1:8420"),
            ("http://[::1]:8420", "http://[::1]:8420"),
            ("http://localhost:8420", "http://localhost:8420"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().as_str(), shown);
        }
        for bad in [
            "http://broker.example.com",
            "http://192.168.1.1",
            "https://broker.example.com/app",
            "https://broker.example.com/?a=b",
            "https://user@broker.example.com",
            "broker.example.com",
            "javascript://x",
            "",
        ] {
            assert!(PublicUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a5_each_provider_has_a_redirect_uri_of_its_own() {
        let url = PublicUrl::parse("https://broker.example.com").unwrap();
        let uri = |id: &str| url.redirect_uri(&ProviderId::parse(id).unwrap());
        assert_eq!(
            uri("github"),
            "https://broker.example.com/v1/oauth/callback/github"
        );
        assert_ne!(uri("github"), uri("gitlab"));
    }
}
