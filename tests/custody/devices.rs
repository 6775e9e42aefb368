//! A device that holds a key, and the ways in which it can fail.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use runtools_broker::custody::{Custodian, CustodianName, Custodians, Program, Provider, SlotKind};

use super::holders::Verdict::{self, DoesNotApply, Refused};
use super::holders::{Fault, Holder};
use super::softhsm::Token;

/// Who has a token of `SoftHSM` in the settings, asked by the broker's own program.
pub(crate) fn device() -> Box<dyn Holder> {
    let token = Token::new();
    let words = [
        "pkcs11".to_owned(),
        format!("--library={}", token.library.display()),
        "--token=broker".to_owned(),
        "--key=root".to_owned(),
        format!("--pin-file={}", token.pin_file.display()),
    ];
    let settings = token.settings().display().to_string();
    let environment = BTreeMap::from([("SOFTHSM2_CONF".to_owned(), settings)]);
    let broker = Path::new(env!("CARGO_BIN_EXE_runtools-broker"));
    let program = Program::new(broker, &words);
    let program = program
        .with_environment(&environment)
        .within(Duration::from_secs(5));
    let name = CustodianName::parse("hsm").unwrap();
    let who = Custodians::of(Path::new("/nowhere"));
    let who = who.with_program(SlotKind::Pkcs11, name.clone(), program);
    Box::new(Device {
        custodian: who.find(SlotKind::Pkcs11, name).unwrap(),
        token,
    })
}

struct Device {
    custodian: Custodian,
    token: Token,
}

impl Holder for Device {
    fn kind(&self) -> SlotKind {
        SlotKind::Pkcs11
    }

    fn provider(&self) -> Provider<'_> {
        Provider::Custodian(&self.custodian)
    }

    fn inflict(&mut self, fault: Fault) -> Verdict {
        match fault {
            Fault::Away => self.token.take_away(),
            Fault::OtherKeyId => self.token.replace(),
            Fault::Rude => self.token.forget_pin(),
            Fault::Hang => {
                self.token.hang();
                return Refused(&["custodian_hung"]);
            }
            Fault::Crash => {
                self.token.crash();
                return Refused(&["custodian_broke"]);
            }
            Fault::Short | Fault::Long => {
                return DoesNotApply("our own process speaks for it, and says whole answers");
            }
            Fault::Swapped => return DoesNotApply("another key is on a token of another number"),
            Fault::Writable => return DoesNotApply("our own process speaks for it"),
        }
        Refused(&["custodian_refused"])
    }

    fn mend(&mut self) {
        self.token.mend();
    }

    fn never_told(&self) -> Vec<String> {
        vec!["123456".into(), "654321".into()]
    }
}
