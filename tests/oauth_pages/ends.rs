//! How flows end: every end that a person can come to has a page of its own, with its code in small
//! print, a reason and a next step.

use crate::harness::Broker;
use crate::harness::chromium::{Chromium, Screen};
use crate::harness::connect::{Flow, connections, start, text};
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::{agree, answer_with, well_made, with_fault};

/// A browser, and on what it shows the next end.
pub(crate) struct Eyes {
    pub(crate) browser: Chromium,
    seen: usize,
}

impl Eyes {
    pub(crate) fn open() -> Self {
        Self {
            browser: Chromium::start(),
            seen: 0,
        }
    }

    /// Waits for the end with this code, and looks at it: each on another screen.
    #[track_caller]
    pub(crate) fn see(&mut self, code: &str) {
        let browser = &self.browser;
        browser.wait_text(&format!("Code: {code}"));
        let (screen, dark) = match self.seen % 4 {
            0 => (Screen::Phone, true),
            1 => (Screen::Desktop, false),
            2 => (Screen::Phone, false),
            _ => (Screen::Desktop, true),
        };
        self.seen += 1;
        browser.screen(screen);
        browser.dark(dark);
        well_made(browser, code);
        let shown = browser.text();
        assert!(shown.contains("What to do"), "{code}: {shown}");
        for unmade in ["Internal", "Error", "undefined", "{}", "null"] {
            assert!(!shown.contains(unmade), "{code}: {shown}");
        }
        browser.keep_screenshot(&format!("oauth-end-{code}"));
    }
}

#[test]
fn every_end_has_its_page() {
    let (provider, broker) = with_fault(&[]);
    let mia = broker.member("Mia");
    let begin = |query: &str| start(&mia, "fault", query);
    let mut eyes = Eyes::open();
    said_by_the_provider(&mut eyes, &provider, || begin(""));
    told_by_the_token_endpoint(&mut eyes, &provider, || begin(""));
    decided_by_somebody(&mut eyes, &provider, &broker);
    assert!(eyes.seen >= 16, "{}", eyes.seen);
    let own = [broker.origin(), &provider.origin()];
    assert_eq!(eyes.browser.foreign(&own), Vec::<String>::new());
    // A code that is wrong is the only thing that failed here.
    let mut console = eyes.browser.console();
    console.retain(|line| !line.contains("status of 422") && !line.contains(&provider.origin()));
    assert_eq!(console, Vec::<String>::new());
}

fn said_by_the_provider(eyes: &mut Eyes, provider: &FaultProvider, begin: impl Fn() -> Flow) {
    let long = "A provider says what is wrong at length, and_in_words_that_never_end_because_nobody_\
                thought_of_screens_that_are_narrow; and then it says so once more.";
    let cases: [(&[(&str, &str)], &str); 7] = [
        (
            &[
                ("error", "access_denied"),
                ("error_description", "The person said no."),
            ],
            "access_denied",
        ),
        (&[("error", "invalid_scope")], "invalid_scope"),
        (
            &[
                ("error", "unauthorized_client"),
                ("error_description", long),
            ],
            "client_config",
        ),
        (
            &[("error", "temporarily_unavailable")],
            "provider_unavailable",
        ),
        (&[("error", "interaction_required")], "interaction_required"),
        (&[("error", "teapot")], "provider_error"),
        (&[], "bad_answer"),
    ];
    for (members, code) in cases {
        let members: Vec<(&'static str, String)> = members
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        provider.script("/authorize", move |seen| {
            let mut back = url::Url::parse(&seen.query("redirect_uri").unwrap()).unwrap();
            let state = seen.query("state").unwrap();
            back.query_pairs_mut()
                .append_pair("state", &state)
                .extend_pairs(&members);
            Answer::redirect(302, back.as_str())
        });
        agree(&eyes.browser, &begin());
        eyes.see(code);
    }
}

fn told_by_the_token_endpoint(eyes: &mut Eyes, provider: &FaultProvider, begin: impl Fn() -> Flow) {
    answer_with(provider, &[("code", "code-1")]);
    for (reply, code) in [
        (Answer::empty(500), "try_again"),
        (Answer::error(400, "invalid_grant"), "provider_refused"),
        (Answer::text(200, "text/html", "<p>"), "protocol"),
    ] {
        provider.next("/token", reply);
        agree(&eyes.browser, &begin());
        eyes.see(code);
    }
    for _ in 0..2 {
        provider.next("/me", Answer::empty(500));
    }
    agree(&eyes.browser, &begin());
    eyes.see("no_identity");
    let less = serde_json::json!({"access_token": "a", "scope": "write", "token_type": "bearer"});
    provider.next("/token", Answer::json(200, &less));
    agree(&eyes.browser, &begin());
    eyes.browser.wait_text("Fault is connected, with limits");
    eyes.see("limited");
    agree(&eyes.browser, &begin());
    eyes.browser.wait_text("Fault is connected again");
    well_made(&eyes.browser, "again");
}

fn decided_by_somebody(eyes: &mut Eyes, provider: &FaultProvider, broker: &Broker) {
    let mia = broker.member("Another Mia");
    let begin = |query: &str| start(&mia, "fault", query);
    agree(&eyes.browser, &begin(""));
    eyes.browser.wait_text("Fault is connected");
    let id = text(&connections(&mia)[0]["id"]).to_owned();
    let other = serde_json::json!({"id": "8", "name": "Somebody Else"});
    provider.next("/me", Answer::json(200, &other));
    let flow = begin(&format!("reconnect={id}"));
    eyes.browser.open(&flow.page);
    eyes.browser
        .wait_text("Sign in with the same account as before");
    agree(&eyes.browser, &flow);
    eyes.see("account_mismatch");

    let flow = begin("");
    eyes.browser.open(&flow.page);
    for left in ["4 more", "3 more", "2 more", "One more"] {
        eyes.browser
            .type_into("input[name=code]", "BBBBBBBB\u{E007}");
        eyes.browser.wait_text(left);
    }
    eyes.browser
        .type_into("input[name=code]", "BBBBBBBB\u{E007}");
    eyes.see("too_many_tries");

    // At the provider's, which has not answered yet.
    provider.script("/authorize", |_| {
        Answer::text(200, "text/html", "<h1>At the provider</h1>")
    });
    let away = || {
        let flow = begin("");
        agree(&eyes.browser, &flow);
        eyes.browser.wait_text("At the provider");
        flow
    };
    let (cancelled, superseded) = (away(), away());
    mia.delete(&format!("/v1/oauth/flows/{}", cancelled.id))
        .expect(200);
    (0..20).for_each(|_| drop(begin("")));
    for (flow, code) in [(cancelled, "cancelled"), (superseded, "superseded")] {
        eyes.browser.open(&format!("{}/result", flow.page));
        eyes.see(code);
    }
}
