//! Where the root key comes from: the ring file and its slots.
//!
//! The root key is 32 random bytes that stand nowhere in the clear. `root.ring` holds it sealed
//! once per **slot**, and any one slot opens it: a key file for a start that nobody attends, a
//! passphrase for the day when that file is gone, [`Share`]s of several people, a [`Custodian`] that holds a key for the broker. A
//! slot is added, tested, and only then is another removed, so that there is no moment without a way
//! in. One provider per file: `key_file.rs`, `passphrase.rs`, `credential.rs`, `shares.rs`,
//! `plugin.rs`, `pkcs11.rs`.
//!
//! Whoever can write the ring cannot weaken it unnoticed: the whole file, every slot of it, carries
//! a MAC under a key that only the root key yields, checked each time a slot opens. What the file
//! claims is checked before it is used: form, lengths, and what a passphrase may cost to try.
//!
//! Nothing here reads the environment, where a key would be seen by every child and every crash
//! report; where systemd puts credentials is told by the settings. Files that others may read are refused with the command that puts them right.
//!
//! # The ring file, version 1
//!
//! Integers are big-endian; bytes after the MAC are refused.
//!
//! ```text
//!  0  4  magic RTRG
//!  4  1  version (1)
//!  5 16  store id
//! 21 16  root key id
//! 37  4  epoch: the root key's version, from 1
//! 41  1  number of slots, 1 to 16
//! 42     the slots, each:
//!           16  slot id
//!            1  kind: 1 key file, 2 passphrase, 3 systemd credential, 4 shares, 5 exec, 6 PKCS#11
//!            8  made at, milliseconds since 1970
//!            1  length of the label, 1 to 64; then the label, UTF-8
//!            2  length of the parameters; then the parameters
//!                 key file: none
//!                 passphrase: 16 salt, 4 memory in KiB, 4 passes, 4 lanes
//!                 systemd credential: its name
//!                 shares: 16 set id, 1 threshold, 1 how many
//!                 exec, PKCS#11: 1 length, the custodian's name; 2 length, the name of its key; the sealed key
//!          156  the root key: one OBX1 box under the slot's key, whose name is (slot id, 1)
//!  n 32  HMAC-SHA-256 of all before, under HMAC-SHA-256(root key, "root.ring header");
//!        what is hashed is preceded by its length in eight bytes, both times
//! ```

mod attendant;
mod child;
mod credential;
mod custodian;
mod custodian_fault;
mod disk;
mod error;
mod fault;
mod field;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gathering;
mod ground;
mod hint;
mod io_kind;
mod key_file;
mod means;
mod passphrase;
mod pkcs11;
mod plugin;
mod protocol;
mod put_back;
mod renewal;
mod reseal;
mod ring;
mod settled;
mod shares;
mod slot;
mod told;
mod unattended;

#[cfg(test)]
mod tests_bench;
#[cfg(test)]
mod tests_damage;
#[cfg(test)]
mod tests_providers;
#[cfg(test)]
mod tests_ring;
#[cfg(test)]
mod tests_shares;

pub use attendant::{Attendant, attend, receive};
pub use child::Program;
pub use credential::{CREDENTIAL, Credential};
pub use custodian::{Custodian, CustodianName, Custodians};
pub use custodian_fault::{CustodianFault, Refusal};
pub use error::CustodyError;
pub use fault::FileFault;
pub(crate) use gathering::PATIENCE_MILLIS;
pub use gathering::{Gathered, Gathering, Progress};
pub use ground::{folder_among, folder_of_others};
pub use means::{Provider, SlotKind};
pub use passphrase::check as check_passphrase;
pub use pkcs11::{Device, LOADS_LIBRARIES};
pub use plugin::Plugin;
pub use put_back::put_key_file_back;
pub use reseal::{Lent, Resealed};
pub use ring::{KEY_FILE, RING_FILE, Ring};
pub use shares::{Share, Split};
pub use slot::{NewSlot, SlotInfo};
pub use unattended::Unattended;
