//! Spellings of URLs, with the verdict each must get.

use http::uri::PathAndQuery;
use proptest::prelude::*;

use super::{EgressError, Scheme, Url, UrlFault};

fn verdict(text: &str) -> Result<String, UrlFault> {
    match Url::parse(text) {
        Ok(url) => Ok(format!("{}{}", url.origin(), url.path_and_query())),
        Err(EgressError::BadUrl { reason }) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn dc_4_plain_spellings_have_one_reading() {
    for (text, canonical) in [
        ("https://api.good.com", "https://api.good.com/"),
        ("https://api.good.com/", "https://api.good.com/"),
        ("HTTPS://API.Good.COM/Path", "https://api.good.com/Path"),
        ("https://api.good.com:443/a", "https://api.good.com/a"),
        ("https://api.good.com:80/a", "https://api.good.com:80/a"),
        ("http://api.good.com:80/a", "http://api.good.com/a"),
        ("https://api.good.com:8443", "https://api.good.com:8443/"),
        ("https://api.good.com?q=1", "https://api.good.com/?q=1"),
        ("https://api.good.com/?", "https://api.good.com/?"),
        (
            "https://api.good.com/a?b?c/d",
            "https://api.good.com/a?b?c/d",
        ),
        ("https://10.0.0.1/a", "https://10.0.0.1/a"),
        ("https://[::1]:8/a", "https://[::1]:8/a"),
        ("https://[0:0:0:0:0:0:0:1]/a", "https://[::1]/a"),
        ("https://[::ffff:127.0.0.1]/", "https://[::ffff:127.0.0.1]/"),
        (
            "https://xn--bcher-kva.example/",
            "https://xn--bcher-kva.example/",
        ),
        ("https://a.b/x%20y", "https://a.b/x%20y"),
        ("https://a.b/caf%c3%a9", "https://a.b/caf%C3%A9"),
        ("https://a.b/100%25", "https://a.b/100%25"),
        (
            "https://a.b/v1/a:b@c,(d)!*+$&='~",
            "https://a.b/v1/a:b@c,(d)!*+$&='~",
        ),
        ("https://a.b/...", "https://a.b/..."),
        ("https://a.b/.well-known/x", "https://a.b/.well-known/x"),
        ("https://a.b/a/", "https://a.b/a/"),
        (
            "https://a.b/?f[x]='%2f%2e%2e%250a{y}|;",
            "https://a.b/?f[x]='%2f%2e%2e%250a{y}|;",
        ),
    ] {
        assert_eq!(verdict(text).as_deref(), Ok(canonical), "{text}");
        let line = Url::parse(text).unwrap().path_and_query();
        assert_eq!(PathAndQuery::try_from(&*line).unwrap(), *line, "{text}");
    }
}

#[test]
fn dc_4_user_info_fragments_and_odd_characters_are_refused() {
    use UrlFault::{Character, Fragment, UserInfo};
    for (text, fault) in [
        ("https://api.good.com@evil.test/", UserInfo),
        ("https://u:p@api.good.com/", UserInfo),
        ("https://@api.good.com/", UserInfo),
        ("https://evil.test#@api.good.com/", Fragment),
        ("https://api.good.com/#x", Fragment),
        ("https://evil.test\\@api.good.com/", Character),
        ("https:\\\\api.good.com/", Character),
        ("https://api.good.com\\.evil.test/", Character),
        ("https://api.good.com\t/", Character),
        ("https://api.\ngood.com/", Character),
        ("https://api.good.com\r\n/", Character),
        ("https://api.good.com\0/", Character),
        (" https://api.good.com/", Character),
        ("https://api.good.com/ ", Character),
        ("https://api.good.com/\u{7f}", Character),
        ("https://api\u{200b}.good.com/", Character),
        ("https://api\u{ff0e}good.com/", Character),
        ("https://api\u{3002}good.com/", Character),
        ("https://b\u{fc}cher.example/", Character),
    ] {
        assert_eq!(verdict(text), Err(fault), "{text:?}");
    }
}

#[test]
fn dc_4_odd_hosts_ports_and_schemes_are_refused() {
    use UrlFault::{Host, Port, Scheme};
    for (text, fault) in [
        ("https://api.good.com./", Host),
        ("https://.good.com/", Host),
        ("https://api..good.com/", Host),
        ("https://api%2egood.com/", Host),
        ("https://%61pi.good.com/", Host),
        ("https://api.good.com%00.evil.test/", Host),
        ("https:///api.good.com/", Host),
        ("https:////api.good.com/", Host),
        ("https://?api.good.com", Host),
        ("https://", Host),
        ("https://:443/", Host),
        ("https://127.1/", Host),
        ("https://0x7f000001/", Host),
        ("https://2130706433/", Host),
        ("https://0177.0.0.1/", Host),
        ("https://[::1/", Host),
        ("https://::1/", Host),
        ("https://[::1]x/", Host),
        ("https://[fe80::1%25eth0]/", Host),
        ("https://[api.good.com]/", Host),
        ("https://api_x.good.com/", Host),
        ("https://api.good.com:/", Port),
        ("https://api.good.com:0/", Port),
        ("https://api.good.com:0443/", Port),
        ("https://api.good.com:+443/", Port),
        ("https://api.good.com:65536/", Port),
        ("https://api.good.com:443:443/", Port),
        ("https:/api.good.com/", Scheme),
        ("https:api.good.com/", Scheme),
        ("//api.good.com/", Scheme),
        ("api.good.com/", Scheme),
        ("ftp://api.good.com/", Scheme),
        ("file:///etc/passwd", Scheme),
        ("unix:///run/x.sock", Scheme),
        ("javascript://api.good.com/%0a", Scheme),
        ("", Scheme),
    ] {
        assert_eq!(verdict(text), Err(fault), "{text:?}");
    }
    assert_eq!(verdict("https://xn--a.example/"), Err(UrlFault::Reading));
}

#[test]
fn dc_10_paths_that_servers_read_in_two_ways_are_refused() {
    use UrlFault::{Character, DotSegment, EmptySegment, Escape, Parameter};
    for (path, fault) in [
        ("/repos/../admin", DotSegment),
        ("/repos/..", DotSegment),
        ("/./admin", DotSegment),
        ("/repos/.", DotSegment),
        ("/repos/%2e%2e/admin", Escape),
        ("/repos/%2E./admin", Escape),
        ("/repos/.%2e/admin", Escape),
        ("/repos/..%2fadmin", Escape),
        ("/repos%2Fadmin", Escape),
        ("/repos/..%5cadmin", Escape),
        ("/repos%5Cadmin", Escape),
        ("//admin", EmptySegment),
        ("/repos//admin", EmptySegment),
        ("/repos//", EmptySegment),
        ("/repos;x=1/admin", Parameter),
        ("/repos/..;/admin", Parameter),
        ("/repos%3b/admin", Escape),
        ("/repos/%00", Escape),
        ("/repos/%0d%0aX:y", Escape),
        ("/repos/%7f", Escape),
        ("/repos/%252e%252e/admin", Escape),
        ("/repos/%25252e", Escape),
        ("/repos%252fadmin", Escape),
        ("/repos/%25%32%65", Escape),
        ("/%61dmin", Escape),
        ("/repos/%c0%ae%c0%ae/admin", Escape),
        ("/repos%c0%afadmin", Escape),
        ("/repos/%e0%80%ae", Escape),
        ("/repos/%ff", Escape),
        ("/repos/%ef%bc%8e%ef%bc%8e/admin", Escape),
        ("/repos/%e2%80%a5/admin", Escape),
        ("/repos/%", Escape),
        ("/repos/%4", Escape),
        ("/repos/%zz", Escape),
        ("/repos/%+f", Escape),
        ("/repos/%u002e", Escape),
        ("/a<b", Character),
        ("/a\"b", Character),
        ("/a|b", Character),
        ("/a{b}", Character),
        ("/a^b", Character),
        ("/a[b]", Character),
        ("/a`b", Character),
        ("/?a=%", Escape),
        ("/?a=%00", Escape),
        ("/?a=%g1", Escape),
        ("/?a=<b", Character),
    ] {
        let text = format!("https://api.good.com{path}");
        assert_eq!(verdict(&text), Err(fault), "{text}");
        assert_eq!(super::url::check_path_and_query(path), Err(fault), "{path}");
    }
    let long = format!("https://a.b/{}", "a".repeat(8192));
    assert_eq!(verdict(&long), Err(UrlFault::Long));
}

#[test]
fn debug_shows_neither_path_nor_query() {
    let url = Url::parse("https://a.b/hook-canary?key=canary").unwrap();
    assert_eq!(format!("{url:?}"), "Url(https://a.b/…)");
    assert_eq!(url.scheme(), Scheme::Https);
}

proptest! {
    #[test]
    fn a_parsed_url_reads_back_as_itself(
        text in "(https?|HTTPS)://[a-zA-Z0-9.:@\\[\\]%-]{1,24}(/[ -~]{0,24})?"
    ) {
        if let Ok(url) = Url::parse(&text) {
            let canonical = format!("{}{}", url.origin(), url.path_and_query());
            prop_assert_eq!(Url::parse(&canonical).unwrap(), url);
        }
    }

    #[test]
    fn no_text_makes_the_parser_fail_other_than_by_refusal(text in ".{0,60}") {
        drop(Url::parse(&text));
    }
}
