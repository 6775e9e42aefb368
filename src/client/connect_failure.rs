//! Why an account was not connected, in words: what happened, and what to do next.

use super::{ClientError, Exit};
use crate::wire::FailureDetail;

/// Start again.
const AGAIN: &str = "run the command again";
/// Somebody with more rights has to look.
const ADMIN: &str =
    "have an admin compare the client with the provider's settings: `runtools oauth configs list`";
/// It should not happen.
const OPERATOR: &str = "run the command again; if it stays so, tell whoever runs the broker";

/// The error for a flow that ended with `code`, which is the broker's stable one; a code that is not
/// known is named.
#[must_use]
pub fn not_connected(code: &str, provider: &str) -> ClientError {
    let (exit, message, hint) = words(code, provider);
    ClientError::NotConnected {
        exit,
        detail: FailureDetail {
            code: code.to_owned(),
            message,
            hint: Some(hint.to_owned()),
            connect_url: None,
            request_id: None,
        },
    }
}

type Words = (Exit, String, &'static str);

fn words(code: &str, provider: &str) -> Words {
    said(code, provider)
        .or_else(|| not_trusted(code, provider))
        .or_else(|| over(code, provider))
        .or_else(|| not_redeemed(code, provider))
        .unwrap_or_else(|| {
            let message = format!("{provider} was not connected ({code})");
            (Exit::Failed, message, OPERATOR)
        })
}

/// The provider said so in its answer.
fn said(code: &str, provider: &str) -> Option<Words> {
    Some(match code {
        "access_denied" => (
            Exit::Cancelled,
            format!("the request was declined at {provider}"),
            "if that was a mistake, run the command again and agree there",
        ),
        "invalid_scope" => (
            Exit::Failed,
            format!("{provider} does not offer the scopes that were asked for"),
            "ask for fewer with --scopes; an account that is connected again asks for what it had, so disconnect it first to ask for less",
        ),
        "client_config" => (
            Exit::Failed,
            format!("{provider} does not accept this broker's client"),
            ADMIN,
        ),
        "provider_unavailable" => (
            Exit::Unreachable,
            format!("{provider} is out of order"),
            "try again in some minutes",
        ),
        "interaction_required" => (
            Exit::Failed,
            format!("{provider} needs you to sign in there first"),
            "sign in there in the same browser, then run the command again",
        ),
        "provider_error" => (
            Exit::Failed,
            format!("{provider} answered with an error that this broker does not know"),
            AGAIN,
        ),
        _ => return None,
    })
}

/// What came back may be somebody else's.
fn not_trusted(code: &str, provider: &str) -> Option<Words> {
    let message = match code {
        "wrong_issuer" => {
            format!("the answer names another issuer than {provider}'s; it was not used")
        }
        "wrong_provider" => {
            format!("the answer came by another provider's way than {provider}'s; it was not used")
        }
        "bad_answer" => format!("{provider}'s answer lacks what belongs in it"),
        "bad_signature" => format!("the signature of {provider}'s answer is wrong, or too old"),
        "protocol" => format!("{provider}'s answer cannot be understood"),
        _ => return None,
    };
    Some((Exit::Failed, message, OPERATOR))
}

/// Its time, or somebody's patience, ran out.
fn over(code: &str, provider: &str) -> Option<Words> {
    Some(match code {
        "too_many_tries" => (
            Exit::Failed,
            "the code was wrong too often".to_owned(),
            "run the command again; its code is a new one",
        ),
        "cancelled" => (
            Exit::Cancelled,
            format!("it was cancelled before {provider} was connected"),
            AGAIN,
        ),
        "superseded" => (
            Exit::Failed,
            "newer attempts of yours took this one's place".to_owned(),
            "finish the newest one",
        ),
        "code_expired" => (
            Exit::Failed,
            format!("{provider}'s answer was not taken in its time"),
            AGAIN,
        ),
        "expired" => (
            Exit::Failed,
            format!("nobody agreed in time, so {provider} was not connected"),
            AGAIN,
        ),
        "flow_gone" => (
            Exit::Failed,
            "the broker does not know this attempt any more: it was sealed or restarted meanwhile"
                .to_owned(),
            AGAIN,
        ),
        _ => return None,
    })
}

/// The answer was good, and what came after it was not.
fn not_redeemed(code: &str, provider: &str) -> Option<Words> {
    Some(match code {
        "try_again" => (
            Exit::Unreachable,
            format!("{provider} did not answer when it was to be finished"),
            "run the command again in a moment",
        ),
        "provider_refused" => (
            Exit::Failed,
            format!("{provider} did not accept the code that it had given"),
            AGAIN,
        ),
        "account_mismatch" => (
            Exit::Conflict,
            format!("that is another {provider} account than the one to be connected again"),
            "choose the same account there, or leave --reconnect out and pass --another",
        ),
        "not_member" => (
            Exit::Forbidden,
            "you are not in the organisation any more".to_owned(),
            "ask an admin of the organisation",
        ),
        "no_identity" => (
            Exit::Failed,
            format!("{provider} did not say whose account it is"),
            OPERATOR,
        ),
        "device_not_enabled" => (
            Exit::Failed,
            format!("{provider} has not switched connecting with a code on"),
            "leave --device out, or switch it on in the account's settings there",
        ),
        "sealed" => (
            Exit::Sealed,
            "the vault was sealed before the account was stored".to_owned(),
            "an operator unseals it with `runtools-broker unseal`; then run the command again",
        ),
        "internal_error" => (
            Exit::Failed,
            "the broker could not finish".to_owned(),
            OPERATOR,
        ),
        "too_many_accounts" => (
            Exit::Conflict,
            "as many accounts are connected as may be".to_owned(),
            "disconnect one with `runtools oauth disconnect`, or have the operator raise `oauth.accounts_per_member` or `oauth.accounts_per_org`",
        ),
        "not_kept" => (
            Exit::Failed,
            format!("{provider} agreed, but the broker could not keep it, nor have it taken back"),
            "remove the app where the provider lists those that you allowed, then run the command again",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Exit, not_connected};
    use crate::oauth::flow::Failure;

    #[test]
    fn every_failure_has_a_sentence_and_a_next_step() {
        let codes = Failure::ALL.iter().map(|failure| failure.code());
        let mut seen = std::collections::HashSet::new();
        for code in codes.chain(["flow_gone"]) {
            let detail = not_connected(code, "github").detail();
            assert_eq!(detail.code, code);
            let named = format!("({code})");
            assert!(!detail.message.contains(&named), "{code}: no words");
            assert!(!detail.message.ends_with('.'), "{}", detail.message);
            assert!(detail.hint.is_some_and(|hint| !hint.is_empty()), "{code}");
            assert!(
                seen.insert(detail.message),
                "{code}: the same words as another"
            );
        }
    }

    #[test]
    fn the_exit_code_tells_a_no_from_a_failure() {
        for (code, exit) in [
            ("access_denied", Exit::Cancelled),
            ("cancelled", Exit::Cancelled),
            ("not_member", Exit::Forbidden),
            ("account_mismatch", Exit::Conflict),
            ("sealed", Exit::Sealed),
            ("provider_unavailable", Exit::Unreachable),
            ("try_again", Exit::Unreachable),
            ("expired", Exit::Failed),
        ] {
            assert_eq!(not_connected(code, "github").exit(), exit, "{code}");
        }
    }

    #[test]
    fn a_code_of_a_newer_broker_is_named() {
        let error = not_connected("moon_phase", "github");
        assert_eq!(error.to_string(), "github was not connected (moon_phase)");
        assert_eq!(error.exit(), Exit::Failed);
    }
}
