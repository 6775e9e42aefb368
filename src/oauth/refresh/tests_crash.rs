//! R5: a kill at each of the seven points, whatever the provider does with spent tokens.
//!
//! The refresh is stopped dead at a point, and everything but the store is thrown away. What happens
//! next must be what the table says, and a grant may be lost only where nothing could save it.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::failpoint::Failpoint;
use crate::id::ConnectionId;
use crate::oauth::AccessFault;
use crate::oauth::connection::{Health, Revoked, SetKey};
use crate::oauth::refresh::stops::Stops;
use crate::oauth::tests_rig::{Engine, HOUR};

const MINUTE: i64 = 60_000;

/// Stops for ever at one point, and says so.
#[derive(Debug)]
struct Dead {
    at: Failpoint,
    reached: Arc<Notify>,
}

impl Stops for Dead {
    fn at(
        &self,
        point: Failpoint,
        _: ConnectionId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if point == self.at {
                self.reached.notify_one();
                std::future::pending::<()>().await;
            }
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Never,
    Sometimes,
    Always,
}

/// An engine that was killed at `point`, and started again five seconds later.
async fn restarted(point: Failpoint, kind: Kind, grace: i64) -> (Engine, SetKey) {
    let word = format!("{kind:?}").to_lowercase();
    let refresh =
        format!("rotates = \"{word}\"\nreuse_grace_s = {grace}\nconfirm_invalid_grant = true");
    let engine = Engine::new(&refresh, kind != Kind::Never, grace).await;
    let key = engine.connect("ada").await;
    let reached = Arc::new(Notify::new());
    let stops = Dead {
        at: point,
        reached: Arc::clone(&reached),
    };
    let engine = engine.restart(Some(Arc::new(stops))).await;
    engine.rig.clock.advance_millis(52 * MINUTE);
    let accounts = Arc::clone(&engine.accounts);
    let refresh = tokio::spawn(accounts.refresh(engine.rig.vault.clone(), key.clone()));
    reached.notified().await;
    refresh.abort();
    assert!(refresh.await.unwrap_err().is_cancelled());
    let engine = engine.restart(None).await;
    engine.rig.clock.advance_millis(5_000);
    (engine, key)
}

async fn killed_at(point: Failpoint, kind: Kind, grace: i64) {
    let what = format!("{point:?}, {kind:?}, grace {grace}");
    let (engine, key) = restarted(point, kind, grace).await;
    let stored = point >= Failpoint::RefreshP6;
    let processed = point >= Failpoint::RefreshP4;
    let marked = point >= Failpoint::RefreshP2;
    let waits = marked && !stored && kind != Kind::Never && grace == 0;
    // A caller is served whatever happened: the access token, old or new, has time left.
    let first = engine.lend(&key).await.unwrap();
    engine.settled().await;
    let calls = engine.issuer.refreshes();
    assert_eq!(first, if stored { "at-1" } else { "at-0" }, "{what}");
    let expected = u32::from(processed) + u32::from(!stored && !waits);
    assert_eq!(calls, expected, "{what}");
    if !waits {
        // Recovered at once.
        let newest = format!("at-{calls}");
        assert_eq!(engine.lend(&key).await.unwrap(), newest, "{what}");
        assert_eq!(engine.state(&key).await.health, Health::Active, "{what}");
        engine.rig.clock.advance_millis(HOUR);
        assert!(engine.lend(&key).await.is_ok(), "{what}");
        return;
    }
    // No grace: the last chance comes two minutes before the end.
    let pass = engine.accounts.pass(&engine.rig.vault).await.unwrap();
    assert_eq!(pass.refreshed, 0, "{what}");
    engine.rig.clock.advance_millis(6 * MINUTE);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0", "{what}");
    engine.settled().await;
    assert_eq!(engine.issuer.refreshes(), calls + 1, "{what}");
    if processed {
        let state = engine.state(&key).await;
        let lost = Health::Revoked(Revoked::RotationLost);
        assert_eq!(state.health, lost, "{what}");
        assert_eq!(engine.lend(&key).await.unwrap(), "at-0", "{what}");
        engine.rig.clock.advance_millis(2 * MINUTE);
        let fault = engine.lend(&key).await.unwrap_err();
        assert!(
            matches!(fault, AccessFault::Reauth(Revoked::RotationLost)),
            "{what}"
        );
    } else {
        let newest = format!("at-{}", calls + 1);
        assert_eq!(engine.lend(&key).await.unwrap(), newest, "{what}");
    }
}

#[tokio::test]
async fn r5_a_kill_at_every_point_ends_as_the_table_says() {
    let points = [
        Failpoint::RefreshP1,
        Failpoint::RefreshP2,
        Failpoint::RefreshP3,
        Failpoint::RefreshP4,
        Failpoint::RefreshP5,
        Failpoint::RefreshP6,
        Failpoint::RefreshP7,
    ];
    for point in points {
        for kind in [Kind::Always, Kind::Sometimes, Kind::Never] {
            for grace in [0, 600] {
                killed_at(point, kind, grace).await;
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_on_the_way_is_a_kill_of_the_same_kind() {
    use crate::oauth::tests_rig::Fault;
    for (grace, lost) in [(600, false), (0, true)] {
        let refresh = format!("rotates = \"always\"\nreuse_grace_s = {grace}");
        let engine = Engine::new(&refresh, true, grace).await;
        let key = engine.connect("ada").await;
        engine.rig.clock.advance_millis(52 * MINUTE);
        engine.issuer.fault(Fault::LoseAnswer);
        assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
        engine.settled().await;
        assert!(engine.state(&key).await.attempt.is_some());
        engine.rig.clock.advance_millis(6 * MINUTE);
        engine.lend(&key).await.unwrap();
        engine.settled().await;
        let over = engine.state(&key).await.is_revoked();
        assert_eq!(over, lost, "grace {grace}");
    }
}
