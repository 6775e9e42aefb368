//! Where a request is to go.

use super::Url;

/// A URL has one reading: written as it was understood, it is understood as that.
pub(crate) fn url(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let Ok(url) = Url::parse(text) else {
        return;
    };
    let written = format!("{}{}", url.origin(), url.path_and_query());
    let again = Url::parse(&written);
    assert!(again.is_ok_and(|again| again == url), "{written}");
}
