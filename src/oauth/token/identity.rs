//! Whose account it is, and what is inside it.

use serde_json::Value;

use super::reply::{Document, Reply};
use crate::oauth::provider::spec::{Pick, Resources};
use crate::oauth::provider::{Pointer, Provider};

/// The longest text that people see, in characters.
const MAX_SHOWN: usize = 200;
/// The longest e-mail address (RFC 5321) and the longest URL, in bytes.
const MAX_EMAIL: usize = 254;
const MAX_URL: usize = 2048;
/// The most resources that are kept: they stay in memory with their connection.
const MAX_RESOURCES: usize = 100;

/// An account at a provider. Connections are told apart by its id; the rest is for people to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id, as the file composes it. It is never an e-mail address that somebody else may get.
    pub id: String,
    /// What to call it.
    pub name: Option<String>,
    /// Its e-mail address, as far as the provider says one.
    pub email: Option<String>,
    /// Its picture, a https URL.
    pub avatar: Option<String>,
}

/// A site, tenant or account inside an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its id.
    pub id: String,
    /// What to call it.
    pub name: Option<String>,
    /// Its address, a https URL.
    pub url: Option<String>,
}

/// Why nobody knows whose account it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The status is none of success.
    #[error("the provider did not say whose account it is: status {0}")]
    Status(u16),
    /// The answer cannot be read.
    #[error("the provider's answer about the account cannot be read")]
    Form,
    /// The id is not there, or not whole.
    #[error("the provider's answer does not hold the account's id")]
    NoAccount,
}

/// Reads the answer to an identity request.
///
/// # Errors
/// [`IdentityError`].
pub fn read_identity(
    provider: &Provider,
    reply: &Reply,
) -> Result<(Account, Document), IdentityError> {
    if !reply.is_success() {
        return Err(IdentityError::Status(reply.status));
    }
    let document = Document::read(reply).ok_or(IdentityError::Form)?;
    let account = read_account(provider, document.value())?;
    Ok((account, document))
}

/// Reads the account out of whatever document the file names as its source: the identity's answer,
/// the token answer, the claims of the ID token, or the callback's members as an object.
///
/// # Errors
/// [`IdentityError::NoAccount`].
pub fn read_account(provider: &Provider, document: &Value) -> Result<Account, IdentityError> {
    let id = provider.account().read(document);
    let id = id.ok_or(IdentityError::NoAccount)?;
    let identity = provider.spec().identity.as_ref();
    let identity = identity.ok_or(IdentityError::NoAccount)?;
    Ok(Account {
        id,
        name: first(&identity.name, document, shown),
        email: first(&identity.email, document, email),
        avatar: first(&identity.avatar, document, https),
    })
}

/// Reads the resources out of the answer that lists them; which of them, the file says. Those
/// without an id are passed over.
#[must_use]
pub fn read_resources(provider: &Provider, document: &Value) -> Vec<Resource> {
    let identity = provider.spec().identity.as_ref();
    let Some(file) = identity.and_then(|identity| identity.resources.as_ref()) else {
        return Vec::new();
    };
    let items = file.items.get(document).and_then(Value::as_array);
    let items = items.into_iter().flatten();
    let all = items.filter_map(|item| Some((flagged(file, item), resource(file, item)?)));
    let mut all: Vec<_> = all.take(MAX_RESOURCES).collect();
    match file.pick {
        Pick::All => {}
        Pick::First => all.truncate(1),
        Pick::DefaultFlag => {
            let chosen = all.iter().position(|(flagged, _)| *flagged);
            all.drain(..chosen.unwrap_or_default());
            all.truncate(1);
        }
    }
    all.into_iter().map(|(_, resource)| resource).collect()
}

/// Reads them out of an answer that lists nothing else. `None` when it is none of success.
#[must_use]
pub fn read_listed(provider: &Provider, reply: &Reply) -> Option<Vec<Resource>> {
    let listed = Document::read(reply).filter(|_| reply.is_success())?;
    Some(read_resources(provider, listed.value()))
}

fn resource(file: &Resources, item: &Value) -> Option<Resource> {
    let at = |pointer: &Option<Pointer>| pointer.as_ref().and_then(|pointer| pointer.get(item));
    Some(Resource {
        id: shown(file.id.get(item)?)?,
        name: at(&file.name).and_then(shown),
        url: at(&file.url_pointer).and_then(https),
    })
}

fn flagged(file: &Resources, item: &Value) -> bool {
    let flag = file.flag.as_ref().and_then(|flag| flag.get(item));
    match flag {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

/// The first that says something.
fn first(
    pointers: &[Pointer],
    document: &Value,
    read: impl Fn(&Value) -> Option<String>,
) -> Option<String> {
    pointers
        .iter()
        .find_map(|pointer| read(pointer.get(document)?))
}

/// A text that people see. What would change how the text around it is shown is taken out.
fn shown(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => return None,
    };
    let visible = text.chars().filter(|letter| !is_hidden(*letter));
    let text: String = visible.take(MAX_SHOWN).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Controls, and letters that have no shape: those that join, and those that turn the direction.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn email(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let (local, domain) = text.rsplit_once('@')?;
    let plain = |letter: char| !letter.is_whitespace() && !is_hidden(letter);
    let whole = !local.is_empty() && !domain.is_empty() && text.chars().all(plain);
    (whole && text.len() <= MAX_EMAIL).then(|| text.to_owned())
}

fn https(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let plain = |b: u8| b.is_ascii_graphic() && !b"\"'<>\\`".contains(&b);
    let whole = text.starts_with("https://") && text.bytes().all(plain);
    (whole && text.len() <= MAX_URL).then(|| text.to_owned())
}
