//! Errors that a provider sends back with the browser (B7, A3), and what browsers are told (B8).

use crate::harness::api;
use crate::harness::chromium::Chromium;
use crate::harness::connect::{Stage, changed, connections, member, start};
use crate::harness::fault_provider::Answer;
use crate::harness::jar::{Jar, Page};
use crate::{answer, leave, with_fault};

/// What a provider, or somebody in its place, may say.
const NASTY: [&str; 8] = [
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=\"document.title='owned'\">",
    "'><svg/onload=document.title='owned'>",
    "</p></article></main><iframe srcdoc=\"<script>parent.document.title='owned'</script>\">",
    "javascript:document.title='owned'",
    "\u{202E}deggip\u{2066}\u{200B}\u{FEFF}\u{0085}",
    "a\u{0}b\u{1b}[31mc\r\nSet-Cookie: x=y",
    "&lt;script&gt;document.title='owned'&lt;/script&gt;",
];

#[test]
fn b7_a_provider_s_words_are_text_to_a_real_browser() {
    let (provider, broker) = with_fault(|file| file);
    let (mia, browser) = (broker.member("Mia"), Chromium::start());
    let typed =
        |flow: &crate::harness::connect::Flow| format!("{}\u{E007}", flow.code.clone().unwrap());
    for nasty in NASTY {
        let words = nasty.to_owned();
        provider.script("/authorize", move |seen| {
            let (back, state) = (
                seen.query("redirect_uri").unwrap(),
                seen.query("state").unwrap(),
            );
            let mut url = url::Url::parse(&back).unwrap();
            url.query_pairs_mut().extend_pairs([
                ("state", &*state),
                ("error", &*words),
                ("error_description", &*words),
                ("error_uri", &*words),
            ]);
            Answer::redirect(302, url.as_str())
        });
        let flow = start(&mia, "fault", "");
        browser.open(&flow.page);
        browser.type_into("input[name=code]", &typed(&flow));
        browser.wait_text("provider_error");
        assert!(!browser.title().contains("owned"), "{nasty}");
        let (shown, html) = (browser.text(), browser.html());
        for odd in [
            '\u{202E}', '\u{2066}', '\u{200B}', '\u{FEFF}', '\u{0}', '\u{1b}', '\u{85}',
        ] {
            assert!(!html.contains(odd), "{odd:?} of {nasty:?}");
        }
        for element in ["script", "img", "iframe", "main svg[onload]"] {
            assert!(!browser.has(element), "{element} of {nasty}");
        }
        if nasty.is_ascii() && !nasty.contains('\0') {
            assert!(shown.contains(nasty), "as text: {shown}");
        }
        let cookies = browser.cookies();
        assert!(
            !cookies.iter().any(|cookie| cookie["name"] == "x"),
            "{cookies:?}"
        );
    }
    assert_eq!(browser.console(), Vec::<String>::new());
    assert_eq!(provider.asked("/token").len(), 0);
    // Logged is the code, not the words.
    let log = broker.log_text();
    assert!(
        !log.contains("owned") && !log.contains("deggip"),
        "the log has a provider's words"
    );
    assert!(log.contains("provider_error"));
}

#[test]
fn b7_a_long_description_is_cut_and_a_longer_one_is_refused() {
    let (provider, broker) = with_fault(|file| file);
    let mia = broker.member("Mia");
    let flow = start(&mia, "fault", "");
    let mut jar = Jar::new();
    let back = answer(&leave(&mut jar, &flow), "CODE");
    let back = changed(
        &changed(&back, "code", None),
        "error",
        Some("access_denied"),
    );
    // 100 KiB are more than an address may have.
    let target = back.strip_prefix(broker.origin()).unwrap();
    let long = format!(
        "GET {target}&error_description={} HTTP/1.1",
        "w".repeat(100 * 1024)
    );
    let reply = api::raw(&broker, &long, b"");
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    assert!(!String::from_utf8_lossy(&reply.body).contains("wwww"));
    let page = jar.open(&changed(
        &back,
        "error_description",
        Some(&"w".repeat(3000)),
    ));
    let text = page.text();
    assert!(
        text.contains(&"w".repeat(199)) && !text.contains(&"w".repeat(201)),
        "{text}"
    );
    assert_eq!(provider.asked("/token").len(), 0);
}

#[test]
fn b7_known_errors_have_words_of_their_own() {
    let (provider, broker) = with_fault(|file| file);
    let mia = broker.member("Mia");
    for (error, code) in [
        ("access_denied", "access_denied"),
        ("invalid_scope", "invalid_scope"),
        ("unauthorized_client", "client_config"),
        ("temporarily_unavailable", "provider_unavailable"),
        ("login_required", "interaction_required"),
        ("ACCESS_DENIED", "provider_error"),
        ("", "provider_error"),
    ] {
        let flow = start(&mia, "fault", "");
        let mut jar = Jar::new();
        let back = answer(&leave(&mut jar, &flow), "CODE");
        let page = jar.open(&changed(
            &changed(&back, "code", None),
            "error",
            Some(error),
        ));
        assert!(
            page.text().contains(&format!("<code>{code}</code>")),
            "{error}: {}",
            page.words()
        );
        assert_eq!(flow.seen(&mia)["error"], code);
    }
    assert_eq!(provider.asked("/token").len(), 0);
}

#[test]
fn a3_a_provider_that_dislikes_the_challenge_is_not_asked_without_one() {
    let (provider, broker) = with_fault(|file| file);
    provider.script("/authorize", |seen| {
        let (back, state) = (
            seen.query("redirect_uri").unwrap(),
            seen.query("state").unwrap(),
        );
        let why = "error_description=code_challenge_method+is+not+supported";
        Answer::redirect(
            302,
            &format!("{back}?error=invalid_request&{why}&state={state}"),
        )
    });
    let mia = broker.member("Mia");
    for _ in 0..2 {
        let flow = start(&mia, "fault", "");
        let mut jar = Jar::new();
        let door = leave(&mut jar, &flow);
        let page = jar.open(&door);
        assert!(
            page.text().contains("<code>client_config</code>"),
            "{}",
            page.words()
        );
        assert_eq!(flow.seen(&mia)["error"], "client_config");
    }
    let asked = provider.asked("/authorize");
    assert_eq!(asked.len(), 2);
    for asked in &asked {
        assert_eq!(
            asked.query("code_challenge_method").as_deref(),
            Some("S256")
        );
        assert_eq!(asked.query("code_challenge").unwrap().len(), 43);
    }
    let challenges: Vec<_> = asked
        .iter()
        .map(|asked| asked.query("code_challenge"))
        .collect();
    assert_ne!(challenges[0], challenges[1], "A2: new for each flow");
    assert_eq!(provider.asked("/token").len(), 0);
}

/// B8: nothing is kept, told on, framed or loaded.
#[track_caller]
fn to_itself(page: &Page) {
    let what = format!("{} {}", page.status(), page.url.path());
    assert_eq!(page.header("cache-control"), "no-store", "{what}");
    assert_eq!(page.header("referrer-policy"), "no-referrer", "{what}");
    assert_eq!(page.header("x-content-type-options"), "nosniff", "{what}");
    if page.location().is_some() {
        assert_eq!((page.status(), page.text()), (303, String::new()), "{what}");
        return;
    }
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    assert!(
        page.header("content-type").starts_with("text/html"),
        "{what}"
    );
    let text = page.text();
    for outside in ["src=", "@import", "url(", "http-equiv=\"set-cookie"] {
        assert!(!text.contains(outside), "{outside}: {text}");
    }
}

#[test]
fn b8_every_page_keeps_to_itself_and_the_last_address_has_no_code_and_no_state() {
    let stage = Stage::open();
    let mia = stage.broker.member("Mia");
    let flow = start(&mia, "peer", "");
    let mut jar = Jar::new();
    let page = jar.get(&flow.page);
    to_itself(&page);
    to_itself(&jar.submit(&page, &[("code", "BBBBBBBB")]));
    to_itself(&jar.submit(&page, &[("token", "forged")]));
    let left = jar.submit(&page, &[("code", flow.code.as_deref().unwrap())]);
    to_itself(&left);
    to_itself(&jar.get(&format!("{}/result", flow.page)));
    let answer = jar.agree(left.location().unwrap().as_str(), "mia", &stage.back());
    to_itself(&Jar::new().get(&answer));
    to_itself(&jar.get(&format!("{answer}&code=x")));
    let back = jar.get(&answer);
    to_itself(&back);
    let end = jar.follow(back);
    to_itself(&end);
    assert_eq!(end.url.query(), None);
    for name in ["code", "state"] {
        let value = member(&answer, name).unwrap();
        assert!(
            !end.url.as_str().contains(&value) && !end.text().contains(&value),
            "{name}"
        );
    }
    to_itself(&jar.get(&answer));
    for path in [
        "/connect/none",
        "/connect/none/result",
        "/v1/oauth/callback/none",
    ] {
        to_itself(&jar.get(&format!("{}{path}", stage.broker.origin())));
    }
    assert_eq!(connections(&mia).len(), 1);
}
