//! Changing secrets. Each change is one atomic commit that expects to find what was read; when
//! somebody else was faster, it is read and decided again.

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::id::SecretId;
use crate::name::HostPattern;
use crate::policy::{Denied, Permit, RevealSecret, SecretRef, SetSecret, UpdateSecret};
use crate::secret::Secret;
use crate::wire::{Category, SecretScope};

use super::draft::{ATTEMPTS, Condition};
use super::metadata::{SecretInfo, check_description, check_hosts, check_value};
use super::pointer::{Pointer, owner_prefix, version_place};
use super::{Counted, Found, Vault, VaultError};

/// Changes to a secret's metadata; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What it is for.
    pub category: Option<Category>,
    /// Where it may be used.
    pub scope: Option<SecretScope>,
    /// What its owner writes about it.
    pub description: Option<Option<String>>,
    /// The only hosts it may be sent to.
    pub hosts: Option<Vec<HostPattern>>,
    /// Whether it can be revealed.
    pub revealable: Option<bool>,
    /// When it stops being usable.
    pub expires: Option<Option<Timestamp>>,
}

/// Whether a value may go further, or live longer, under `new` than under `old`. From no host to some is
/// further, too: a tool that takes its hosts from its secrets sends it nowhere before.
fn widens(old: &SecretInfo, new: &SecretInfo) -> bool {
    let hosts = new.hosts != old.hosts
        && (new.hosts.is_empty() || !new.hosts.iter().all(|host| old.hosts.contains(host)));
    let longer = match (old.expires, new.expires) {
        (Some(old), Some(new)) => new > old,
        (Some(_), None) => true,
        (None, _) => false,
    };
    hosts || longer
}

/// Whether the caller might be shown the value of `secret`: the rule of revealing, and the secret's own.
pub(super) fn may_show(
    shown: &Result<Permit<RevealSecret>, Denied>,
    secret: &SecretRef,
    revealable: bool,
) -> Result<(), VaultError> {
    let shown = shown.as_ref().map_err(|denied| *denied)?;
    if shown.object().0 != *secret {
        return Err(VaultError::NotFound);
    }
    if revealable {
        return Ok(());
    }
    Err(VaultError::Rule(
        "a value that cannot be revealed goes no further and lives no longer than it was set to: set it anew with a new value",
    ))
}

impl Change {
    fn check(&self) -> Result<(), VaultError> {
        if let Some(Some(text)) = &self.description {
            check_description(text)?;
        }
        check_hosts(self.hosts.as_deref().unwrap_or_default())
    }

    fn apply(&self, info: &mut SecretInfo, now: Timestamp) {
        fn set<T: Clone>(field: &mut T, change: Option<&T>) {
            if let Some(new) = change {
                field.clone_from(new);
            }
        }
        set(&mut info.category, self.category.as_ref());
        set(&mut info.scope, self.scope.as_ref());
        set(&mut info.description, self.description.as_ref());
        set(&mut info.hosts, self.hosts.as_ref());
        set(&mut info.revealable, self.revealable.as_ref());
        set(&mut info.expires, self.expires.as_ref());
        info.updated = now;
    }
}

impl Vault {
    /// Makes a secret, or gives the one of that name a new value. Metadata that is left out stays as
    /// it was. Answers the secret and whether it is new.
    ///
    /// # Errors
    /// [`VaultError::Rule`] for a bad value, [`VaultError::Stale`] or
    /// [`VaultError::Exists`] when the condition does not hold.
    pub async fn set_secret(
        &self,
        permit: &Permit<SetSecret>,
        value: &Secret,
        change: &Change,
        condition: Condition<'_>,
        recorded: &Recorded,
    ) -> Result<(Found, bool), VaultError> {
        check_value(value)?;
        change.check()?;
        let (org, place) = self.org_and_place(permit)?;
        self.owner_key_or_new(&org, place.owner, recorded).await?;
        // Kept to the end: what is granted counts until it is stored.
        let mut room = None;
        for _ in 0..ATTEMPTS {
            let old = self.read_pointer(&org, place.owner, &place.name).await?;
            condition.check(old.as_ref())?;
            if old.is_none() && room.is_none() {
                let limit = self.quotas.secrets(place.owner);
                let prefix = owner_prefix(&org, place.owner);
                let granted = self.make_room(&prefix, Counted::Secrets, limit);
                room = Some(granted.await?);
            }
            let now = self.now();
            let (mut pointer, mut info, created) = match &old {
                Some(read) if read.pointer.deleted.is_none() => {
                    let found = self.open_current(&org, place.owner, read.clone()).await?;
                    (read.pointer.clone(), found.info().clone(), false)
                }
                // What was deleted keeps its versions, but its metadata begins afresh: a new
                // secret must not silently inherit a binding or an expiry.
                Some(read) => (
                    read.pointer.clone(),
                    SecretInfo::new(place.name.clone(), now),
                    true,
                ),
                None => {
                    let id = SecretId::from_random(self.random().bytes()?);
                    (
                        Pointer::new(id, now),
                        SecretInfo::new(place.name.clone(), now),
                        true,
                    )
                }
            };
            if info.expired(now) {
                info.expires = None;
            }
            change.apply(&mut info, now);
            pointer.rotated = old.is_some().then_some(now);
            pointer.deleted = None;
            let (batch, found) = self
                .with_version(&org, place, old.as_ref(), pointer, info, value)
                .await?;
            if self.committed(batch, recorded).await? {
                return Ok((found, created));
            }
        }
        Err(VaultError::Stale)
    }

    /// Gives an existing secret a new value.
    ///
    /// # Errors
    /// [`VaultError::NotFound`] when there is none; as [`Vault::set_secret`] besides.
    pub async fn rotate_secret(
        &self,
        permit: &Permit<SetSecret>,
        value: &Secret,
        condition: Condition<'_>,
        recorded: &Recorded,
    ) -> Result<Found, VaultError> {
        let (org, place) = self.org_and_place(permit)?;
        if self
            .find_secret(&org, place.owner, &place.name)
            .await?
            .is_none()
        {
            return Err(VaultError::NotFound);
        }
        self.set_secret(permit, value, &Change::default(), condition, recorded)
            .await
            .map(|(found, _)| found)
    }

    /// Changes metadata. The value is sealed again, because the metadata is in its context. `shown` is
    /// whether the caller might be shown it: only then may it go further or live longer.
    ///
    /// # Errors
    /// [`VaultError::NotFound`], [`VaultError::Stale`], [`VaultError::Rule`]; [`VaultError::Denied`] when
    /// the value could go further or live longer, and the caller could not be shown it.
    pub async fn update_secret(
        &self,
        permit: &Permit<UpdateSecret>,
        shown: &Result<Permit<RevealSecret>, Denied>,
        change: &Change,
        condition: Condition<'_>,
        recorded: &Recorded,
    ) -> Result<Found, VaultError> {
        change.check()?;
        let (org, place) = self.org_and_place(permit)?;
        for _ in 0..ATTEMPTS {
            let found = self.find_secret(&org, place.owner, &place.name).await?;
            let found = found.ok_or(VaultError::NotFound)?;
            condition.check(Some(&found.read))?;
            if change.revealable == Some(true) && !found.info().revealable {
                return Err(VaultError::Rule(
                    "a secret that was set as not revealable stays so: set it anew with a new value and revealable true",
                ));
            }
            let mut info = found.info().clone();
            change.apply(&mut info, self.now());
            // Who sends a value to another host can read it there: that is showing it.
            if widens(found.info(), &info) {
                may_show(shown, place, found.info().revealable)?;
            }
            let value = found.stored.open(recorded)?;
            let pointer = found.read.pointer.clone();
            let (mut batch, read) = self.with_pointer(&org, place, &found.read, pointer).await?;
            let (record, stored) = self
                .seal_secret(&org, place.owner, &read.pointer, info, &value)
                .await?;
            let version = version_place(&org, read.pointer.id, read.pointer.current);
            batch.put(version, record);
            if self.committed(batch, recorded).await? {
                return Ok(Found {
                    owner: place.owner,
                    read,
                    stored,
                });
            }
        }
        Err(VaultError::Stale)
    }
}
