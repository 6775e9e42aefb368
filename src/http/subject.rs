//! For whom a service says it acts.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::directory::{Subject, Unfit};
use crate::id::UserId;

use super::ApiError;

const TOKEN: HeaderName = HeaderName::from_static("x-runtools-subject-token");
const USER: HeaderName = HeaderName::from_static("x-runtools-subject");

/// Whom the request names, if it names anybody.
pub(super) fn named(headers: &HeaderMap) -> Result<Option<Subject<'_>>, ApiError> {
    let mut tokens = headers.get_all(TOKEN).iter();
    let mut users = headers.get_all(USER).iter();
    let token = tokens.next().map(HeaderValue::as_bytes);
    let user = users.next().map(HeaderValue::as_bytes);
    let more = tokens.next().is_some() || users.next().is_some();
    match (token, user) {
        (None, None) => Ok(None),
        (Some(token), None) if !more => Ok(Some(Subject::Token(token))),
        (None, Some(user)) if !more => {
            let user = std::str::from_utf8(user).ok();
            let user = user.and_then(|user| UserId::parse(user).ok());
            let user = user.ok_or_else(|| {
                ApiError::bad_request(
                    "X-RunTools-Subject is a user's id, as /v1/me and the list of members show it.",
                )
            })?;
            Ok(Some(Subject::User(user)))
        }
        _ => Err(ApiError::bad_request(
            "The request names more than one subject: send X-RunTools-Subject-Token or X-RunTools-Subject, once.",
        )),
    }
}

/// What they hear who name a subject and are no service.
pub(super) fn only_for_services() -> ApiError {
    ApiError::bad_request(
        "X-RunTools-Subject-Token and X-RunTools-Subject are for services, which send a service key (rt_svc_) or a client certificate besides.",
    )
}

/// What a service hears that may not act for whom it names. It learns nothing of why.
pub(super) fn refused(why: Unfit) -> ApiError {
    match why {
        Unfit::Nobody => ApiError::new(
            StatusCode::FORBIDDEN,
            "subject_missing",
            "A service acts for a user, and the request names none.",
            "Send the user's own key in X-RunTools-Subject-Token, or, where an admin has delegated them to this service, their user id in X-RunTools-Subject.",
        ),
        Unfit::Malformed
        | Unfit::Unknown
        | Unfit::Revoked
        | Unfit::Expired
        | Unfit::NotAMember
        | Unfit::Elsewhere
        | Unfit::NotDelegated => ApiError::new(
            StatusCode::FORBIDDEN,
            "subject_refused",
            "This service may not act for that user.",
            "The user's key must be valid and of the service's organisation. Without one, an admin of it delegates them: runtools service delegate SERVICE MEMBER.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{TOKEN, USER, named};
    use crate::directory::Subject;

    fn headers(sent: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_request_names_one_subject_in_one_way() {
        let id = "3f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b";
        assert!(named(&headers(&[])).unwrap().is_none());
        let sent = headers(&[(TOKEN, "rt_live_x")]);
        assert!(matches!(
            named(&sent).unwrap(),
            Some(Subject::Token(b"rt_live_x"))
        ));
        let sent = headers(&[(USER, id)]);
        assert!(matches!(named(&sent).unwrap(), Some(Subject::User(_))));
        for sent in [
            headers(&[(TOKEN, "rt_live_x"), (TOKEN, "rt_live_x")]),
            headers(&[(USER, id), (USER, id)]),
            headers(&[(TOKEN, "rt_live_x"), (USER, id)]),
            headers(&[(USER, "me")]),
            headers(&[(USER, "")]),
        ] {
            assert!(named(&sent).is_err(), "{sent:?}");
        }
    }
}
