//! Asking for the outcome of a device flow (RFC 8628, 3.4 and 3.5). How often, the flow's own book says.

use super::classify::{Failure, NoReply, Told};
use super::client_auth::authenticate;
use super::code::Code;
use super::device::{DeviceStart, device, text};
use super::replies::{TokenReply, read_tokens};
use super::reply::{Document, Reply, Subject};
use super::request::{RequestError, TokenRequest};
use super::requests::{Names, add, draft, place, token};
use super::via::Via;
use crate::clock::Timestamp;
use crate::oauth::provider::QuerySecrets;
use crate::oauth::provider::spec::{Class, DeviceStyle, Handoff, Map, Method};
use crate::secret::Secret;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The longest code and verifier that are handed over, in bytes.
const MAX_CODE: usize = 4096;

/// The outcome so far.
#[derive(Debug)]
pub enum Poll {
    /// Nobody has finished it yet.
    Pending,
    /// The same, and we ask too often.
    SlowDown,
    /// Nobody answered, or not sensibly: ask again, twice as late.
    Later,
    /// The tokens.
    Tokens(Box<TokenReply>),
    /// A code, to be redeemed once.
    HandOff(HandOff),
    /// The person said no.
    Denied,
    /// It took too long.
    Expired,
    /// It cannot come to an end (D2).
    Failed {
        /// What the provider calls that.
        code: Option<Code>,
    },
}

/// A code with the verifier that belongs to it, both from one answer (D5).
#[derive(Debug)]
pub struct HandOff {
    /// The code.
    pub code: Secret,
    /// Its verifier.
    pub verifier: Secret,
    /// The redirect URI that it was made for.
    pub redirect_uri: String,
}

/// Asks for the outcome.
///
/// # Errors
/// [`RequestError`].
pub fn poll_request(via: &Via<'_>, start: &DeviceStart) -> Result<TokenRequest, RequestError> {
    let (file, token) = (device(via)?, token(via)?);
    let refused = QuerySecrets::Refused;
    let vars = via.vars();
    let url = file.token_url.as_ref().or(token.url.as_ref());
    let mut draft = draft(via, Method::Post, url, &vars, refused)?;
    if file.poll.is_empty() {
        let mut names = Names {
            file: token,
            draft: &mut draft,
        };
        names.text("grant_type", GRANT);
        names.secret("device_code", &start.handle)?;
        authenticate(&mut draft, via, token, token.client_auth)?;
    }
    let vars = vars
        .secret("handle", &start.handle)
        .text("user_code", &start.user_code);
    add(&mut draft, &file.poll, &vars, place(file.body, refused))?;
    draft.send(file.body, refused, &Map::new(), &vars)
}

/// Says what an answer means. `sent_at` is the moment before the request was sent.
#[must_use]
pub fn read_poll(via: &Via<'_>, told: Told<'_>, sent_at: Timestamp) -> Poll {
    let reply = match told {
        Told::NoReply(NoReply::Refused) => {
            let code = Some(Code::own(NoReply::Refused.as_str()));
            return Poll::Failed { code };
        }
        Told::NoReply(_) => return Poll::Later,
        Told::Reply { reply, .. } => reply,
    };
    let Ok(file) = device(via) else {
        return Poll::Failed { code: None };
    };
    if file.pending_statuses.contains(&reply.status) {
        return Poll::Pending;
    }
    let outcome = if let (DeviceStyle::CodeHandoff, Some(handoff)) = (file.style, &file.handoff) {
        hand_over(via, reply, handoff).map(Poll::HandOff)
    } else {
        let (provider, bound) = (via.provider, via.bound);
        let tokens = read_tokens(provider, bound, reply, Subject::Device, sent_at);
        tokens.ok().map(|tokens| Poll::Tokens(Box::new(tokens)))
    };
    outcome.unwrap_or_else(|| refused(via, reply))
}

/// Why there is nothing yet, or never will be.
fn refused(via: &Via<'_>, reply: &Reply) -> Poll {
    let failure = Failure::of(via.provider, reply, Subject::Device);
    match failure.files_word() {
        _ if reply.status == 429 => return Poll::SlowDown,
        _ if failure.is_passing() => return Poll::Later,
        Some(Class::Pending) => return Poll::Pending,
        Some(Class::SlowDown | Class::RateLimited) => return Poll::SlowDown,
        Some(Class::Denied) => return Poll::Denied,
        Some(Class::Transient) => return Poll::Later,
        Some(Class::Revoked | Class::Client | Class::Suspicious) | None => {}
    }
    let words = [
        "authorization_pending",
        "slow_down",
        "access_denied",
        "expired_token",
    ];
    match failure.says(&words) {
        Some("authorization_pending") => Poll::Pending,
        Some("slow_down") => Poll::SlowDown,
        Some("access_denied") => Poll::Denied,
        Some("expired_token") => Poll::Expired,
        _ => Poll::Failed {
            code: failure.code(),
        },
    }
}

fn hand_over(via: &Via<'_>, reply: &Reply, file: &Handoff) -> Option<HandOff> {
    if !reply.is_success() {
        return None;
    }
    let document = Document::read(reply)?;
    let read = |pointer: &crate::oauth::provider::Pointer| {
        let text = text(std::slice::from_ref(pointer), document.value(), MAX_CODE)?;
        Some(Secret::copy_of(text.as_bytes()))
    };
    let redirect_uri = file
        .redirect_uri
        .render_url(&via.vars(), QuerySecrets::Refused);
    Some(HandOff {
        code: read(&file.code)?,
        verifier: read(&file.verifier)?,
        redirect_uri: redirect_uri.ok()?.to_string(),
    })
}
