//! What ties a flow to one browser (rule 3.3, B3): a cookie of its own for each flow, so that two tabs do
//! not take each other's (X5). `__Host-` keeps other hosts of the domain from setting it (X6); Lax,
//! because the way back from the provider is a cross-site navigation.
//!
//! Browsers keep no cookies of one port from another. Over plain http on this machine, what listens on
//! another loopback port can see a flow's cookie when the browser goes there; it lacks the state.

use zeroize::Zeroizing;

use super::{FlowId, PublicUrl};

/// The cookie's name begins with this, and ends with the flow's id.
const NAME: &str = "rt_flow_";
/// The longest value that is looked at.
const MAX_VALUE: usize = 64;
/// The most flows that are looked at.
const MOST: usize = 40;

/// The flow cookies of one browser.
pub struct FlowCookies(Vec<(FlowId, Option<Zeroizing<String>>)>);

impl FlowCookies {
    /// Reads the `Cookie` headers of a request. A name that stands there twice counts for nothing:
    /// somebody may have set one of the two.
    pub fn read<'h>(headers: impl IntoIterator<Item = &'h str>, url: &PublicUrl) -> Self {
        let mut found: Vec<(FlowId, Option<Zeroizing<String>>)> = Vec::new();
        let cookies = headers.into_iter().flat_map(|header| header.split(';'));
        for cookie in cookies {
            let Some((name, value)) = cookie.trim_matches(' ').split_once('=') else {
                continue;
            };
            let id = name.strip_prefix(prefix(url));
            let id = id.and_then(|id| id.strip_prefix(NAME));
            let Some(id) = id.and_then(FlowId::parse) else {
                continue;
            };
            if let Some((_, value)) = found.iter_mut().find(|(other, _)| *other == id) {
                *value = None;
            } else if found.len() < MOST && value.len() <= MAX_VALUE {
                found.push((id, Some(Zeroizing::new(value.to_owned()))));
            }
        }
        Self(found)
    }

    /// What the browser holds of a flow.
    pub(super) fn of(&self, flow: &FlowId) -> Option<&str> {
        let found = self.0.iter().find(|(id, _)| id == flow);
        found.and_then(|(_, value)| value.as_ref().map(|value| value.as_str()))
    }
}

impl std::fmt::Debug for FlowCookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FlowCookies(hidden)")
    }
}

/// `__Host-` is for encrypted origins only: on this machine's own, without TLS, browsers refuse it.
#[must_use]
pub fn prefix(url: &PublicUrl) -> &'static str {
    if url.is_encrypted() { "__Host-" } else { "" }
}

/// A `Set-Cookie` header: for the whole origin and for no script, `seconds` long.
#[must_use]
pub fn set_cookie(url: &PublicUrl, name: &str, value: &str, seconds: u32) -> Zeroizing<String> {
    let secure = if url.is_encrypted() { "; Secure" } else { "" };
    Zeroizing::new(format!(
        "{}{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}",
        prefix(url)
    ))
}

/// The flow's `Set-Cookie` header.
pub(super) fn flow_cookie(url: &PublicUrl, flow: &FlowId, value: &str) -> Zeroizing<String> {
    set_cookie(url, &format!("{NAME}{flow}"), value, 600)
}

#[cfg(test)]
mod tests {
    use super::{FlowCookies, flow_cookie};
    use crate::crypto::SystemRandom;
    use crate::oauth::flow::{FlowId, PublicUrl};

    fn url(text: &str) -> PublicUrl {
        PublicUrl::parse(text).unwrap()
    }

    #[test]
    fn x6_a_cookie_that_another_host_could_have_set_is_none() {
        let flow = FlowId::new(&SystemRandom).unwrap();
        let https = url("https://broker.example.com");
        let read = |header: &str| {
            let cookies = FlowCookies::read([header], &https);
            cookies.of(&flow).map(str::to_owned)
        };
        let host = format!("__Host-rt_flow_{flow}");
        assert_eq!(read(&format!("a=b; {host}=v; c=d")), Some("v".to_owned()));
        assert_eq!(read(&format!("rt_flow_{flow}=v")), None);
        assert_eq!(read(&format!("__Secure-rt_flow_{flow}=v")), None);
        assert_eq!(read(&format!("{host}=v; {host}=w")), None);
        assert_eq!(read(&format!("{host}={}", "v".repeat(65))), None);
        assert_eq!(read("__Host-rt_flow_=v; =; x"), None);
        let set = flow_cookie(&https, &flow, "v");
        let rest = "=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure";
        assert_eq!(*set, format!("{host}{rest}"));
    }

    #[test]
    fn on_this_machine_without_tls_the_cookie_has_a_plain_name() {
        let flow = FlowId::new(&SystemRandom).unwrap();
        let http = url("http://127.0.0.1:8420");
        let set = flow_cookie(&http, &flow, "v");
        let rest = "=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax";
        assert_eq!(*set, format!("rt_flow_{flow}{rest}"));
        let cookies = FlowCookies::read([&*format!("rt_flow_{flow}=v")], &http);
        assert_eq!(cookies.of(&flow), Some("v"));
    }
}
