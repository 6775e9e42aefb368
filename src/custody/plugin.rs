//! The exec provider: a program of the operator's that has a slot's key sealed and opened by whoever it
//! knows, a cloud's key service for one.
//!
//! The slot's key is drawn here and only sealed there, so that who watches the program sees a key that is
//! good for one slot of one ring, and only beside the ring itself.

use std::sync::Arc;

use super::child::Program;
use super::custodian::CustodianName;
use super::means::SlotKind;
use super::protocol::{self, Place, Wrapped};
use super::{Attendant, CustodianFault, CustodyError};
use crate::crypto::{Key, Random};

/// A program that holds keys, as the settings have it.
#[derive(Clone, Debug)]
pub struct Plugin {
    kind: SlotKind,
    name: CustodianName,
    program: Program,
}

impl Plugin {
    /// The custodian called `name`, asked by `program`.
    pub(super) const fn new(kind: SlotKind, name: CustodianName, program: Program) -> Self {
        Self {
            kind,
            name,
            program,
        }
    }

    /// Its program.
    pub(super) const fn program(&self) -> &Program {
        &self.program
    }

    /// The same, its program started by the attendant, who knows it by this number.
    pub(super) fn by(self, attendant: Arc<Attendant>, number: u16) -> Self {
        let program = self.program.by(attendant, number);
        Self { program, ..self }
    }

    /// What kind of slot it opens.
    #[must_use]
    pub const fn kind(&self) -> SlotKind {
        self.kind
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &CustodianName {
        &self.name
    }

    /// Draws a key for a slot, has it sealed, and has it opened again: what cannot be opened now never
    /// can be.
    ///
    /// # Errors
    /// [`CustodyError::Custodian`]; [`CustodyError::WrongAnswer`] when another key comes back;
    /// [`CustodyError::Crypto`] without randomness.
    pub(super) fn wrap(
        &self,
        at: Place,
        random: &dyn Random,
    ) -> Result<(Wrapped, Key), CustodyError> {
        let key = Key::generate(at.slot, random)?;
        let wrapped = protocol::wrap(&self.program, &key, at);
        let wrapped = wrapped.map_err(|fault| self.failed(fault))?;
        if self.unwrap(&wrapped, at)?.same_as(&key) {
            Ok((wrapped, key))
        } else {
            Err(CustodyError::WrongAnswer(self.name.clone()))
        }
    }

    /// The key that was sealed.
    ///
    /// # Errors
    /// [`CustodyError::Custodian`].
    pub(super) fn unwrap(&self, wrapped: &Wrapped, at: Place) -> Result<Key, CustodyError> {
        protocol::unwrap(&self.program, wrapped, at).map_err(|fault| self.failed(fault))
    }

    fn failed(&self, fault: CustodianFault) -> CustodyError {
        CustodyError::Custodian {
            kind: self.kind,
            name: self.name.clone(),
            fault,
        }
    }
}
