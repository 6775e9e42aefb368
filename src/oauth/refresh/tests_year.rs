//! A year of the whole engine, by a clock that is wound by hand: passes, refreshes over real connections,
//! and commits, as a broker would have them.

use crate::oauth::connection::Health;
use crate::oauth::tests_rig::Engine;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// How a span went by: how often the provider was asked, and how often it was looked.
struct Gone {
    refreshes: i64,
    passes: i64,
}

/// Lets `span` go by over an account that nobody uses, whose access tokens live for `lifetime`. At no time has
/// one ended.
async fn goes_by(refresh: &str, lifetime: i64, span: i64) -> Gone {
    let engine = Engine::new(refresh, true, 0).await;
    engine.issuer.lifetime(lifetime / 1000);
    let key = engine.connect("ada").await;
    let (began, mut passes) = (engine.now(), 0);
    while engine.now().millis_since(began) < span {
        let pass = engine.accounts.pass(&engine.rig.vault).await.unwrap();
        engine.settled().await;
        passes += 1;
        let state = engine.state(&key).await;
        assert_eq!(state.health, Health::Active);
        let left = state.left(engine.now()).unwrap();
        assert!(
            left > pass.next,
            "it ends before anybody looks again: {left}"
        );
        engine.rig.clock.advance_millis(pass.next);
    }
    assert_eq!(engine.ears.heard("rotation_lost"), 0);
    assert_eq!(engine.ears.heard("unstored"), 0);
    Gone {
        refreshes: i64::from(engine.issuer.refreshes()),
        passes,
    }
}

#[tokio::test]
async fn r15_a_year_goes_by_and_every_grant_is_alive_with_as_many_refreshes_as_it_takes() {
    for (lifetime, span) in [
        (60 * DAY, 365 * DAY),
        (DAY, 365 * DAY),
        (60 * MINUTE, 21 * DAY),
    ] {
        let gone = goes_by("rotates = \"always\"", lifetime, span).await;
        // Each is refreshed ten minutes before its end, or at two thirds of its life; by the pass after that.
        let lead = (10 * MINUTE).min(lifetime / 3);
        let (least, most) = (
            span / lifetime,
            span / (lifetime - lead - 6 * MINUTE).max(lifetime / 3) + 2,
        );
        let refreshes = gone.refreshes;
        assert!(
            (least..=most).contains(&refreshes),
            "{lifetime}: {refreshes} of {least} to {most}"
        );
        // Looking costs nothing to speak of, and is no loop.
        let passes = gone.passes;
        assert!(
            passes <= span / (3 * MINUTE) + 2 * refreshes,
            "{lifetime}: {passes} passes"
        );
    }
}

#[tokio::test]
async fn r16_a_grant_that_ends_when_it_is_idle_is_kept_alive() {
    // Of themselves the access tokens would need no refresh in all that time.
    let idle = "rotates = \"always\"\nidle_limit_days = 30";
    let gone = goes_by(idle, 365 * DAY, 90 * DAY).await;
    assert!((5..=6).contains(&gone.refreshes), "{}", gone.refreshes);
}
