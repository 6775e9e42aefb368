//! The journal as its callers meet it.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::tests_rig::{Rig, event, keys, record, store, until};
use super::{
    Action, AuditError, Filter, Head, Outcome, Scope, Status, Target, TargetKind, Verdict,
};
use crate::id::StoreId;

#[tokio::test]
async fn a_record_is_on_disk_when_its_proof_is_handed_out() {
    let rig = Rig::new();
    let journal = rig.open();
    for _ in 0..3 {
        let recorded = journal.record(event(Action::SecretReveal)).await.unwrap();
        let copy = rig.open_at(&rig.copy("killed")).unwrap();
        assert!(copy.contains(&recorded.head()).unwrap());
        recorded.is_all();
    }
    assert_eq!(journal.head().seq, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_the_same_time_share_a_sync() {
    let rig = Rig::new();
    let journal = rig.open();
    let before = rig.disk.syncs.load(Ordering::SeqCst);
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for _ in 0..20 {
                    let recorded = journal.record(event(Action::ToolExecute)).await.unwrap();
                    seqs.push(recorded.seq());
                    recorded.outcome(Outcome::success());
                }
                seqs
            })
        })
        .collect();
    let mut seqs = HashSet::new();
    for task in tasks {
        seqs.extend(task.await.unwrap());
    }
    let syncs = rig.disk.syncs.load(Ordering::SeqCst) - before;
    assert_eq!(seqs.len(), 1280);
    assert!(syncs < 640, "{syncs} syncs for 1280 intents");
    journal.close();
    assert_eq!(journal.head().seq, 2560);
    assert_eq!(journal.verify(None).unwrap().verdict, Verdict::Intact);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_has_no_sync_of_its_own_when_an_intent_follows() {
    let rig = Rig::new();
    let journal = rig.open();
    let syncs = || rig.disk.syncs.load(Ordering::SeqCst);
    let before = syncs();
    for _ in 0..200 {
        let recorded = journal.record(event(Action::ToolExecute)).await.unwrap();
        recorded.outcome(Outcome::success());
    }
    // A machine that is busy with something else may be late with a few.
    assert!(syncs() - before < 240, "{} syncs", syncs() - before);
    // Nor does the last outcome wait for ever, though nobody follows.
    until("the last outcome is written", || journal.head().seq == 400).await;
}

#[tokio::test]
async fn a_proof_that_is_dropped_records_an_unknown_outcome() {
    let rig = Rig::new();
    let journal = rig.open();
    drop(journal.record(event(Action::SecretReveal)).await.unwrap());
    let ended = Outcome::failed("upstream_refused")
        .http_status(502)
        .bytes(10, 20)
        .scrub_hits(1);
    journal
        .record(event(Action::ToolExecute))
        .await
        .unwrap()
        .outcome(ended.clone());
    journal
        .record(event(Action::AuthDenied))
        .await
        .unwrap()
        .is_all();
    journal.checkpoint().unwrap();
    let page = journal.query(&Filter::new(Scope::All)).unwrap();
    let outcomes: Vec<_> = page
        .entries
        .iter()
        .map(|entry| {
            (
                entry.event.action,
                entry.outcome.as_ref().map(|ended| &ended.outcome),
            )
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            (Action::AuthDenied, None),
            (Action::ToolExecute, Some(&ended)),
            (Action::SecretReveal, Some(&Outcome::unknown())),
        ]
    );
    assert_eq!(
        page.entries[2].outcome.as_ref().unwrap().outcome.status,
        Status::Unknown
    );
}

#[tokio::test]
async fn positions_and_generation_outlive_rotation_and_restart() {
    let mut rig = Rig::new();
    rig.options.segment_bytes = 3000;
    let journal = rig.open();
    assert_eq!(journal.head(), Head::GENESIS);
    let mut heads = vec![Head::GENESIS];
    for index in 0..20 {
        let changed = event(Action::SecretSet);
        let changed = if index == 2 {
            changed.store_generation(77)
        } else {
            changed
        };
        let recorded = journal.record(changed).await.unwrap();
        heads.push(recorded.head());
        recorded.is_all();
    }
    journal.close();
    let journal = rig.open();
    assert!(super::segment::list(&rig.dir).unwrap().len() > 3);
    assert_eq!(journal.last_store_generation(), 77);
    assert_eq!(journal.head(), heads[20]);
    for head in &heads {
        assert!(journal.contains(head).unwrap(), "{head}");
        let wrong = Head {
            hash: [1; 32],
            ..*head
        };
        assert!(!journal.contains(&wrong).unwrap(), "{wrong}");
    }
    assert!(
        !journal
            .contains(&Head {
                seq: 21,
                hash: [0; 32]
            })
            .unwrap()
    );
    let report = journal.verify(None).unwrap();
    assert_eq!((report.verdict, report.records), (Verdict::Intact, 20));
}

#[tokio::test]
async fn checkpoints_come_with_number_time_wish_and_close() {
    let mut rig = Rig::new();
    rig.options.checkpoint_every = 5;
    rig.options.checkpoint_after = Duration::from_millis(80);
    let journal = rig.open();
    let checkpoints = || journal.verify(None).unwrap().checkpoints;
    record(&journal, 5).await;
    assert_eq!(checkpoints(), 1);
    record(&journal, 1).await;
    until("a checkpoint after a while", || checkpoints() == 2).await;
    record(&journal, 1).await;
    assert_eq!(journal.checkpoint().unwrap(), journal.head());
    assert_eq!(checkpoints(), 3);
    journal.checkpoint().unwrap();
    assert_eq!(checkpoints(), 3, "there was nothing new to cover");
    record(&journal, 1).await;
    journal.close();
    assert_eq!(checkpoints(), 4);
}

#[tokio::test]
async fn a_closed_journal_refuses_and_gives_its_directory_back() {
    let rig = Rig::new();
    let journal = rig.open();
    assert!(matches!(rig.open_at(&rig.dir), Err(AuditError::InUse)));
    record(&journal, 1).await;
    journal.close();
    journal.close();
    assert!(!journal.healthy());
    let refused = journal.record(event(Action::SecretSet)).await;
    assert!(matches!(refused, Err(AuditError::Unavailable)));
    assert_eq!(rig.open().head().seq, 1);
}

#[tokio::test]
async fn a_journal_opens_with_its_own_key_and_store_only() {
    let rig = Rig::new();
    rig.open().close();
    let other_key = rig.open_as(&rig.dir, store(), keys(9));
    assert!(matches!(
        other_key,
        Err(AuditError::OtherKey { segment: 1 })
    ));
    let other_store = rig.open_as(&rig.dir, StoreId::from_random([8; 16]), keys(1));
    assert!(matches!(
        other_store,
        Err(AuditError::OtherStore { segment: 1 })
    ));
    assert!(rig.open_at(&rig.dir).is_ok());
}

#[tokio::test]
async fn an_event_that_is_too_long_is_refused_alone() {
    let rig = Rig::new();
    let journal = rig.open();
    let mut long = event(Action::SecretReveal);
    for _ in 0..400 {
        long = long.target(Target::new(TargetKind::Secret).name("N".repeat(1000)));
    }
    assert!(matches!(
        journal.record(long).await,
        Err(AuditError::TooLong { .. })
    ));
    record(&journal, 1).await;
    assert_eq!(journal.head().seq, 1);
}

#[tokio::test]
async fn no_name_stands_in_clear_on_disk() {
    let rig = Rig::new();
    let journal = rig.open();
    let marked = event(Action::SecretSet)
        .target(Target::new(TargetKind::Secret).name("MARKER_NAME"))
        .host(crate::name::Host::parse("marker.example").unwrap());
    journal
        .record(marked)
        .await
        .unwrap()
        .outcome(Outcome::success());
    journal.close();
    for entry in std::fs::read_dir(&rig.dir).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for marker in [
            b"MARKER_NAME".as_slice(),
            b"marker.example",
            b"secret.set",
            b"seq",
        ] {
            assert!(!bytes.windows(marker.len()).any(|window| window == marker));
        }
    }
}
