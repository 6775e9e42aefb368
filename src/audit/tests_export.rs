//! The attack table for exports: what was done to one, and what verification says.

use super::checkpoint::Checkpoint;
use super::tests_rig::{Rig, record, sign_key, store};
use super::{
    Fault, Head, Journal, Problem, Verdict, VerifyError, VerifyReport, export, verify_export,
    verify_export_knowing,
};
use crate::clock::Timestamp;
use crate::crypto::{Key, KeyRef, SigningKey};
use crate::id::{ObjectId, StoreId};

/// An export of nine records, with checkpoints after 3, 6 and 9: lines 4, 8 and 12 (counted from 0).
async fn exported(rig: &Rig) -> Vec<String> {
    let journal = rig.open();
    for _ in 0..3 {
        record(&journal, 3).await;
        journal.checkpoint().unwrap();
    }
    lines(&journal, 1)
}

fn lines(journal: &Journal, since: u64) -> Vec<String> {
    let mut out = Vec::new();
    journal.export(since, &mut out).unwrap();
    String::from_utf8(out)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn verify(lines: &[String]) -> VerifyReport {
    verify_knowing(lines, None)
}

fn verify_knowing(lines: &[String], known: Option<Head>) -> VerifyReport {
    let mut text = lines.join(
        "
",
    );
    text.push('\n');
    verify_export_knowing(text.as_bytes(), &sign_key().public(), known).unwrap()
}

fn tampered(first: u64, last: u64, problem: Problem) -> Verdict {
    Verdict::Tampered(Fault {
        first,
        last,
        problem,
    })
}

/// Gives each record from `line` on the number and hash that a forger would compute.
fn rechain(lines: &mut [String]) {
    let (_, mut head, _) = export::read_header(lines[0].as_bytes()).unwrap();
    for line in lines.iter_mut().skip(1) {
        if let Some(export::ExportLine::Record { line: record, .. }) =
            export::read_line(line.as_bytes())
        {
            let record = String::from_utf8(record.to_vec()).unwrap();
            let (_, rest) = record.split_once(',').unwrap();
            let record = format!("{{\"seq\":{},{rest}", head.seq + 1);
            head = head.after(record.as_bytes());
            let mut out = Vec::new();
            export::write_record(&mut out, &head, record.as_bytes());
            *line = String::from_utf8(out).unwrap().trim_end().to_owned();
        }
    }
}

fn checkpoint_line(store: StoreId, head: Head, key: &SigningKey) -> String {
    let time = Timestamp::from_millis(1_700_000_000_000);
    let note = Checkpoint { store, head, time }.sign(key);
    let mut out = Vec::new();
    export::write_checkpoint(&mut out, &note).unwrap();
    String::from_utf8(out).unwrap().trim_end().to_owned()
}

fn last_head(lines: &[String]) -> Head {
    verify(lines).head
}

#[tokio::test]
async fn an_export_that_nobody_touched_is_intact() {
    let rig = Rig::new();
    let lines = exported(&rig).await;
    let report = verify(&lines);
    assert_eq!(report.verdict, Verdict::Intact);
    assert_eq!(
        (report.records, report.checkpoints, report.clock_steps_back),
        (9, 3, 0)
    );
    let known = report.last_checkpoint.unwrap().head;
    assert_eq!(verify_knowing(&lines, Some(known)).verdict, Verdict::Intact);
    assert_eq!(
        verify_knowing(&lines, Some(Head::GENESIS)).verdict,
        Verdict::Intact
    );
}

#[tokio::test]
async fn an_export_may_begin_anywhere() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 5).await;
    for since in [0, 1, 2, 5] {
        let report = verify(&lines(&journal, since));
        assert_eq!(report.verdict, Verdict::Intact, "{since}");
        assert_eq!((report.from.seq + 1, report.head.seq), (since.max(1), 5));
    }
    assert_eq!(verify(&lines(&journal, 6)).records, 0);
    let text = lines(&journal, 4).join("\n");
    let before = verify_export_knowing(
        text.as_bytes(),
        &sign_key().public(),
        Some(Head {
            seq: 1,
            hash: [0; 32],
        }),
    );
    assert!(matches!(
        before,
        Err(VerifyError::KnownBefore { known: 1, from: 3 })
    ));
}

#[tokio::test]
async fn every_flipped_bit_of_a_record_names_that_record() {
    let rig = Rig::new();
    let lines = exported(&rig).await;
    // Line 6 is record 5.
    for at in 0..lines[6].len() {
        let mut copy = lines.clone();
        let mut bytes = copy[6].clone().into_bytes();
        bytes[at] ^= 1;
        copy[6] = String::from_utf8(bytes).unwrap();
        let Verdict::Tampered(fault) = verify(&copy).verdict else {
            panic!("byte {at}")
        };
        assert_eq!((fault.first, fault.last), (5, 5), "byte {at}");
    }
}

#[tokio::test]
async fn an_edit_that_is_chained_anew_contradicts_the_next_checkpoint() {
    let rig = Rig::new();
    let mut lines = exported(&rig).await;
    let all = lines.clone();
    lines[6] = lines[6].replace("secret.reveal", "secret.set");
    assert_eq!(verify(&lines).verdict, tampered(5, 5, Problem::Hash));
    rechain(&mut lines);
    assert_eq!(verify(&lines).verdict, tampered(4, 6, Problem::Rewritten));
    // Without the checkpoints that contradict it, nothing covers it.
    lines.retain(|line| !line.starts_with(r#"{"checkpoint""#));
    assert_eq!(verify(&lines).verdict, Verdict::Incomplete { covered: 0 });
    // Signed with a stolen key, only a position kept elsewhere tells.
    lines.push(checkpoint_line(store(), verify(&lines).head, &sign_key()));
    assert_eq!(verify(&lines).verdict, Verdict::Intact);
    let known = last_head(&all);
    assert_eq!(
        verify_knowing(&lines, Some(known)).verdict,
        tampered(1, 9, Problem::Known)
    );
}

#[tokio::test]
async fn deleted_swapped_and_doubled_records_are_named() {
    let rig = Rig::new();
    let lines = exported(&rig).await;
    let mut deleted = lines.clone();
    deleted.remove(6);
    assert_eq!(
        verify(&deleted).verdict,
        tampered(5, 5, Problem::Sequence { found: 6 })
    );
    rechain(&mut deleted);
    assert_eq!(verify(&deleted).verdict, tampered(4, 6, Problem::Rewritten));
    let mut swapped = lines.clone();
    swapped.swap(5, 6);
    assert_eq!(
        verify(&swapped).verdict,
        tampered(4, 4, Problem::Sequence { found: 5 })
    );
    let mut doubled = lines.clone();
    doubled.insert(6, lines[6].clone());
    assert_eq!(
        verify(&doubled).verdict,
        tampered(6, 6, Problem::Sequence { found: 5 })
    );
    let mut foreign = lines;
    foreign[6] = "{}".to_owned();
    assert_eq!(
        verify(&foreign).verdict,
        tampered(5, 5, Problem::Unreadable)
    );
}

#[tokio::test]
async fn a_cut_tail_is_incomplete_or_misses_a_known_position() {
    let rig = Rig::new();
    let lines = exported(&rig).await;
    let known = last_head(&lines);
    // The last checkpoint is gone, and with it one record.
    let report = verify(&lines[..11]);
    assert_eq!(report.verdict, Verdict::Incomplete { covered: 6 });
    assert_eq!(report.head.seq, 8);
    // Cut right behind a checkpoint, or replaced by an older whole export: the same bytes.
    let older = &lines[..9];
    assert_eq!(verify(older).verdict, Verdict::Intact);
    assert_eq!(
        verify_knowing(older, Some(known)).verdict,
        tampered(7, 9, Problem::Known)
    );
    // Cut within a line.
    let text = lines.join("\n");
    let cut = verify_export(&text.as_bytes()[..text.len() - 5], &sign_key().public()).unwrap();
    assert_eq!(cut.verdict, Verdict::Incomplete { covered: 6 });
    let nothing = verify(&lines[..1]);
    assert_eq!(nothing.verdict, Verdict::Incomplete { covered: 0 });
}

#[tokio::test]
async fn two_journals_cannot_be_spliced() {
    let rig = Rig::new();
    let lines = exported(&rig).await;
    let other = Rig::new();
    other.clock.advance_millis(5);
    let other = exported(&other).await;
    let spliced = [&lines[..6], &other[6..]].concat();
    assert_eq!(verify(&spliced).verdict, tampered(5, 5, Problem::Hash));
}

#[tokio::test]
async fn forged_and_foreign_checkpoints_are_refused() {
    let rig = Rig::new();
    let mut lines = exported(&rig).await;
    let head = last_head(&lines);
    let name = KeyRef {
        id: ObjectId::from_bytes([5; 16]),
        version: 1,
    };
    let other = Key::from_bytes(name, &mut [5; 32]).unwrap();
    let other = SigningKey::from_seed(&other).unwrap();
    lines[12] = checkpoint_line(store(), head, &other);
    assert_eq!(verify(&lines).verdict, tampered(9, 9, Problem::Forged));
    lines[12] = checkpoint_line(StoreId::from_random([9; 16]), head, &sign_key());
    assert_eq!(verify(&lines).verdict, tampered(9, 9, Problem::OtherStore));
    let text = lines.join("\n");
    let wrong_key = verify_export(text.as_bytes(), &other.public()).unwrap();
    assert_eq!(wrong_key.verdict, tampered(3, 3, Problem::Forged));
    assert!(matches!(
        verify_export(&b"{}\n"[..], &other.public()),
        Err(VerifyError::NotAnExport)
    ));
}

#[tokio::test]
async fn a_clock_that_was_set_back_is_shown_and_no_fault() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 2).await;
    rig.clock.advance_millis(-5000);
    record(&journal, 2).await;
    let report = verify(&lines(&journal, 1));
    assert_eq!(report.verdict, Verdict::Intact);
    assert_eq!(
        (report.clock_steps_back, report.first_step_back),
        (1, Some(3))
    );
}

#[test]
fn a_line_without_end_is_read_in_bounded_memory() {
    let rig = Rig::new();
    let header = export::header(store(), Head::GENESIS, &sign_key().public()).unwrap();
    drop(rig);
    let endless = std::io::Read::chain(&header[..], std::io::repeat(b'a'));
    let report = verify_export(std::io::BufReader::new(endless), &sign_key().public()).unwrap();
    assert_eq!(report.verdict, tampered(1, 1, Problem::Unreadable));
}
