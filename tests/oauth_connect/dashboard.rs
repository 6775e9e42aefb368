//! A dashboard of an organisation's own, on another origin: it sends the browser, or opens a window.

use bytes::Bytes;
use http::Response;
use serde_json::Value;
use url::Url;

use crate::harness::chromium::Chromium;
use crate::harness::connect::{Flow, Stage, connections, member, start, text, ticket_of};
use crate::harness::jar::Jar;
use crate::harness::{Canaries, Upstream, eventually};
use crate::oauth_connect::browser::agree_at_the_peer;

/// Opens the page in its fragment in a window, and shows every message with its origin.
const DASHBOARD: &str = r#"<!doctype html><title>Dashboard</title><button id="go">Connect</button>
<pre id="heard"></pre><script>
const page = decodeURIComponent(location.hash.slice(1));
addEventListener('message', (event) => {
  heard.textContent += JSON.stringify([event.origin, event.data]) + '\n';
});
go.onclick = () => open(page, 'connect', 'width=480,height=720');
</script>"#;

fn dashboard() -> Upstream {
    Upstream::plain(|_| {
        Response::builder()
            .header("content-type", "text/html")
            .body(Bytes::from_static(DASHBOARD.as_bytes()))
            .unwrap()
    })
}

/// A stage where this dashboard may be returned to, and the address.
fn stage_for(dashboard: &Upstream) -> (Stage, String) {
    let origin = format!("http://127.0.0.1:{}", dashboard.port());
    let more = format!("return_to = [\"{origin}/apps/\"]");
    (Stage::with("peer", &more), origin)
}

fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[test]
fn a_browser_that_a_dashboard_sent_comes_back_to_it() {
    let dashboard = dashboard();
    let (stage, origin) = stage_for(&dashboard);
    let mia = stage.broker.member("Mia");
    let home = escaped(&format!("{origin}/apps/connected?tab=2"));
    let flow = start(&mia, "peer", &format!("return_to={home}"));
    assert_eq!(flow.code, None);
    let browser = Chromium::start();
    browser.open(&flow.page);
    browser.click("button[type=submit]");
    agree_at_the_peer(&browser, &stage, "mia");
    let url = browser.wait_url(&format!("{origin}/apps/connected?tab=2&flow={}", flow.id));
    stage.no_call();
    let ticket = ticket_of(&Url::parse(&url).unwrap());
    assert_eq!(
        flow.finish(&mia, &ticket).expect(200)["data"]["status"],
        "connected"
    );
    assert_eq!(connections(&mia).len(), 1);
    let came = dashboard
        .seen()
        .into_iter()
        .find(|seen| seen.target.contains("ticket="));
    let came = came.unwrap();
    assert!(!came.headers.contains_key("referer"), "{:?}", came.headers);
}

#[test]
fn b10_a_window_tells_the_one_that_opened_it_and_nobody_else() {
    let dashboard = dashboard();
    let (stage, origin) = stage_for(&dashboard);
    let mia = stage.broker.member("Mia");
    let home = escaped(&format!("{origin}/apps/"));
    let begin = || start(&mia, "peer", &format!("return_to={home}&popup=true"));
    let browser = Chromium::start();
    let flow = begin();
    let heard = in_a_window(&browser, &stage, &origin, &flow);
    assert_eq!(heard.len(), 1, "{heard:?}");
    let (from, said) = (&heard[0][0], heard[0][1].as_object().unwrap());
    assert_eq!(from, stage.broker.origin());
    assert_eq!(said.keys().collect::<Vec<_>>(), ["flow", "ticket", "type"]);
    assert_eq!(
        (&said["type"], &said["flow"]),
        (&"runtools.oauth".into(), &flow.id.clone().into())
    );
    stage.no_call();
    let ended = flow.finish(&mia, text(&said["ticket"])).expect(200);
    assert_eq!(ended["data"]["status"], "connected");

    browser.forget_cookies();
    // Another page that opens the window hears nothing: the broker names whom it tells.
    let stranger = self::dashboard();
    let theirs = format!("http://127.0.0.1:{}", stranger.port());
    let heard = in_a_window(&browser, &stage, &theirs, &begin());
    assert_eq!(heard, Vec::<Value>::new());
    the_page_has_no_token_and_names_one_origin(&stage, &origin, &begin());
}

/// Opens a flow's page in a window of a dashboard's, and goes the whole way: what the dashboard heard
/// once the window is closed.
fn in_a_window(browser: &Chromium, stage: &Stage, origin: &str, flow: &Flow) -> Vec<Value> {
    browser.open(&format!("{origin}/apps/#{}", escaped(&flow.page)));
    let first = browser.tab();
    browser.click("#go");
    let window = eventually(|| browser.tabs().into_iter().find(|tab| *tab != first));
    browser.look_at(&window);
    browser.wait_text("Mia");
    browser.click("button[type=submit]");
    agree_at_the_peer(browser, stage, "mia");
    eventually(|| (browser.tabs().len() == 1).then_some(()));
    browser.look_at(&first);
    let heard = browser.text_of("#heard");
    heard
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn the_page_has_no_token_and_names_one_origin(stage: &Stage, origin: &str, flow: &Flow) {
    let mut jar = Jar::new();
    let answer = stage.answer(&mut jar, flow, "mia");
    let page = jar.open(&answer);
    assert_eq!(page.url.as_str(), format!("{}/result#", flow.page));
    let text = page.text();
    assert!(
        text.contains(&format!("data-origin=\"{origin}\"")),
        "{text}"
    );
    assert!(!text.contains("'*'") && !text.contains("\"*\""), "{text}");
    let mut canaries = Canaries::new();
    stage
        .peer
        .secrets()
        .iter()
        .for_each(|secret| canaries.also(secret));
    canaries.also(&member(&answer, "state").unwrap());
    canaries.absent_from("the page", text.as_bytes());
    assert!(
        page.header("content-security-policy")
            .contains("script-src 'sha256-")
    );
}

#[test]
fn a_window_that_nobody_would_hear_of_is_not_begun() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    for query in [
        "popup=true",
        "popup=true&redirect_uri=http://127.0.0.1:19999/back",
    ] {
        let refused = mia.get(&format!("/v1/oauth/start/peer?{query}"));
        assert_eq!(refused.refused(400), "bad_popup", "{query}");
    }
    mia.get("/v1/oauth/start/peer?popup=false").expect(200);
    mia.get("/v1/oauth/start/peer?popup=true&return_to=/")
        .expect(200);
}
