//! How lenient servers read the name of a header.

use std::borrow::Cow;

use http::HeaderName;

/// The name with `-` for whatever is no letter or digit. CGI hands headers on as variables, and so does what grew out
/// of it: there all these are one character, so that such a server takes `x_http_method_override` for what is refused
/// with dashes, or `x.http.method.override`.
#[must_use]
pub fn folded(name: &HeaderName) -> Cow<'_, str> {
    let name = name.as_str();
    let is_plain = |byte: u8| byte == b'-' || byte.is_ascii_alphanumeric();
    if name.bytes().all(is_plain) {
        return Cow::Borrowed(name);
    }
    let folded = name.chars().map(|letter| match letter {
        'a'..='z' | '0'..='9' => letter,
        _ => '-',
    });
    Cow::Owned(folded.collect())
}
