//! Sealing calls everybody out who waits for a provider and would lose nothing by leaving.

use std::sync::Arc;
use std::time::Duration;

use super::flow::Failure;
use super::tests_rig::{DEVICE, Engine, Fault, provider};
use super::{DiscoveryFault, Upstream};
use crate::oauth::provider::Bound;
use crate::vault::VaultError;

/// Does `work` while the issuer does not answer, and seals once it was asked at `path`.
async fn sealed_amid<T: Send + 'static>(
    engine: &Arc<Engine>,
    path: &str,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    engine.issuer.fault(Fault::Hold);
    let working = tokio::spawn(work);
    while engine.issuer.asked(path).is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    engine.rig.lifecycle.seal(Duration::ZERO).await;
    // Left alone, it would wait for the issuer until its time is over, and end in another way.
    let done = working.await.unwrap();
    engine.issuer.release();
    done
}

/// An engine that has something to revoke.
async fn forgotten() -> (Arc<Engine>, crate::id::ConnectionId) {
    let engine = Engine::new("", true, 0).await;
    let (id, _) = engine.connect("ada").await;
    engine.forget(id).await;
    (Arc::new(engine), id)
}

#[tokio::test]
async fn v2_sealing_does_not_wait_for_a_revocation_and_it_is_tried_again() {
    let (engine, id) = forgotten().await;
    let working = Arc::clone(&engine);
    let ended = sealed_amid(&engine, "/revoke", async move {
        working.accounts.revoke(&working.rig.vault, id).await
    });
    assert!(matches!(ended.await, Err(VaultError::Sealed)));
    let engine = Arc::into_inner(engine).unwrap().restart(None).await;
    let ended = engine.accounts.revoke(&engine.rig.vault, id).await;
    assert_eq!(ended.unwrap(), Some(Upstream::Revoked));
    assert_eq!(engine.issuer.asked("/revoke").len(), 3, "one of them twice");
}

#[tokio::test]
async fn v2_sealing_ends_the_pass_that_revokes() {
    let engine = Engine::new("", true, 0).await;
    for account in ["ada", "bob", "cid"] {
        let (id, _) = engine.connect(account).await;
        engine.forget(id).await;
    }
    let engine = Arc::new(engine);
    for _ in 0..2 {
        engine.issuer.fault(Fault::Hold);
    }
    let working = Arc::clone(&engine);
    let ended = sealed_amid(&engine, "/revoke", async move {
        working.accounts.revoke_due(&working.rig.vault).await
    });
    assert!(matches!(ended.await, Err(VaultError::Sealed)));
}

#[tokio::test]
async fn d1_sealing_does_not_wait_for_a_device_flow_to_begin() {
    let engine = Arc::new(Engine::new(DEVICE, true, 0).await);
    let ask = engine.device_ask();
    let recorded = engine.rig.recorded().await;
    let working = Arc::clone(&engine);
    let ended = sealed_amid(&engine, "/device", async move {
        let vault = &working.rig.vault;
        let begun = working.accounts.begin_device(vault, &ask, &recorded);
        begun.await.map(|_| ())
    });
    assert_eq!(ended.await, Err(Failure::Sealed));
}

#[tokio::test]
async fn m1_sealing_does_not_wait_for_an_issuer_to_describe_itself() {
    let discovered = "schema = 1\nissuer = \"http://ADDR\"\ndiscovery = \"oidc\"";
    let changes = [("schema = 1", discovered)];
    let engine = Arc::new(Engine::edited("", true, 0, &changes).await);
    let working = Arc::clone(&engine);
    let path = "/.well-known/openid-configuration";
    let ended = sealed_amid(&engine, path, async move {
        let provider = working.accounts.provider(&provider()).unwrap();
        let (vault, bound) = (&working.rig.vault, Bound::default());
        let found = working
            .accounts
            .authorize_page(vault, working.org, (&provider, &bound));
        found.await
    });
    assert_eq!(ended.await, Err(DiscoveryFault::Sealed));
}
