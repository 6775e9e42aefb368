//! Answers for browsers, with the headers that keep a page to itself (B8).

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::frame::STYLE;
use crate::crypto::sha256;

/// What a page may do besides being read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leave {
    /// It may send its form, and be sent on: to https, and to those of these origins that are plain
    /// http. Without any it has no form.
    pub form_to: Vec<String>,
    /// It may run this script.
    pub script: Option<&'static str>,
    /// It may know the window that opened it.
    pub opener: bool,
}

/// By hash rather than by nonce: pages that must look the same are the same, byte for byte.
static STYLE_HASH: LazyLock<String> = LazyLock::new(|| hash(STYLE));

fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(&sha256(text.as_bytes())))
}

/// What the browser must not let the page do.
const POWERS: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), \
                      microphone=(), payment=(), publickey-credentials-get=(), usb=()";

fn policy(leave: &Leave) -> String {
    let script = leave
        .script
        .map(|script| format!("script-src {}; ", hash(script)));
    // Chromium asks the policy about every redirect that follows a form, until somebody clicks: a
    // provider's own hops between its hosts are https, and not known beforehand; a provider that asks
    // nothing leads straight on to whoever is told.
    let mut form = "'none'".to_owned();
    if !leave.form_to.is_empty() {
        let plain = leave.form_to.iter().filter(|to| to.starts_with("http:"));
        form = plain.fold("'self' https:".to_owned(), |all, to| format!("{all} {to}"));
    }
    format!(
        "default-src 'none'; style-src {}; {}img-src data:; form-action {form}; \
         frame-ancestors 'none'; base-uri 'none'",
        *STYLE_HASH,
        script.unwrap_or_default()
    )
}

/// A page.
pub(super) fn page(status: StatusCode, html: String, leave: &Leave) -> Response {
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    put(headers, header::CONTENT_TYPE, "text/html; charset=utf-8");
    put(headers, header::CONTENT_SECURITY_POLICY, &policy(leave));
    put(
        headers,
        HeaderName::from_static("permissions-policy"),
        POWERS,
    );
    guard(headers, leave.opener);
    response
}

/// On to somewhere else, with GET (RFC 9700 section 4.12: never 307).
pub(super) fn see_other(url: &str, opener: bool) -> Option<Response> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let mut target = HeaderValue::from_str(url).ok()?;
    target.set_sensitive(true);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, target);
    guard(headers, opener);
    Some(response)
}

/// The headers of every answer, redirects too.
fn guard(headers: &mut HeaderMap, opener: bool) {
    put(headers, header::CACHE_CONTROL, "no-store");
    put(headers, header::REFERRER_POLICY, "no-referrer");
    put(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let resource = HeaderName::from_static("cross-origin-resource-policy");
    put(headers, resource, "same-origin");
    if !opener {
        let window = HeaderName::from_static("cross-origin-opener-policy");
        put(headers, window, "same-origin");
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The same answer with a cookie. Without it nothing would come of the page: none is sent then.
pub(super) fn with_cookie(mut response: Response, cookie: &str) -> Option<Response> {
    let mut value = HeaderValue::from_str(cookie).ok()?;
    value.set_sensitive(true);
    response.headers_mut().append(header::SET_COOKIE, value);
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::{Leave, policy};

    #[test]
    fn b8_a_page_loads_nothing_and_stands_in_no_frame() {
        let strict = policy(&Leave::default());
        for part in [
            "default-src 'none'; style-src 'sha256-",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(strict.contains(part), "{part}");
        }
        assert!(!strict.contains("script-src"));
        assert!(!strict.contains("unsafe"));
        let form = |to: &[&str]| {
            policy(&Leave {
                form_to: to.iter().map(|to| (*to).to_owned()).collect(),
                ..Leave::default()
            })
        };
        assert!(form(&["https://a.example"]).contains("form-action 'self' https:;"));
        let both = form(&["https://a.example", "http://127.0.0.1:49152"]);
        assert!(both.contains("form-action 'self' https: http://127.0.0.1:49152;"));
    }
}
