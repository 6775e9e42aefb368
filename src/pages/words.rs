//! How a flow ended that did not connect anything, in words: what happened, why, what to do next.

use crate::oauth::flow::Failure;

/// A failure in words.
#[derive(Debug)]
pub(super) struct Words {
    /// What happened.
    pub title: String,
    /// Why.
    pub why: String,
    /// What to do next.
    pub next: &'static str,
    /// Whether somebody decided so, rather than something being wrong.
    pub decided: bool,
}

const AGAIN: &str = "Start again where you came from: in the terminal with runtools oauth connect, or in your \
     dashboard.";
const ADMIN: &str =
    "Tell an admin of your organisation, who can correct the provider's client settings.";
const OPERATOR: &str = "Start again; if it stays so, tell whoever runs this broker.";
const NOTHING: &str = "Nothing has been connected.";

/// The words for a failure with this provider, for this organisation.
pub(super) fn words(failure: Failure, provider: &str, org: &str) -> Words {
    let (title, why, next) = match failure {
        Failure::Denied
        | Failure::Scope
        | Failure::Client
        | Failure::Unavailable
        | Failure::Interaction
        | Failure::Provider => said(failure, provider),
        Failure::Issuer
        | Failure::OtherProvider
        | Failure::Answer
        | Failure::Signature
        | Failure::Protocol => not_trusted(failure, provider),
        Failure::Tries
        | Failure::Cancelled
        | Failure::Superseded
        | Failure::Late
        | Failure::Expired => over(failure, provider),
        Failure::TryAgain
        | Failure::Refused
        | Failure::Mismatch
        | Failure::NotMember
        | Failure::NoIdentity
        | Failure::NotEnabled
        | Failure::Sealed
        | Failure::TooMany
        | Failure::Unkept
        | Failure::Internal => not_redeemed(failure, provider, org),
    };
    let decided = matches!(
        failure,
        Failure::Denied | Failure::Cancelled | Failure::Superseded | Failure::Mismatch
    );
    Words {
        title,
        why,
        next,
        decided,
    }
}

type Text = (String, String, &'static str);

/// The provider said so in its answer.
fn said(failure: Failure, provider: &str) -> Text {
    match failure {
        Failure::Denied => (
            format!("{provider} was not connected"),
            format!("The request was declined at {provider}. {NOTHING}"),
            "If that was a mistake, start again and agree there.",
        ),
        Failure::Scope => (
            format!("{provider} does not offer what was asked for"),
            format!("It refused the scopes of this request. {NOTHING}"),
            "Start again and ask for fewer scopes (an account that is connected again asks for those that it had, so disconnect it first), or ask an admin whether the provider's app allows them.",
        ),
        Failure::Client => (
            format!("{provider} does not accept this broker's app"),
            format!(
                "The client id, its redirect address or its rights are not as {provider} knows them. {NOTHING}"
            ),
            ADMIN,
        ),
        Failure::Unavailable => (
            format!("{provider} is out of order"),
            format!("It said that it cannot answer at the moment. {NOTHING}"),
            "Wait some minutes, then start again.",
        ),
        Failure::Interaction => (
            format!("{provider} needs you to sign in"),
            format!("It could not go on without asking you something. {NOTHING}"),
            "Sign in there in this browser, then start again.",
        ),
        _ => (
            format!("{provider} said no"),
            format!("It answered with an error that this broker does not know. {NOTHING}"),
            AGAIN,
        ),
    }
}

/// What came back may be somebody else's.
fn not_trusted(failure: Failure, provider: &str) -> Text {
    let title = format!("The answer was not {provider}'s");
    match failure {
        Failure::Issuer => (
            title,
            format!(
                "It names another issuer than the one that was asked, so its code was sent nowhere. {NOTHING}"
            ),
            OPERATOR,
        ),
        Failure::OtherProvider => (
            title,
            format!("It came by another provider's way, so its code was sent nowhere. {NOTHING}"),
            OPERATOR,
        ),
        Failure::Signature => (
            title,
            format!("Its signature is wrong, or too old. {NOTHING}"),
            OPERATOR,
        ),
        _ => (
            format!("{provider}'s answer cannot be used"),
            format!(
                "It lacks what belongs in it, or says something else than was asked for. {NOTHING}"
            ),
            OPERATOR,
        ),
    }
}

/// Its time, or somebody's patience, ran out.
fn over(failure: Failure, provider: &str) -> Text {
    match failure {
        Failure::Tries => (
            "The code was wrong too often".to_owned(),
            format!("After five tries a link ends, so that nobody can guess. {NOTHING}"),
            AGAIN,
        ),
        Failure::Cancelled => (
            "This was cancelled".to_owned(),
            format!("Whoever started it ended it, before {provider} was connected."),
            AGAIN,
        ),
        Failure::Superseded => (
            "Newer links took this one's place".to_owned(),
            format!("The same user started many others since. {NOTHING}"),
            "Use the newest link.",
        ),
        Failure::Expired => (
            "The time is over".to_owned(),
            format!(
                "A link is good for some minutes, and this was not finished in that time. {NOTHING}"
            ),
            AGAIN,
        ),
        _ => (
            "It took too long".to_owned(),
            format!(
                "{provider}'s answer is good for some minutes, and was not taken in that time. {NOTHING}"
            ),
            AGAIN,
        ),
    }
}

/// The answer was good, and what came after it was not.
fn not_redeemed(failure: Failure, provider: &str, org: &str) -> Text {
    match failure {
        Failure::TryAgain => (
            format!("{provider} did not answer"),
            format!(
                "You agreed, but {provider} could not be reached to finish. A code is never sent twice. {NOTHING}"
            ),
            "Start again in a moment.",
        ),
        Failure::Refused => (
            format!("{provider} took its word back"),
            format!("It did not accept the code that it had given. {NOTHING}"),
            AGAIN,
        ),
        Failure::Mismatch => (
            "That is another account".to_owned(),
            format!(
                "You signed in at {provider} with another account than the one to be connected again. The old connection is as it was."
            ),
            "Start again and choose the same account, or connect this one as a further account.",
        ),
        Failure::NotMember => (
            format!("The user is not in {org} any more"),
            format!("They left the organisation after this was started. {NOTHING}"),
            "Ask an admin of the organisation.",
        ),
        Failure::NoIdentity => (
            format!("{provider} did not say whose account it is"),
            format!("Without that, two accounts could be mistaken for one. {NOTHING}"),
            OPERATOR,
        ),
        Failure::NotEnabled => (
            format!("{provider} has not switched this way on"),
            format!("Connecting with a code is not enabled for this account or app. {NOTHING}"),
            ADMIN,
        ),
        Failure::Sealed => (
            "The vault is sealed".to_owned(),
            format!("Nothing can be stored until the operator opens it. {NOTHING}"),
            "Ask whoever runs this broker to unseal it, then start again.",
        ),
        Failure::TooMany => (
            "No more accounts can be connected".to_owned(),
            format!(
                "As many are connected as one person, or {org}, may have. What you agreed to is taken back. {NOTHING}"
            ),
            "Disconnect one that is not needed any more, or ask whoever runs this broker for more room.",
        ),
        Failure::Unkept => (
            format!("{provider} agreed, and the broker could not keep it"),
            format!("Something failed on our side, and {provider} could not be told. {NOTHING}"),
            "Remove this app where the provider lists the apps that you allowed, then start again.",
        ),
        _ => (
            "The broker could not finish".to_owned(),
            format!("Something failed on our side. {NOTHING}"),
            OPERATOR,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::words;
    use crate::oauth::flow::Failure;

    #[test]
    fn an_answer_is_spoken_of_only_where_there_was_one() {
        let why = |failure| words(failure, "GitHub", "Acme").why;
        assert!(why(Failure::Late).contains("GitHub's answer"));
        let expired = why(Failure::Expired);
        assert!(!expired.contains("answer"), "{expired}");
        assert!(expired.contains("Nothing has been connected."), "{expired}");
    }
}
