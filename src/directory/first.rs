//! The first organisation of an installation, and its admin.

use super::members::check_email;
use super::organizations::{Founder, check_name, slug_of};
use super::{Directory, DirectoryError};
use crate::audit::Recorded;
use crate::id::UserId;
use crate::vault::Unsealed;

/// What the first organisation is called, and who its admin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    name: String,
    admin: String,
    email: Option<String>,
    uid: u32,
}

impl First {
    /// As nobody has chosen: the user `uid` of the machine, whoever that is.
    #[must_use]
    pub fn of(uid: u32) -> Self {
        Self {
            name: "Default".to_owned(),
            admin: "Admin".to_owned(),
            email: None,
            uid,
        }
    }

    /// With names of its own; an empty one is left as it is.
    ///
    /// # Errors
    /// [`DirectoryError::Rule`] for what is no name, or no address.
    pub fn named(self, name: &str, admin: &str, email: &str) -> Result<Self, DirectoryError> {
        let name_or = |text: &str, usual: String| match text {
            "" => Ok(usual),
            text => check_name(text).map(|()| text.to_owned()),
        };
        let email = match email {
            "" => None,
            text => Some(check_email(text).map(|()| text.to_owned())?),
        };
        Ok(Self {
            name: name_or(name, self.name)?,
            admin: name_or(admin, self.admin)?,
            email,
            uid: self.uid,
        })
    }

    /// What the organisation is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its admin is called.
    #[must_use]
    pub fn admin(&self) -> &str {
        &self.admin
    }
}

impl Directory {
    /// Makes the first organisation and its admin, who is recognised by their user id over the Unix socket.
    /// Does nothing when there is an organisation already.
    ///
    /// # Errors
    /// When the store or the journal fails.
    pub async fn ensure_first(
        &self,
        vault: &Unsealed,
        first: &First,
        recorded: &Recorded,
    ) -> Result<bool, DirectoryError> {
        if !vault.org_ids().is_empty() {
            return Ok(false);
        }
        let founder = Founder {
            user: UserId::from_random(vault.random().bytes()?),
            name: first.admin.clone(),
            email: first.email.clone(),
            uid: Some(first.uid),
        };
        let slug = slug_of(&first.name);
        self.found(vault, &first.name, &slug, founder, recorded)
            .await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::First;

    #[test]
    fn names_are_those_that_were_chosen_else_the_usual_ones() {
        let usual = || First::of(7);
        assert_eq!(usual().named("", "", "").unwrap(), usual());
        let chosen = usual()
            .named("Example Ltd", "Ann", "ann@example.com")
            .unwrap();
        assert_eq!((chosen.name(), chosen.admin()), ("Example Ltd", "Ann"));
        assert_eq!(chosen.email.as_deref(), Some("ann@example.com"));
        for (name, admin, email) in [(" x", "", ""), ("", "a\n", ""), ("", "", "ann")] {
            assert!(
                usual().named(name, admin, email).is_err(),
                "{name}{admin}{email}"
            );
        }
    }
}
