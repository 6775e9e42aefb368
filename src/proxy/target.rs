//! Where a request at the proxy wants to go, in the one reading that there is of it.

use http::{HeaderMap, Uri, header};

use crate::egress::{EgressError, Origin, Scheme, Url};

/// The origin that a CONNECT names: host and port, both (RFC 9110, 9.3.6).
///
/// # Errors
/// [`EgressError::BadUrl`] when it has no one reading.
pub(super) fn connect(uri: &Uri) -> Result<Origin, EgressError> {
    let bare = uri.scheme().is_none() && uri.path_and_query().is_none();
    let authority = uri.authority().filter(|_| bare);
    let authority = authority.ok_or(crate::egress::UrlFault::Host)?;
    origin(authority.as_str(), true)
}

/// The origin of `authority` over TLS. Where `port` must stand, none is meant.
fn origin(authority: &str, port: bool) -> Result<Origin, EgressError> {
    let after = authority.rsplit_once(']').map_or(authority, |(_, it)| it);
    if port && !after.contains(':') {
        return Err(crate::egress::UrlFault::Port.into());
    }
    // A path would make a URL of what is to be an authority alone.
    if authority.contains(['/', '?', '#']) {
        return Err(crate::egress::UrlFault::Host.into());
    }
    Url::parse(&format!("https://{authority}/")).map(|url| url.origin().clone())
}

/// Why a request inside a tunnel is none for its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Astray {
    /// It names another origin than the tunnel goes to, or two, or none.
    Elsewhere,
    /// It names no path.
    NoPath,
}

/// The URL that a request inside a tunnel to `origin` is for, as text that is still to be read.
///
/// # Errors
/// [`Astray`].
pub(super) fn inside(uri: &Uri, headers: &HeaderMap, origin: &Origin) -> Result<String, Astray> {
    let target = uri.path_and_query().ok_or(Astray::NoPath)?.as_str();
    if !target.starts_with('/') {
        return Err(Astray::NoPath);
    }
    let mut named = headers.get_all(header::HOST).iter();
    let (host, more) = (named.next(), named.next());
    let host = host.map(|host| host.to_str().unwrap_or_default());
    // HTTP/2 names it in the URI alone, HTTP/1.1 in the header, and in the URI besides if it likes.
    let names = [uri.authority().map(http::uri::Authority::as_str), host];
    let mut names = names.into_iter().flatten().peekable();
    let scheme = uri.scheme_str().unwrap_or(origin.scheme.as_str());
    let is_there = names.peek().is_some() && more.is_none() && scheme == Scheme::Https.as_str();
    if !is_there || !names.all(|name| self::origin(name, false).is_ok_and(|it| it == *origin)) {
        return Err(Astray::Elsewhere);
    }
    Ok(format!("{origin}{target}"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Uri};
    use proptest::prelude::*;

    use super::{Astray, connect, inside};

    fn connects(text: &str) -> Option<String> {
        let uri: Uri = text.parse().ok()?;
        connect(&uri).ok().map(|origin| origin.to_string())
    }

    fn asks(uri: &str, hosts: &[&str]) -> Result<String, Astray> {
        let origin = connect(&"api.good.com:8443".parse().unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append("host", HeaderValue::from_str(host).unwrap());
        }
        inside(&uri.parse().unwrap(), &headers, &origin)
    }

    #[test]
    fn a_tunnel_goes_to_one_host_and_port() {
        assert_eq!(
            connects("API.good.com:443").unwrap(),
            "https://api.good.com"
        );
        assert_eq!(connects("1.2.3.4:8443").unwrap(), "https://1.2.3.4:8443");
        assert_eq!(connects("[::1]:443").unwrap(), "https://[::1]");
        for text in [
            "api.good.com",
            "[::1]",
            "api.good.com:",
            "api.good.com:0443",
            "api.good.com:99999",
            "user@api.good.com:443",
            "user:p@api.good.com:443",
            "127.1:443",
            "0x7f.1:443",
            "api.good.com.:443",
            "api_good.com:443",
            "https://api.good.com:443",
            "https://api.good.com:443/",
            "/path",
            "*",
        ] {
            assert_eq!(connects(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_inside_is_for_where_the_tunnel_goes() {
        let there = "https://api.good.com:8443/a?b=c";
        assert_eq!(asks("/a?b=c", &["api.good.com:8443"]).unwrap(), there);
        assert_eq!(asks("/a?b=c", &["API.GOOD.COM:8443"]).unwrap(), there);
        assert_eq!(asks(there, &[]).unwrap(), there);
        assert_eq!(asks(there, &["api.good.com:8443"]).unwrap(), there);
        for (uri, hosts) in [
            ("/a", &[][..]),
            ("/a", &["api.good.com"]),
            ("/a", &["evil.test:8443"]),
            ("/a", &["api.good.com:8443", "api.good.com:8443"]),
            ("/a", &["api.good.com:8443, evil.test"]),
            ("/a", &["u@api.good.com:8443"]),
            ("/a", &["api.good.com:8443/x"]),
            ("https://evil.test:8443/a", &["api.good.com:8443"]),
            ("https://api.good.com:8443/a", &["evil.test:8443"]),
            ("http://api.good.com:8443/a", &["api.good.com:8443"]),
        ] {
            assert_eq!(asks(uri, hosts), Err(Astray::Elsewhere), "{uri} {hosts:?}");
        }
        for uri in ["*", "api.good.com:8443"] {
            assert_eq!(
                asks(uri, &["api.good.com:8443"]),
                Err(Astray::NoPath),
                "{uri}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_a_tunnel_is_asked_for_is_read_once_or_not_at_all(text in "[ -~]{1,40}") {
            if let Some(origin) = connects(&text) {
                let host = origin.strip_prefix("https://").unwrap();
                let again = if origin.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
                    host.to_owned()
                } else {
                    format!("{host}:443")
                };
                prop_assert_eq!(connects(&again), Some(origin));
            }
        }
    }
}
