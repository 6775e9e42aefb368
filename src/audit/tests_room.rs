//! Room ahead of the last frame: how it is made, used and cut off, and what may stand in it.

use std::fs;
use std::sync::atomic::Ordering;

use super::tests_rig::{Rig, record, until};
use super::{AuditError, Verdict};

const MIB: u64 = 1 << 20;

fn size(rig: &Rig) -> u64 {
    fs::metadata(Rig::last_segment(&rig.dir)).unwrap().len()
}

#[tokio::test]
async fn frames_are_written_into_zeros_that_are_there_already() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 1).await;
    let made = size(&rig);
    assert!(made > MIB, "{made}");
    record(&journal, 19).await;
    assert_eq!(size(&rig), made, "no frame made the file longer");
    let end = Rig::end_of_frames(&rig.dir);
    let bytes = fs::read(Rig::last_segment(&rig.dir)).unwrap();
    assert!(bytes[end..].iter().all(|byte| *byte == 0));
    // Reading stops at the zeros.
    assert_eq!(journal.checkpoint().unwrap().seq, 20);
    let report = journal.verify(None).unwrap();
    assert_eq!((report.verdict, report.records), (Verdict::Intact, 20));
}

#[tokio::test]
async fn a_closed_journal_ends_with_its_last_frame() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 3).await;
    journal.close();
    assert_eq!(
        size(&rig),
        u64::try_from(Rig::end_of_frames(&rig.dir)).unwrap()
    );
}

#[tokio::test]
async fn a_finished_segment_ends_with_its_last_frame_and_none_has_room_beyond_its_limit() {
    let mut rig = Rig::new();
    rig.options.segment_bytes = 9000;
    let journal = rig.open();
    let mut last = Rig::last_segment(&rig.dir);
    for _ in 0..40 {
        record(&journal, 1).await;
        let now = Rig::last_segment(&rig.dir);
        if now == last {
            assert!(size(&rig) <= 9000 + 1000, "{}", size(&rig));
        }
        last = now;
    }
    let crashed = rig.copy("crashed");
    assert!(super::segment::list(&crashed).unwrap().len() > 2);
    let opened = rig.open_at(&crashed).unwrap();
    opened.checkpoint().unwrap();
    assert_eq!(opened.verify(None).unwrap().verdict, Verdict::Intact);
    // Zeros behind a finished segment were put there by somebody else.
    let first = super::segment::path_of(&rig.dir, 1);
    let file = fs::OpenOptions::new().write(true).open(&first).unwrap();
    file.set_len(fs::metadata(&first).unwrap().len() + 100)
        .unwrap();
    journal.checkpoint().unwrap();
    let verdict = journal.verify(None).unwrap().verdict;
    assert!(matches!(verdict, Verdict::Tampered(_)), "{verdict:?}");
}

#[tokio::test]
async fn a_crashed_journal_goes_on_in_the_room_that_it_left() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 3).await;
    let head = journal.head();
    let crashed = rig.copy("crashed");
    let path = Rig::last_segment(&crashed);
    let left = fs::metadata(&path).unwrap().len();
    let again = rig.open_at(&crashed).unwrap();
    assert_eq!(again.head(), head, "nothing was torn, nothing is recorded");
    record(&again, 3).await;
    assert_eq!(fs::metadata(&path).unwrap().len(), left);
    again.close();
    assert_eq!(again.verify(Some(head)).unwrap().verdict, Verdict::Intact);
}

#[tokio::test]
async fn a_segment_without_room_is_read_and_written_on() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 3).await;
    journal.close();
    let again = rig.open();
    assert_eq!(again.head(), journal.head());
    record(&again, 3).await;
    again.close();
    assert_eq!(again.verify(None).unwrap().verdict, Verdict::Intact);
}

#[tokio::test]
async fn a_frame_of_which_any_sectors_are_missing_is_cut_off() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 2).await;
    let before = journal.head();
    let kept = Rig::end_of_frames(&rig.dir);
    record(&journal, 1).await;
    let end = Rig::end_of_frames(&rig.dir);
    let whole = fs::read(Rig::last_segment(&rig.dir)).unwrap();
    let sectors: Vec<usize> = (kept / 512..=(end - 1) / 512).collect();
    assert!(sectors.len() >= 2, "{kept} {end}");
    for lost in 1..1_u32 << sectors.len() {
        let mut bytes = whole.clone();
        for (at, sector) in sectors.iter().enumerate() {
            if lost >> at & 1 == 1 {
                let (from, to) = ((sector * 512).max(kept), (sector * 512 + 512).min(end));
                bytes[from..to].fill(0);
            }
        }
        let copy = rig.copy("torn");
        fs::write(Rig::last_segment(&copy), bytes).unwrap();
        let opened = rig.open_at(&copy).unwrap();
        let report = opened.verify(Some(before)).unwrap();
        assert_eq!(report.verdict, Verdict::Intact, "{lost:b}");
    }
}

#[tokio::test]
async fn anything_else_in_the_room_is_refused() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 3).await;
    let end = Rig::end_of_frames(&rig.dir);
    let whole = fs::read(Rig::last_segment(&rig.dir)).unwrap();
    let refused = |what: &str, bytes: &[u8]| {
        let copy = rig.copy("garbage");
        fs::write(Rig::last_segment(&copy), bytes).unwrap();
        let opened = rig.open_at(&copy);
        let is_damage = matches!(opened, Err(AuditError::Damaged { .. }));
        assert!(is_damage, "{what}: {opened:?}");
        let after = fs::read(Rig::last_segment(&copy)).unwrap();
        assert!(after == bytes, "{what}: what is damaged is not touched");
    };
    // The header's own sector arrived, without the header.
    let room_in_sector = 512 - end % 512;
    assert!(room_in_sector > 12, "{end}");
    for at in [end + 12, end + room_in_sector - 1] {
        let mut bytes = whole.clone();
        bytes[at] = 1;
        refused("garbage behind a header of zeros", &bytes);
    }
    // Farther away than any one write reaches.
    let mut bytes = whole.clone();
    bytes.resize(end + (6 << 20), 0);
    bytes[end + (5 << 20)] = 1;
    refused("garbage far behind the end", &bytes);
    // A frame that was moved away from the end, and one whose place was emptied.
    let mut bytes = whole.clone();
    let start = bytes.len() - 5000;
    bytes.copy_within(end - 400..end, start);
    let box_header: Vec<u8> = whole[36..64].to_vec();
    bytes[start..start + box_header.len()].copy_from_slice(&box_header);
    refused("a box in the room", &bytes);
    let mut bytes = whole;
    let box_header_at = bytes
        .windows(28)
        .rposition(|window| window == box_header)
        .unwrap();
    bytes[box_header_at - 300..box_header_at - 12].fill(0);
    refused("a hole before the last frame", &bytes);
}

#[tokio::test]
async fn a_failed_write_leaves_nothing_in_the_room() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 2).await;
    rig.disk.full.store(true, Ordering::SeqCst);
    let refused = journal
        .record(super::tests_rig::event(super::Action::SecretSet))
        .await;
    assert!(refused.is_err());
    until("the failure", || !journal.healthy()).await;
    rig.disk.full.store(false, Ordering::SeqCst);
    until("recovery", || journal.healthy()).await;
    record(&journal, 1).await;
    let bytes = fs::read(Rig::last_segment(&rig.dir)).unwrap();
    let end = Rig::end_of_frames(&rig.dir);
    assert!(bytes.len() > end && bytes[end..].iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn without_space_for_room_frames_are_written_all_the_same() {
    let rig = Rig::new();
    rig.disk.no_room.store(true, Ordering::SeqCst);
    let journal = rig.open();
    record(&journal, 5).await;
    assert_eq!(
        size(&rig),
        u64::try_from(Rig::end_of_frames(&rig.dir)).unwrap()
    );
    assert!(journal.healthy());
    rig.disk.no_room.store(false, Ordering::SeqCst);
    record(&journal, 1).await;
    assert!(size(&rig) > MIB);
}
