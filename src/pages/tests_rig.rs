//! A browser, and a broker behind the pages that redeems nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{PagesState, router};
use crate::clock::ManualClock;
use crate::crypto::{Random, SystemRandom};
use crate::id::ConnectionId;
use crate::oauth::flow::tests_rig::{URL, ask, at, org, user};
use crate::oauth::flow::{
    Failure, FlowAsk, FlowBook, FlowFacts, FlowId, Outcome, PendingFlow, PublicUrl, Redeemer, Soon,
    Started, Tell,
};
use crate::secret::Secret;

/// What the fake was asked, and what it answers.
#[derive(Debug, Default)]
pub(super) struct Fake {
    pub calls: Mutex<Vec<String>>,
    pub outcome: Mutex<Option<Outcome>>,
    pub refuses: Mutex<Option<Failure>>,
    pub sealed: Mutex<bool>,
    /// The flows whose page was opened, each time that was to be recorded.
    pub opened: Mutex<Vec<String>>,
}

impl Fake {
    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }
}

pub(super) fn connected() -> Outcome {
    Outcome::Connected {
        connection: ConnectionId::from_bytes([9; 16]),
        account: "octocat".to_owned(),
        renewed: false,
        missing: Vec::new(),
    }
}

impl Redeemer for Fake {
    fn is_sealed(&self) -> bool {
        *self.sealed.lock().unwrap()
    }

    fn opened<'a>(&'a self, facts: &'a FlowFacts) -> Soon<'a, ()> {
        let mut opened = self.opened.lock().unwrap();
        opened.push(facts.flow.to_string());
        Box::pin(async {})
    }

    fn confirming<'a>(&'a self, facts: &'a FlowFacts) -> Soon<'a, Result<(), Failure>> {
        self.note(format!("confirming {}", facts.provider));
        let refuses = *self.refuses.lock().unwrap();
        Box::pin(async move { refuses.map_or(Ok(()), Err) })
    }

    fn ended<'a>(&'a self, _: &'a FlowFacts, failure: Failure) -> Soon<'a, ()> {
        self.note(format!("ended {}", failure.code()));
        Box::pin(async {})
    }

    fn signing_secret<'a>(&'a self, _: &'a FlowFacts) -> Soon<'a, Result<Secret, Failure>> {
        Box::pin(async { Ok(Secret::copy_of(b"client-secret")) })
    }

    fn redeem(&self, flow: PendingFlow) -> Soon<'_, Outcome> {
        let code = flow.code().map(|code| code.expose(<[u8]>::to_vec));
        let code = code.map_or_else(
            || "nothing".to_owned(),
            |code| String::from_utf8(code).unwrap(),
        );
        self.note(format!("redeem {code}"));
        let outcome = self.outcome.lock().unwrap().clone();
        Box::pin(async move { outcome.unwrap_or_else(connected) })
    }
}

/// The pages, and what stands behind them.
pub(super) struct Rig {
    pub router: Router,
    pub book: Arc<FlowBook>,
    pub fake: Arc<Fake>,
    pub clock: ManualClock,
    pub url: String,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::at(URL)
    }

    pub(super) fn at(url: &str) -> Self {
        Self::with(url, Arc::new(SystemRandom))
    }

    pub(super) fn with(url: &str, random: Arc<dyn Random>) -> Self {
        let book = Arc::new(FlowBook::new(PublicUrl::parse(url).unwrap()));
        let (fake, clock) = (Arc::new(Fake::default()), ManualClock::at(at(0)));
        let state = PagesState {
            book: book.clone(),
            redeemer: fake.clone(),
            clock: Arc::new(clock.clone()),
            random,
        };
        Self {
            router: router(state),
            book,
            fake,
            clock,
            url: url.to_owned(),
        }
    }

    pub(super) fn begin(&self, text: &str, tell: Tell) -> Started {
        self.begin_as(ask(text, tell))
    }

    pub(super) fn begin_as(&self, ask: FlowAsk) -> Started {
        use crate::clock::Clock;
        let now = self.clock.now();
        self.book.begin(ask, now, &SystemRandom).unwrap()
    }

    pub(super) fn status(&self, flow: &FlowId) -> &'static str {
        use crate::clock::Clock;
        let view = self.book.view(org(), user(1), flow, self.clock.now());
        view.map_or("none", |view| view.error.unwrap_or(view.status.as_str()))
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.fake.calls.lock().unwrap().clone()
    }

    pub(super) fn browser(&self) -> Browser {
        Browser {
            router: self.router.clone(),
            url: self.url.clone(),
            jar: BTreeMap::new(),
        }
    }
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Where it sends the browser, but for an empty fragment.
    pub(super) fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.header("location").trim_end_matches('#')
    }

    /// The value of an attribute: `attribute("name=\"token\" value=")`.
    pub(super) fn attribute(&self, before: &str) -> String {
        let at = self.body.split(before).nth(1).unwrap_or_default();
        at.split('"').nth(1).unwrap_or_default().to_owned()
    }

    pub(super) fn code(&self) -> &str {
        let small = self.body.split("Code: <code>").nth(1).unwrap_or_default();
        small.split('<').next().unwrap_or_default()
    }
}

/// A browser with a jar for cookies.
#[derive(Clone)]
pub(super) struct Browser {
    router: Router,
    url: String,
    pub jar: BTreeMap<String, String>,
}

impl Browser {
    /// Sends a request with the jar's cookies, and keeps what is set.
    pub(super) async fn send(&mut self, request: http::request::Builder, body: &str) -> Answer {
        let cookies: Vec<_> = self.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let request = request.header(header::COOKIE, cookies.join("; "));
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let held = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = held.split_once('=').unwrap();
            self.jar.insert(name.to_owned(), value.to_owned());
        }
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(super) fn request(method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(path)
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        let path = path.strip_prefix(&self.url).unwrap_or(path).to_owned();
        self.send(Self::request(Method::GET, &path), "").await
    }

    pub(super) async fn post(&mut self, path: &str, form: &str) -> Answer {
        let request = Self::request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin");
        self.send(request, form).await
    }

    /// Why an answer was not taken: the page that the browser is sent on to, without the answer (B8).
    pub(super) async fn refusal(&mut self, answer: &Answer) -> Answer {
        let there = answer.location().to_owned();
        assert!(
            there.starts_with(&format!("{}/connect/refused/", self.url)),
            "{there}"
        );
        assert!(!there.contains('?'), "{there}");
        self.get(&there).await
    }

    /// Opens the page and agrees; the members of the provider's URL.
    pub(super) async fn agree(&mut self, started: &Started) -> BTreeMap<String, String> {
        let path = format!("/connect/{}", started.flow);
        let page = self.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let token = page.attribute("name=\"token\" value=");
        let code = started.code.as_ref();
        let code = code.map(|code| format!("&code={code}")).unwrap_or_default();
        let sent = self.post(&path, &format!("token={token}{code}")).await;
        let url = url::Url::parse(sent.location()).unwrap();
        url.query_pairs().into_owned().collect()
    }
}
