//! When a token set is refreshed, and what a caller gets meanwhile. Pure: times in, a decision out.

use crate::clock::Timestamp;
use crate::oauth::connection::{Attempt, Health, TokenState};
use crate::oauth::provider::spec::{Refresh, RefreshMode, Rotates};

/// The longest time before its end that an access token is refreshed, in milliseconds.
const LEAD: i64 = 600_000;

/// With less than this left a token is not handed out: it would end on the way (R14). Of one that lives
/// for less than a minute, half is left out.
const SKEW: i64 = 30_000;

/// How old a token is at least when it is refreshed without anybody asking for it.
const MIN_AGE: i64 = 60_000;

/// With a spent refresh token and no grace, the next try is so long before the end.
const LAST_CHANCE: i64 = 120_000;

/// The first wait after a failure, and the longest, in milliseconds.
const BACKOFF: i64 = 60_000;
const MAX_BACKOFF: i64 = 30 * 60_000;

const DAY: i64 = 24 * 60 * 60_000;

/// What a caller who wants the access token gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::oauth) enum Plan {
    /// The token as it is.
    Use,
    /// The token as it is; a refresh starts behind the caller's back.
    UseAndRefresh,
    /// A refresh, and then what there is: the token at hand dies of it, so nobody is given it meanwhile.
    RefreshFirst,
    /// A refresh, and then the new token.
    Refresh,
    /// Nothing: it has ended, and may not be refreshed before then.
    Wait(Timestamp),
    /// Nothing: it has ended, and nothing refreshes it.
    Over,
}

/// For how long a set's access token was good when it was obtained, in milliseconds.
fn lifetime(state: &TokenState) -> i64 {
    let end = state.expires;
    end.map_or(i64::MAX, |end| end.millis_since(state.obtained).max(0))
}

/// How long before its end a token is refreshed (R15). Where a file says so, two thirds of its lifetime
/// at most: a provider that answers with a token that is no newer would be asked without end.
#[must_use]
pub(in crate::oauth) fn lead(state: &TokenState, file: &Refresh) -> i64 {
    let third = lifetime(state) / 3;
    match file.lead_s {
        Some(seconds) => i64::from(seconds).saturating_mul(1000).min(third * 2),
        None => LEAD.min(third),
    }
}

/// With how much left an access token is not handed out.
fn skew(state: &TokenState) -> i64 {
    SKEW.min(lifetime(state) / 2)
}

/// Whether a caller may have the access token.
fn usable(state: &TokenState, now: Timestamp) -> bool {
    state.left(now).is_none_or(|left| left > skew(state))
}

/// When a caller gets nothing any more though nothing is done to the set; `None` where something refreshes it,
/// or where its end is not known.
#[must_use]
pub(in crate::oauth) fn ends_by_itself(state: &TokenState, file: &Refresh) -> Option<Timestamp> {
    let end = state.expires.filter(|_| !can_refresh(state, file));
    end.map(|end| end.plus_millis(-skew(state)))
}

/// Whether a set can be refreshed at all.
#[must_use]
pub(in crate::oauth) fn can_refresh(state: &TokenState, file: &Refresh) -> bool {
    let with = match file.mode {
        RefreshMode::RefreshToken => state.refreshable,
        RefreshMode::ExchangeAccessToken => true,
        RefreshMode::None => false,
    };
    with && !state.is_revoked()
}

/// Not before when a set may be refreshed: after a failure, a minimal age (R18), or an attempt whose
/// end nobody saw.
#[must_use]
pub(in crate::oauth) fn not_before(
    state: &TokenState,
    file: &Refresh,
    now: Timestamp,
) -> Option<Timestamp> {
    let aged = (file.min_age_s > 0).then(|| {
        let age = i64::from(file.min_age_s).saturating_mul(1000);
        state.obtained.plus_millis(age)
    });
    let times = [state.next_attempt, aged, after_unknown(state, file, now)];
    times.into_iter().flatten().max()
}

/// The table of what to do about an attempt whose end nobody saw. `None`: try again now.
fn after_unknown(state: &TokenState, file: &Refresh, now: Timestamp) -> Option<Timestamp> {
    let attempt = state.attempt.as_ref()?;
    if file.rotates == Rotates::Never {
        return None;
    }
    if is_graced(file, attempt, now) {
        return None;
    }
    // The access token is served for as long as it lives: most is saved if the provider never saw the
    // request, and nothing is lost if it did.
    state
        .expires
        .filter(|_| !state.access_refused)
        .map(|expires| expires.plus_millis(-LAST_CHANCE))
}

/// Whether a provider that rotates still takes the token that an attempt of which no end was seen has sent.
pub(super) fn is_graced(file: &Refresh, attempt: &Attempt, now: Timestamp) -> bool {
    let grace = i64::from(file.reuse_grace_s).saturating_mul(1000);
    now.millis_since(attempt.sent) < grace
}

/// What a caller gets.
#[must_use]
pub(in crate::oauth) fn plan(state: &TokenState, file: &Refresh, now: Timestamp) -> Plan {
    let left = state.left(now);
    let usable = usable(state, now);
    if !can_refresh(state, file) {
        return if usable { Plan::Use } else { Plan::Over };
    }
    let until = not_before(state, file, now).filter(|until| until.millis_since(now) > 0);
    match (usable, until) {
        (true, None) if left.is_some_and(|left| left <= lead(state, file)) => {
            if file.access_dies_on_refresh {
                Plan::RefreshFirst
            } else {
                Plan::UseAndRefresh
            }
        }
        (true, _) => Plan::Use,
        (false, Some(until)) => Plan::Wait(until),
        (false, None) => Plan::Refresh,
    }
}

/// When the scheduler refreshes a set, used or not: before it ends, or before its refresh token dies of
/// idleness (R16). `None` for never.
#[must_use]
pub(in crate::oauth) fn due(
    state: &TokenState,
    file: &Refresh,
    now: Timestamp,
) -> Option<Timestamp> {
    let scheduled = matches!(state.health, Health::Active | Health::Degraded);
    if !scheduled || !can_refresh(state, file) {
        return None;
    }
    let before_end = state
        .expires
        .map(|expires| expires.plus_millis(-lead(state, file)))
        .map(|wanted| wanted.max(state.obtained.plus_millis(MIN_AGE)));
    let before_idle = file.idle_limit_days.map(|days| {
        let half = i64::from(days).saturating_mul(DAY) / 2;
        state.obtained.plus_millis(half)
    });
    let wanted = before_end.into_iter().chain(before_idle).min()?;
    let wanted = if state.access_refused { now } else { wanted };
    let earliest = not_before(state, file, now);
    Some(earliest.map_or(wanted, |earliest| earliest.max(wanted)))
}

/// When a grant ends that is not made anew, as far as is known: no refresh puts that off. `None` when it is
/// over, and where nothing is known of an end.
#[must_use]
pub(in crate::oauth) fn grant_ends(
    state: &TokenState,
    file: &Refresh,
    authorized: Timestamp,
) -> Option<Timestamp> {
    if state.is_revoked() {
        return None;
    }
    let limit = file.absolute_limit_days.map(|days| {
        let millis = i64::from(days).saturating_mul(DAY);
        authorized.plus_millis(millis)
    });
    // A refresh token that is never replaced ends once, and so does an access token that is never refreshed.
    let token = if can_refresh(state, file) {
        state
            .refresh_expires
            .filter(|_| file.rotates == Rotates::Never)
    } else {
        state.expires
    };
    limit.into_iter().chain(token).min()
}

/// The shortest wait between two requests of one set that keeps to the file's limit for an account, in
/// milliseconds.
#[must_use]
pub(in crate::oauth) fn spacing(file: &Refresh) -> i64 {
    file.per_user_limit.map_or(0, |limit| {
        let millis = i64::from(limit.seconds).saturating_mul(1000);
        let requests = i64::from(limit.requests.max(1));
        (millis + requests - 1) / requests
    })
}

/// How long is waited after the `failures`th failure in a row, `chance` being drawn evenly: anything up
/// to twice as long each time (full jitter), at least a second, or as long as the host asked.
#[must_use]
pub(in crate::oauth) fn backoff(failures: u32, asked: Option<i64>, chance: u32) -> i64 {
    let doublings = failures.saturating_sub(1).min(10);
    let most = (BACKOFF << doublings).min(MAX_BACKOFF);
    let drawn = i64::from(chance).saturating_mul(most) / i64::from(u32::MAX);
    drawn.max(asked.unwrap_or(0)).max(1000)
}
