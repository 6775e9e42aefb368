//! What a browser sees of a connect flow.
//!
//! ```text
//! GET  /connect/{flow}              who connects what to which organisation; changes nothing
//! POST /connect/{flow}              agreed: the cookie is set, and the browser goes to the provider
//! GET  /v1/oauth/callback/{provider}  the provider's answer; always answered with a redirect or a refusal
//! GET  /connect/{flow}/result       how it ended: no code, no state, no token in its URL (B8)
//! GET  /connect/refused/{code}      why an answer was not taken: as bare, and the same for everybody
//! ```
//!
//! Nothing is loaded from anywhere: one style sheet inside the page, allowed by its hash, and no
//! script but the five lines that tell the window which opened this one, and three that take up an answer which
//! stands where only a script can read it. Every page that refuses says
//! what happened, why, and what to do next, with a stable code in small print.

mod callback;
mod connect;
mod connect_page;
mod form;
mod fragment;
mod frame;
mod pictures;
mod refusal;
mod respond;
mod result;
mod result_page;
#[cfg(test)]
mod tests_answers;
#[cfg(test)]
mod tests_callback;
#[cfg(test)]
mod tests_connect;
#[cfg(test)]
mod tests_gallery;
#[cfg(test)]
mod tests_rig;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::get;

use crate::clock::{Clock, Timestamp};
use crate::crypto::Random;
use crate::oauth::flow::{FlowBook, Redeemer};
use refusal::Refusal;

/// What the pages need.
#[derive(Clone, Debug)]
pub struct PagesState {
    /// The flows.
    pub book: Arc<FlowBook>,
    /// Who redeems answers.
    pub redeemer: Arc<dyn Redeemer>,
    /// Who tells the time.
    pub clock: Arc<dyn Clock>,
    /// Who supplies random bytes.
    pub random: Arc<dyn Random>,
}

impl PagesState {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What is said in place of a page. Sealing forgets every flow, so that all of them look as if they
    /// had never been: of a sealed vault that is the reason, and the same for everybody.
    fn said(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::Unknown if self.redeemer.is_sealed() => Refusal::Sealed,
            other => other,
        }
    }

    fn refuse(&self, refusal: Refusal) -> Response {
        self.said(refusal).page(self.book.public_url())
    }
}

/// The templates of the pages' routes.
pub const TEMPLATES: &[&str] = &[
    "/connect/{flow}",
    "/connect/{flow}/result",
    "/connect/refused/{code}",
    "/v1/oauth/callback/{provider}",
    "/oauth/callback/{provider}",
];

/// The pages' routes. They belong behind the same questions as every other route: host, rate, path.
pub fn router(state: PagesState) -> Router {
    let back = get(callback::arrive).post(callback::bounce);
    Router::new()
        .route("/connect/{flow}", get(connect::show).post(connect::agree))
        .route("/connect/{flow}/result", get(result::show))
        .route("/connect/refused/{code}", get(refusal::show))
        .route("/v1/oauth/callback/{provider}", back.clone())
        .route("/oauth/callback/{provider}", back)
        .with_state(state)
}
