//! Installed tools and the credentials stored for them. Both belong to one member.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Binding;
use super::hub::{Hub, HubError, Tool};
use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Commitment, Digest, Owner, sha256};
use crate::name::{FieldName, ToolSlug};
use crate::policy::{InstallTool, Permit, Principal};
use crate::secret::Secret;
use crate::store::{Batch, Class, StoreKey};
use crate::vault::{OrgKeys, StoredValue, Unsealed, VaultError};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InstallRecord {
    slug: ToolSlug,
    installed: Timestamp,
}

/// What stands beside a stored credential's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialInfo {
    /// The tool.
    pub tool: ToolSlug,
    /// Its field.
    pub field: FieldName,
    /// The digest of the bindings that a custom tool had when it was stored; `None` for a shipped
    /// one, whose bindings nobody here changes.
    #[serde(default)]
    pub bindings: Option<Digest>,
}

/// A stored credential whose value is not open, and what tells it from any other.
pub type StoredCredential = (StoredValue<CredentialInfo>, Commitment);

fn installs_prefix(org: &OrgKeys, owner: Owner) -> StoreKey {
    let list = org.index().hash(&[b"installs", &owner.id]);
    StoreKey::new(Class::ToolInstall, &[list.get(..16).unwrap_or_default()])
}

fn install_place(org: &OrgKeys, owner: Owner, slug: &ToolSlug) -> StoreKey {
    let list = org.index().hash(&[b"installs", &owner.id]);
    let one = org
        .index()
        .hash(&[b"install", &owner.id, slug.as_str().as_bytes()]);
    StoreKey::new(
        Class::ToolInstall,
        &[list.get(..16).unwrap_or_default(), &one],
    )
}

/// Where the credentials of one tool stand, also when the tool itself is gone.
fn credentials_list(org: &OrgKeys, owner: Owner, slug: &ToolSlug) -> Digest {
    let slug = slug.as_str().as_bytes();
    org.index().hash(&[b"tool-credentials", &owner.id, slug])
}

fn credential_place(org: &OrgKeys, owner: Owner, slug: &ToolSlug, field: &FieldName) -> StoreKey {
    let list = credentials_list(org, owner, slug);
    let (slug, field) = (slug.as_str().as_bytes(), field.as_str().as_bytes());
    let one = org
        .index()
        .hash(&[b"tool-credential", &owner.id, slug, field]);
    StoreKey::new(
        Class::ToolCredential,
        &[list.get(..16).unwrap_or_default(), &one],
    )
}

/// Puts into `batch` that every credential stored for a tool goes, of fields it no longer has too.
/// Says whether there was any.
async fn clear(
    vault: &Unsealed,
    (org, owner, slug): (&OrgKeys, Owner, &ToolSlug),
    batch: &mut Batch,
) -> Result<bool, HubError> {
    let list = credentials_list(org, owner, slug);
    let list = [list.get(..16).unwrap_or_default()];
    let (prefix, mut after) = (StoreKey::new(Class::ToolCredential, &list), None);
    loop {
        let page = vault.store().scan(&prefix, after.as_ref(), 64).await?;
        let Some((last, _)) = page.last() else {
            return Ok(after.is_some());
        };
        after = Some(last.clone());
        for (place, _) in page {
            batch.delete(place);
        }
    }
}

impl Hub {
    /// Installs a tool for the caller. Installing it again changes nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn install(
        &self,
        vault: &Unsealed,
        permit: &Permit<InstallTool>,
        recorded: &Recorded,
    ) -> Result<(), HubError> {
        let (org, owner) = whose(vault, permit)?;
        let slug = permit.object().slug.clone();
        let place = install_place(&org, owner, &slug);
        let record = InstallRecord {
            slug,
            installed: vault.now(),
        };
        let sealed = vault.seal_state(org.kek(), org.id(), owner, &place, &record)?;
        let mut batch = Batch::new();
        batch.put(place, sealed);
        Ok(vault.commit(batch, recorded).await?)
    }

    /// Uninstalls a tool for the caller, with the credentials stored for it. The tool may be gone.
    ///
    /// # Errors
    /// [`HubError::NotFound`] when it is not installed.
    pub async fn uninstall(
        &self,
        vault: &Unsealed,
        permit: &Permit<InstallTool>,
        recorded: &Recorded,
    ) -> Result<(), HubError> {
        let (org, owner) = whose(vault, permit)?;
        let slug = &permit.object().slug;
        let place = install_place(&org, owner, slug);
        if vault.store().get(&place).await?.is_none() {
            return Err(HubError::NotFound);
        }
        let mut batch = Batch::new();
        batch.delete(place);
        clear(vault, (&org, owner, slug), &mut batch).await?;
        Ok(vault.commit(batch, recorded).await?)
    }

    /// Whether the caller has anything of a tool, which may be gone: its install, or a credential.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_something(
        &self,
        vault: &Unsealed,
        principal: &Principal,
        slug: &ToolSlug,
    ) -> Result<bool, HubError> {
        let org = vault.org(principal.org())?;
        let owner = principal.owner();
        let installed = vault.store().get(&install_place(&org, owner, slug)).await?;
        let mut unused = Batch::new();
        Ok(installed.is_some() || clear(vault, (&org, owner, slug), &mut unused).await?)
    }

    /// The slugs of the tools that the caller has installed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn installed(
        &self,
        vault: &Unsealed,
        principal: &Principal,
    ) -> Result<Vec<ToolSlug>, HubError> {
        let org = vault.org(principal.org())?;
        let owner = principal.owner();
        let (prefix, mut after, mut slugs) = (installs_prefix(&org, owner), None, Vec::new());
        loop {
            let page = vault.store().scan(&prefix, after.as_ref(), 256).await?;
            let Some((last, _)) = page.last() else {
                return Ok(slugs);
            };
            after = Some(last.clone());
            for (place, record) in &page {
                let install: InstallRecord =
                    vault.open_state(org.kek(), org.id(), owner, place, record)?;
                slugs.push(install.slug);
            }
        }
    }

    /// Stores credentials for an installed tool, all or none.
    ///
    /// # Errors
    /// [`HubError::NotFound`] when it is not installed, [`VaultError::Rule`] for a field that the tool
    /// does not have or a bad value.
    pub async fn store_credentials(
        &self,
        vault: &Unsealed,
        permit: &Permit<InstallTool>,
        tool: &Tool,
        values: &BTreeMap<String, Secret>,
        recorded: &Recorded,
    ) -> Result<(), HubError> {
        let (org, owner) = whose(vault, permit)?;
        let slug = &permit.object().slug;
        if vault
            .store()
            .get(&install_place(&org, owner, slug))
            .await?
            .is_none()
        {
            return Err(HubError::NotFound);
        }
        if values.is_empty() {
            return Err(VaultError::Rule("name at least one field").into());
        }
        let mut batch = Batch::new();
        for (name, value) in values {
            let field = FieldName::parse(name).ok();
            let field = field.filter(|field| tool.spec.credentials.fields.contains_key(field));
            let field = field.ok_or(VaultError::Rule(
                "the tool has no credential field of that name",
            ))?;
            let place = credential_place(&org, owner, slug, &field);
            let info = CredentialInfo {
                tool: slug.clone(),
                field,
                bindings: tool.bindings_digest(),
            };
            vault
                .put_credential(&mut batch, (&org, owner, place), &info, value, recorded)
                .await?;
        }
        Ok(vault.commit(batch, recorded).await?)
    }

    /// Forgets the credentials stored for a tool, which may be gone (`tool` is `None`).
    ///
    /// # Errors
    /// [`HubError::NotFound`] when there is neither the tool nor a credential of it.
    pub async fn clear_credentials(
        &self,
        vault: &Unsealed,
        permit: &Permit<InstallTool>,
        tool: Option<&Tool>,
        recorded: &Recorded,
    ) -> Result<(), HubError> {
        let (org, owner) = whose(vault, permit)?;
        let mut batch = Batch::new();
        let slug = &permit.object().slug;
        let any = clear(vault, (&org, owner, slug), &mut batch).await?;
        if !any && tool.is_none() {
            return Err(HubError::NotFound);
        }
        Ok(vault.commit(batch, recorded).await?)
    }

    /// The credential that the caller stored for a field, if any. Whether it may be used for what the
    /// tool is now, [`Tool::still_fits`] says.
    ///
    /// # Errors
    /// When the record was altered, or the store fails.
    pub async fn stored_credential(
        &self,
        vault: &Unsealed,
        principal: &Principal,
        slug: &ToolSlug,
        field: &FieldName,
    ) -> Result<Option<StoredCredential>, HubError> {
        let org = vault.org(principal.org())?;
        let owner = principal.owner();
        let place = credential_place(&org, owner, slug, field);
        let found: Option<StoredCredential> = vault.credential(&org, owner, &place).await?;
        // The metadata is in the value's context: it must be the one that was asked for.
        let sound = found.as_ref().is_none_or(|(value, _)| {
            value.metadata().tool == *slug && value.metadata().field == *field
        });
        if sound {
            Ok(found)
        } else {
            Err(VaultError::Form.into())
        }
    }
}

impl Tool {
    fn bindings_digest(&self) -> Option<Digest> {
        self.custom?;
        let bindings = self.spec.bindings.iter().map(Binding::to_json);
        let bindings: Vec<_> = bindings.collect();
        Some(sha256(
            serde_json::Value::from(bindings).to_string().as_bytes(),
        ))
    }

    /// Whether `stored` was stored for the bindings that the tool has now. It was given to what the
    /// caller saw then; whoever changes a tool must not get it elsewhere.
    #[must_use]
    pub fn still_fits(&self, stored: &StoredCredential) -> bool {
        stored.0.metadata().bindings == self.bindings_digest()
    }
}

fn whose(
    vault: &Unsealed,
    permit: &Permit<InstallTool>,
) -> Result<(std::sync::Arc<OrgKeys>, Owner), HubError> {
    let principal = permit.principal();
    Ok((vault.org(principal.org())?, principal.owner()))
}
