//! What a person does about a refusal of this module.

use super::CustodyError;

impl CustodyError {
    /// What to do next, in one sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::CredentialMissing(name) => format!(
                "make it with `systemd-creds encrypt`, name it in the broker's unit \
                 (LoadCredentialEncrypted={name}), and restart the service; or use another slot"
            ),
            Self::File { path, fault } => fault.hint(path),
            Self::Custodian { fault, .. } => fault.hint(),
            _ => self
                .ring_hint()
                .unwrap_or_else(|| self.holder_hint())
                .into(),
        }
    }

    /// For what is the matter with the ring itself.
    fn ring_hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::RingExists(_) => "use the ring that is there, or name another keys directory",
            Self::RingMissing(_) => {
                "for a new installation initialise one; for an old one put root.ring back from \
                 its backup, since data sealed under it opens with no other"
            }
            Self::RingForm | Self::RingAltered => {
                "put root.ring back from its backup, and find out who wrote to the keys directory"
            }
            Self::RingVersion(_) => "run the release that wrote it, or a newer one",
            Self::RingChanged | Self::Busy => "try again",
            Self::NotRoot => "open this ring, and use the key that it yields",
            Self::NoSlotOfKind(_) | Self::NoSlot(_) => {
                "list the ring's slots, and choose one of them"
            }
            Self::SlotAway(_) => {
                "look for it in `runtools-broker key slot list`: put its root.key in place, or have whoever opens it \
                 run `runtools-broker key slot lend`, and begin again within a quarter of an hour"
            }
            Self::LastSlot => "add another slot and test it first",
            Self::TooManySlots => "remove a slot that is no longer needed first",
            Self::Label => "choose a short, plain label",
            _ => return None,
        })
    }

    /// For what is the matter with those who open it.
    const fn holder_hint(&self) -> &'static str {
        match self {
            Self::PassphraseLength => "choose one of six or more random words",
            Self::WrongPassphrase => "check the passphrase, or use another slot",
            Self::WrongKeyFile => "put the key file of this ring in its place, or use another slot",
            Self::ShareCount => {
                "say how many shares there are to be, and how many of them it takes, such as 5 and 3"
            }
            Self::ShareForm | Self::ShareMistyped => {
                "compare it with what is written down, and give it again"
            }
            Self::ShareForeign => {
                "give a share that was made with a slot of this ring: `runtools-broker key slot \
                 list` shows them"
            }
            Self::ShareMixed => {
                "give shares of one set only; `runtools-broker unseal --forget` begins anew"
            }
            Self::ShareTwice(_) => "give another one",
            Self::WrongShares => {
                "one of them was altered: begin anew, with others if there are others; or use \
                 another slot"
            }
            Self::Name => "choose a name such as runtools-root-key",
            Self::WrongCredential(_) => {
                "give the unit the credential that the slot was made with, or use another slot"
            }
            Self::WrongAnswer(_) => {
                "give it back the key that the slot was made with, or use another slot"
            }
            Self::CredentialInUse(_) => {
                "two slots of one credential are one way in, and look like two: name another \
                 credential"
            }
            Self::KeyFileExists(_) => {
                "each slot has a key file of its own, which is made with it: name a path where \
                 there is none, or move away what stands there, if no slot is its own (a stop amid \
                 an earlier `key slot add` leaves such a file). A start reads root.key only"
            }
            Self::Memory => "free some memory, or use another slot",
            _ => "see the log of the operating system",
        }
    }
}
