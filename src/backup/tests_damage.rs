//! A backup is hostile input: whatever was done to it is refused in words, and nothing panics.

use std::io::Write;

use proptest::prelude::*;

use super::tests_rig::{backup, identities, plaintext, used, wish};
use super::{BackupError, envelope, inspect, read};

fn opened(file: &[u8]) -> Result<(), BackupError> {
    read(file, &identities(), &mut |_| Ok(()), &mut |_| Ok(())).map(drop)
}

/// The file whose inside this is.
fn sealed(file: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let outer = inspect(file).unwrap();
    let mut sealing = envelope::seal(&outer, &wish().recipients, &mut out).unwrap();
    sealing.write_all(plain).unwrap();
    sealing.finish().unwrap();
    out
}

fn a_backup() -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(async {
        let rig = used("a value").await;
        backup(&rig, &wish()).0
    })
}

#[expect(clippy::disallowed_methods, reason = "who runs it says how long")]
fn is_slow() -> bool {
    std::env::var_os("RUNTOOLS_SLOW").is_some()
}

/// Where the header of the age file ends.
fn header_end(file: &[u8]) -> usize {
    let mac = file
        .windows(5)
        .position(|window| window == b"\n--- ")
        .unwrap();
    mac + 5
        + file[mac + 5..]
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap()
}

#[test]
fn no_byte_can_be_altered() {
    let file = a_backup();
    opened(&file).unwrap();
    let end = header_end(&file);
    // All of the header, all of the nonce and the first bytes; of the rest, which is one construction, some, and in
    // the slow run all.
    let sampled = (end + 40..file.len()).step_by(if is_slow() { 1 } else { 41 });
    for at in (0..end + 40).chain(sampled).chain([file.len() - 1]) {
        let mut altered = file.clone();
        altered[at] ^= 1 << (at % 8);
        let refused = opened(&altered).unwrap_err();
        let told = matches!(
            refused,
            BackupError::Damaged { .. } | BackupError::NotABackup | BackupError::WrongIdentity
        );
        assert!(told, "{at}: {refused:?}");
    }
}

#[test]
fn nothing_can_be_cut_off_or_added() {
    let file = a_backup();
    let end = header_end(&file);
    let steps = if is_slow() { (1, 1) } else { (3, 97) };
    let lengths = (0..end + 60)
        .step_by(steps.0)
        .chain((end..file.len()).step_by(steps.1));
    for length in lengths.chain(file.len() - 20..file.len()) {
        let refused = opened(&file[..length]).unwrap_err();
        let told = matches!(
            refused,
            BackupError::Damaged { .. } | BackupError::NotABackup
        );
        assert!(told, "{length}: {refused:?}");
    }
    for more in [1, 16, 70_000] {
        let mut longer = file.clone();
        longer.resize(file.len() + more, 7);
        assert!(matches!(opened(&longer), Err(BackupError::Damaged { .. })));
    }
}

#[test]
fn whoever_can_encrypt_can_neither_leave_out_nor_move_nor_add_a_frame() {
    let file = a_backup();
    let plain = plaintext(&file);
    opened(&sealed(&file, &plain)).unwrap();
    let mut frames = vec![];
    let mut at = 9;
    while at < plain.len() {
        let length = u32::from_be_bytes(plain[at + 1..at + 5].try_into().unwrap());
        let next = at + 5 + usize::try_from(length).unwrap();
        frames.push(&plain[at..next]);
        at = next;
    }
    assert!(frames.len() >= 5, "head, records, ring, segment, end");
    let refused = |frames: &[&[u8]]| {
        let mut changed = plain[..9].to_vec();
        changed.extend(frames.concat());
        opened(&sealed(&file, &changed)).unwrap_err()
    };
    for at in 0..frames.len() {
        let mut without = frames.clone();
        without.remove(at);
        let error = refused(&without);
        let told = matches!(error, BackupError::Damaged { .. } | BackupError::Forged);
        assert!(told, "without {at}: {error:?}");
        let mut twice = frames.clone();
        twice.insert(at, frames[at]);
        let error = refused(&twice);
        let told = matches!(error, BackupError::Damaged { .. } | BackupError::Forged);
        assert!(told, "twice {at}: {error:?}");
    }
    let mut later = plain.clone();
    later[8] = 2;
    let error = opened(&sealed(&file, &later)).unwrap_err();
    assert!(matches!(error, BackupError::Version(2)));
}

#[test]
fn another_age_file_is_told_as_that() {
    let mut out = Vec::new();
    let recipients = wish().recipients.of_age();
    let all = recipients.iter().map(|it| -> &dyn age::Recipient { it });
    let encryptor = age::Encryptor::with_recipients(all).unwrap();
    let mut writing = encryptor.wrap_output(&mut out).unwrap();
    writing.write_all(b"holiday.jpg").unwrap();
    writing.finish().unwrap();
    assert!(matches!(opened(&out), Err(BackupError::NotABackup)));
    assert!(matches!(inspect(&*out), Err(BackupError::NotABackup)));
    for text in ["", "x", "age-encryption.org/v1\n", "{}"] {
        assert!(matches!(
            inspect(text.as_bytes()),
            Err(BackupError::NotABackup)
        ));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_was_altered_inside_is_refused_and_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        use std::sync::OnceLock;
        static FILE: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
        let (file, plain) = FILE.get_or_init(|| {
            let file = a_backup();
            let plain = plaintext(&file);
            (file, plain)
        });
        let mut altered = plain.clone();
        for (at, mask) in &changes {
            let at = at.index(altered.len());
            altered[at] ^= mask;
        }
        if let Some(cut) = cut {
            altered.truncate(cut.index(plain.len()));
        }
        prop_assume!(altered != *plain);
        prop_assert!(opened(&sealed(file, &altered)).is_err());
    }

    #[test]
    fn looking_at_anything_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(inspect(&*bytes).is_err());
        let header = [b"age-encryption.org/v1\n-> runtools-backup 1 ", &bytes[..]].concat();
        prop_assert!(inspect(&*header).is_err());
    }
}

/// A header that never ends, and how much of it was read.
struct Endless(usize);

impl std::io::Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        const LINE: &[u8] = b"-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAA\n";
        const FIRST: &[u8] = b"age-encryption.org/v1\n";
        for byte in out.iter_mut() {
            let after = self.0.checked_sub(FIRST.len());
            *byte = after.map_or_else(|| FIRST[self.0], |at| LINE[at % LINE.len()]);
            self.0 += 1;
        }
        Ok(out.len())
    }
}

#[test]
fn of_a_header_without_end_no_more_is_read_than_one_is_long() {
    let mut endless = Endless(0);
    let refused = inspect(&mut endless).unwrap_err();
    assert!(matches!(refused, BackupError::NotABackup), "{refused}");
    assert!(endless.0 <= 64 << 10, "{}", endless.0);
    let mut endless = Endless(0);
    let read = read(
        &mut endless,
        &identities(),
        &mut |_| Ok(()),
        &mut |_| Ok(()),
    );
    let refused = read.map(drop).unwrap_err();
    assert!(matches!(refused, BackupError::NotABackup), "{refused}");
    assert!(endless.0 <= 64 << 10, "{}", endless.0);
}
