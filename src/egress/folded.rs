//! How lenient servers read the name of a header.

use std::borrow::Cow;

use http::HeaderName;

/// The name with `-` for each `_`. CGI hands headers on as variables, and so does what grew out of it: there the two
/// are one letter, so that such a server takes `x_http_method_override` for what is refused with dashes.
#[must_use]
pub fn folded(name: &HeaderName) -> Cow<'_, str> {
    let name = name.as_str();
    if name.contains('_') {
        Cow::Owned(name.replace('_', "-"))
    } else {
        Cow::Borrowed(name)
    }
}
