//! Whoever opens a slot, one of each kind, and the ways in which each can fail.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use runtools_broker::crypto::{Random, SystemRandom, sha256_parts};
use runtools_broker::custody::{
    CREDENTIAL, Custodian, CustodianName, Custodians, Provider, Share, SlotKind,
};
use runtools_broker::secret::Secret;
use tempfile::TempDir;

use super::devices::device;
use super::plugins::program;

/// What can go wrong with a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not there.
    Away,
    /// What it yields is cut short.
    Short,
    /// What it yields goes on and on.
    Long,
    /// It yields another key of the right form.
    Swapped,
    /// It never answers.
    Hang,
    /// It ends amid its answer.
    Crash,
    /// It says itself that it has another key than the slot was made with.
    OtherKeyId,
    /// It says no, and more than it should.
    Rude,
    /// Others can change what it is.
    Writable,
}

pub(crate) const FAULTS: [Fault; 9] = [
    Fault::Away,
    Fault::Short,
    Fault::Long,
    Fault::Swapped,
    Fault::Hang,
    Fault::Crash,
    Fault::OtherKeyId,
    Fault::Rude,
    Fault::Writable,
];

/// What a fault must lead to.
pub(crate) enum Verdict {
    /// The slot does not open, and says one of these.
    Refused(&'static [&'static str]),
    /// This kind cannot fail so, for this reason.
    DoesNotApply(&'static str),
}

use Verdict::{DoesNotApply, Refused};

/// Whoever opens a slot.
pub(crate) trait Holder {
    fn kind(&self) -> SlotKind;
    fn provider(&self) -> Provider<'_>;
    /// Has it fail so, until it is mended.
    fn inflict(&mut self, fault: Fault) -> Verdict;
    fn mend(&mut self);
    /// Texts that no refusal may repeat.
    fn never_told(&self) -> Vec<String> {
        Vec::new()
    }
}

/// One of each kind.
pub(crate) fn every_kind() -> Vec<Box<dyn Holder>> {
    vec![
        key_file(),
        passphrase(),
        credential(),
        people(),
        program(),
        device(),
    ]
}

/// Who has a key file, which is not there yet.
pub(crate) fn key_file() -> Box<dyn Holder> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("own.key");
    Box::new(InFile {
        _place: place,
        path,
        kept: Vec::new(),
        custodian: None,
    })
}

/// The service to which systemd gave a credential.
pub(crate) fn credential() -> Box<dyn Holder> {
    let place = tempfile::tempdir().unwrap();
    let name = CustodianName::parse(CREDENTIAL).unwrap();
    let path = place.path().join(CREDENTIAL);
    let random: &dyn Random = &SystemRandom;
    let drawn: [u8; 32] = random.bytes().unwrap();
    private(&path, &drawn);
    let who = Custodians::of(place.path()).with_credentials(Some(place.path().to_owned()));
    Box::new(InFile {
        custodian: Some(who.find(SlotKind::Credential, name).unwrap()),
        _place: place,
        path,
        kept: Vec::new(),
    })
}

/// 32 bytes in a file: the broker's own, or a credential of its service.
struct InFile {
    _place: TempDir,
    path: PathBuf,
    kept: Vec<u8>,
    custodian: Option<Custodian>,
}

impl Holder for InFile {
    fn kind(&self) -> SlotKind {
        self.provider().kind()
    }

    fn provider(&self) -> Provider<'_> {
        match &self.custodian {
            Some(custodian) => Provider::Custodian(custodian),
            None => Provider::KeyFile(&self.path),
        }
    }

    fn inflict(&mut self, fault: Fault) -> Verdict {
        let kept = fs::read(&self.path).unwrap();
        let put = |bytes: &[u8]| fs::write(&self.path, bytes).unwrap();
        let verdict = match fault {
            Fault::Away => {
                fs::remove_file(&self.path).unwrap();
                Refused(&["key_path_missing", "credential_missing"])
            }
            Fault::Short => {
                put(&kept[..31]);
                Refused(&["key_file_length"])
            }
            Fault::Long => {
                put(&kept.repeat(1 << 15));
                Refused(&["key_file_length"])
            }
            Fault::Swapped => {
                put(&[9; 32]);
                Refused(&["wrong_key_file", "wrong_credential"])
            }
            Fault::Hang => {
                fs::remove_file(&self.path).unwrap();
                pipe(&self.path);
                Refused(&["key_path_kind"])
            }
            Fault::Crash => return DoesNotApply("a file has no moment in which it could end"),
            Fault::OtherKeyId => return DoesNotApply("a file has no id: another one is swapped"),
            Fault::Rude => return DoesNotApply("a file says nothing"),
            Fault::Writable => {
                let wide = Permissions::from_mode(0o606);
                fs::set_permissions(&self.path, wide).unwrap();
                Refused(&["key_path_mode"])
            }
        };
        self.kept = kept;
        verdict
    }

    fn mend(&mut self) {
        drop(fs::remove_file(&self.path));
        private(&self.path, &self.kept);
    }
}

/// Who knows a passphrase, which nobody else knows.
pub(crate) fn passphrase() -> Box<dyn Holder> {
    static PEOPLE: AtomicU32 = AtomicU32::new(1);
    let person = PEOPLE.fetch_add(1, Ordering::Relaxed);
    let right = format!("correct horse battery staple lantern {person}");
    let said = Secret::copy_of(right.as_bytes());
    Box::new(Words { right, said })
}

/// The words as they are, and as they are said.
struct Words {
    right: String,
    said: Secret,
}

impl Holder for Words {
    fn kind(&self) -> SlotKind {
        SlotKind::Passphrase
    }

    fn provider(&self) -> Provider<'_> {
        Provider::Passphrase(&self.said)
    }

    fn inflict(&mut self, fault: Fault) -> Verdict {
        let right = &self.right;
        let said = match fault {
            Fault::Away => return DoesNotApply("without the person nothing is tried"),
            Fault::Short => right[..right.len() - 1].to_owned(),
            Fault::Long => right.repeat(2000),
            Fault::Swapped => right.replace("horse", "mouse"),
            Fault::Hang => return DoesNotApply("until the words are there nothing is tried"),
            Fault::Crash => return DoesNotApply("words are whole, or they are other words"),
            Fault::OtherKeyId => return DoesNotApply("words have no id"),
            Fault::Rude | Fault::Writable => return DoesNotApply("words are in somebody's head"),
        };
        self.said = Secret::take(said.into_bytes());
        Refused(&["wrong_passphrase"])
    }

    fn mend(&mut self) {
        self.said = Secret::copy_of(self.right.as_bytes());
    }

    fn never_told(&self) -> Vec<String> {
        vec![self.right.clone(), "battery".into()]
    }
}

/// Five people, of whom three must come together.
fn people() -> Box<dyn Holder> {
    let all = Share::deal(5, 3, &SystemRandom).unwrap();
    Box::new(People { all, some: None })
}

/// Everybody's shares, and those of who came when it is not everybody.
struct People {
    all: Vec<Share>,
    some: Option<Vec<Share>>,
}

impl People {
    fn copy(&self, at: usize) -> Share {
        Share::parse(&self.all[at].text()).unwrap()
    }

    /// A share whose letters are right and whose values are not: the first person's, as the third's.
    fn forged(&self) -> Share {
        let bytes = |share: &Share| {
            let text = share.text();
            let letters = text.expose(|text| {
                let letters = text[9..].iter().filter(|letter| **letter != b'-');
                letters.map(u8::to_ascii_uppercase).collect::<Vec<_>>()
            });
            data_encoding::BASE32_NOPAD.decode(&letters).unwrap()
        };
        let (first, third) = (bytes(&self.all[0]), bytes(&self.all[2]));
        let mut forged = [&third[..19], &first[19..51]].concat();
        let check = sha256_parts(&[b"runtools share", &forged]);
        forged.extend_from_slice(&check[..4]);
        let text = format!("rtshare1-{}", data_encoding::BASE32_NOPAD.encode(&forged));
        Share::parse(&Secret::take(text.into_bytes())).unwrap()
    }
}

impl Holder for People {
    fn kind(&self) -> SlotKind {
        SlotKind::Shares
    }

    fn provider(&self) -> Provider<'_> {
        Provider::Shares(self.some.as_deref().unwrap_or(&self.all))
    }

    fn inflict(&mut self, fault: Fault) -> Verdict {
        let some = match fault {
            Fault::Away => Vec::new(),
            Fault::Short => vec![self.copy(0), self.copy(1)],
            Fault::Long => vec![self.copy(0), self.copy(0), self.copy(1), self.copy(2)],
            Fault::Swapped => vec![self.copy(0), self.copy(1), self.forged()],
            Fault::OtherKeyId => Share::deal(5, 3, &SystemRandom).unwrap(),
            Fault::Hang => return DoesNotApply("until there are enough nothing is tried"),
            Fault::Crash => return DoesNotApply("a share that is cut is no share: it is not read"),
            Fault::Rude | Fault::Writable => return DoesNotApply("a share is on somebody's paper"),
        };
        self.some = Some(some);
        Refused(&["wrong_shares"])
    }

    fn mend(&mut self) {
        self.some = None;
    }

    fn never_told(&self) -> Vec<String> {
        let texts = self.all.iter().map(Share::text);
        let group = |text: Secret| text.expose(|text| String::from_utf8(text[45..53].to_vec()));
        texts.map(|text| group(text).unwrap()).collect()
    }
}

/// A file that only its owner may read.
pub(crate) fn private(path: &std::path::Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// A pipe that nobody writes into.
fn pipe(path: &std::path::Path) {
    let made = Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}
