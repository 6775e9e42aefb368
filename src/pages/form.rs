//! A form that only our page can send. A secret stands in a cookie, and what is made of it and of the
//! flow stands in the form: another site can neither read the one nor write the other.
//!
//! `Sec-Fetch-Site` is asked first, because browsers tell it truly. `Origin` cannot decide: our pages
//! send no referrer, and Chromium says `Origin: null` for a form on such a page.

use axum::body::Body;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use crate::crypto::{CryptoError, Digest, Random, digests_match, sha256_parts};
use crate::oauth::flow::{FlowId, PublicUrl, cookie_prefix, set_cookie};

const COOKIE: &str = "rt_form";
/// As long as a flow's link.
const SECONDS: u32 = 600;
/// The longest form, in bytes.
const MAX_FORM: usize = 4 * 1024;
/// The longest answer that a provider posts, in bytes.
pub(super) const MAX_POSTED: usize = 8 * 1024;

/// Browsers that load ahead say so.
pub(super) fn is_ahead(headers: &HeaderMap) -> bool {
    let mut said = ["sec-purpose", "purpose", "x-moz"].into_iter();
    said.any(|name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.contains("prefetch") || value.contains("prerender"))
    })
}

/// What is in the cookie.
pub(super) struct FormSecret(Zeroizing<String>);

impl FormSecret {
    /// The one this browser has, or a new one.
    pub(super) fn of(
        headers: &HeaderMap,
        url: &PublicUrl,
        random: &dyn Random,
    ) -> Result<Self, CryptoError> {
        if let Some(held) = Self::held(headers, url) {
            return Ok(held);
        }
        let bytes: Zeroizing<[u8; 32]> = random.bytes().map(Zeroizing::new)?;
        Ok(Self(Zeroizing::new(
            BASE64URL_NOPAD.encode(bytes.as_slice()),
        )))
    }

    /// The one this browser has. One that stands there twice may be somebody else's.
    fn held(headers: &HeaderMap, url: &PublicUrl) -> Option<Self> {
        let name = format!("{}{COOKIE}=", cookie_prefix(url));
        let mut found = cookies(headers).filter_map(|cookie| cookie.strip_prefix(&name));
        let value = found.next().filter(|_| found.next().is_none())?;
        let sound = value.len() == 43 && BASE64URL_NOPAD.decode(value.as_bytes()).is_ok();
        sound.then(|| Self(Zeroizing::new(value.to_owned())))
    }

    /// The `Set-Cookie` header.
    pub(super) fn cookie(&self, url: &PublicUrl) -> Zeroizing<String> {
        set_cookie(url, COOKIE, &self.0, SECONDS)
    }

    /// What stands in the form of this flow.
    pub(super) fn token(&self, flow: &FlowId) -> String {
        BASE64URL_NOPAD.encode(&self.digest(flow))
    }

    fn digest(&self, flow: &FlowId) -> Digest {
        let flow = flow.to_string();
        sha256_parts(&[b"form of ", flow.as_bytes(), self.0.as_bytes()])
    }
}

/// Each cookie as `name=value`.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::COOKIE).iter();
    let texts = all.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|header| header.split(';'))
        .map(|cookie| cookie.trim_matches(' '))
}

/// The headers that carry cookies.
pub(super) fn cookie_headers(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::COOKIE).iter();
    all.filter_map(|value| value.to_str().ok())
}

/// A form that our page sent.
#[derive(Debug)]
pub(super) struct Form {
    /// What was typed as the code.
    pub code: Option<Zeroizing<String>>,
}

impl Form {
    /// Reads the form of a flow; none when another page sent it.
    pub(super) async fn read(
        headers: &HeaderMap,
        body: Body,
        url: &PublicUrl,
        flow: &FlowId,
    ) -> Option<Self> {
        if !is_ours(headers, url) {
            return None;
        }
        let secret = FormSecret::held(headers, url)?;
        let body = read_body(headers, body, MAX_FORM).await?;
        let (mut token, mut code) = (None, None);
        for member in body.split('&') {
            let (name, value) = member.split_once('=')?;
            let slot = match name {
                "token" => &mut token,
                "code" => &mut code,
                _ => return None,
            };
            let value = Zeroizing::new(value.replace('+', " "));
            let value = percent_decode_str(&value).decode_utf8().ok()?;
            let value = Zeroizing::new(value.into_owned());
            if slot.replace(value).is_some() {
                return None;
            }
        }
        let token = BASE64URL_NOPAD.decode(token?.as_bytes()).ok()?;
        let token: Digest = token.try_into().ok()?;
        digests_match(&token, &secret.digest(flow)).then_some(Self { code })
    }
}

/// Whether the request comes from our own page, as far as the browser tells.
fn is_ours(headers: &HeaderMap, url: &PublicUrl) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    text("origin").is_none_or(|origin| origin == "null" || origin == url.as_str())
}

/// The body of a form, as text.
pub(super) async fn read_body(
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Option<Zeroizing<String>> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let bytes = Limited::new(body, most).collect().await.ok()?.to_bytes();
    let text = std::str::from_utf8(&bytes).ok()?;
    Some(Zeroizing::new(text.to_owned()))
}
