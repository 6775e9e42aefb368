//! When, and what meanwhile: the tables, and whole years of them.

use super::plan::{Plan, backoff, due, ends_by_itself, grant_ends, lead, plan, spacing};
use crate::clock::Timestamp;
use crate::id::ConnectionId;
use crate::oauth::connection::{Attempt, Health, MAIN, Revoked, TokenState};
use crate::oauth::provider::spec::{PerUserLimit, Refresh, Rotates};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn state(lifetime: Option<i64>) -> TokenState {
    TokenState {
        connection: ConnectionId::from_bytes([1; 16]),
        set: MAIN.to_owned(),
        version: 1,
        fence: 0,
        health: Health::Active,
        obtained: at(0),
        expires: lifetime.map(at),
        refresh_expires: None,
        refreshable: true,
        previous_until: None,
        failures: 0,
        suspicious: 0,
        suspicious_since: None,
        doubted: None,
        next_attempt: None,
        failure: None,
        attempt: None,
        lost: false,
        access_refused: false,
    }
}

fn rotates(rotates: Rotates, grace: u32) -> Refresh {
    Refresh {
        rotates,
        reuse_grace_s: grace,
        ..Refresh::default()
    }
}

#[test]
fn what_nothing_refreshes_is_over_from_the_moment_that_is_told_and_what_something_does_is_never() {
    let file = Refresh::default();
    for lifetime in [1, 30_000, 40_000, MINUTE, 90_001, HOUR, DAY] {
        let fresh = state(Some(lifetime));
        assert_eq!(ends_by_itself(&fresh, &file), None);
        let alone = TokenState {
            refreshable: false,
            ..fresh
        };
        let end = ends_by_itself(&alone, &file).unwrap();
        assert_eq!(plan(&alone, &file, end), Plan::Over);
        assert_eq!(plan(&alone, &file, end.plus_millis(-1)), Plan::Use);
        let endless = TokenState {
            expires: None,
            ..alone
        };
        assert_eq!(ends_by_itself(&endless, &file), None);
    }
}

#[test]
fn r15_the_lead_is_ten_minutes_or_a_third_of_the_lifetime() {
    let file = Refresh::default();
    assert_eq!(lead(&state(Some(HOUR)), &file), 10 * MINUTE);
    assert_eq!(lead(&state(Some(5 * MINUTE)), &file), 100_000);
    assert_eq!(lead(&state(Some(0)), &file), 0);
    let own = Refresh {
        lead_s: Some(90),
        ..Refresh::default()
    };
    assert_eq!(lead(&state(Some(HOUR)), &own), 90_000);
}

#[test]
fn r15_a_provider_whose_tokens_are_shorter_than_the_lead_of_its_file_is_not_asked_without_end() {
    let file = Refresh {
        lead_s: Some(7 * 86_400),
        ..Refresh::default()
    };
    assert_eq!(lead(&state(Some(60 * DAY)), &file), 7 * DAY);
    assert_eq!(lead(&state(Some(3 * DAY)), &file), 2 * DAY);
    assert_eq!(live(&file, Some(6 * DAY), 60 * DAY), 29);
    // Answers that move no end: each time a third of what is left is waited for, and never less than
    // a minute.
    let (mut set, mut refreshes) = (state(Some(7 * DAY)), 0);
    while let Some(next) = due(&set, &file, set.obtained).filter(|next| *next < at(7 * DAY)) {
        assert!(next.millis_since(set.obtained) >= MINUTE);
        set.obtained = next;
        refreshes += 1;
    }
    assert!(refreshes < 30, "{refreshes}");
    // Nor one whose tokens are over at once.
    assert!(live_dead(&Refresh::default(), 0, HOUR) <= 60);
    assert!(live_dead(&Refresh::default(), 2_000, HOUR) <= 60);
}

/// How often tokens that live so short are refreshed by themselves.
fn live_dead(file: &Refresh, lifetime: i64, span: i64) -> u32 {
    let (mut set, mut refreshes) = (state(Some(lifetime)), 0);
    while let Some(next) = due(&set, file, set.obtained).filter(|next| next.millis() < span) {
        refreshes += 1;
        set.obtained = next;
        set.expires = Some(next.plus_millis(lifetime));
    }
    refreshes
}

#[test]
fn r14_of_a_token_that_lives_for_less_than_a_minute_half_is_used() {
    let (file, short) = (Refresh::default(), state(Some(20_000)));
    assert_eq!(plan(&short, &file, at(0)), Plan::Use);
    assert_eq!(plan(&short, &file, at(9_999)), Plan::Use);
    assert_eq!(plan(&short, &file, at(10_000)), Plan::Refresh);
    assert_eq!(plan(&state(Some(0)), &file, at(0)), Plan::Refresh);
}

#[test]
fn a_caller_gets_the_token_a_refresh_or_both() {
    let (file, hour) = (Refresh::default(), state(Some(HOUR)));
    assert_eq!(plan(&hour, &file, at(0)), Plan::Use);
    assert_eq!(plan(&hour, &file, at(51 * MINUTE)), Plan::UseAndRefresh);
    assert_eq!(plan(&hour, &file, at(HOUR - 30_001)), Plan::UseAndRefresh);
    // R14: what ends within half a minute is not handed out.
    assert_eq!(plan(&hour, &file, at(HOUR - 30_000)), Plan::Refresh);
    // Of one that dies of its refresh no caller gets both.
    let dies = Refresh {
        access_dies_on_refresh: true,
        ..Refresh::default()
    };
    assert_eq!(plan(&hour, &dies, at(0)), Plan::Use);
    assert_eq!(plan(&hour, &dies, at(51 * MINUTE)), Plan::RefreshFirst);
    assert_eq!(plan(&hour, &dies, at(HOUR)), Plan::Refresh);
    assert_eq!(plan(&state(None), &file, at(90 * DAY)), Plan::Use);
    let refused = TokenState {
        access_refused: true,
        ..hour.clone()
    };
    assert_eq!(plan(&refused, &file, at(0)), Plan::Refresh);
    let dead = TokenState {
        refreshable: false,
        ..hour
    };
    assert_eq!(plan(&dead, &file, at(59 * MINUTE)), Plan::Use);
    assert_eq!(plan(&dead, &file, at(HOUR)), Plan::Over);
}

#[test]
fn a_grant_ends_when_its_file_or_a_token_says_so_and_no_refresh_helps() {
    let limited = Refresh {
        absolute_limit_days: Some(365),
        ..rotates(Rotates::Never, 0)
    };
    let told = TokenState {
        refresh_expires: Some(at(90 * DAY)),
        ..state(Some(HOUR))
    };
    let ends = |state: &TokenState, file: &Refresh| grant_ends(state, file, at(5 * DAY));
    assert_eq!(ends(&state(Some(HOUR)), &limited), Some(at(370 * DAY)));
    assert_eq!(ends(&told, &limited), Some(at(90 * DAY)));
    assert_eq!(ends(&state(Some(HOUR)), &rotates(Rotates::Never, 0)), None);
    // Each refresh brings another token, and another end of it.
    assert_eq!(ends(&told, &rotates(Rotates::Always, 0)), None);
    let alone = TokenState {
        refreshable: false,
        ..told.clone()
    };
    assert_eq!(ends(&alone, &rotates(Rotates::Always, 0)), Some(at(HOUR)));
    let over = TokenState {
        health: Health::Revoked(Revoked::Expired),
        ..told
    };
    assert_eq!(ends(&over, &limited), None);
}

#[test]
fn r8_a_token_that_has_not_ended_is_used_although_the_grant_is_over() {
    let revoked = TokenState {
        health: Health::Revoked(Revoked::ProviderSaid),
        ..state(Some(HOUR))
    };
    let file = Refresh::default();
    assert_eq!(plan(&revoked, &file, at(55 * MINUTE)), Plan::Use);
    assert_eq!(plan(&revoked, &file, at(HOUR)), Plan::Over);
    assert_eq!(due(&revoked, &file, at(0)), None);
}

#[test]
fn r10_a_failure_is_waited_out_and_the_token_used_meanwhile() {
    let failed = TokenState {
        next_attempt: Some(at(58 * MINUTE)),
        ..state(Some(HOUR))
    };
    let file = Refresh::default();
    assert_eq!(plan(&failed, &file, at(55 * MINUTE)), Plan::Use);
    assert_eq!(plan(&failed, &file, at(58 * MINUTE)), Plan::UseAndRefresh);
    let later = TokenState {
        next_attempt: Some(at(2 * HOUR)),
        ..failed
    };
    assert_eq!(plan(&later, &file, at(HOUR)), Plan::Wait(at(2 * HOUR)));
}

#[test]
fn r5_an_attempt_that_nobody_saw_end_is_decided_by_what_the_provider_does_with_spent_tokens() {
    let seen = |lifetime, sent| TokenState {
        attempt: Some(Attempt {
            fence: 1,
            sent: at(sent),
        }),
        ..state(Some(lifetime))
    };
    let now = at(52 * MINUTE);
    let crashed = seen(HOUR, 51 * MINUTE);
    // Never rotates: nothing can be lost, so at once.
    assert_eq!(
        plan(&crashed, &rotates(Rotates::Never, 0), now),
        Plan::UseAndRefresh
    );
    for spends in [Rotates::Always, Rotates::Sometimes] {
        // Inside the grace: at once, with the old token.
        assert_eq!(
            plan(&crashed, &rotates(spends, 600), now),
            Plan::UseAndRefresh
        );
        // No grace, or it is over: the access token is served first.
        for file in [rotates(spends, 0), rotates(spends, 30)] {
            assert_eq!(plan(&crashed, &file, now), Plan::Use);
            assert_eq!(due(&crashed, &file, now), Some(at(58 * MINUTE)));
            let last = at(58 * MINUTE);
            assert_eq!(plan(&crashed, &file, last), Plan::UseAndRefresh);
            assert_eq!(plan(&crashed, &file, at(2 * HOUR)), Plan::Refresh);
        }
    }
}

#[test]
fn r18_a_token_that_is_too_young_is_left_alone() {
    let file = Refresh {
        min_age_s: 86_400,
        ..Refresh::default()
    };
    let young = state(Some(10 * MINUTE));
    assert_eq!(plan(&young, &file, at(9 * MINUTE)), Plan::Use);
    assert_eq!(plan(&young, &file, at(HOUR)), Plan::Wait(at(DAY)));
    assert_eq!(plan(&young, &file, at(DAY)), Plan::Refresh);
    assert_eq!(due(&young, &file, at(0)), Some(at(DAY)));
}

#[test]
fn a_client_that_is_refused_waits_for_an_admin_and_not_for_the_scheduler() {
    let refused = TokenState {
        health: Health::ConfigError,
        ..state(Some(HOUR))
    };
    assert_eq!(due(&refused, &Refresh::default(), at(0)), None);
}

#[test]
fn r10_the_wait_doubles_to_half_an_hour_and_is_drawn_from_all_of_it() {
    let most: Vec<_> = (1..=8).map(|n| backoff(n, None, u32::MAX)).collect();
    let minutes = [1, 2, 4, 8, 16, 30, 30, 30].map(|n| n * MINUTE);
    assert_eq!(most, minutes);
    assert_eq!(backoff(1, None, 0), 1000);
    assert_eq!(backoff(1, Some(15 * MINUTE), 0), 15 * MINUTE);
    assert_eq!(backoff(u32::MAX, None, u32::MAX), 30 * MINUTE);
}

#[test]
fn r10_no_account_is_asked_about_more_often_than_its_file_allows() {
    let file = |requests, seconds| Refresh {
        per_user_limit: Some(PerUserLimit { requests, seconds }),
        ..Refresh::default()
    };
    assert_eq!(spacing(&Refresh::default()), 0);
    assert_eq!(spacing(&file(8, 60)), 7_500);
    assert_eq!(spacing(&file(7, 60)), 8_572, "never too soon");
    assert_eq!(spacing(&file(0, 60)), 60_000);
}

/// Lives through `span` milliseconds with passes every five minutes or when something is due, and
/// counts refreshes; the token must never have ended when a caller looks.
fn live(file: &Refresh, lifetime: Option<i64>, span: i64) -> u32 {
    let (mut now, mut set, mut refreshes) = (0, state(lifetime), 0);
    while now < span {
        let next = due(&set, file, at(now));
        if next.is_some_and(|next| next.millis() <= now) {
            refreshes += 1;
            set.obtained = at(now);
            set.expires = lifetime.map(|lifetime| at(now + lifetime));
            continue;
        }
        assert!(
            !matches!(
                plan(&set, file, at(now)),
                Plan::Refresh | Plan::Wait(_) | Plan::Over
            ),
            "dead after {now} ms"
        );
        let soonest = next.map_or(i64::MAX, |next| (next.millis() - now).max(1000));
        now += soonest.min(5 * MINUTE);
    }
    refreshes
}

#[test]
fn r15_a_year_of_tokens_of_every_length_takes_the_expected_number_of_refreshes() {
    let (file, year) = (Refresh::default(), 365 * DAY);
    for (lifetime, lead) in [
        (5 * MINUTE, 100_000),
        (15 * MINUTE, 5 * MINUTE),
        (HOUR, 10 * MINUTE),
        (8 * HOUR, 10 * MINUTE),
        (60 * DAY, 10 * MINUTE),
    ] {
        let expected = year / (lifetime - lead);
        let counted = i64::from(live(&file, Some(lifetime), year));
        assert!((counted - expected).abs() <= 1, "{counted} for {expected}");
    }
}

#[test]
fn r16_a_grant_that_nobody_uses_is_kept_alive_at_half_of_its_idle_limit() {
    let file = Refresh {
        idle_limit_days: Some(60),
        ..Refresh::default()
    };
    assert_eq!(live(&file, None, 200 * DAY), 6);
    assert_eq!(live(&Refresh::default(), None, 200 * DAY), 0);
}
