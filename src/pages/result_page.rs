//! The page of an end: connected, limited, or not; and of what is still being done.

use axum::response::Response;
use http::StatusCode;
use maud::{Markup, PreEscaped, html};

use super::frame::Frame;
use super::pictures;
use super::refusal::{next, small};
use super::respond::{Leave, page};
use super::words::{Words, words};
use crate::oauth::flow::{Failure, Home, Outcome, PublicUrl, ResultView, Standing};

/// Tells the window that opened this one: ids only, and that one origin only (B10). What it says
/// stands in the element, so that the text is always the same and can be allowed by its hash.
pub(super) const TELL: &str = "const d=document.currentScript.dataset,\
m={type:\"runtools.oauth\",flow:d.flow};\
if(d.ticket)m.ticket=d.ticket;\
if(d.error)m.error=d.error;\
if(window.opener){window.opener.postMessage(m,d.origin);window.close()}";

/// The page for what is known of a flow.
pub(super) fn result_page(view: &ResultView, url: &PublicUrl) -> Response {
    match &view.standing {
        Standing::Away => working(view, url, true),
        Standing::Working => working(view, url, false),
        Standing::Over(Outcome::Failed(failure)) => {
            let words = words(*failure, &view.provider, &view.org);
            failed(
                &words,
                *failure,
                view.said.as_deref(),
                view.home.as_ref(),
                url,
            )
        }
        Standing::Over(Outcome::Connected {
            account,
            renewed,
            missing,
            ..
        }) => connected(view, account, *renewed, missing, url),
    }
}

/// What is done at the end: a popup tells its opener, any other page offers the way back.
fn ending(home: Option<&Home>, error: Option<&str>) -> (Markup, Leave) {
    let Some(home) = home else {
        return (html! {}, Leave::default());
    };
    let leave = Leave {
        form_to: Vec::new(),
        script: home.popup.then_some(TELL),
        opener: home.popup,
    };
    let ticket = home.ticket.as_ref().map(|ticket| ticket.as_str());
    let markup = html! {
        p class="end" { a class="button" href=(home.url) { "Back to the dashboard" } }
        @if home.popup {
            script data-origin=(home.origin) data-flow=(home.flow) data-ticket=[ticket] data-error=[error] {
                (PreEscaped(TELL))
            }
        }
    };
    (markup, leave)
}

fn connected(
    view: &ResultView,
    account: &str,
    renewed: bool,
    missing: &[String],
    url: &PublicUrl,
) -> Response {
    let limited = !missing.is_empty();
    let again = if renewed { " again" } else { "" };
    let title = if limited {
        format!("{} is connected{again}, with limits", view.provider)
    } else {
        format!("{} is connected{again}", view.provider)
    };
    let (end, leave) = ending(view.home.as_ref(), None);
    let inside = html! {
        @if limited {
            div class="badge warn" { (pictures::attention()) }
        } @else {
            div class="badge" { (pictures::check()) }
        }
        h1 { (title) }
        @if limited {
            p class="lead" { "The account works, but not everything was allowed. Tools that need the rest will say so." }
        } @else {
            p class="lead" { "Tools can use the account now. Its tokens stay in the vault." }
        }
        dl {
            div { dt { "Account" } dd { (account) } }
            div { dt { "User" } dd { (view.user) } }
            div { dt { "Organisation" } dd { (view.org) } }
        }
        @if limited {
            h2 id="missing" { "Not allowed" }
            ul class="scopes missing" aria-labelledby="missing" {
                @for scope in missing { li { (pictures::cross()) code class="alone" { (scope) } } }
            }
            (next("Connect the account again and allow everything, if tools need it."))
        } @else if view.home.is_none() {
            p class="note" { "You can close this page and go back to your terminal." }
        }
        (end)
        @if limited { (small("limited")) }
    };
    let frame = Frame {
        title: &title,
        place: url.as_str(),
        again: false,
    };
    page(StatusCode::OK, frame.around(&inside), &leave)
}

/// The page of a flow that did not connect anything.
pub(super) fn failed(
    words: &Words,
    failure: Failure,
    said: Option<&str>,
    home: Option<&Home>,
    url: &PublicUrl,
) -> Response {
    let (end, leave) = ending(home, Some(failure.code()));
    let inside = html! {
        @if words.decided {
            div class="badge warn" { (pictures::attention()) }
        } @else {
            div class="badge bad" { (pictures::cross()) }
        }
        h1 { (words.title) }
        p class="lead" { (words.why) }
        @if let Some(said) = said.filter(|said| !said.is_empty()) {
            p class="said" { "In the provider's words: “" (said) "”" }
        }
        (next(words.next))
        (end)
        (small(failure.code()))
    };
    let frame = Frame {
        title: &words.title,
        place: url.as_str(),
        again: false,
    };
    page(StatusCode::OK, frame.around(&inside), &leave)
}

fn working(view: &ResultView, url: &PublicUrl, away: bool) -> Response {
    let title = if away {
        format!("Waiting for {}", view.provider)
    } else {
        format!("Connecting {}", view.provider)
    };
    let (end, leave) = ending(view.home.as_ref(), None);
    let popup = view.home.as_ref().is_some_and(|home| home.popup);
    let inside = html! {
        div class="badge" { (pictures::wheel()) }
        h1 { (title) }
        @if away {
            p class="lead" role="status" { "It has not answered yet. Finish in the window where you are signing in." }
        } @else {
            p class="lead" role="status" {
                "You agreed at " (view.provider) ". "
                @if popup { "The dashboard does the rest." }
                @else { "The rest takes a moment; this page reloads by itself." }
            }
        }
        @if !away { (end) }
    };
    let frame = Frame {
        title: &title,
        place: url.as_str(),
        again: !popup,
    };
    page(StatusCode::OK, frame.around(&inside), &leave)
}
