//! What is left of a request on the wire.

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;

use super::outgoing::{clean, strip_hop};
use super::{EgressError, Outgoing, check_method, credential_value};

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let lines = lines.iter();
    lines
        .map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_str(v).unwrap()))
        .collect()
}

#[test]
fn ex_9_methods_that_echo_or_tunnel_are_refused_in_any_letter_case() {
    for method in ["TRACE", "TRACK", "CONNECT", "trace", "Track", "connect"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(check_method(&method), Err(EgressError::Method));
        let path = PathAndQuery::from_static("/");
        let request = Outgoing::full(method, path, HeaderMap::new(), "".into());
        assert_eq!(request.prepare("a.b").err(), Some(EgressError::Method));
    }
    for method in [
        Method::GET,
        Method::DELETE,
        Method::from_bytes(b"PROPFIND").unwrap(),
    ] {
        assert_eq!(check_method(&method), Ok(()));
    }
}

#[test]
fn ht_5_a_credential_with_line_breaks_controls_or_non_ascii_makes_no_header() {
    for value in [
        &b""[..],
        b" ",
        b"a\r\nX: y",
        b"a\nb",
        b"a\rb",
        b"a\0b",
        b"a\n",
        b" a",
        b"a ",
        b"a\tb",
        b"caf\xc3\xa9",
        b"\xff",
        b"a\x7f",
    ] {
        assert_eq!(
            credential_value(value),
            Err(EgressError::HeaderValue),
            "{value:?}"
        );
    }
    let good = credential_value(b"Bearer abc").unwrap();
    assert!(good.is_sensitive());
    let mut odd = HeaderValue::from_bytes(b"caf\xc3\xa9").unwrap();
    odd.set_sensitive(true);
    let odd = HeaderMap::from_iter([(AUTHORIZATION, odd)]);
    assert_eq!(
        clean(&odd),
        Err(EgressError::HeaderValue),
        "marked by other means"
    );
}

#[test]
fn ht_4_the_placed_header_wins_and_stands_alone() {
    let mut given = headers(&[
        ("authorization", "mine"),
        ("Authorization", "mine too"),
        ("connection", "authorization, x-hop ,close"),
        ("x-hop", "1"),
        ("x-end", "1"),
    ]);
    given.append(AUTHORIZATION, credential_value(b"Bearer placed").unwrap());
    let clean_headers = clean(&given).unwrap();
    assert_eq!(
        clean_headers,
        headers(&[("authorization", "Bearer placed"), ("x-end", "1")])
    );
    given.append(AUTHORIZATION, credential_value(b"Bearer second").unwrap());
    assert_eq!(clean(&given), Err(EgressError::HeaderValue));
}

#[test]
fn ht_4_headers_of_the_callers_own_hop_do_not_travel() {
    let given = headers(&[
        ("connection", "keep-alive"),
        ("keep-alive", "1"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("content-length", "9"),
        ("upgrade", "h2c"),
        ("http2-settings", "x"),
        ("expect", "100-continue"),
        ("range", "bytes=0-1"),
        ("if-range", "x"),
        ("forwarded", "for=1"),
        ("x-forwarded-for", "1"),
        ("x-forwarded-host", "h"),
        ("via", "1.1 x"),
        ("cookie", "a=b"),
        ("cookie2", "a"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "x"),
        ("x-runtools-handle", "x"),
        ("host", "evil.test"),
        ("accept-encoding", "br"),
        ("x-api-key", "stays"),
        ("accept", "text/plain"),
    ]);
    let left = headers(&[("x-api-key", "stays"), ("accept", "text/plain")]);
    assert_eq!(clean(&given).unwrap(), left);
    let placed = HeaderMap::from_iter([(http::header::COOKIE, credential_value(b"s=1").unwrap())]);
    assert_eq!(clean(&placed).unwrap(), placed, "a slot may be a cookie");
    let placed = HeaderMap::from_iter([(http::header::HOST, credential_value(b"h").unwrap())]);
    assert!(clean(&placed).unwrap().is_empty(), "no slot is the host");
}

#[test]
fn no_charset_is_asked_for_in_which_an_answer_could_not_be_searched() {
    let given = headers(&[
        ("accept-charset", "ibm037"),
        (
            "accept",
            "text/html;charset=ibm037;q=0.9, text/*; Charset = \"utf-7\" , */*;q=0.1",
        ),
        ("accept", "application/json; charset=utf-7"),
    ]);
    let mut left = headers(&[("accept", "text/html;q=0.9, text/*, */*;q=0.1")]);
    left.append(ACCEPT, HeaderValue::from_static("application/json"));
    assert_eq!(clean(&given).unwrap(), left);
}

#[test]
fn what_is_for_one_hop_only_is_taken_out_with_all_that_it_lists() {
    let mut given = headers(&[
        ("connection", "x-hop, content-type,close"),
        ("connection", "X-Other"),
        ("x-hop", "1"),
        ("x-other", "1"),
        ("content-type", "text/plain"),
        ("proxy-connection", "close"),
        ("keep-alive", "1"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("x-end", "1"),
    ]);
    strip_hop(&mut given);
    assert_eq!(given, headers(&[("x-end", "1")]));
}

#[test]
fn dc_10_a_path_filled_in_late_is_held_to_the_same_rules() {
    for path in ["/a/../b", "/a//b", "/a%2fb", "/a%00"] {
        let path = PathAndQuery::try_from(path).unwrap();
        let request = Outgoing::full(Method::GET, path, HeaderMap::new(), "".into());
        assert!(matches!(
            request.prepare("a.b"),
            Err(EgressError::BadUrl { .. })
        ));
    }
}
