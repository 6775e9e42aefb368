//! The browser without a screen, on a site of its own.

use bytes::Bytes;
use http::Response;

use super::harness::jar::Jar;
use super::harness::{Seen, Upstream};

fn site() -> Upstream {
    Upstream::plain(|seen: &Seen| {
        let answer = Response::builder();
        let answer = match &*seen.target {
            "/in" => answer
                .status(303)
                .header("location", "/deep/one?x=1")
                .header("set-cookie", "a=1; Path=/; HttpOnly")
                .header("set-cookie", "__Host-b=2; Path=/; Secure; Max-Age=600")
                .header("set-cookie", "c=3; Path=/deep"),
            "/out" => answer.header("set-cookie", "a=; Path=/; Max-Age=0").header(
                "set-cookie",
                "c=; Path=/deep; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            ),
            "/round" => answer.status(302).header("location", "/round"),
            _ => answer,
        };
        let page = "<a href='/out'> out </a><form method=post action='/send?a=1&amp;b=2'>\
            <input type=hidden name=csrf value='&lt;&quot;1&quot;&gt;'><INPUT NAME=name></form>\
            <form><input name=other></form>";
        answer.body(Bytes::from(page)).unwrap()
    })
}

#[test]
fn it_goes_where_it_is_sent_with_the_cookies_of_the_place() {
    let site = site();
    let mut jar = Jar::new();
    let at = |path: &str| format!("http://127.0.0.1:{}{path}", site.port());
    let page = jar.open(&at("/in"));
    assert_eq!(page.url.as_str(), at("/deep/one?x=1"));
    assert_eq!(site.last().header("cookie"), "a=1; __Host-b=2; c=3");
    jar.get(&at("/deeper"));
    assert_eq!(site.last().header("cookie"), "a=1; __Host-b=2");
    assert_eq!(site.last().header("sec-fetch-site"), "none");
    assert_eq!(jar.cookie("c"), Some("3"));
    let flow = &jar.cookies()[1];
    assert!(flow.line.ends_with("Secure; Max-Age=600"), "{flow:?}");

    // Ports share cookies, hosts do not.
    let other = self::site();
    jar.get(&format!("http://127.0.0.1:{}/", other.port()));
    assert_eq!(other.last().header("cookie"), "a=1; __Host-b=2");
    jar.get(&format!("http://localhost:{}/", other.port()));
    assert_eq!(other.last().header("cookie"), "");

    let out = page.link("out");
    jar.get(out.as_str());
    assert_eq!(jar.cookie("a"), None);
    assert_eq!(jar.cookies().len(), 1);
    jar.put("127.0.0.1", "fixed=by somebody; Path=/");
    jar.get(&at("/"));
    assert_eq!(
        site.last().header("cookie"),
        "__Host-b=2; fixed=by somebody"
    );
}

#[test]
fn it_fills_in_the_first_form_and_says_where_it_comes_from() {
    let site = site();
    let mut jar = Jar::new();
    let origin = format!("http://127.0.0.1:{}", site.port());
    let page = jar.get(&format!("{origin}/"));
    assert_eq!(page.field("csrf").as_deref(), Some("<\"1\">"));
    assert_eq!(page.field("other"), None);
    let sent = jar.submit(&page, &[("name", "Ann & Bob")]);
    assert_eq!(sent.status(), 200);
    let seen = site.last();
    assert_eq!((&*seen.method, &*seen.target), ("POST", "/send?a=1&b=2"));
    assert_eq!(seen.form("csrf").as_deref(), Some("<\"1\">"));
    assert_eq!(seen.form("name").as_deref(), Some("Ann & Bob"));
    assert_eq!(seen.header("origin"), origin);
    assert_eq!(seen.header("sec-fetch-site"), "same-origin");
}

#[test]
#[should_panic(expected = "redirects without end")]
fn it_does_not_run_in_circles() {
    let site = site();
    Jar::new().open(&format!("http://127.0.0.1:{}/round", site.port()));
}
