//! The answer of a token endpoint. It is read with patience: what is unknown is passed over, and a
//! type that differs is taken where it can mean only one thing.

use serde_json::Value;

use super::granted::read_scopes;
use super::lifetime::{access_end, not_before, refresh_end};
use super::reply::{Document, Reply, Subject, response_of, says_error, says_success};
use super::via::Held;
use crate::clock::Timestamp;
use crate::oauth::provider::spec::Response;
use crate::oauth::provider::{Bound, CaptureFault, Pointer, Provider};
use crate::secret::Secret;

/// The longest token, in bytes (T7).
const MAX_TOKEN: usize = 16 * 1024;

/// One set of tokens. It is stored, and refreshed, as a whole.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access: Secret,
    /// A new refresh token; nothing means that the old one stays (R1).
    pub refresh: Option<Secret>,
    /// The ID token, not checked yet.
    pub id_token: Option<Secret>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token ends.
    pub refresh_expires_at: Option<Timestamp>,
    /// Before when it may not be refreshed (R18).
    pub not_before_refresh: Option<Timestamp>,
    /// What was granted; nothing means: as asked for.
    pub scopes: Option<Vec<String>>,
}

/// An answer of success.
#[derive(Debug)]
pub struct TokenReply {
    /// The connection's own tokens.
    pub main: Tokens,
    /// Further sets, by the file's names for them.
    pub secondary: Vec<(String, Tokens)>,
    /// The connection with what was captured.
    pub bound: Bound,
    /// The whole answer, for the identity where it stands in there.
    pub document: Document,
}

/// Why an answer gives no tokens. What that means for the connection is for
/// [`classify`](fn@super::classify) to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The status is none of success.
    #[error("the provider refused")]
    Status,
    /// It is neither JSON nor a form (T6).
    #[error("the provider's answer cannot be read")]
    Form,
    /// It names an error, or does not say that it is one of success (T6).
    #[error("the provider's answer says that it failed")]
    Failure,
    /// There is no access token in it, or no set of tokens that must be there.
    #[error("the provider's answer holds no token")]
    NoToken,
    /// A token is no text of visible ASCII, or too long (T7).
    #[error("a token is not visible ASCII of at most {MAX_TOKEN} bytes")]
    Token,
    /// The token cannot be used as a bearer token (T8).
    #[error("the token is of a type that is not known")]
    TokenType,
    /// Something that the connection needs is not as it should be.
    #[error(transparent)]
    Capture(#[from] CaptureFault),
}

/// Reads an answer. `sent_at` is the moment before the request was sent.
///
/// # Errors
/// [`ReplyError`]: there are no tokens in it.
pub fn read_tokens(
    provider: &Provider,
    bound: &Bound,
    reply: &Reply,
    subject: Subject,
    sent_at: Timestamp,
) -> Result<TokenReply, ReplyError> {
    let response = response_of(provider.spec(), subject).ok_or(ReplyError::NoToken)?;
    if !reply.is_success() {
        return Err(ReplyError::Status);
    }
    let document = Document::read_as(reply, response.format).ok_or(ReplyError::Form)?;
    let whole = document.value();
    if says_error(response, whole) || !says_success(response, whole) {
        return Err(ReplyError::Failure);
    }
    let mut roots = response.root.iter();
    let root = roots.find(|root| has_token(response, whole, root));
    let root = root.ok_or(ReplyError::NoToken)?;
    let under = root.get(whole).ok_or(ReplyError::NoToken)?;
    Ok(TokenReply {
        main: read_set(response, under, sent_at)?,
        secondary: read_secondary(response, whole, root, subject, sent_at)?,
        bound: bound.capture_token(provider, whole)?,
        document,
    })
}

/// Further sets. What already is the main one is not there a second time.
fn read_secondary(
    response: &Response,
    whole: &Value,
    main: &Pointer,
    subject: Subject,
    sent_at: Timestamp,
) -> Result<Vec<(String, Tokens)>, ReplyError> {
    let mut sets = Vec::new();
    for set in response.secondary.iter().filter(|set| set.root != *main) {
        match set.root.get(whole) {
            Some(under) if has_token(response, whole, &set.root) => {
                sets.push((set.name.clone(), read_set(response, under, sent_at)?));
            }
            // A refresh answers for one set only.
            _ if set.optional || subject == Subject::Refresh => {}
            _ => return Err(ReplyError::NoToken),
        }
    }
    Ok(sets)
}

fn has_token(response: &Response, whole: &Value, root: &Pointer) -> bool {
    let token = root
        .get(whole)
        .and_then(|under| response.access_token.get(under));
    !matches!(token, None | Some(Value::Null))
}

fn read_set(response: &Response, under: &Value, sent_at: Timestamp) -> Result<Tokens, ReplyError> {
    let access = read_token(&response.access_token, under)?;
    check_type(response, under)?;
    Ok(Tokens {
        access: access.ok_or(ReplyError::NoToken)?,
        refresh: read_token(&response.refresh_token, under)?,
        id_token: read_token(&response.id_token, under)?,
        expires_at: access_end(response, under, sent_at),
        refresh_expires_at: refresh_end(response, under, sent_at),
        not_before_refresh: not_before(response, under, sent_at),
        scopes: read_scopes(response, under),
    })
}

/// A token; nothing when there is none. One that could not stand in a header is refused: a line break
/// would begin a header of its own.
fn read_token(pointer: &Pointer, under: &Value) -> Result<Option<Secret>, ReplyError> {
    let text = match pointer.get(under) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_str().ok_or(ReplyError::Token)?,
    };
    if text.is_empty() {
        return Ok(None);
    }
    let fits = text.len() <= MAX_TOKEN && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| Some(Secret::copy_of(text.as_bytes())))
        .ok_or(ReplyError::Token)
}

/// RFC 6749, 7.1: a token whose type is not known is not used (T8). Many say none.
fn check_type(response: &Response, under: &Value) -> Result<(), ReplyError> {
    let said = match response.token_type.get(under) {
        None | Some(Value::Null) => return Ok(()),
        Some(value) => value.as_str().ok_or(ReplyError::TokenType)?,
    };
    let mut known = response.token_types.iter();
    let bearer = said.is_empty() || known.any(|known| known.eq_ignore_ascii_case(said));
    bearer.then_some(()).ok_or(ReplyError::TokenType)
}

impl Tokens {
    /// The tokens, for the next request.
    #[must_use]
    pub fn held(&self) -> Held<'_> {
        Held {
            access: &self.access,
            refresh: self.refresh.as_ref(),
            id_token: self.id_token.as_ref(),
        }
    }
}
