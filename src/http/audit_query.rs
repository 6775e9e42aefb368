//! Which records of the journal are asked for: a query's texts, read into a filter.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::audit::{Action, Filter, MAX_PAGE, Scope, SecretFilter};
use crate::clock::Timestamp;
use crate::directory::MemberEntry;
use crate::id::{MemberId, ObjectId, ServiceId};
use crate::name::{ServiceName, ToolSlug};
use crate::vault::span_seconds;

use super::ApiError;
use super::caller::Caller;

/// Which records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Done by, or on behalf of, this member: user id, membership id, user id of the machine,
    /// e-mail address or name. Or done by this service: id or name.
    actor: Option<String>,
    /// Done upon this secret (name or id).
    secret: Option<String>,
    /// Done through this tool (slug).
    tool: Option<String>,
    /// Of this kind, e.g. `secret.reveal`.
    action: Option<String>,
    /// At this time or later: RFC 3339, a date (UTC), or how long ago (`24h`, `7d`).
    since: Option<String>,
    /// Before this time, in the same forms.
    until: Option<String>,
    /// Of every organisation, and of the installation itself (operator only).
    pub(super) all: Option<bool>,
    /// Where to go on.
    cursor: Option<u64>,
    /// How many at most, 1 to 500 (default 100).
    limit: Option<usize>,
}

impl AuditQuery {
    /// Reads the query. `members` and `services` are those of the caller's organisation, by whose names
    /// one may ask.
    pub(super) fn filter(
        &self,
        caller: &Caller,
        members: &[MemberEntry],
        services: &[(ServiceId, ServiceName)],
    ) -> Result<Filter, ApiError> {
        let bad = |what| move || ApiError::bad_request(what);
        let mut filter = Filter::new(Scope::Org(caller.principal.org()));
        if let Some(text) = &self.actor {
            filter.actor = Some(whom(text, members, services)?);
        }
        filter.secret = self
            .secret
            .as_ref()
            .map(|text| match ObjectId::parse(text) {
                Ok(id) => SecretFilter::Id(id),
                Err(_) => SecretFilter::Name(text.to_ascii_uppercase()),
            });
        if let Some(text) = &self.tool {
            let slug = ToolSlug::parse(text).ok();
            filter.tool = Some(slug.ok_or_else(bad("tool is a tool's slug."))?);
        }
        if let Some(text) = &self.action {
            let known = Action::ALL.iter().find(|action| action.code() == text);
            filter.action =
                Some(*known.ok_or_else(bad("action is a code such as secret.reveal."))?);
        }
        let now = caller.app.clock.now();
        let time = |text: &Option<String>| text.as_deref().map(|text| time(text, now)).transpose();
        filter.since = time(&self.since)?;
        filter.until = time(&self.until)?;
        filter.cursor = self.cursor;
        filter.limit = self.limit.unwrap_or(100);
        if !(1..=MAX_PAGE).contains(&filter.limit) {
            return Err(ApiError::bad_request("limit is 1 to 500."));
        }
        Ok(filter)
    }
}

/// The user or service that a text means. Those who were removed count: what they did is still on record.
fn whom(
    text: &str,
    members: &[MemberEntry],
    services: &[(ServiceId, ServiceName)],
) -> Result<ObjectId, ApiError> {
    let user = |member: &MemberEntry| ObjectId::from_bytes(*member.user().bytes());
    if let Ok(id) = MemberId::parse(text)
        && let Some(member) = members.iter().find(|member| member.id() == id)
    {
        return Ok(user(member));
    }
    if let Ok(id) = ObjectId::parse(text) {
        return Ok(id);
    }
    let same = |one: &str| one.to_lowercase() == text.to_lowercase();
    let people = members.iter().filter(|member| {
        let uid = member.uid().map(|uid| uid.to_string());
        same(member.name()) || member.email().is_some_and(same) || uid.as_deref() == Some(text)
    });
    let programs = services.iter().filter(|(_, name)| same(name.as_str()));
    let programs = programs.map(|(id, _)| ObjectId::from_bytes(*id.bytes()));
    let mut meant = people.map(user).chain(programs);
    match (meant.next(), meant.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(ApiError::bad_request(
            "actor means several members or services: name one of them by id.",
        )),
        (None, _) => Err(ApiError::bad_request(
            "actor is a member's id, name, e-mail address or user id of the machine, or a service's id or name: no service and no member has this one.",
        )),
    }
}

/// A time, a day's beginning, or so long before `now`.
fn time(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    if let Some(seconds) = ago(text) {
        return Ok(now.plus_seconds(-seconds));
    }
    let day = format!("{text}T00:00:00Z");
    let day = || Timestamp::parse(&day).ok().filter(|_| text.len() == 10);
    Timestamp::parse(text).ok().or_else(day).ok_or_else(|| {
        ApiError::bad_request(
            "A time is written as 2026-11-23T09:30:00Z, as a date such as 2026-11-23, or as how long ago, such as 24h or 7d.",
        )
    })
}

/// `24h`, or a span as secrets expire after one.
fn ago(text: &str) -> Option<i64> {
    let Some(hours) = text.strip_suffix('h') else {
        return span_seconds(text);
    };
    let plain = (1..=4).contains(&hours.len()) && hours.bytes().all(|b| b.is_ascii_digit());
    let hours: i64 = plain.then(|| hours.parse().ok())??;
    Some(hours * 3600)
}

#[cfg(test)]
mod tests {
    use super::time;
    use crate::clock::Timestamp;

    #[test]
    fn a_time_is_a_time_a_date_or_so_long_ago() {
        let now = Timestamp::parse("2026-11-28T12:00:00Z").unwrap();
        for (text, read) in [
            ("2026-11-23T09:30:00Z", "2026-11-23T09:30:00.000Z"),
            ("2026-11-23T10:30:00+01:00", "2026-11-23T09:30:00.000Z"),
            ("2026-11-23", "2026-11-23T00:00:00.000Z"),
            ("7d", "2026-11-21T12:00:00.000Z"),
            ("24h", "2026-11-27T12:00:00.000Z"),
        ] {
            assert_eq!(time(text, now).unwrap().to_string(), read, "{text}");
        }
        for text in [
            "",
            "h",
            "-1h",
            "99999h",
            "7w",
            "2026-11-2",
            "20261123T0",
            "yesterday",
        ] {
            assert!(time(text, now).is_err(), "{text}");
        }
    }
}
