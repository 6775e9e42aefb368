//! One spelling per path: what could be read in two ways is refused before anything looks at it.

use http::StatusCode;

use super::ApiError;

/// Refuses a path with an empty or a dot segment, plain or percent-encoded, with a separator or
/// control character behind a percent sign, or with bytes that are no UTF-8.
pub(super) fn check(path: &str) -> Result<(), ApiError> {
    let sound = path
        .strip_prefix('/')
        .is_some_and(|rest| rest.is_empty() || rest.split('/').all(is_plain));
    if sound {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::BAD_REQUEST,
        "bad_path",
        "The path can be read in more than one way.",
        "Write it without empty or dot segments, a slash at the end, backslashes or control characters.",
    ))
}

fn is_plain(segment: &str) -> bool {
    // Most are words, and have one spelling.
    if segment
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    {
        return !segment.is_empty();
    }
    let Ok(text) = percent_encoding::percent_decode_str(segment).decode_utf8() else {
        return false;
    };
    let ambiguous = |c: char| c.is_control() || matches!(c, '/' | '\\' | ';');
    !matches!(&*text, "" | "." | "..") && !text.contains(ambiguous)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_path_has_one_spelling() {
        for good in [
            "/",
            "/livez",
            "/v1/secrets/GITHUB_TOKEN",
            "/v1/secrets/a%20b",
            "/v1/tools/a..b",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "//",
            "/v1/",
            "/v1//secrets",
            "/v1/.",
            "/v1/..",
            "/v1/%2e",
            "/v1/.%2E",
            "/v1/%2e%2e%2fx",
            "/v1/a%2Fb",
            "/v1/a\\b",
            "/v1/a%5cb",
            "/v1/a%00",
            "/v1/a%0a",
            "/v1/%ff",
            "/v1/a;x",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
