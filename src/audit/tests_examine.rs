//! A journal that is looked at and not opened.

use std::fs;
use std::path::{Path, PathBuf};

use super::tests_rig::{Rig, keys, record, store};
use super::{AuditError, Head, Journal, Known, Verdict, VerifyReport};

fn examined(dir: &Path, head: Head, most: u64) -> Result<Option<VerifyReport>, AuditError> {
    let known = Known {
        head,
        generation: 0,
    };
    Journal::examine(dir, store(), &keys(1), known, most)
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    files.into_iter().map(read).collect()
}

#[tokio::test]
async fn a_journal_is_followed_from_its_beginning_and_left_as_it_is() {
    let mut rig = Rig::new();
    rig.options.segment_bytes = 3000;
    let journal = rig.open();
    record(&journal, 12).await;
    journal.close();
    let head = journal.head();
    drop(journal);
    let all = super::segment::list(&rig.dir).unwrap();
    assert!(all.len() >= 3, "{all:?}");
    let before = files(&rig.dir);
    let report = examined(&rig.dir, head, u64::MAX).unwrap().unwrap();
    assert_eq!((report.verdict, report.head), (Verdict::Intact, head));
    assert!(examined(&rig.dir, head, 3000).unwrap().is_none());
    assert_eq!(files(&rig.dir), before);

    // An earlier segment, which a start does not read.
    let copy = rig.copy("flipped");
    let path = super::segment::path_of(&copy, all[1]);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&path, bytes).unwrap();
    drop(rig.open_at(&copy).unwrap());
    let report = examined(&copy, head, u64::MAX).unwrap().unwrap();
    assert!(matches!(report.verdict, Verdict::Tampered(_)), "{report:?}");

    // Torn in its last frame, a checkpoint: a start cuts that off, and this does not.
    let copy = rig.copy("torn");
    let last = Rig::last_segment(&copy);
    let bytes = fs::read(&last).unwrap();
    let end = Rig::end_of_frames(&copy);
    fs::write(&last, &bytes[..end - 1]).unwrap();
    let before = files(&copy);
    let report = examined(&copy, head, u64::MAX).unwrap().unwrap();
    assert_eq!(report.head, head);
    assert!(
        !matches!(report.verdict, Verdict::Tampered(_)),
        "{report:?}"
    );
    assert_eq!(files(&copy), before, "nothing is cut off");

    // Shorter than the store remembers, and gone.
    let copy = rig.copy("shorter");
    fs::remove_file(Rig::last_segment(&copy)).unwrap();
    let refused = examined(&copy, head, u64::MAX).unwrap_err();
    assert!(matches!(refused, AuditError::Mismatch { .. }), "{refused}");
    fs::remove_dir_all(&copy).unwrap();
    fs::create_dir(&copy).unwrap();
    let refused = examined(&copy, head, u64::MAX).unwrap_err();
    assert!(matches!(refused, AuditError::Mismatch { .. }), "{refused}");
    assert!(files(&copy).is_empty(), "nothing is begun");
}
