//! What a client of the proxy says before it is anybody.

use futures_util::FutureExt;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Uri};

use super::{credential, hello, target};

/// The target of a CONNECT, the target of a request inside, and the head around them.
pub(crate) fn connect(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        headers.insert(PROXY_AUTHORIZATION, value.clone());
        headers.insert(HOST, value);
    }
    let handle = credential::handle_of(&headers);
    assert!(handle.is_none_or(|text| !text.is_empty()));
    let Ok(uri) = Uri::try_from(bytes) else {
        return;
    };
    let Ok(origin) = target::connect(&uri) else {
        return;
    };
    // Its own name leads to it again.
    let text = format!("{}:{}", origin.host, origin.port);
    let again: Option<Uri> = text.parse().ok();
    let again = again.and_then(|uri| target::connect(&uri).ok());
    assert_eq!(again.as_ref(), Some(&origin), "{text}");
    let _astray = target::inside(&uri, &headers, &origin);
}

/// The first bytes inside of a tunnel.
pub(crate) fn first_bytes(bytes: &[u8]) {
    let mut stream = bytes;
    let first = hello::read(&mut stream).now_or_never();
    assert!(first.is_some(), "bytes that are there are not waited for");
}
