//! The attack table for sealed segments: what was done to them, and what opening and verifying say.

use std::fs;
use std::path::Path;

use super::tests_rig::{Rig, event, record, store};
use super::{Action, AuditError, Fault, Head, Journal, Problem, Verdict};

fn tampered(first: u64, last: u64, problem: Problem) -> Verdict {
    Verdict::Tampered(Fault {
        first,
        last,
        problem,
    })
}

/// A closed journal of several segments with several frames each, and its last position.
async fn segments(rig: &mut Rig) -> Head {
    rig.options.segment_bytes = 3000;
    let journal = rig.open();
    record(&journal, 12).await;
    journal.close();
    journal.head()
}

/// Opens `dir` if it can be opened, and verifies it as a whole.
fn found_in(rig: &Rig, dir: &Path) -> Result<Verdict, AuditError> {
    let journal = rig.open_at(dir)?;
    Ok(journal.verify(None).unwrap().verdict)
}

#[tokio::test]
async fn a_flipped_byte_in_a_sealed_segment_is_found() {
    let mut rig = Rig::new();
    segments(&mut rig).await;
    let all = super::segment::list(&rig.dir).unwrap();
    assert!(all.len() >= 3, "{all:?}");
    let length = fs::metadata(super::segment::path_of(&rig.dir, all[1]))
        .unwrap()
        .len();
    for at in (0..usize::try_from(length).unwrap()).step_by(37) {
        let copy = rig.copy("flipped");
        let path = super::segment::path_of(&copy, all[1]);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 4;
        fs::write(&path, bytes).unwrap();
        let Verdict::Tampered(fault) = found_in(&rig, &copy).unwrap() else {
            panic!("{at}")
        };
        assert!((all[1]..all[2]).contains(&fault.first), "{at} {fault:?}");
    }
}

#[tokio::test]
async fn damage_before_the_last_frame_keeps_the_journal_from_opening() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 4).await;
    let frames = frames_of(&journal, &rig.dir);
    drop(journal);
    let bytes = fs::read(Rig::last_segment(&rig.dir)).unwrap();
    let attack = |changed: Vec<u8>| {
        let copy = rig.copy("damaged");
        fs::write(Rig::last_segment(&copy), changed).unwrap();
        let opened = rig.open_at(&copy);
        assert!(
            matches!(opened, Err(AuditError::Damaged { .. })),
            "{opened:?}"
        );
    };
    let (second, third) = (frames[1].clone(), frames[2].clone());
    for at in second.clone().step_by(11) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        attack(flipped);
    }
    let part = |range: &std::ops::Range<usize>| bytes[range.clone()].to_vec();
    let (head, tail) = (&bytes[..second.start], &bytes[third.end..]);
    attack([head, &part(&third), &part(&second), tail].concat());
    attack([head, &part(&third), tail].concat());
    attack([head, &part(&second), &part(&second), &part(&third), tail].concat());
    attack([bytes.as_slice(), &part(&third)].concat());
}

/// Where the frames of a journal's one segment stand.
fn frames_of(journal: &Journal, dir: &Path) -> Vec<std::ops::Range<usize>> {
    journal.checkpoint().unwrap();
    let keys = super::tests_rig::keys(1);
    let seal = super::segment::Seal {
        store: store(),
        keys: &keys,
    };
    let segment = super::segment::Segment::open(dir, 1, seal).unwrap();
    let (frames, _) = segment.index(u64::MAX);
    let mut start = usize::try_from(segment.start).unwrap();
    let mut ranges = Vec::new();
    for frame in frames {
        let end = usize::try_from(frame.end()).unwrap();
        ranges.push(start..end);
        start = end;
    }
    ranges
}

#[tokio::test]
async fn a_missing_cut_or_older_segment_is_found() {
    let mut rig = Rig::new();
    let head = segments(&mut rig).await;
    let all = super::segment::list(&rig.dir).unwrap();
    let path = |copy: &Path, index: usize| super::segment::path_of(copy, all[index]);

    let copy = rig.copy("deleted");
    fs::remove_file(path(&copy, 1)).unwrap();
    let missing = tampered(all[1], all[1], Problem::Sequence { found: all[2] });
    assert_eq!(found_in(&rig, &copy).unwrap(), missing);

    let copy = rig.copy("cut");
    let bytes = fs::read(path(&copy, 1)).unwrap();
    fs::write(path(&copy, 1), &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(
        found_in(&rig, &copy).unwrap(),
        Verdict::Tampered(_)
    ));

    // Without its last segment it is an older journal: only a position kept elsewhere tells.
    let copy = rig.copy("older");
    fs::remove_file(path(&copy, all.len() - 1)).unwrap();
    let journal = rig.open_at(&copy).unwrap();
    assert!(!journal.contains(&head).unwrap());
    let known = journal.verify(Some(head)).unwrap().verdict;
    assert!(matches!(
        known,
        Verdict::Tampered(Fault {
            problem: Problem::Known,
            ..
        })
    ));
    assert_eq!(journal.verify(None).unwrap().verdict, Verdict::Intact);
}

#[tokio::test]
async fn segments_of_two_branches_of_one_journal_do_not_fit() {
    let mut rig = Rig::new();
    rig.options.segment_bytes = 3000;
    let journal = rig.open();
    record(&journal, 2).await;
    journal.checkpoint().unwrap();
    let branch = rig.copy("branch");
    record(&journal, 10).await;
    journal.close();
    let other = rig.open_at(&branch).unwrap();
    for _ in 0..10 {
        other
            .record(event(Action::SecretSet))
            .await
            .unwrap()
            .is_all();
    }
    other.close();
    let all = super::segment::list(&rig.dir).unwrap();
    let first_of_last = *super::segment::list(&branch).unwrap().last().unwrap();
    assert!(
        all.contains(&first_of_last),
        "both branches rotate at the same records"
    );
    let path = |dir: &Path| super::segment::path_of(dir, first_of_last);
    fs::copy(path(&branch), path(&rig.dir)).unwrap();
    let verdict = found_in(&rig, &rig.dir).unwrap();
    assert_eq!(
        verdict,
        tampered(first_of_last, first_of_last, Problem::Frame)
    );
}
