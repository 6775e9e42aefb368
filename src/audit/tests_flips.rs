//! Everything that can become of a journal's forms: a segment, as the store that remembers its head sees it,
//! and an export, as whoever has the public key.

use std::fs;

use super::tests_rig::{Rig, keys, record, sign_key, store};
use super::{AuditError, Journal, Known, Verdict, verify_export};
use crate::damage::Harm;

/// What is found in a journal of several segments when something becomes of the one at `index`.
async fn damaged_segment(index: usize) {
    let mut rig = Rig::new();
    rig.options.segment_bytes = 1200;
    let journal = rig.open();
    record(&journal, 6).await;
    journal.close();
    let known = Known {
        head: journal.head(),
        generation: 0,
    };
    drop(journal);
    let all = super::segment::list(&rig.dir).unwrap();
    assert!(all.len() >= 3, "{all:?}");
    let first = all[if index == 0 { 1 } else { all.len() - 1 }];
    let path = super::segment::path_of(&rig.dir, first);
    let examined = || Journal::examine(&rig.dir, store(), &keys(1), known, u64::MAX);
    let sound = fs::read(&path).unwrap();
    for harm in Harm::of_each_byte(sound.len()) {
        fs::write(&path, harm.of(&sound)).unwrap();
        match examined() {
            Err(
                AuditError::Damaged { .. }
                | AuditError::Mismatch { .. }
                | AuditError::OtherStore { .. }
                | AuditError::OtherKey { .. },
            ) => {}
            Ok(Some(report)) => {
                // Behind what the store remembers a checkpoint stands, as whole as one torn write left it.
                let torn = index == 1 && report.head == known.head;
                let tampered = matches!(report.verdict, Verdict::Tampered(_));
                assert!(tampered || torn, "{harm:?}: {report:?}");
            }
            other => panic!("{harm:?}: {other:?}"),
        }
    }
    fs::write(&path, sound).unwrap();
    assert_eq!(examined().unwrap().unwrap().verdict, Verdict::Intact);
}

#[tokio::test]
async fn whatever_becomes_of_an_earlier_segment_is_found() {
    damaged_segment(0).await;
}

#[tokio::test]
async fn whatever_becomes_of_the_last_segment_is_found() {
    damaged_segment(1).await;
}

#[tokio::test]
async fn whatever_becomes_of_an_export_is_found() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 2).await;
    journal.checkpoint().unwrap();
    let mut sound = Vec::new();
    journal.export(1, &mut sound).unwrap();
    let public = sign_key().public();
    assert_eq!(
        verify_export(&*sound, &public).unwrap().verdict,
        Verdict::Intact
    );
    // Which key an export names is nobody's word: who verifies it brings their own.
    let named = memchr::memmem::find(&sound, b"\"public_key\":\"").unwrap() + 14;
    let is_named = |harm: &Harm| match harm {
        Harm::Flipped { at, .. } => (named..named + 64).contains(at),
        _ => false,
    };
    for harm in Harm::every(sound.len()).filter(|harm| !is_named(harm)) {
        let bytes = harm.of(&sound);
        let found = verify_export(&*bytes, &public);
        let intact = found.is_ok_and(|report| report.verdict == Verdict::Intact);
        assert!(!intact, "{harm:?}: {}", String::from_utf8_lossy(&bytes));
    }
}
