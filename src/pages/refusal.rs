//! Pages that say no: what happened, why, and what to do next.

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use super::frame::Frame;
use super::respond::{Leave, page};
use super::{PagesState, pictures};
use crate::oauth::flow::PublicUrl;

/// Why a browser is shown no other page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such flow for this browser: never was, over, used, somebody else's, another
    /// provider's. One page for all of them (B1, X1).
    Unknown,
    /// The answer came to another browser than the one that left (X4).
    WrongBrowser,
    /// The form was not sent by our page, or the page is too old.
    Form,
    /// The answer breaks a rule before anything is looked up (B6, A7).
    Callback,
    /// The request only looks whether there is something.
    Method,
    /// The browser only loads ahead.
    Ahead,
    /// The vault is sealed.
    Sealed,
    /// Our fault.
    Internal,
}

/// A refusal in words.
struct Words {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    why: &'static str,
    next: &'static str,
}

/// Why an answer was not taken, at an address of its own. It is the same for everybody, and knows of
/// no flow.
pub(super) async fn show(State(state): State<PagesState>, Path(code): Path<String>) -> Response {
    let mut known = Refusal::OF_ANSWERS.into_iter();
    let asked = known.find(|refusal| refusal.words().code == code);
    asked
        .unwrap_or(Refusal::Unknown)
        .page(state.book.public_url())
}

impl Refusal {
    /// Those that an answer can meet, and that the browser is sent on to: what it came with has a code
    /// and a state in its address, which must not stay there (B8).
    const OF_ANSWERS: [Self; 5] = [
        Self::Unknown,
        Self::WrongBrowser,
        Self::Callback,
        Self::Sealed,
        Self::Internal,
    ];

    /// Where the browser is sent for it. None for what is said in place: to a browser that loads ahead, which
    /// has to come again by the same address, and to what is no browser.
    pub(super) fn place(self, url: &PublicUrl) -> Option<String> {
        let sent_on = Self::OF_ANSWERS.contains(&self);
        sent_on.then(|| format!("{}/connect/refused/{}", url.as_str(), self.words().code))
    }

    fn words(self) -> Words {
        match self {
            Self::Unknown => Words {
                status: StatusCode::NOT_FOUND,
                code: "flow_unknown",
                title: "This link does not work any more",
                why: "A link to connect an account works once, for ten minutes, in the browser that \
                      agreed to it. This one was used, has run out, or never existed.",
                next: "Start again where you came from: in the terminal with runtools oauth connect, \
                       or in your dashboard.",
            },
            Self::WrongBrowser => Words {
                status: StatusCode::FORBIDDEN,
                code: "wrong_browser",
                title: "Open it in the browser where you started",
                why: "The account's provider answered, but this browser did not ask. So that nobody \
                      can attach an account for you, the answer counts only in the browser that agreed.",
                next: "Go back to that browser and finish there. If you did not start this, close \
                       this page: nothing has been connected.",
            },
            Self::Form => Words {
                status: StatusCode::FORBIDDEN,
                code: "form_expired",
                title: "This page was open too long",
                why: "The form did not come from a page that this broker showed to this browser just \
                      now. Cookies may be switched off.",
                next: "Open the link again, and continue from there.",
            },
            Self::Callback => Words {
                status: StatusCode::BAD_REQUEST,
                code: "bad_callback",
                title: "The answer cannot be read",
                why: "What came back from the provider is too long, says something twice, or carries \
                      what was not asked for. It was not used.",
                next: "Open the link again, or start anew. If it stays so, tell whoever runs this \
                       broker.",
            },
            Self::Method | Self::Ahead | Self::Sealed | Self::Internal => self.later_words(),
        }
    }

    /// Those that have nothing to do with the person.
    fn later_words(self) -> Words {
        match self {
            Self::Method => Words {
                status: StatusCode::METHOD_NOT_ALLOWED,
                code: "method_not_allowed",
                title: "This address is opened by a browser",
                why: "It takes a provider's answer, and nothing else.",
                next: "Start in the terminal with runtools oauth connect, or in your dashboard.",
            },
            Self::Ahead => Words {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "loaded_ahead",
                title: "This page is not loaded ahead",
                why: "The browser asked for it before you did, and an answer counts once.",
                next: "Reload the page.",
            },
            Self::Sealed => Words {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "sealed",
                title: "The vault is sealed",
                why: "Nothing can be stored until the operator opens it.",
                next: "Ask whoever runs this broker to unseal it, then start again.",
            },
            _ => Words {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                code: "internal_error",
                title: "The broker could not go on",
                why: "Something failed on our side. Nothing has been connected.",
                next: "Try again; if it stays so, tell whoever runs this broker.",
            },
        }
    }

    /// The page.
    pub(super) fn page(self, url: &PublicUrl) -> Response {
        let words = self.words();
        let frame = Frame {
            title: words.title,
            place: url.as_str(),
            again: false,
        };
        let inside = html! {
            div class="badge warn" { (pictures::attention()) }
            h1 { (words.title) }
            p class="lead" { (words.why) }
            (next(words.next))
            (small(words.code))
        };
        page(words.status, frame.around(&inside), &Leave::default())
    }
}

/// What to do next.
pub(super) fn next(text: &str) -> Markup {
    html! { section class="next" { h2 { "What to do" } p class="hint" { (text) } } }
}

/// The stable code, in small print.
pub(super) fn small(code: &str) -> Markup {
    html! { p class="small" { "Code: " code { (code) } } }
}
