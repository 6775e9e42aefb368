//! How the client proves itself: in exactly one way (T1).

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::assertion::{KIND, assertion};
use super::request::{Draft, RequestError};
use super::via::Via;
use crate::crypto::NamedKey;
use crate::oauth::provider::spec::{BasicEncoding, ClientAuth, Discovery, Token};
use crate::oauth::provider::{Place, Template, encode};

/// Proves the client. One without a secret only says who it is, however others do it.
pub(super) fn authenticate(
    draft: &mut Draft,
    via: &Via<'_>,
    file: &Token,
    way: ClientAuth,
) -> Result<(), RequestError> {
    let way = known_there(via, file, way);
    keep_key(via, way)?;
    let own = file.basic_username.is_some() || file.basic_password.is_some();
    match (way, via.client.secret) {
        (ClientAuth::Basic, secret) if secret.is_some() || own => {
            let header = basic(via, file)?;
            draft.authorize(&header)?;
            if file.send_client_id {
                say_id(draft, via, file);
            }
        }
        (ClientAuth::Post, Some(secret)) => {
            say_id(draft, via, file);
            if let Some(name) = name_of(file, "client_secret") {
                draft.members.secret(name, secret)?;
            }
        }
        (ClientAuth::PrivateKeyJwt, secret) => {
            let token = assertion(via, file, secret.ok_or(RequestError::NoSecret)?)?;
            if file.send_client_id {
                say_id(draft, via, file);
            }
            draft.members.text("client_assertion_type", KIND);
            draft.members.secret("client_assertion", &token)?;
        }
        (ClientAuth::Basic | ClientAuth::Post | ClientAuth::None, _) => say_id(draft, via, file),
    }
    Ok(())
}

/// A private key is nobody's password: whoever stored one at a provider that takes passwords is told so, and
/// the provider is not.
fn keep_key(via: &Via<'_>, way: ClientAuth) -> Result<(), RequestError> {
    let sent = matches!(way, ClientAuth::Basic | ClientAuth::Post);
    match via.client.secret {
        Some(secret) if sent && NamedKey::is_meant(secret) => Err(RequestError::Key(
            "the client's secret is a private key, and the provider takes none",
        )),
        _ => Ok(()),
    }
}

/// The file's way, unless the provider was discovered and does not know it. There a client that has a key
/// proves itself with that.
fn known_there(via: &Via<'_>, file: &Token, way: ClientAuth) -> ClientAuth {
    if file.client_auth == ClientAuth::PrivateKeyJwt && way != ClientAuth::None {
        return ClientAuth::PrivateKeyJwt;
    }
    let discovered = via.provider.spec().discovery != Discovery::None;
    let found = via.endpoints.filter(|_| discovered);
    let ways = found.map_or(&[][..], |found| &found.client_auth);
    let has_key = via.client.secret.is_some_and(NamedKey::is_meant);
    if has_key && ways.contains(&ClientAuth::PrivateKeyJwt) {
        return ClientAuth::PrivateKeyJwt;
    }
    let otherwise = [ClientAuth::Basic, ClientAuth::Post];
    let mut otherwise = otherwise.iter().filter(|other| ways.contains(other));
    if ways.is_empty() || ways.contains(&way) {
        return way;
    }
    otherwise.next().copied().unwrap_or(way)
}

/// Proves the client by Basic and nothing else, where the request already says what it is about.
pub(super) fn prove_basic(
    draft: &mut Draft,
    via: &Via<'_>,
    file: &Token,
) -> Result<(), RequestError> {
    if via.client.secret.is_none() && file.basic_username.is_none() {
        say_id(draft, via, file);
        return Ok(());
    }
    let way = known_there(via, file, ClientAuth::Basic);
    if way != ClientAuth::Basic {
        return authenticate(draft, via, file, way);
    }
    keep_key(via, way)?;
    let header = basic(via, file)?;
    draft.authorize(&header)
}

fn say_id(draft: &mut Draft, via: &Via<'_>, file: &Token) {
    if let Some(name) = name_of(file, "client_id") {
        draft.members.text(name, via.client.id);
    }
}

/// What the provider calls a standard parameter; nothing when the file leaves it out.
pub(super) fn name_of<'f>(file: &'f Token, standard: &'f str) -> Option<&'f str> {
    let omitted = file.omit.iter().any(|omitted| omitted == standard);
    let renamed = file.rename.get(standard);
    (!omitted).then(|| renamed.map_or(standard, String::as_str))
}

/// RFC 6749, 2.3.1: both halves are form-encoded before they are joined (T2); some servers do not
/// decode them, and get them as they are.
fn basic(via: &Via<'_>, file: &Token) -> Result<Zeroizing<String>, RequestError> {
    let half = |template: Option<&Template>, otherwise: &str| {
        let template = template
            .cloned()
            .map_or_else(|| Template::parse(otherwise), Ok)?;
        let half = template.render(&via.vars(), Place::Body)?;
        Ok::<_, RequestError>(match file.basic_encoding {
            BasicEncoding::Raw => half,
            BasicEncoding::Rfc6749 => {
                let mut out = Zeroizing::new(String::with_capacity(half.len().saturating_mul(3)));
                out.extend(encode(&half));
                out
            }
        })
    };
    let user = half(file.basic_username.as_ref(), "{client_id}")?;
    let password = half(file.basic_password.as_ref(), "{client_secret}")?;
    // RFC 7617: whoever reads it cuts at the first colon.
    if user.contains(':') {
        return Err(RequestError::Header);
    }
    let room = user.len().saturating_add(password.len()).saturating_add(1);
    let mut joined = Zeroizing::new(String::with_capacity(room));
    joined.push_str(&user);
    joined.push(':');
    joined.push_str(&password);
    let encoded = Zeroizing::new(BASE64.encode(joined.as_bytes()));
    let mut header = Zeroizing::new(String::with_capacity(encoded.len().saturating_add(6)));
    header.push_str("Basic ");
    header.push_str(&encoded);
    Ok(header)
}
