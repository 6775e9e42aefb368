//! The journal when it cannot write, and what it does once it can again.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use super::tests_rig::{Faulty, Rig, event, record, until};
use super::{
    Action, AuditError, Entry, Filter, Gap, Head, Journal, Outcome, Scope, Status, Verdict,
};

async fn assert_refused(journal: &Journal) {
    let result = journal.record(event(Action::SecretReveal)).await;
    assert!(matches!(result, Err(AuditError::Unavailable)), "{result:?}");
}

fn entries(journal: &Journal) -> Vec<Entry> {
    let page = journal.query(&Filter::new(Scope::All)).unwrap();
    page.entries
}

/// The newest record is that of a repair.
fn assert_gap_named(journal: &Journal, code: &str) -> Gap {
    let newest = entries(journal).remove(0);
    assert_eq!(newest.event.action, Action::AuditRepaired);
    assert_eq!(newest.event.code.unwrap().as_str(), code);
    newest.event.gap.unwrap()
}

async fn a_failing_disk_refuses_and_recovers(failing: impl Fn(&Faulty) -> &AtomicBool) {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 2).await;
    let before = journal.head();
    let end = Rig::end_of_frames(&rig.dir);
    failing(&rig.disk).store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_refused(&journal).await;
        assert!(!journal.healthy());
    }
    assert_eq!(journal.head(), before, "nothing was counted");
    assert!(journal.checkpoint().is_err());
    let crashed = rig.copy("crashed");
    failing(&rig.disk).store(false, Ordering::SeqCst);
    until("recovery", || journal.healthy()).await;
    let gap = assert_gap_named(&journal, "write_failed");
    assert_eq!((gap.refused, gap.outcomes_lost), (3, 0));
    record(&journal, 1).await;
    journal.close();
    let report = journal.verify(Some(before)).unwrap();
    assert_eq!((report.verdict, report.records), (Verdict::Intact, 4));
    // A crash at that moment loses nothing that was acknowledged, either.
    assert!(Rig::end_of_frames(&crashed) >= end);
    assert!(rig.open_at(&crashed).unwrap().contains(&before).unwrap());
}

#[tokio::test]
async fn a_full_disk_refuses_everybody_and_recovers_by_itself() {
    a_failing_disk_refuses_and_recovers(|disk| &disk.full).await;
}

#[tokio::test]
async fn a_failing_sync_refuses_everybody_and_recovers_by_itself() {
    a_failing_disk_refuses_and_recovers(|disk| &disk.no_sync).await;
}

#[tokio::test]
async fn a_stuck_disk_refuses_in_bounded_time_and_the_late_record_ends_as_unknown() {
    let rig = Rig::new();
    let journal = rig.open();
    rig.disk.stuck.store(true, Ordering::SeqCst);
    assert_refused(&journal).await;
    assert_refused(&journal).await;
    rig.disk.stuck.store(false, Ordering::SeqCst);
    until("the outcome", || journal.head().seq == 2).await;
    let found = entries(&journal);
    assert_eq!(
        found.len(),
        1,
        "who gave up while waiting in the queue is not recorded"
    );
    assert_eq!(
        found[0].outcome.as_ref().unwrap().outcome.status,
        Status::Unknown
    );
    record(&journal, 1).await;
}

#[tokio::test]
async fn outcomes_wait_until_the_journal_can_be_written() {
    let rig = Rig::new();
    let journal = rig.open();
    let recorded = journal.record(event(Action::ToolExecute)).await.unwrap();
    rig.disk.full.store(true, Ordering::SeqCst);
    recorded.outcome(Outcome::success());
    until("the failure", || !journal.healthy()).await;
    assert_refused(&journal).await;
    rig.disk.full.store(false, Ordering::SeqCst);
    until("recovery", || journal.healthy()).await;
    assert_eq!(assert_gap_named(&journal, "write_failed").outcomes_lost, 0);
    assert_eq!(
        entries(&journal)[1]
            .outcome
            .as_ref()
            .unwrap()
            .outcome
            .status,
        Status::Success
    );
}

#[tokio::test]
async fn outcomes_beyond_the_backlog_are_counted_in_the_gap() {
    let mut rig = Rig::new();
    rig.options.backlog = 2;
    let journal = rig.open();
    let mut proofs = Vec::new();
    for _ in 0..5 {
        proofs.push(journal.record(event(Action::ToolExecute)).await.unwrap());
    }
    rig.disk.full.store(true, Ordering::SeqCst);
    assert_refused(&journal).await;
    proofs.clear();
    rig.disk.full.store(false, Ordering::SeqCst);
    until("recovery", || journal.healthy()).await;
    assert_eq!(assert_gap_named(&journal, "write_failed").outcomes_lost, 3);
}

#[tokio::test]
async fn a_removed_segment_is_noticed_and_put_back() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 3).await;
    let before = journal.head();
    fs::remove_file(Rig::last_segment(&rig.dir)).unwrap();
    assert_refused(&journal).await;
    until("recovery", || journal.healthy()).await;
    assert_eq!(assert_gap_named(&journal, "segment_restored").refused, 1);
    record(&journal, 1).await;
    journal.close();
    assert_eq!(
        journal.verify(Some(before)).unwrap().verdict,
        Verdict::Intact
    );
    assert_eq!(rig.open().head().seq, 5);
}

#[tokio::test]
async fn a_directory_or_a_link_in_the_segments_place_is_noticed() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 1).await;
    let path = Rig::last_segment(&rig.dir);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    for _ in 0..3 {
        assert_refused(&journal).await;
        tokio::time::sleep(rig.options.retry * 3).await;
    }
    fs::remove_dir(&path).unwrap();
    until("recovery", || journal.healthy()).await;
    let elsewhere = rig.dir.with_file_name("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert_refused(&journal).await;
    until("recovery", || journal.healthy()).await;
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    record(&journal, 1).await;
    journal.close();
    assert_eq!(journal.verify(None).unwrap().verdict, Verdict::Intact);
}

#[tokio::test]
async fn a_directory_that_went_away_refuses_until_it_is_back() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 1).await;
    let away = rig.dir.with_file_name("away");
    fs::rename(&rig.dir, &away).unwrap();
    assert_refused(&journal).await;
    tokio::time::sleep(rig.options.retry * 5).await;
    assert!(!journal.healthy());
    fs::rename(&away, &rig.dir).unwrap();
    until("recovery", || journal.healthy()).await;
    assert_eq!(assert_gap_named(&journal, "write_failed").refused, 1);
}

#[tokio::test]
async fn a_journal_refuses_to_open_on_anything_but_its_files() {
    let rig = Rig::new();
    fs::write(&rig.dir, b"").unwrap();
    assert!(matches!(rig.open_at(&rig.dir), Err(AuditError::Io { .. })));
    fs::remove_file(&rig.dir).unwrap();
    rig.open().close();
    let path = Rig::last_segment(&rig.dir);
    let elsewhere = rig.dir.with_file_name("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    let linked = rig.open_at(&rig.dir);
    assert!(matches!(linked, Err(AuditError::Io { .. })), "{linked:?}");
}

#[tokio::test]
async fn a_write_torn_at_any_byte_is_cut_off_and_recorded() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 2).await;
    let before = journal.head();
    let kept = Rig::end_of_frames(&rig.dir);
    journal
        .record(event(Action::SecretSet))
        .await
        .unwrap()
        .is_all();
    let whole = rig.copy("whole");
    let end = Rig::end_of_frames(&whole);
    let bytes = fs::read(Rig::last_segment(&whole)).unwrap();
    assert!(end > kept);
    for cut in kept..end {
        // In a file that grew with the frame, and in room that was made before.
        assert_torn(&rig, &bytes[..cut], before, kept);
        let mut inside = bytes.clone();
        inside[cut..].fill(0);
        assert_torn(&rig, &inside, before, kept);
    }
    // After a power cut, blocks of the tail may hold another file's bytes.
    let mut half = bytes[..end].to_vec();
    half[kept + 300..].fill(0xa5);
    assert_torn(&rig, &half, before, kept);
}

fn assert_torn(rig: &Rig, bytes: &[u8], before: Head, kept: usize) {
    // Zeros were there before, or are as good as that.
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // What is kept may itself end in a zero.
    let torn = written.saturating_sub(kept);
    let copy = rig.copy("torn");
    fs::write(Rig::last_segment(&copy), bytes).unwrap();
    let journal = rig.open_at(&copy).unwrap();
    assert!(journal.contains(&before).unwrap());
    if torn == 0 {
        assert_eq!(journal.head(), before);
    } else {
        let gap = assert_gap_named(&journal, "torn_tail");
        assert_eq!(gap.bytes, u64::try_from(torn).unwrap());
    }
    let verdict = journal.verify(Some(before)).unwrap().verdict;
    assert_eq!(verdict, Verdict::Intact, "{torn} bytes were left");
}

#[tokio::test]
async fn a_writer_that_hangs_in_the_disk_does_not_answer_and_one_that_cannot_write_does() {
    let rig = Rig::new();
    let journal = rig.open();
    let patience = std::time::Duration::from_millis(100);
    assert!(journal.answers(std::time::Duration::from_secs(30)).await);
    let syncs = rig.disk.syncs.load(Ordering::SeqCst);
    assert!(journal.answers(std::time::Duration::from_secs(30)).await);
    assert_eq!(
        rig.disk.syncs.load(Ordering::SeqCst),
        syncs,
        "asking writes nothing"
    );
    rig.disk.stuck.store(true, Ordering::SeqCst);
    assert_refused(&journal).await;
    assert!(!journal.answers(patience).await);
    rig.disk.no_sync.store(true, Ordering::SeqCst);
    rig.disk.stuck.store(false, Ordering::SeqCst);
    until("the refusal", || !journal.healthy()).await;
    assert!(journal.answers(std::time::Duration::from_secs(30)).await);
}
