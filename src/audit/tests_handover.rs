//! The journal's keys hand over, and whoever follows the chain, with any of them, sees that they did.

use super::checkpoint::Checkpoint;
use super::tests_rig::{Rig, event, keys, record, sign_key, store};
use super::{
    Action, AuditError, Fault, Filter, Head, Journal, JournalKey, JournalKeys, Known, Problem,
    Scope, Signer, Verdict, VerifyReport, export, verify_export,
};
use crate::clock::Timestamp;
use crate::crypto::{Key, KeyRef, PublicKey, SigningKey};
use crate::id::ObjectId;

fn key(version: u32, byte: u8) -> Key {
    let id = ObjectId::from_bytes([1; 16]);
    Key::from_bytes(KeyRef { id, version }, &mut [byte; 32]).unwrap()
}

fn signing(byte: u8) -> SigningKey {
    SigningKey::from_seed(&key(1, byte)).unwrap()
}

/// The second generation, or a later one.
fn next(version: u32) -> JournalKey {
    let byte = u8::try_from(20 + version).unwrap();
    JournalKey::new(key(version, byte), Signer::Signs(signing(100 + byte)))
}

/// The first generation and those up to `last`, of which only the last two still sign.
fn all(last: u32) -> JournalKeys {
    let first = keys(1).active().clone();
    let generations = std::iter::once(first).chain((2..=last).map(next));
    let signs = |generation: JournalKey| {
        let sealed = key(
            generation.version(),
            match generation.version() {
                1 => 1,
                version => u8::try_from(20 + version).unwrap(),
            },
        );
        if generation.version() + 1 < last {
            JournalKey::new(sealed, Signer::Gone(generation.public()))
        } else {
            generation
        }
    };
    JournalKeys::new(generations.map(signs).collect()).unwrap()
}

fn exported(journal: &Journal, since: u64) -> Vec<u8> {
    let mut out = Vec::new();
    journal.export(since, &mut out).unwrap();
    out
}

fn verify(export: &[u8], public: PublicKey) -> VerifyReport {
    verify_export(export, &public).unwrap()
}

fn lines(export: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(export).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn joined(lines: &[String]) -> Vec<u8> {
    let mut text = lines.join("\n");
    text.push('\n');
    text.into_bytes()
}

fn forged(at: u64) -> Verdict {
    Verdict::Tampered(Fault {
        first: at,
        last: at,
        problem: Problem::Forged,
    })
}

/// Three records, a handover, three more; the handover's number.
async fn handed_over(journal: &Journal) -> u64 {
    record(journal, 3).await;
    let head = journal.hand_over(next(2)).unwrap();
    record(journal, 3).await;
    journal.checkpoint().unwrap();
    head.seq
}

#[tokio::test]
async fn an_export_across_the_change_is_intact_by_either_key_and_by_no_other() {
    let rig = Rig::new();
    let journal = rig.open();
    assert_eq!(handed_over(&journal).await, 4);
    let (old, new) = (sign_key().public(), next(2).public());
    assert_eq!((journal.public_key(), journal.key_version()), (new, 2));
    let export = exported(&journal, 1);
    for key in [old, new] {
        let report = verify(&export, key);
        assert_eq!((report.verdict, report.records), (Verdict::Intact, 7));
        assert_eq!(report.signer, new);
    }
    let stranger = signing(77).public();
    assert_eq!(verify(&export, stranger).verdict, forged(4));
    assert_eq!(
        journal.verify(None).unwrap().verdict,
        Verdict::Intact,
        "also where it lies"
    );
    // From there on the old one says nothing, and before it the new one does not appear.
    let later = exported(&journal, 5);
    assert_eq!(verify(&later, new).verdict, Verdict::Intact);
    assert_eq!(verify(&later, old).verdict, forged(7));
    // At the change itself both have signed.
    let notes: Vec<_> = lines(&export)
        .iter()
        .filter_map(|line| export::read_checkpoint(line.as_bytes()).map(String::from))
        .collect();
    let at = |note: &str, key| Checkpoint::parse(note, &key).ok().map(|it| it.head.seq);
    assert_eq!(at(&notes[0], old), Some(4));
    assert_eq!(at(&notes[1], new), Some(4));
}

#[tokio::test]
async fn what_was_written_before_is_read_after_any_number_of_changes_and_starts() {
    let rig = Rig::new();
    let journal = rig.open();
    handed_over(&journal).await;
    journal.hand_over(next(3)).unwrap();
    record(&journal, 2).await;
    journal.close();
    let journal = rig.open_as(&rig.dir, store(), all(3)).unwrap();
    assert_eq!(journal.key_version(), 3);
    let page = journal.query(&Filter::new(Scope::All)).unwrap();
    let reveals = page.entries.iter();
    let reveals = reveals.filter(|entry| entry.event.action == Action::SecretReveal);
    assert_eq!(reveals.count(), 8);
    assert_eq!(journal.verify(None).unwrap().verdict, Verdict::Intact);
    let export = exported(&journal, 1);
    for key in [sign_key().public(), next(2).public(), next(3).public()] {
        assert_eq!(verify(&export, key).verdict, Verdict::Intact);
    }
    journal.close();
    // Without the key that its last segment is under, it is another journal's.
    let other = rig.open_as(&rig.dir, store(), all(2)).unwrap_err();
    assert!(matches!(other, AuditError::OtherKey { .. }), "{other:?}");
}

#[tokio::test]
async fn one_that_was_killed_after_it_was_announced_goes_on_under_the_old_and_hands_over_again() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 3).await;
    let head = journal.hand_over(next(2)).unwrap();
    let killed = rig.copy("killed");
    let last = Rig::last_segment(&killed);
    std::fs::remove_file(last).unwrap();
    let journal = rig.open_as(&killed, store(), all(2)).unwrap();
    assert_eq!((journal.key_version(), journal.head()), (1, head));
    record(&journal, 2).await;
    journal.checkpoint().unwrap();
    assert_eq!(journal.hand_over(next(2)).unwrap().seq, 7);
    record(&journal, 1).await;
    assert_eq!(journal.key_version(), 2);
    let export = exported(&journal, 1);
    for key in [sign_key().public(), next(2).public()] {
        assert_eq!(verify(&export, key).verdict, Verdict::Intact);
    }
    // Killed before the next key had signed anything: its segment is there, and empty.
    let killed = rig.copy("begun");
    let segment = Rig::last_segment(&killed);
    let bytes = std::fs::read(&segment).unwrap();
    let seal = super::segment::Seal {
        store: store(),
        keys: &all(2),
    };
    let start = super::segment::Segment::open(&killed, 5, seal)
        .unwrap()
        .start;
    std::fs::write(&segment, &bytes[..usize::try_from(start).unwrap()]).unwrap();
    assert_eq!(examined(&killed, &all(2)).verdict, Verdict::Intact);
    let journal = rig.open_as(&killed, store(), all(2)).unwrap();
    // It signs at once: the key before may be destroyed from now on.
    assert_eq!(journal.verify(None).unwrap().verdict, Verdict::Intact);
    let export = exported(&journal, 1);
    assert_eq!(verify(&export, next(2).public()).verdict, Verdict::Intact);
    let forgotten = rig.copy_of(&killed, "forgotten");
    assert_eq!(examined(&forgotten, &gone(2)).verdict, Verdict::Intact);
    record(&journal, 1).await;
    assert_eq!(journal.key_version(), 2);
    let export = exported(&journal, 1);
    for key in [sign_key().public(), next(2).public()] {
        assert_eq!(verify(&export, key).verdict, Verdict::Intact);
    }
}

/// The generations up to `last`, of which only that one still signs.
fn gone(last: u32) -> JournalKeys {
    let before = (1..last).map(|version| {
        let (sealed, public) = match version {
            1 => (key(1, 1), sign_key().public()),
            version => (
                key(version, u8::try_from(20 + version).unwrap()),
                next(version).public(),
            ),
        };
        JournalKey::new(sealed, Signer::Gone(public))
    });
    JournalKeys::new(before.chain([next(last)]).collect()).unwrap()
}

/// What a look at a journal that nobody has open says of its chain.
fn examined(dir: &std::path::Path, keys: &JournalKeys) -> VerifyReport {
    let known = Known {
        head: Head::GENESIS,
        generation: 0,
    };
    let report = Journal::examine(dir, store(), keys, known, u64::MAX);
    report.unwrap().unwrap()
}

#[tokio::test]
async fn the_key_before_vouches_for_an_empty_segment_of_the_next_and_for_nothing_else() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 3).await;
    journal.hand_over(next(2)).unwrap();
    record(&journal, 3).await;
    journal.close();
    let emptied = |name: &str, first: u64| {
        let copy = rig.copy(name);
        let seal = super::segment::Seal {
            store: store(),
            keys: &all(2),
        };
        let segment = super::segment::Segment::open(&copy, first, seal).unwrap();
        segment.file.set_len(segment.start).unwrap();
        copy
    };
    let cut = emptied("cut", 5);
    let report = examined(&cut, &all(2));
    assert_eq!((report.verdict, report.head.seq), (Verdict::Intact, 4));
    // Once the key before is gone, the next one had signed.
    assert_eq!(examined(&cut, &gone(2)).verdict, forged(4));
    // Nothing stands before a beginning but what did when it was made.
    let before = super::segment::path_of(&cut, 1);
    let bytes = std::fs::read(&before).unwrap();
    let seal = super::segment::Seal {
        store: store(),
        keys: &all(2),
    };
    let segment = super::segment::Segment::open(&cut, 1, seal).unwrap();
    let (frames, _) = segment.index(u64::MAX);
    let shorter = frames[frames.len() - 2].end();
    std::fs::write(&before, &bytes[..usize::try_from(shorter).unwrap()]).unwrap();
    let report = examined(&cut, &all(2));
    assert!(matches!(report.verdict, Verdict::Tampered(_)), "{report:?}");
}

fn checkpoint(head: Head, key: &SigningKey) -> String {
    let time = Timestamp::from_millis(1_700_000_000_000);
    let store = store();
    let note = Checkpoint { store, head, time }.sign(key);
    let mut out = Vec::new();
    export::write_checkpoint(&mut out, &note).unwrap();
    String::from_utf8(out).unwrap().trim_end().to_owned()
}

/// A record's line of an export that continues `head`.
fn appended(head: &mut Head, text: &str) -> String {
    let line = text.replace("SEQ", &(head.seq + 1).to_string());
    *head = head.after(line.as_bytes());
    let mut out = Vec::new();
    export::write_record(&mut out, head, line.as_bytes());
    String::from_utf8(out).unwrap().trim_end().to_owned()
}

#[tokio::test]
async fn nobody_hands_over_but_the_key_in_force() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 3).await;
    let export = exported(&journal, 1);
    let mut head = journal.head();
    let (thief, new) = (signing(77), next(2).public());
    let hex = data_encoding::HEXLOWER.encode(&thief.public().0);
    let announces = format!(
        r#"{{"seq":SEQ,"time":"2026-11-23T09:30:00.000Z","action":"audit.hand_over","actor":{{"type":"system"}},"targets":[{{"kind":"key","name":"{hex}"}}]}}"#
    );
    // Announced, and not signed by the one in force.
    let mut attack = lines(&export);
    attack.push(appended(&mut head, &announces));
    attack.push(checkpoint(head, &thief));
    for key in [sign_key().public(), thief.public()] {
        assert!(matches!(
            verify(&joined(&attack), key).verdict,
            Verdict::Tampered(_)
        ));
    }
    // The key before, which somebody kept, signs on after the change.
    handed_over(&journal).await;
    let mut attack = lines(&exported(&journal, 1));
    attack.push(checkpoint(journal.head(), &sign_key()));
    for key in [sign_key().public(), new] {
        assert_eq!(
            verify(&joined(&attack), key).verdict,
            forged(journal.head().seq)
        );
    }
    // With it, a chain that hands over to the thief is as good as any to whoever has that key alone; who was
    // given the new one sees that it is missing.
    let mut head = Head::GENESIS;
    let mut made = lines(&export)[..1].to_vec();
    made.push(appended(&mut head, &announces));
    made.push(checkpoint(head, &sign_key()));
    made.push(checkpoint(head, &thief));
    assert_eq!(verify(&joined(&made), new).verdict, forged(1));
}

#[tokio::test]
async fn a_reader_who_comes_while_keys_take_over_finds_the_journal_intact() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 3).await;
    journal.checkpoint().unwrap();
    // They are known to follow, and their segment is not published yet.
    journal.shared().follow_with(next(2));
    assert_eq!(journal.verify(None).unwrap().verdict, Verdict::Intact);
}

#[tokio::test]
async fn keys_have_taken_over_once_something_is_durable_under_them_and_not_before() {
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 3).await;
    // What is open can be written, and no other file be begun.
    let blocked = super::segment_file(&rig.dir, 5);
    std::fs::create_dir(&blocked).unwrap();
    let refused = journal.hand_over(next(2)).unwrap_err();
    assert!(matches!(refused, AuditError::Unavailable), "{refused:?}");
    assert_eq!((journal.key_version(), journal.head().seq), (1, 4));
    // Whoever is killed now needs the keys before.
    let killed = rig.copy("killed");
    let reopened = rig.open_as(&killed, store(), all(2)).unwrap();
    assert_eq!(reopened.key_version(), 1);
    reopened.close();
    std::fs::remove_dir(&blocked).unwrap();
    super::tests_rig::until("it is written again", || journal.healthy()).await;
    journal.hand_over(next(2)).unwrap();
    assert_eq!(journal.key_version(), 2);
    record(&journal, 1).await;
    journal.checkpoint().unwrap();
    assert_eq!(journal.verify(None).unwrap().verdict, Verdict::Intact);
    let export = exported(&journal, 1);
    for key in [sign_key().public(), next(2).public()] {
        assert_eq!(verify(&export, key).verdict, Verdict::Intact);
    }
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_hands_nothing_over() {
    use std::sync::atomic::Ordering;
    let rig = Rig::new();
    let journal = rig.open();
    record(&journal, 1).await;
    rig.disk.full.store(true, Ordering::SeqCst);
    let refused = journal.hand_over(next(2)).unwrap_err();
    assert!(matches!(refused, AuditError::Unavailable), "{refused:?}");
    assert_eq!(journal.key_version(), 1);
    rig.disk.full.store(false, Ordering::SeqCst);
    super::tests_rig::until("it is written again", || journal.healthy()).await;
    journal.hand_over(next(2)).unwrap();
    journal.note(event(Action::SecretReveal)).await.unwrap();
    journal.checkpoint().unwrap();
    assert_eq!(journal.verify(None).unwrap().verdict, Verdict::Intact);
}
