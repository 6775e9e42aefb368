//! All that must be so before a file is used, so that nothing asks again later.

use super::check_params::check_params;
use super::check_requests::check_requests;
use super::check_templates::check_templates;
use super::domain::registrable;
use super::error::{Fault, ProviderError, ensure};
use super::pointer_text::PointerText;
use super::reach::Reach;
use super::spec::{
    Device, DeviceStyle, Discovery, Identity, IdentitySource, Kind, Pick, Pkce, RefreshMode, Spec,
    Status,
};
use super::template::{QuerySecrets, Template};
use super::template_url::Piece;
use crate::name::HostPattern;

/// Checks a file as a whole.
///
/// # Errors
/// [`ProviderError`] for the first rule that it breaks.
pub fn check(spec: &Spec, reach: &Reach) -> Result<(), ProviderError> {
    let rules = || {
        check_top(spec)?;
        check_kind(spec)?;
        check_params(spec)?;
        check_templates(spec, reach)?;
        check_requests(spec)?;
        check_device(spec)?;
        check_identity(spec)?;
        check_hosts(spec)?;
        check_ends(spec)
    };
    rules().map_err(|fault: Fault| fault.of(&format!("{}.toml", spec.id)))
}

fn check_top(spec: &Spec) -> Result<(), Fault> {
    ensure(spec.schema == 1, "schema", "the format of the file is 1")?;
    let named = (1..=64).contains(&spec.display_name.chars().count())
        && !spec.display_name.chars().any(char::is_control);
    ensure(
        named,
        "display_name",
        "1 to 64 characters, none of them a control",
    )?;
    let docs = spec.docs_url.iter();
    let mut docs = docs.map(|url| url.starts_with("https://") && !url.contains(['"', '<', ' ']));
    ensure(
        docs.all(|holds| holds),
        "docs_url",
        "a URL that begins with https://",
    )?;
    let drawn = spec.icon.as_deref().is_none_or(is_path);
    let reason = "the path of an SVG of 24 by 24: at most 4096 letters of commands and numbers";
    ensure(drawn, "icon", reason)?;
    let looked_at = spec.verified.as_deref().is_some_and(is_look);
    let reason = "a date and how sure it is, such as 2026-11-23 O";
    ensure(looked_at || spec.verified.is_none(), "verified", reason)?;
    let holds = looked_at || spec.status != Status::Verified;
    ensure(holds, "verified", "what is verified says when")?;
    let ends = spec.sunset.as_ref();
    let holds = ends.is_none_or(|sunset| is_date(&sunset.date) && !sunset.note.is_empty());
    ensure(
        holds,
        "sunset",
        "a date such as 2027-02-16, and what follows",
    )
}

/// Commands of a path and their numbers (SVG 2, 9.3), and nothing that could end an attribute. It begins by
/// moving somewhere.
fn is_path(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_digit() || b"MmLlHhVvCcSsQqTtAaZzEe .,+-".contains(&b);
    (2..=4096).contains(&text.len()) && text.starts_with(['M', 'm']) && text.bytes().all(plain)
}

/// `2026-11-23 O`, with any words behind the date.
fn is_look(text: &str) -> bool {
    text.split_once(' ')
        .is_some_and(|(date, mark)| is_date(date) && !mark.trim().is_empty())
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && crate::clock::Timestamp::parse(&format!("{text}T00:00:00Z")).is_ok()
}

/// The sections that each kind has.
fn check_kind(spec: &Spec) -> Result<(), Fault> {
    let found = spec.discovery != Discovery::None;
    ensure(
        !found || spec.issuer.is_some(),
        "issuer",
        "discovery needs an issuer",
    )?;
    let url = |url: Option<&Template>, key: &str| {
        let reason = "a URL, unless discovery finds it";
        ensure(url.is_some() || found, key, reason)
    };
    match spec.kind {
        Kind::Oauth2 | Kind::SignedPayload => {
            let page = spec.authorize.as_ref();
            url(page.and_then(|page| page.url.as_ref()), "authorize.url")?;
        }
        Kind::Device => {
            let device = spec.device.as_ref();
            let reason = "kind = \"device\" needs the section device";
            ensure(device.is_some(), "device", reason)?;
            ensure(
                spec.authorize.is_none(),
                "authorize",
                "a device flow has none",
            )?;
        }
    }
    if spec.kind == Kind::SignedPayload {
        return check_payload_kind(spec);
    }
    if let Some(device) = &spec.device {
        url(device.url.as_ref(), "device.url")?;
    }
    let token = spec.token.as_ref();
    url(token.and_then(|token| token.url.as_ref()), "token.url")?;
    for (index, step) in spec.revoke.iter().enumerate() {
        url(step.url.as_ref(), &format!("revoke.{index}.url"))?;
    }
    Ok(())
}

/// A payload says whose account it is, and nothing else: there is no token, and nowhere that one could go.
fn check_payload_kind(spec: &Spec) -> Result<(), Fault> {
    let none = spec.token.is_none() && spec.device.is_none() && spec.revoke.is_empty();
    ensure(none, "kind", "with a signed payload there is no token")?;
    let off = spec
        .authorize
        .as_ref()
        .is_none_or(|page| page.pkce == Pkce::Off);
    ensure(
        off,
        "authorize.pkce",
        "a payload is no code: \"off\", and why",
    )?;
    let mode = spec.refresh.mode == RefreshMode::None;
    ensure(
        mode,
        "refresh.mode",
        "with a signed payload there is nothing to refresh: \"none\"",
    )?;
    let hosts = spec.api.as_ref().is_none_or(|api| api.hosts.is_empty());
    ensure(
        hosts,
        "api.hosts",
        "with a signed payload there is no token: []",
    )?;
    let source = spec.identity.as_ref().map(|identity| identity.source);
    let told = source == Some(IdentitySource::Callback);
    ensure(told, "identity.source", "a payload tells it: \"callback\"")
}

fn check_device(spec: &Spec) -> Result<(), Fault> {
    let Some(device) = &spec.device else {
        return Ok(());
    };
    let hands_over = device.style == DeviceStyle::CodeHandoff;
    let reason = "style = \"code_handoff\" and the section handoff go together";
    ensure(
        device.handoff.is_some() == hands_over,
        "device.handoff",
        reason,
    )?;
    // RFC 8628, 3.2: five, where the answer names none. Only the provider itself may ask for less.
    let paced = (5..=60).contains(&device.interval_default_s);
    ensure(paced, "device.interval_default_s", "5 to 60 seconds")?;
    let ends = device
        .max_wait_s
        .is_none_or(|wait| (1..=3600).contains(&wait));
    ensure(ends, "device.max_wait_s", "1 to 3600 seconds")?;
    check_device_page(device)
}

/// The person is sent somewhere, and only to hosts that the file knows.
fn check_device_page(device: &Device) -> Result<(), Fault> {
    let replied = !device.reply.verification_uri.is_empty();
    let key = "device.verification_uri";
    ensure(
        replied || device.verification_uri.is_some(),
        key,
        "a page, or where the reply says it",
    )?;
    let mut hosts = device.verification_hosts.iter();
    let reason = "a host, or *. and a host";
    let parsed = hosts.all(|host| HostPattern::parse(host).is_ok());
    ensure(parsed, "device.verification_hosts", reason)
}

fn check_identity(spec: &Spec) -> Result<(), Fault> {
    let Some(identity) = &spec.identity else {
        return Err(Fault::new("identity", "a file says whose account it is"));
    };
    PointerText::parse(&identity.id).map_err(|error| Fault::new("identity.id", error))?;
    let asked = identity.url.is_some() || spec.discovery != Discovery::None;
    match identity.source {
        IdentitySource::Request => ensure(asked, "identity.url", "where the identity is asked")?,
        IdentitySource::IdToken => {
            ensure(spec.issuer.is_some(), "issuer", "an ID token is somebody's")?;
        }
        IdentitySource::TokenResponse | IdentitySource::Callback => {}
    }
    check_identity_request(identity)
}

fn check_identity_request(identity: &Identity) -> Result<(), Fault> {
    let scheme = &identity.auth_scheme;
    let word = scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    let reason = "the word before the token, or nothing";
    ensure(word, "identity.auth_scheme", reason)?;
    let resources = identity.resources.as_ref();
    let flagged = resources.is_none_or(|all| all.pick != Pick::DefaultFlag || all.flag.is_some());
    let reason = "pick = \"default_flag\" needs to know where the flag stands";
    ensure(flagged, "identity.resources.flag", reason)
}

/// A token knows where it may go, and comes from whom the person was sent to.
fn check_hosts(spec: &Spec) -> Result<(), Fault> {
    let Some(api) = &spec.api else {
        return Err(Fault::new(
            "api.hosts",
            "the only hosts a token may go to; [] for none",
        ));
    };
    let used = api.hosts.is_empty() && (api.base_url.is_some() || !api.extra_headers.is_empty());
    ensure(!used, "api.hosts", "an API has hosts")?;
    let page = spec.authorize.as_ref().and_then(|page| page.url.as_ref());
    let token = spec.token.as_ref().and_then(|token| token.url.as_ref());
    let (Some(page), Some(token)) = (page, token) else {
        return Ok(());
    };
    let same = owner(page)? == owner(token)?;
    let reason = "authorize and token hosts of different domains need a reason";
    ensure(same || spec.hosts_reason.is_some(), "hosts_reason", reason)
}

/// The domain of a URL that somebody registered, its holes as labels of their own.
fn owner(url: &Template) -> Result<Option<String>, Fault> {
    let shape = url.shape(QuerySecrets::Refused);
    let shape = shape.map_err(|error| Fault::new("hosts_reason", error))?;
    let pieces = shape.authority.iter().map(|piece| match piece {
        Piece::Literal(text) => (*text).to_owned(),
        Piece::Hole(name) => format!("{{{}}}", name.replace('.', "-")),
    });
    let host: String = pieces.collect();
    let whole = shape.authority.len() == 1 && host.starts_with('{');
    let domain = registrable(&host).map(str::to_owned);
    Ok(if whole { Some(host) } else { domain })
}

fn check_ends(spec: &Spec) -> Result<(), Fault> {
    let ends = !spec.revoke.is_empty() || spec.revoke_reason.is_some();
    let reason = "a grant can be revoked, or there is a reason why not";
    ensure(ends, "revoke_reason", reason)
}
