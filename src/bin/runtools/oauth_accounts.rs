//! Connected accounts: which one is meant, choosing the default, forgetting one.

use clap::Args;
use http::Method;
use runtools_broker::client::{Client, ClientError, Exit, Outcome, Session};
use runtools_broker::name::ProviderId;
use runtools_broker::wire::{Connection, Disconnected, FailureDetail};

use crate::oauth::connections;

/// Which account is meant.
#[derive(Args, Debug)]
pub(crate) struct OneAccount {
    /// The provider, such as github
    #[arg(value_parser = ProviderId::parse)]
    provider: ProviderId,
    /// The account, where there are several: its name, e-mail address or id
    account: Option<String>,
}

/// Which account is forgotten.
#[derive(Args, Debug)]
pub(crate) struct DisconnectArgs {
    #[command(flatten)]
    account: OneAccount,
    /// Look among everybody's accounts, for admins
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(long, visible_alias = "force")]
    yes: bool,
}

/// Makes an account the one that is used when none is named.
pub(crate) async fn set_default(account: OneAccount, session: &Session) -> Outcome {
    let client = session.client()?;
    let one = account.find(false, &client).await?;
    let route = connections().then(one.id.to_string()).then("default");
    let done: Connection = client.call(Method::POST, &route, None).await?;
    session.out.done(
        &done,
        format!("{} is the default of {}", done.account, done.provider),
    )?;
    Ok(Exit::Ok)
}

/// Forgets an account here, and says what its provider made of that.
pub(crate) async fn disconnect(args: DisconnectArgs, session: &Session) -> Outcome {
    let client = session.client()?;
    let one = args.account.find(args.all, &client).await?;
    if !args.yes {
        let warning = format!(
            "This disconnects {} ({}): tools cannot use it any more, and its tokens are revoked at the provider, where it offers a way.",
            one.provider, one.account
        );
        session
            .prompts
            .confirm(&warning, &one.provider, "pass --yes")?;
    }
    let route = connections().then(one.id.to_string());
    let done: Disconnected = client.call(Method::DELETE, &route, None).await?;
    session.out.done(
        &done,
        format!(
            "disconnected {} ({}); {}",
            one.provider,
            one.account,
            upstream(&done.upstream)
        ),
    )?;
    Ok(Exit::Ok)
}

/// What the provider made of it, in words.
fn upstream(outcome: &str) -> &'static str {
    match outcome {
        "revoked" => "revoked at the provider",
        "pending" => "the provider could not be reached, and is tried again for a day",
        "unsupported" => {
            "the provider offers no way to revoke: remove the app in your account's settings there"
        }
        "shared" => {
            "kept at the provider: another connection uses the same grant there, and ends it when it goes"
        }
        _ => "the provider did not revoke it: remove the app in your account's settings there",
    }
}

impl OneAccount {
    /// The one connection that is meant.
    async fn find(&self, all: bool, client: &Client) -> Result<Connection, ClientError> {
        let route = connections().flag("all", all);
        let route = route.with("provider", self.provider.as_str());
        let found: Vec<Connection> = client.list(&route).await?;
        one_of(found, self.provider.as_str(), self.account.as_deref())
    }
}

/// The one that `account` means, or the only one. The others are named when it is not clear.
fn one_of(
    all: Vec<Connection>,
    provider: &str,
    account: Option<&str>,
) -> Result<Connection, ClientError> {
    let names: Vec<String> = all
        .iter()
        .map(|one| format!("{} ({})", one.account, one.id))
        .collect();
    let mut meant = match account {
        Some(text) => meant(all, text),
        None => all,
    };
    match (meant.len(), meant.pop()) {
        (1, Some(one)) => Ok(one),
        _ if names.is_empty() => Err(none(
            "not_found",
            format!("no account of {provider} is connected"),
            format!("connect one with `runtools oauth connect {provider}`"),
        )),
        (0, _) => Err(none(
            "not_found",
            format!("no connected account of {provider} has that name, e-mail address or id"),
            format!("there are: {}", names.join(", ")),
        )),
        _ => Err(ClientError::usage(
            format!("{provider} has {} accounts, so name one", names.len()),
            format!("add its name or id: {}", names.join(", ")),
        )),
    }
}

/// There is nothing of that name.
pub(crate) fn none(code: &str, message: String, hint: String) -> ClientError {
    ClientError::NotConnected {
        exit: Exit::NotFound,
        detail: FailureDetail {
            code: code.to_owned(),
            message,
            hint: Some(hint),
            connect_url: None,
            request_id: None,
        },
    }
}

/// Those that a text means: the one with that id, else those with that name or address.
fn meant(all: Vec<Connection>, text: &str) -> Vec<Connection> {
    if all.iter().any(|one| one.id.to_string() == text) {
        return all
            .into_iter()
            .filter(|one| one.id.to_string() == text)
            .collect();
    }
    let is_meant = |one: &Connection| {
        let same = |name: &str| name.eq_ignore_ascii_case(text);
        one.account_id == text || same(&one.account) || one.email.as_deref().is_some_and(same)
    };
    all.into_iter().filter(is_meant).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use runtools_broker::client::Exit;
    use runtools_broker::wire::Connection;

    use super::{one_of, upstream};

    pub(crate) const IDS: [&str; 3] = [
        "3f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b",
        "4f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b",
        "5f2b8c1e-5d0a-4c8e-9b1f-2a6d7e8f9a0b",
    ];

    fn connection(id: &str, account_id: &str, account: &str, email: Option<&str>) -> Connection {
        let text = serde_json::json!({
            "id": id, "provider": "github", "userId": IDS[2], "accountId": account_id,
            "account": account, "email": email, "status": "revoked", "reason": "user_revoked",
            "scopes": ["repo"], "isDefault": true, "client": "organization",
            "refreshedAt": "2026-11-23T09:30:00Z", "createdAt": "2026-11-23T09:30:00Z",
        });
        serde_json::from_value(text).unwrap()
    }

    /// Two accounts at one provider.
    pub(crate) fn two() -> Vec<Connection> {
        vec![
            connection(IDS[0], "1", "octocat", Some("cat@example.com")),
            connection(IDS[1], "2", "hubot", None),
        ]
    }

    #[test]
    fn an_account_is_meant_by_its_name_address_or_either_id() {
        for text in ["octocat", "OctoCat", "CAT@example.com", "1", IDS[0]] {
            assert_eq!(
                one_of(two(), "github", Some(text)).unwrap().account,
                "octocat"
            );
        }
        let only = vec![two().remove(1)];
        assert_eq!(one_of(only, "github", None).unwrap().account, "hubot");
    }

    #[test]
    fn what_is_not_clear_is_refused_with_the_accounts_there_are() {
        for (account, exit) in [
            (None, Exit::Usage),
            (Some("nobody"), Exit::NotFound),
            (Some(""), Exit::NotFound),
        ] {
            let refused = one_of(two(), "github", account).unwrap_err();
            assert_eq!(refused.exit(), exit);
            let hint = refused.detail().hint.unwrap();
            assert!(hint.contains("octocat") && hint.contains(IDS[1]), "{hint}");
        }
        let none = one_of(Vec::new(), "github", None).unwrap_err();
        assert_eq!(none.exit(), Exit::NotFound);
        assert!(none.detail().hint.unwrap().contains("oauth connect github"));
        let mut twins = two();
        "octocat".clone_into(&mut twins[1].account);
        assert!(one_of(twins, "github", Some("octocat")).is_err());
    }

    #[test]
    fn v3_what_the_provider_did_is_said_apart() {
        let words = [
            "revoked",
            "pending",
            "unsupported",
            "shared",
            "failed",
            "new",
        ]
        .map(upstream);
        assert_eq!(words[0], "revoked at the provider");
        assert!(words[1].contains("tried again for a day"));
        assert!(words[2].contains("offers no way") && words[3].contains("another connection"));
        assert!(words[4].contains("did not revoke"));
        assert_eq!(words[4], words[5]);
    }
}
