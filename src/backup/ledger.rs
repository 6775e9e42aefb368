//! What backups there are: which keys they have, and until when. Whoever shreds something has to know how
//! long a backup can still hold it, and whoever destroys an old key of the chain which backups need it.

use serde::{Deserialize, Serialize};

use super::Made;
use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Owner, sha256};
use crate::id::{ObjectId, OrgId};
use crate::store::{Batch, Class, Expect, StoreError, StoreKey};
use crate::vault::{Vault, VaultError};

/// No organisation: they are the installation's.
const NONE: OrgId = OrgId::from_bytes([0; 16]);
/// Of more keys than these, those whose time was over first are forgotten.
const MOST_KEYS: usize = 64;
/// How often it is tried again when somebody else noted a backup meanwhile.
const TRIES: usize = 8;

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// When it was begun.
    pub made: Timestamp,
    /// When its key is to be destroyed, if at any time.
    pub expires: Option<Timestamp>,
    /// The name of its key.
    pub key: ObjectId,
    /// The store's generation in it.
    pub generation: u64,
    /// How many records are in it.
    pub records: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyUse {
    /// Its name.
    pub key: ObjectId,
    /// How many backups were made for it.
    pub backups: u64,
    /// When the newest of them was.
    pub newest: Timestamp,
    /// When the last of them ends; `None` when one of them never does.
    pub until: Option<Timestamp>,
}

/// The backups that this store knows of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The newest.
    pub last: Option<Kept>,
    /// The keys of all of them.
    pub keys: Vec<KeyUse>,
}

impl Ledger {
    fn take_in(&mut self, kept: Kept) {
        match self.keys.iter_mut().find(|it| it.key == kept.key) {
            Some(known) => {
                known.backups = known.backups.saturating_add(1);
                known.newest = known.newest.max(kept.made);
                known.until = match (known.until, kept.expires) {
                    (Some(until), Some(expires)) => Some(until.max(expires)),
                    _ => None,
                };
            }
            None => self.keys.push(KeyUse {
                key: kept.key,
                backups: 1,
                newest: kept.made,
                until: kept.expires,
            }),
        }
        let end = Timestamp::from_millis(i64::MAX);
        self.keys
            .sort_by_key(|it| std::cmp::Reverse(it.until.unwrap_or(end)));
        self.keys.truncate(MOST_KEYS);
        self.last = Some(kept);
    }

    /// The ledger of a vault.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn of(vault: &Vault) -> Result<Self, VaultError> {
        Ok(read(vault).await?.0)
    }

    /// Notes a backup that was made and recorded.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn note(vault: &Vault, made: &Made, recorded: &Recorded) -> Result<(), VaultError> {
        let kept = Kept {
            made: made.outer.made,
            expires: made.outer.expires,
            key: made.outer.key,
            generation: made.end.generation,
            records: made.end.records,
            bytes: made.bytes,
        };
        for _ in 0..TRIES {
            let (mut ledger, expect) = read(vault).await?;
            ledger.take_in(kept.clone());
            let place = place(vault);
            let key = vault.system_key();
            let sealed = vault.seal_state(key, NONE, Owner::SYSTEM, &place, &ledger)?;
            let mut batch = Batch::new();
            batch.expect(place.clone(), expect);
            batch.put(place, sealed);
            match vault.commit(batch, recorded).await {
                Err(VaultError::Store(StoreError::Precondition)) => {}
                done => return done,
            }
        }
        Err(StoreError::Precondition.into())
    }
}

fn place(vault: &Vault) -> StoreKey {
    StoreKey::new(Class::State, &[&vault.system_index().hash(&[b"backups"])])
}

async fn read(vault: &Vault) -> Result<(Ledger, Expect), VaultError> {
    let place = place(vault);
    let Some(record) = vault.store().get(&place).await? else {
        return Ok((Ledger::default(), Expect::Absent));
    };
    let expect = Expect::Exactly(sha256(record.as_bytes()));
    let ledger = vault.open_state(vault.system_key(), NONE, Owner::SYSTEM, &place, &record)?;
    Ok((ledger, expect))
}

#[cfg(test)]
mod tests {
    use super::{Kept, Ledger, MOST_KEYS};
    use crate::clock::Timestamp;
    use crate::id::ObjectId;

    fn kept(key: u8, made: i64, expires: Option<i64>) -> Kept {
        Kept {
            made: Timestamp::from_millis(made),
            expires: expires.map(Timestamp::from_millis),
            key: ObjectId::from_bytes([key; 16]),
            generation: 1,
            records: 2,
            bytes: 3,
        }
    }

    #[test]
    fn a_key_lasts_as_long_as_the_last_backup_that_needs_it() {
        let mut ledger = Ledger::default();
        ledger.take_in(kept(1, 10, Some(100)));
        ledger.take_in(kept(1, 20, Some(90)));
        ledger.take_in(kept(2, 30, Some(500)));
        let of = |ledger: &Ledger, key: u8| {
            let key = ObjectId::from_bytes([key; 16]);
            let found = ledger.keys.iter().find(|it| it.key == key).unwrap();
            (
                found.backups,
                found.newest.millis(),
                found.until.map(Timestamp::millis),
            )
        };
        assert_eq!(of(&ledger, 1), (2, 20, Some(100)));
        assert_eq!(of(&ledger, 2), (1, 30, Some(500)));
        ledger.take_in(kept(1, 40, None));
        assert_eq!(of(&ledger, 1), (3, 40, None));
        ledger.take_in(kept(1, 50, Some(60)));
        assert_eq!(of(&ledger, 1), (4, 50, None), "one of them never ends");
        assert_eq!(ledger.last, Some(kept(1, 50, Some(60))));
        for n in 10..200 {
            ledger.take_in(kept(n, 60, Some(i64::from(n))));
        }
        assert_eq!(ledger.keys.len(), MOST_KEYS);
        assert_eq!(of(&ledger, 1).2, None, "the longest stay");
    }
}
