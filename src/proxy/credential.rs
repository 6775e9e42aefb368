//! The handle in a request's head: `Proxy-Authorization` (RFC 9110, 11.7.2).

use data_encoding::BASE64;
use http::HeaderMap;
use http::header::PROXY_AUTHORIZATION;
use zeroize::Zeroizing;

/// The longest header that is looked at, in bytes. A handle is far shorter.
const LONGEST: usize = 1_024;

/// The handle that a request carries: as the password of Basic, whatever the user, or as a Bearer token.
/// `None` without one, and with more than one.
pub(super) fn handle_of(headers: &HeaderMap) -> Option<Zeroizing<Vec<u8>>> {
    let mut values = headers.get_all(PROXY_AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    read(value.as_bytes())
}

fn read(value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if value.len() > LONGEST {
        return None;
    }
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = value.split_at_checked(space)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(Zeroizing::new(rest.to_vec())).filter(|text| !text.is_empty());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = Zeroizing::new(BASE64.decode(rest).ok()?);
    // The user ends at the first colon (RFC 7617).
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let password = pair.get(colon + 1..)?.to_vec();
    Some(Zeroizing::new(password)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    use super::{handle_of, read};

    fn text(value: &str) -> Option<String> {
        read(value.as_bytes()).map(|text| String::from_utf8(text.to_vec()).unwrap())
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64.encode(pair.as_bytes()))
    }

    #[test]
    fn a_handle_is_the_password_or_the_token() {
        for value in [
            &basic("runtools:rt_hdl_x"),
            &basic(":rt_hdl_x"),
            &basic("rt_hdl_y:rt_hdl_x"),
            "Bearer rt_hdl_x",
            "bEaReR  rt_hdl_x ",
        ] {
            assert_eq!(text(value).as_deref(), Some("rt_hdl_x"), "{value}");
        }
        assert_eq!(text(&basic("a:b:c")).as_deref(), Some("b:c"));
        for value in [
            "",
            "Basic",
            "Basic ",
            "Bearer ",
            "Digest x",
            "rt_hdl_x",
            "Basic !!!!",
            &basic("no-colon"),
            &basic("runtools:"),
            &format!("Bearer {}", "x".repeat(1_024)),
        ] {
            assert_eq!(text(value), None, "{value}");
        }
    }

    #[test]
    fn two_credentials_are_none() {
        let mut headers = HeaderMap::new();
        assert!(handle_of(&headers).is_none());
        let value = HeaderValue::from_static("Bearer rt_hdl_x");
        headers.append("proxy-authorization", value.clone());
        assert!(handle_of(&headers).is_some());
        headers.append("proxy-authorization", value);
        assert!(handle_of(&headers).is_none());
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_or_not(value in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&value);
        }

        #[test]
        fn every_password_comes_out_as_it_went_in(user in "[a-z]{0,9}", password in "[ -~]{1,60}") {
            let sent = basic(&format!("{user}:{password}"));
            prop_assert_eq!(text(&sent), Some(password));
        }
    }
}
