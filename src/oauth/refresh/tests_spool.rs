//! Step 7: tokens that the store does not take are in the spool, and get from there to where they belong.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::has_spooled;
use super::stops::Stops;
use crate::audit::Action;
use crate::failpoint::Failpoint;
use crate::id::{ConnectionId, UserId};
use crate::oauth::AccessFault;
use crate::oauth::connection::{Health, SetKey};
use crate::oauth::tests_rig::{Engine, Fault, HOUR, USER};
use crate::store::{MemoryEngine, Refusing};

const ROTATES: &str = "rotates = \"always\"";

/// The file says of its revocation that it ends one token, and not the grant.
const ENDS_ALONE: (&str, &str) = ("token = \"both\"", "token = \"both\"\nscope = \"token\"");

/// Has the store refuse from one place on.
#[derive(Debug)]
struct Breaking(Arc<MemoryEngine>, Refusing);

impl Stops for Breaking {
    fn at(
        &self,
        place: Failpoint,
        _: ConnectionId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if place == Failpoint::RefreshP5 {
            self.0.refuse(self.1);
        }
        Box::pin(std::future::ready(()))
    }
}

fn folder(engine: &Engine) -> PathBuf {
    engine.rig.folder.path().join("data/spool")
}

/// The files in the spool.
fn spooled(engine: &Engine) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder(engine)) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let whole = paths.filter(|path| path.extension().is_some_and(|end| end == "spool"));
    whole.collect()
}

/// An engine whose store did not take the tokens of a refresh, and one that it is now known of.
async fn refused(refusing: Refusing) -> (Engine, SetKey) {
    let engine = Engine::edited(ROTATES, true, 0, &[ENDS_ALONE]).await;
    let key = engine.connect("ada").await;
    let breaking = Breaking(Arc::clone(&engine.rig.engine), refusing);
    let engine = engine.restart(Some(Arc::new(breaking))).await;
    engine.rig.clock.advance_millis(HOUR);
    let fault = engine.lend(&key).await.unwrap_err();
    assert!(matches!(fault, AccessFault::Unavailable { .. }), "{fault}");
    engine.settled().await;
    assert_eq!(engine.ears.heard("unstored"), 1);
    engine.rig.engine.refuse(Refusing::Nothing);
    (engine, key)
}

#[tokio::test]
async fn r5_tokens_that_the_store_refuses_are_there_after_the_next_start() {
    for refusing in [Refusing::Writes, Refusing::Knowledge] {
        let (engine, key) = refused(refusing).await;
        let files = spooled(&engine);
        assert_eq!(files.len(), 1, "{refusing:?}");
        // Whose key is not to be destroyed, and whose may be.
        let nobody = UserId::from_bytes([9; 16]);
        for (user, has) in [(USER, true), (nobody, false)] {
            let found = has_spooled(&engine.rig.vault, (engine.org, user)).await;
            assert_eq!(found.unwrap(), has, "{user}");
        }
        let bytes = std::fs::read(&files[0]).unwrap();
        for hidden in ["at-1", "rt-1", "ada", "issuer"] {
            let found = bytes
                .windows(hidden.len())
                .any(|at| at == hidden.as_bytes());
            assert!(!found, "{hidden} is in the file");
        }
        let engine = engine.restart(None).await;
        assert_eq!(engine.lend(&key).await.unwrap(), "at-1", "{refusing:?}");
        let state = engine.state(&key).await;
        assert_eq!(
            (state.health, state.version, state.attempt, state.lost),
            (Health::Active, 2, None, false)
        );
        assert_eq!(engine.issuer.refreshes(), 1, "{refusing:?}");
        assert_eq!(spooled(&engine).len(), 0, "{refusing:?}");
        let ends = engine.journal(Action::OauthRefresh);
        assert!(ends.iter().any(|(code, _)| code == "spooled"), "{ends:?}");
        engine.rig.clock.advance_millis(HOUR);
        assert_eq!(engine.lend(&key).await.unwrap(), "at-2", "{refusing:?}");
        assert_eq!(engine.revoke().await, 0);
    }
}

#[tokio::test]
async fn r17_spooled_tokens_of_a_connection_that_is_another_since_are_revoked() {
    let (engine, key) = refused(Refusing::Writes).await;
    let file = spooled(&engine).remove(0);
    let bytes = std::fs::read(&file).unwrap();
    let again = async |engine: &Engine| {
        std::fs::write(&file, &bytes).unwrap();
        engine.accounts.pass(&engine.rig.vault).await.unwrap();
        engine.settled().await;
        assert!(!file.exists());
    };
    let engine = engine.restart(None).await;
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
    // Where they are kept already, there is nothing to be done.
    again(&engine).await;
    assert_eq!(engine.revoke().await, 0);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
    // Authorised anew: they are of the grant before.
    assert_eq!(engine.connect("ada").await, key);
    let before = engine.revoke().await;
    again(&engine).await;
    assert_eq!(engine.revoke().await, 1, "{before}");
    assert!(
        engine
            .issuer
            .asked("/revoke")
            .join(" ")
            .contains("token=rt-1")
    );
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    // Forgotten.
    engine.forget(key.0).await;
    engine.revoke().await;
    again(&engine).await;
    assert_eq!(engine.revoke().await, 1);
}

#[tokio::test]
async fn a_file_that_does_not_open_stays_and_holds_up_nothing() {
    let (engine, key) = refused(Refusing::Writes).await;
    let file = spooled(&engine).remove(0);
    // It is sealed for its name.
    let moved = file.with_file_name(format!("{}.spool", "0a".repeat(16)));
    std::fs::copy(&file, &moved).unwrap();
    let damaged = file.with_file_name(format!("{}.spool", "0b".repeat(16)));
    std::fs::write(&damaged, b"nothing of ours").unwrap();
    let engine = engine.restart(None).await;
    assert_eq!(engine.lend(&key).await.unwrap(), "at-1");
    let mut left = spooled(&engine);
    left.sort();
    assert_eq!(left, [moved, damaged]);
}

/// An engine whose store refuses when a refresh ends whose connection was forgotten meanwhile.
async fn forgotten(prepare: impl FnOnce(&Engine)) -> Engine {
    let engine = Engine::new(ROTATES, true, 0).await;
    let key = engine.connect("ada").await;
    prepare(&engine);
    engine.rig.clock.advance_millis(HOUR - 5 * 60_000);
    engine.issuer.fault(Fault::Hold);
    assert_eq!(engine.lend(&key).await.unwrap(), "at-0");
    while engine.issuer.asked("/token").is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    engine.forget(key.0).await;
    engine.rig.engine.refuse(Refusing::Writes);
    engine.issuer.release();
    engine.settled().await;
    engine.rig.engine.refuse(Refusing::Nothing);
    assert_eq!(engine.ears.heard("unstored"), 1);
    engine
}

#[tokio::test]
async fn r17_what_comes_too_late_for_a_store_that_fails_is_revoked_after_the_next_start() {
    let engine = forgotten(|_| {}).await;
    assert!(engine.issuer.asked("/revoke").is_empty());
    assert_eq!(spooled(&engine).len(), 1);
    let engine = engine.restart(None).await;
    // The tokens that were forgotten, and those that came too late.
    assert_eq!(engine.revoke().await, 2);
    let revoked = engine.issuer.asked("/revoke").join(" ");
    for token in ["rt-0", "at-0", "rt-1", "at-1"] {
        assert!(revoked.contains(&format!("token={token}")), "{token}");
    }
    assert!(spooled(&engine).is_empty());
}

#[tokio::test]
async fn r17_what_can_neither_be_stored_nor_spooled_is_revoked_at_once() {
    let engine = forgotten(|engine| {
        std::fs::write(folder(engine), b"in the way").unwrap();
    })
    .await;
    let revoked = engine.issuer.asked("/revoke").join(" ");
    assert!(revoked.contains("token=rt-1"), "{revoked}");
}
