//! A device flow begins (RFC 8628, 3.1 and 3.2, and the hand-off that resembles it; D3).

use serde_json::Value;

use super::classify::{Told, Verdict, classify};
use super::client_auth::authenticate;
use super::lifetime::whole;
use super::reply::{Document, Reply, Subject, says_error};
use super::request::{Draft, RequestError, TokenRequest};
use super::requests::{Names, add, place, separator, token};
use super::via::Via;
use crate::clock::Timestamp;
use crate::egress::{Scheme, Url};
use crate::name::{Host, HostPattern};
use crate::oauth::provider::spec::{Device, Map, Method};
use crate::oauth::provider::{Pointer, QuerySecrets, Template};
use crate::secret::Secret;

/// The longest handle and the longest user code, in bytes.
const MAX_HANDLE: usize = 4096;
const MAX_USER_CODE: usize = 64;
/// Seconds that a flow lives when nobody says.
const USUAL_LIFE_S: i64 = 900;
/// The longest life and the longest interval that are believed, in seconds.
const MAX_LIFE_S: i64 = 3600;
const MAX_INTERVAL_S: i64 = 300;

/// A device flow that has begun. All but the handle is for the person to see.
#[derive(Debug)]
pub struct DeviceStart {
    /// What the outcome is asked for with. It is neither shown nor logged.
    pub handle: Secret,
    /// What the person types.
    pub user_code: String,
    /// Where: https, on a host of the file's.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// Seconds between two questions, at least (D1).
    pub interval_s: u32,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why a device flow does not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The provider has not switched it on for this client.
    #[error("the provider does not offer device flows to this client")]
    NotEnabled,
    /// The provider refused.
    #[error("the provider refused to begin a device flow")]
    Refused(Verdict),
    /// Something is missing in the answer, or is not as it should be.
    #[error("the provider's answer does not begin a device flow")]
    Form,
    /// The page is not one that a person may be sent to.
    #[error("the provider sends people to a page that is not https on its own hosts")]
    Page,
}

/// Asks for a code. `scopes` are sent where the flow is the standard's.
///
/// # Errors
/// [`RequestError`].
pub fn device_request(via: &Via<'_>, scopes: &[String]) -> Result<TokenRequest, RequestError> {
    let file = device(via)?;
    let found = via.endpoints;
    let found = found.and_then(|found| found.device_authorization.as_ref());
    let limits = &via.provider.spec().limits;
    let (vars, refused) = (via.vars(), QuerySecrets::Refused);
    let mut draft = Draft::to(
        Method::Post,
        file.url.as_ref(),
        found,
        &vars,
        refused,
        limits,
    )?;
    if file.request.is_empty() {
        let token = token(via)?;
        authenticate(&mut draft, via, token, token.client_auth)?;
        if !scopes.is_empty() {
            let mut names = Names {
                file: token,
                draft: &mut draft,
            };
            names.text("scope", &scopes.join(separator(via)));
        }
    }
    add(&mut draft, &file.request, &vars, place(file.body, refused))?;
    draft.send(file.body, refused, &Map::new(), &vars)
}

/// Reads the answer. `sent_at` is the moment before the request was sent.
///
/// # Errors
/// [`DeviceError`].
pub fn read_device_start(
    via: &Via<'_>,
    reply: &Reply,
    sent_at: Timestamp,
) -> Result<DeviceStart, DeviceError> {
    let file = device(via).map_err(|_| DeviceError::NotEnabled)?;
    // The hand-off's own word for it (D5); a provider without the endpoint says the same.
    if reply.status == 404 {
        return Err(DeviceError::NotEnabled);
    }
    let document = Document::read(reply);
    let token = via.provider.spec().token.as_ref();
    let failed = document.as_ref().is_some_and(|document| {
        token.is_some_and(|token| says_error(&token.response, document.value()))
    });
    if !reply.is_success() || failed {
        let subject = Subject::Device;
        let verdict = classify(via.provider, Told::Reply { reply, subject }, sent_at);
        return Err(DeviceError::Refused(verdict));
    }
    let document = document.ok_or(DeviceError::Form)?;
    let (document, at) = (document.value(), &file.reply);
    let handle = text(&at.handle, document, MAX_HANDLE).ok_or(DeviceError::Form)?;
    let user_code = text(&at.user_code, document, MAX_USER_CODE).ok_or(DeviceError::Form)?;
    let (verification_uri, verification_uri_complete) = pages(via, file, document)?;
    let interval = number(&at.interval, document).filter(|told| *told > 0);
    let interval = interval.unwrap_or_else(|| file.interval_default_s.into());
    Ok(DeviceStart {
        handle: Secret::copy_of(handle.as_bytes()),
        user_code: user_code.to_owned(),
        verification_uri,
        verification_uri_complete,
        interval_s: u32::try_from(interval.min(MAX_INTERVAL_S)).unwrap_or(5),
        expires_at: sent_at.plus_seconds(life(file, document)),
    })
}

/// Seconds until it ends: what the answer says, what the file says, and the less of both.
fn life(file: &Device, document: &Value) -> i64 {
    let told = number(&file.reply.expires_in, document).filter(|told| *told > 0);
    let most = file.max_wait_s.map(i64::from);
    let life = match (told, most) {
        (Some(told), Some(most)) => told.min(most),
        (told, most) => told.or(most).unwrap_or(USUAL_LIFE_S),
    };
    life.min(MAX_LIFE_S)
}

/// The page, and the page with the code in it. A person who trusts us would trust both.
fn pages(
    via: &Via<'_>,
    file: &Device,
    document: &Value,
) -> Result<(String, Option<String>), DeviceError> {
    let hosts = hosts(via, file);
    let check = |page: String| {
        is_page(via, &page, &hosts)
            .then_some(page)
            .ok_or(DeviceError::Page)
    };
    let told = |pointers| find(pointers, document).map(str::to_owned);
    let page = match (told(&file.reply.verification_uri), &file.verification_uri) {
        (Some(page), _) => page,
        (None, Some(template)) => {
            let page = template.render_url(&via.vars(), QuerySecrets::Refused);
            page.map_err(|_| DeviceError::Page)?.to_string()
        }
        (None, None) => return Err(DeviceError::Form),
    };
    let complete = told(&file.reply.verification_uri_complete);
    Ok((check(page)?, complete.map(check).transpose()?))
}

/// Where people may be sent: what the file lists, or its own hosts.
fn hosts(via: &Via<'_>, file: &Device) -> Vec<HostPattern> {
    if !file.verification_hosts.is_empty() {
        let listed = file.verification_hosts.iter();
        return listed
            .filter_map(|host| HostPattern::parse(host).ok())
            .collect();
    }
    let spec = via.provider.spec();
    let page = spec.authorize.as_ref().and_then(|page| page.url.as_ref());
    let token = spec.token.as_ref().and_then(|token| token.url.as_ref());
    let own: [Option<&Template>; 5] = [
        page,
        token,
        file.url.as_ref(),
        file.token_url.as_ref(),
        file.verification_uri.as_ref(),
    ];
    let vars = via.vars();
    let own = own.into_iter().flatten();
    let own = own.filter_map(|template| template.host(&vars).ok());
    let found = via.endpoints.into_iter().flat_map(|found| {
        let urls = [
            found.authorization.as_ref(),
            found.token.as_ref(),
            found.device_authorization.as_ref(),
        ];
        urls.into_iter().flatten().map(|url| url.host().clone())
    });
    // Discovery counts only where the file leaves endpoints to it.
    let discovered = file.url.is_none();
    own.chain(found.filter(|_| discovered))
        .map(HostPattern::Exact)
        .collect()
}

fn is_page(via: &Via<'_>, page: &str, hosts: &[HostPattern]) -> bool {
    let Ok(url) = Url::parse(page) else {
        return false;
    };
    let host: &Host = url.host();
    let local = via.provider.reach().covers(host);
    let listed = hosts.iter().any(|pattern| pattern.matches(host));
    listed && (url.scheme() == Scheme::Https || local)
}

pub(super) fn device<'a>(via: &Via<'a>) -> Result<&'a Device, RequestError> {
    let device = via.provider.spec().device.as_ref();
    device.ok_or(RequestError::NotOffered)
}

/// The first text that is there.
fn find<'d>(pointers: &[Pointer], document: &'d Value) -> Option<&'d str> {
    let mut found = pointers.iter().filter_map(|pointer| pointer.get(document));
    let text = found.find(|value| !value.is_null())?.as_str()?;
    (!text.is_empty()).then_some(text)
}

/// The same of visible ASCII.
pub(super) fn text<'d>(pointers: &[Pointer], document: &'d Value, most: usize) -> Option<&'d str> {
    let text = find(pointers, document)?;
    let plain = text.len() <= most && text.bytes().all(|b| b.is_ascii_graphic());
    plain.then_some(text)
}

/// A number, or a text that is one (D5).
fn number(pointers: &[Pointer], document: &Value) -> Option<i64> {
    let mut found = pointers.iter().filter_map(|pointer| pointer.get(document));
    match found.find(|value| !value.is_null())? {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
