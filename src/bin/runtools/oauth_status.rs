//! `oauth status`: the accounts there are, and what to do about one.

use clap::Args;
use runtools_broker::client::text::minute_or_none;
use runtools_broker::client::{Exit, Outcome, Session, Table};
use runtools_broker::clock::{Clock, SystemClock, Timestamp};
use runtools_broker::name::ProviderId;
use runtools_broker::wire::Connection;

use crate::oauth::connections;

/// How long before its end a grant is spoken of, in milliseconds: two weeks.
const SOON: i64 = 14 * 24 * 60 * 60_000;

/// Which accounts are listed.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Those of this provider only
    #[arg(long, value_name = "ID", value_parser = ProviderId::parse)]
    provider: Option<ProviderId>,
    /// Everybody's accounts, for admins
    #[arg(long)]
    all: bool,
}

/// Lists connections, and says what to do about one that does not work.
pub(crate) async fn status(args: StatusArgs, session: &Session) -> Outcome {
    let route = connections()
        .flag("all", args.all)
        .maybe("provider", args.provider.as_ref().map(ProviderId::as_str));
    let mut all: Vec<Connection> = session.client()?.list(&route).await?;
    all.sort_by(|a, b| (&a.provider, &a.account).cmp(&(&b.provider, &b.account)));
    session
        .out
        .table(&all, "no connected accounts", || table(&all, args.all))?;
    if all.is_empty() {
        session
            .out
            .hint("connect one with `runtools oauth connect PROVIDER`");
    }
    // Only its owner connects an account again.
    let own: Vec<Connection> = if args.all {
        session.client()?.list(&connections()).await?
    } else {
        Vec::new()
    };
    let is_own = |one: &Connection| !args.all || own.iter().any(|mine| mine.id == one.id);
    let now = SystemClock.now();
    let next =
        |one: &Connection| next_step(one, is_own(one)).or_else(|| ends_soon(one, is_own(one), now));
    for next in all.iter().filter_map(next) {
        session.out.hint(next);
    }
    Ok(Exit::Ok)
}

/// What to do about an account that does not work as it should, and who does it.
fn next_step(one: &Connection, is_own: bool) -> Option<String> {
    let Connection {
        account,
        provider,
        id,
        ..
    } = one;
    Some(match (one.status.as_str(), one.client.as_str()) {
        ("revoked" | "limited", _) if !is_own => {
            format!("{account}: its owner connects it to {provider} again; nobody else can")
        }
        ("revoked" | "limited", _) => format!(
            "{account}: connect it again with `runtools oauth connect {provider} --reconnect {id}`"
        ),
        ("config_error", "instance") => format!(
            "{account}: the operator looks at the client of {provider} with `runtools-broker oauth-client list`, and sets it anew"
        ),
        ("config_error", _) => format!(
            "{account}: an admin looks at the client of {provider} with `runtools oauth configs list`, and sets it anew"
        ),
        ("degraded", _) => format!(
            "{account}: {provider} does not refresh it at the moment; the broker goes on trying, there is nothing to do"
        ),
        _ => return None,
    })
}

/// What to do about a grant that ends soon, whatever is refreshed.
fn ends_soon(one: &Connection, is_own: bool, now: Timestamp) -> Option<String> {
    let end = one.grant_expires_at?;
    if end.millis_since(now) > SOON {
        return None;
    }
    let Connection {
        account,
        provider,
        id,
        ..
    } = one;
    let when = minute_or_none(Some(end));
    if end.millis_since(now) <= 0 {
        return Some(if is_own {
            format!(
                "{account}: its grant ended at {when} UTC; connect it again with `runtools oauth connect {provider} --reconnect {id}`"
            )
        } else {
            format!(
                "{account}: its grant ended at {when} UTC; its owner connects it to {provider} again"
            )
        });
    }
    Some(if is_own {
        format!(
            "{account}: its grant ends at {when} UTC; connect it again before, with `runtools oauth connect {provider} --reconnect {id}`"
        )
    } else {
        format!(
            "{account}: its grant ends at {when} UTC; its owner connects it to {provider} again before"
        )
    })
}

fn table(all: &[Connection], whose: bool) -> Table {
    let mut head = vec![
        "PROVIDER",
        "ACCOUNT",
        "STATUS",
        "DEFAULT",
        "EXPIRES (UTC)",
        "ID",
    ];
    if whose {
        head.push("USER");
    }
    let mut table = Table::new(&head);
    for one in all {
        let status = match &one.reason {
            Some(reason) => format!("{} ({reason})", one.status),
            None => one.status.clone(),
        };
        let mut row = vec![
            one.provider.clone(),
            one.account.clone(),
            status,
            if one.is_default { "yes" } else { "-" }.to_owned(),
            minute_or_none(one.expires_at),
            one.id.to_string(),
        ];
        if whose {
            row.push(one.user_id.to_string());
        }
        table.row(&row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{SOON, ends_soon, next_step, table};
    use crate::oauth_accounts::tests::{IDS, two};

    #[test]
    fn the_table_says_why_an_account_does_not_work() {
        let lines = table(&two(), false).lines(None);
        assert!(
            lines[0].starts_with("PROVIDER  ACCOUNT  STATUS"),
            "{lines:?}"
        );
        assert!(
            lines[1].contains("octocat  revoked (user_revoked)  yes      -  "),
            "{lines:?}"
        );
        assert!(table(&two(), true).lines(None)[1].ends_with(IDS[2]));
    }

    #[test]
    fn whoever_can_mend_an_account_is_told_how() {
        for (status, client, words) in [
            (
                "revoked",
                "organization",
                "oauth connect github --reconnect 3f2b",
            ),
            (
                "limited",
                "instance",
                "oauth connect github --reconnect 3f2b",
            ),
            (
                "config_error",
                "organization",
                "an admin looks at the client of github with `runtools oauth configs list`",
            ),
            (
                "config_error",
                "instance",
                "`runtools-broker oauth-client list`",
            ),
            ("degraded", "organization", "goes on trying"),
        ] {
            let mut one = two().remove(0);
            status.clone_into(&mut one.status);
            client.clone_into(&mut one.client);
            let told = next_step(&one, true).unwrap();
            assert!(
                told.starts_with("octocat: ") && told.contains(words),
                "{told}"
            );
        }
        let mut active = two().remove(0);
        "active".clone_into(&mut active.status);
        assert_eq!(next_step(&active, true), None);
        let others = next_step(&two().remove(0), false).unwrap();
        assert!(
            others.contains("its owner") && !others.contains("runtools"),
            "{others}"
        );
    }

    #[test]
    fn a_grant_that_ends_soon_is_spoken_of_before() {
        let mut one = two().remove(0);
        "active".clone_into(&mut one.status);
        let end = one.created_at;
        assert_eq!(
            ends_soon(&one, true, end),
            None,
            "nothing is known of an end"
        );
        one.grant_expires_at = Some(end);
        assert_eq!(ends_soon(&one, true, end.plus_millis(-SOON - 1)), None);
        let told = ends_soon(&one, true, end.plus_millis(-SOON)).unwrap();
        assert!(
            told.contains("octocat: ") && told.contains("--reconnect 3f2b"),
            "{told}"
        );
        let over = ends_soon(&one, true, end).unwrap();
        assert!(over.contains("its grant ended at") && over.contains("--reconnect 3f2b"));
        let others = ends_soon(&one, false, end.plus_millis(-1)).unwrap();
        assert!(
            others.contains("its owner") && !others.contains("runtools"),
            "{others}"
        );
    }
}
