//! The page for an answer that stands in the fragment: of an address, that is the part that browsers send to
//! nobody. It takes the answer up and comes again with it, in a navigation that carries our cookies.

use axum::response::Response;
use http::StatusCode;
use maud::{PreEscaped, html};

use super::frame::Frame;
use super::pictures;
use super::refusal::next;
use super::respond::{Leave, page};
use crate::oauth::flow::PublicUrl;

/// Which member is meant stands in the element, so that the text is always the same and can be allowed by its
/// hash. What is not there is said to be empty: the flow ends by it. Nothing of it stays in the history.
pub(super) const TAKE_UP: &str = "const d=document.currentScript.dataset,\
v=new URLSearchParams(location.hash.slice(1)).get(d.member)||\"\";\
location.replace(location.pathname+location.search+\"&\"+d.member+\"=\"+encodeURIComponent(v))";

/// The page that takes up `member`.
pub(super) fn fragment_page(member: &str, url: &PublicUrl) -> Response {
    let title = "One moment";
    let inside = html! {
        div class="badge" { (pictures::wheel()) }
        h1 { (title) }
        p class="lead" role="status" { "The provider's answer is being taken up." }
        noscript {
            p class="note" { "This browser runs no scripts, and without one this answer cannot be read." }
            (next("Allow scripts for this page and reload it, or start again in another browser."))
        }
        script data-member=(member) { (PreEscaped(TAKE_UP)) }
    };
    let frame = Frame {
        title,
        place: url.as_str(),
        again: false,
    };
    let leave = Leave {
        form_to: Vec::new(),
        script: Some(TAKE_UP),
        opener: true,
    };
    page(StatusCode::OK, frame.around(&inside), &leave)
}
