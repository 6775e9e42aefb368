//! How a refresh that brought no tokens ends: counters and times change, and no token does.

use crate::clock::Timestamp;
use crate::oauth::accounts::{Accounts, write_state};
use crate::oauth::connection::{Failure, Health, Kept, Revoked, TokenState};
use crate::oauth::provider::spec::{Refresh, Rotates};
use crate::oauth::token::{Class, Verdict};
use crate::store::StoreError;
use crate::vault::VaultError;

use super::attempt::{NotGranted, Sent, Subjects, client_set};
use super::plan::{backoff, grant_ends, spacing};
use super::success::LOOK_AGAIN;

/// Failures in a row after which people are told that refreshing fails.
const DEGRADED_AFTER: u32 = 3;

/// Suspicious answers in a row, over so many milliseconds, after which they are told, too.
const SUSPICIOUS_AFTER: u32 = 5;
const SUSPICIOUS_OVER: i64 = 6 * 60 * 60_000;

/// How long after the provider first said that a grant is over it is asked again, in milliseconds.
const ASK_AGAIN: i64 = 60_000;

/// The code of tokens that speak of another account.
const OTHER_SUBJECT: &str = "other_subject";

/// How often a state is read again that somebody else has written to.
const TRIES: u32 = 20;

/// How a refresh ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With new tokens, durably kept.
    Renewed,
    /// Somebody forgot or renewed the connection meanwhile.
    Superseded,
    /// Without tokens.
    Failed {
        class: &'static str,
        code: crate::audit::Code,
    },
}

impl NotGranted {
    /// Whether it is the client's fault.
    const fn blames_client(&self) -> bool {
        match self {
            Self::Failed { verdict, .. } => matches!(verdict.class, Class::Client),
            Self::NotSent(_) => true,
            Self::Foreign => false,
        }
    }

    /// What is said of a client that was set anew meanwhile is said of the one before: it is tried again.
    fn outdated(self) -> Self {
        let (code, unseen) = match self {
            Self::Failed { verdict, unseen } => (verdict.code, unseen),
            Self::NotSent(_) | Self::Foreign => (None, false),
        };
        let verdict = Verdict {
            class: Class::Transient,
            code,
            rate_limited: false,
            retry_after: None,
        };
        Self::Failed { verdict, unseen }
    }
}

/// A failure as the state takes it in.
struct Told<'a> {
    class: &'a str,
    code: &'a str,
    /// Milliseconds that the provider asked us to wait.
    asked: Option<i64>,
    /// Whether the provider may have acted on the request, and nobody saw.
    unseen: bool,
}

impl Accounts {
    /// Writes down that, and how, a refresh failed.
    pub(super) async fn write_failure(
        &self,
        about: &Subjects<'_>,
        sent: Sent,
        why: NotGranted,
    ) -> Result<Ended, VaultError> {
        // A client is not set while this is judged and written: before, it is seen here; afterwards, what was
        // written for its sake is seen there, and cleared.
        let (mut why, mut changing) = (why, None);
        if why.blames_client() {
            changing = Some(self.changes.lock().await);
            if client_set(about).await? != sent.client_set {
                why = why.outdated();
            }
        }
        let now = about.vault.now();
        let chance = u32::from_be_bytes(about.vault.random().bytes()?);
        let key = (about.connection.value.id, sent.state.value.set.clone());
        let (mut old, mut tries, mut turn) = (sent.state.clone(), 0, None);
        let (lost, class, code) = loop {
            let (new, class, code) = told(about, &why, (&old.value, sent.lost), (now, chance));
            let lost = new.health == Health::Revoked(Revoked::RotationLost);
            if turn.is_none() {
                turn = self.announce(about, (&old.value, &new)).await?;
            }
            let change = (new, &old);
            match write_state(about.vault, about.roster, change, about.recorded).await {
                Ok(_) => break (lost, class, code),
                Err(VaultError::Store(StoreError::Precondition) | VaultError::NotFound) => {}
                Err(error) => {
                    self.unturned(&about.connection.value, turn.as_ref());
                    return Err(error);
                }
            }
            // A 401 was noted, or a client set anew, meanwhile: that is no other attempt.
            let current = about.roster.state(&key);
            let ours = |current: &Kept<TokenState>| current.value.fence == sent.state.value.fence;
            let Some(current) = current.filter(ours).filter(|_| tries < TRIES) else {
                self.unturned(&about.connection.value, turn.as_ref());
                return Ok(Ended::Superseded);
            };
            (old, tries) = (current, tries + 1);
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        drop(changing);
        self.turned(about.provider, turn);
        if lost {
            self.meter.rotation_lost();
        }
        self.news.notify_one();
        let code = crate::audit::Code::parse(&code).unwrap_or_else(|| "no_code".into());
        Ok(Ended::Failed { class, code })
    }
}

/// The state after a failure, and its class and code.
fn told(
    about: &Subjects<'_>,
    why: &NotGranted,
    (old, lost): (&TokenState, bool),
    (now, chance): (Timestamp, u32),
) -> (TokenState, &'static str, String) {
    let file = &about.provider.spec().refresh;
    let (verdict, unseen) = match why {
        NotGranted::Failed { verdict, unseen } => (verdict, *unseen),
        NotGranted::NotSent(code) => {
            let class = Class::Client.as_str();
            let told = Told {
                class,
                code,
                asked: None,
                unseen: false,
            };
            let new = TokenState {
                health: Health::ConfigError,
                ..failed(old, &told, file, (now, chance))
            };
            return (new, class, (*code).to_owned());
        }
        // Tokens of somebody else's: counted apart, and what we have is kept (R13).
        NotGranted::Foreign => {
            let class = Class::Suspicious.as_str();
            let told = Told {
                class,
                code: OTHER_SUBJECT,
                asked: None,
                unseen: true,
            };
            let new = suspicious(failed(old, &told, file, (now, chance)), OTHER_SUBJECT, now);
            return (new, class, OTHER_SUBJECT.to_owned());
        }
    };
    let code = verdict.code.as_ref();
    let code = code.map_or_else(|| "no_code".to_owned(), ToString::to_string);
    let asked = verdict.retry_after;
    let told = Told {
        class: verdict.class.as_str(),
        code: &code,
        asked: asked.and_then(|wait| i64::try_from(wait.as_millis()).ok()),
        unseen,
    };
    let new = failed(old, &told, file, (now, chance));
    let ends = grant_ends(old, file, about.connection.value.authorized);
    let ends = ends.into_iter().chain(old.refresh_expires);
    let known = Known {
        lost,
        ended: ends.min().is_some_and(|end| now.millis_since(end) >= 0),
    };
    let new = judged(new, file, (verdict, &code), known, now);
    (new, verdict.class.as_str(), code)
}

fn failed(
    old: &TokenState,
    told: &Told<'_>,
    file: &Refresh,
    (now, chance): (Timestamp, u32),
) -> TokenState {
    let failures = old.failures.saturating_add(1);
    let wait = backoff(failures, told.asked, chance).max(spacing(file));
    TokenState {
        failures,
        next_attempt: Some(now.plus_millis(wait)),
        failure: Some(Failure {
            class: told.class.to_owned(),
            code: told.code.to_owned(),
            at: now,
        }),
        // An answer ends the attempt. Without one it stays, and decides what is done next.
        attempt: old.attempt.clone().filter(|_| told.unseen),
        health: match old.health {
            // Answers that make no sense are counted apart: see `suspicious`.
            Health::Active
                if failures >= DEGRADED_AFTER && told.class != Class::Suspicious.as_str() =>
            {
                Health::Degraded
            }
            other => other,
        },
        ..old.clone()
    }
}

/// What is known of a grant, whatever the provider says.
#[derive(Clone, Copy)]
struct Known {
    /// Whether an attempt was never seen to end.
    lost: bool,
    /// Whether its time is over.
    ended: bool,
}

/// What the class of a failure means for the set.
fn judged(
    new: TokenState,
    file: &Refresh,
    (verdict, code): (&Verdict, &str),
    known: Known,
    now: Timestamp,
) -> TokenState {
    match verdict.class {
        Class::Transient => TokenState {
            suspicious: 0,
            suspicious_since: None,
            ..new
        },
        Class::Suspicious => suspicious(new, code, now),
        Class::Client => TokenState {
            health: Health::ConfigError,
            ..new
        },
        Class::RevokedCandidate => candidate(new, file, code, known, now),
    }
}

/// Counted apart: five in a row over six hours are told.
fn suspicious(new: TokenState, code: &str, now: Timestamp) -> TokenState {
    let since = new.suspicious_since.unwrap_or(now);
    let suspicious = new.suspicious.saturating_add(1);
    let long = now.millis_since(since) >= SUSPICIOUS_OVER;
    let degraded = suspicious >= SUSPICIOUS_AFTER && long;
    if degraded && new.health != Health::Degraded {
        tracing::warn!(
            code,
            "a provider's answers to refreshes make no sense, for hours: is its file still right?"
        );
    }
    TokenState {
        suspicious,
        suspicious_since: Some(since),
        health: if degraded {
            Health::Degraded
        } else {
            new.health
        },
        ..new
    }
}

/// The provider says that the grant is over. It is believed when it says so twice, or when we know why.
fn candidate(
    new: TokenState,
    file: &Refresh,
    code: &str,
    known: Known,
    now: Timestamp,
) -> TokenState {
    let over = |why: Revoked| TokenState {
        health: Health::Revoked(why),
        next_attempt: None,
        attempt: None,
        ..new.clone()
    };
    // Where no token is ever spent, none was lost: it is the provider's own word.
    if known.lost && file.rotates != Rotates::Never {
        return over(Revoked::RotationLost);
    }
    let again = new
        .doubted
        .is_some_and(|first| now.millis_since(first) >= ASK_AGAIN);
    if again || !file.confirm_invalid_grant {
        return over(reason(code, known.ended));
    }
    let first = new.doubted.unwrap_or(now);
    TokenState {
        doubted: Some(first),
        next_attempt: Some(first.plus_millis(ASK_AGAIN).max(now)),
        ..new
    }
}

/// Why a grant is over, as far as the provider's code and our own clock tell.
fn reason(code: &str, ended: bool) -> Revoked {
    let says = |words: &[&str]| words.iter().any(|word| code.contains(word));
    if says(&["reused", "reuse"]) {
        Revoked::ReuseDetected
    } else if says(&["expired"]) || ended {
        Revoked::Expired
    } else if says(&["revoked", "invalidated", "50173"]) {
        Revoked::UserRevoked
    } else {
        Revoked::ProviderSaid
    }
}
