//! The loop of the daemon itself, by a clock that is wound by hand.

use crate::oauth::tests_rig::Engine;

const SECOND: i64 = 1000;

/// Leaves a set alone for `span`, with the daemon's loop running and tokens that live for `lifetime`; how
/// often it was refreshed. Its access token must never have ended.
async fn alive(lifetime: i64, span: i64) -> u32 {
    let engine = Engine::new("rotates = \"always\"", true, 0).await;
    engine.issuer.lifetime(lifetime / SECOND);
    let key = engine.connect("ada").await;
    let (engine, key, clock) = (&engine, &key, &engine.rig.clock);
    let (began, step) = (engine.now(), 2 * SECOND);
    let rest = |wait: Result<i64, _>| async move {
        let mut left = wait.unwrap();
        while left > 0 {
            // A refresh takes no time by this clock, and what it tells the loop is heard before it moves.
            engine.settled().await;
            tokio::task::yield_now().await;
            let remains = engine.state(key).await.left(engine.now());
            assert!(remains.is_some_and(|remains| remains > 0), "{lifetime}");
            if engine.now().millis_since(began) >= span {
                return false;
            }
            clock.advance_millis(step);
            left -= step;
        }
        true
    };
    let lifecycle = &engine.rig.lifecycle;
    engine.accounts.keep_alive(lifecycle, rest).await;
    engine.issuer.refreshes()
}

#[tokio::test]
async fn r15_the_running_broker_never_lets_a_short_token_end() {
    let hours = 3 * 60 * 60 * SECOND;
    for (lifetime, shortest) in [(90, 60), (5 * 60, 200), (15 * 60, 600)] {
        let refreshes = i64::from(alive(lifetime * SECOND, hours).await);
        // The first hour is that of the token that it was connected with.
        let most = (hours - 50 * 60 * SECOND) / (shortest * SECOND) + 1;
        assert!((most * 3 / 4..=most).contains(&refreshes), "{refreshes}");
    }
}
