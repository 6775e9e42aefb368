//! A program that holds a key, and the ways in which it can fail.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use runtools_broker::custody::{Custodian, CustodianName, Custodians, Program, Provider, SlotKind};
use tempfile::TempDir;

use super::holders::Verdict::{self, Refused};
use super::holders::{Fault, Holder};
use super::sample::{sample, spoil, spoilt};

/// Who has the sample program in the settings.
pub(crate) fn program() -> Box<dyn Holder> {
    let place = tempfile::tempdir().unwrap();
    let (path, words) = spoilt(place.path(), sample(place.path()));
    let name = CustodianName::parse("sample").unwrap();
    let program = Program::new(&path, &words).within(Duration::from_secs(5));
    let who = Custodians::of(place.path()).with_program(SlotKind::Exec, name.clone(), program);
    Box::new(Plugin {
        custodian: who.find(SlotKind::Exec, name).unwrap(),
        place,
    })
}

struct Plugin {
    custodian: Custodian,
    place: TempDir,
}

impl Holder for Plugin {
    fn kind(&self) -> SlotKind {
        SlotKind::Exec
    }

    fn provider(&self) -> Provider<'_> {
        Provider::Custodian(&self.custodian)
    }

    fn inflict(&mut self, fault: Fault) -> Verdict {
        let dir = self.place.path();
        let codes: &[&str] = match fault {
            Fault::Away => {
                fs::rename(dir.join("spoiler"), dir.join("away")).unwrap();
                return Refused(&["custodian_program"]);
            }
            Fault::Short => &["short", "custodian_answer"],
            Fault::Long => &["long", "custodian_too_long"],
            Fault::Swapped => &["swapped", "wrong_answer"],
            Fault::Hang => &["hang", "custodian_hung"],
            Fault::Crash => &["crash", "custodian_broke"],
            Fault::OtherKeyId => &["other", "custodian_other_key"],
            Fault::Rude => &["rude", "custodian_refused"],
            Fault::Writable => {
                fs::set_permissions(dir.join("spoiler"), Permissions::from_mode(0o757)).unwrap();
                return Refused(&["custodian_program"]);
            }
        };
        spoil(dir, codes[0]);
        Refused(&codes[1..])
    }

    fn mend(&mut self) {
        let dir = self.place.path();
        drop(fs::rename(dir.join("away"), dir.join("spoiler")));
        fs::set_permissions(dir.join("spoiler"), Permissions::from_mode(0o755)).unwrap();
        spoil(dir, "well");
    }

    fn never_told(&self) -> Vec<String> {
        vec!["hunter2".into(), "AAAAAA".into()]
    }
}
