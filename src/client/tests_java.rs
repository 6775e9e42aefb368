//! What Java is told, read as Java reads it.

use super::{options, split};

const STORE: &str = "/run/user/1000/roots.p12";
const OURS: &str = "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=8421 -Dhttps.proxyHost=127.0.0.1 \
    -Dhttps.proxyPort=8421 -Dhttp.nonProxyHosts=localhost|*.localhost|127.0.0.1|[::1] \
    -Djdk.http.auth.tunneling.disabledSchemes= -Djavax.net.ssl.trustStoreType=PKCS12 \
    -Djavax.net.ssl.trustStore=/run/user/1000/roots.p12";
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

fn bound(host: &str) -> [String; 1] {
    [host.to_owned()]
}

fn told(inherited: Option<&str>, store: &str) -> String {
    let place = ("127.0.0.1:8421", store);
    options(inherited, place, &HERE, &bound("api.test"))
}

/// What `http.nonProxyHosts` is.
fn without(direct: &[&str], bound: &[String]) -> String {
    let all = options(None, ("[::1]:1", STORE), direct, bound);
    let mut words = all.split(' ');
    let found = words.find_map(|it| it.strip_prefix("-Dhttp.nonProxyHosts="));
    found.unwrap().to_owned()
}

#[test]
fn the_proxy_the_roots_and_what_goes_past_it_come_after_what_was_there() {
    assert_eq!(told(None, STORE), OURS);
    let more = "-Xmx64m  '-Dname=two words'";
    assert_eq!(
        told(Some(more), STORE),
        format!("-Xmx64m '-Dname=two words' {OURS}")
    );
    let six = options(None, ("[::1]:8421", STORE), &HERE, &bound("a.test"));
    assert!(six.starts_with("-Dhttp.proxyHost=::1 -Dhttp.proxyPort=8421 "));
}

#[test]
fn what_is_set_anew_replaces_what_was_set_before() {
    let again = told(Some(OURS), STORE);
    assert_eq!(again, OURS);
    let mine = "-ea '-Djavax.net.ssl.trustStore=/my own.jks' -Dhttps.proxyHost";
    assert_eq!(told(Some(mine), STORE), format!("-ea {OURS}"));
    // One that is not closed is an error that Java does not start with.
    assert_eq!(told(Some("-ea '-Da=b"), STORE), format!("-ea {OURS}"));
}

#[test]
fn a_path_is_one_option_whatever_is_in_it() {
    for path in ["/a b/roots.p12", "/it's/roots.p12", "/\"x\"\t/roots.p12"] {
        let all = split(&told(None, path));
        let last = all.last().unwrap();
        assert_eq!(all.len(), 8, "{last}");
        // As Java takes the marks away.
        let (mut read, mut mark) = (String::new(), None);
        for letter in last.chars() {
            match mark {
                None if letter == '\'' || letter == '"' => mark = Some(letter),
                Some(open) if letter == open => mark = None,
                _ => read.push(letter),
            }
        }
        assert_eq!(read, format!("-Djavax.net.ssl.trustStore={path}"));
    }
}

#[test]
fn no_proxy_is_said_as_java_says_it() {
    let direct = [
        "a.test",
        ".b.test",
        "*.c.test:80",
        "D.test.",
        "10.0.0.1",
        "10.0.0.0/8",
        "fd00::1",
        "x|y",
        "e*.test",
    ];
    assert_eq!(
        without(&direct, &bound("api.test")),
        "a.test|*.a.test|*.b.test|*.c.test|d.test|*.d.test|10.0.0.1|[fd00::1]"
    );
    assert_eq!(without(&["*"], &[]), "*");
}

#[test]
fn where_java_would_go_past_the_proxy_by_itself_nothing_does() {
    for host in [
        "localhost",
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "[::1]",
        "0.0.0.0",
    ] {
        assert_eq!(without(&["a.test"], &bound(host)), "", "{host}");
    }
    assert_ne!(without(&["a.test"], &bound("10.0.0.1")), "");
}
