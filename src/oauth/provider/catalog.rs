//! The providers that ship with the broker, and an operator's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::ProviderError;
use super::loaded::Provider;
use super::reach::Reach;
use crate::name::ProviderId;

macro_rules! files {
    ($($id:literal)*) => {
        &[$((
            concat!($id, ".toml"),
            include_str!(concat!("../../../config/providers/", $id, ".toml")),
        )),*]
    };
}

/// Every shipped file: its name and its text.
const FILES: &[(&str, &str)] = files![
    "airtable"
    "asana"
    "atlassian"
    "auth0"
    "bitbucket"
    "box"
    "calendly"
    "clickup"
    "confluence"
    "digitalocean"
    "discord"
    "docusign"
    "dropbox"
    "facebook"
    "figma"
    "github-app"
    "github"
    "gitlab"
    "google-calendar"
    "google-drive"
    "google"
    "heroku"
    "hubspot"
    "instagram"
    "intercom"
    "linear"
    "linkedin"
    "mailchimp"
    "microsoft"
    "miro"
    "monday"
    "netlify"
    "notion"
    "oidc"
    "okta"
    "openai-codex"
    "pagerduty"
    "pinterest"
    "pipedrive"
    "quickbooks"
    "reddit"
    "salesforce"
    "sentry"
    "shopify"
    "slack"
    "spotify"
    "square"
    "strava"
    "stripe-app"
    "stripe-connect"
    "telegram-widget"
    "telegram"
    "threads"
    "tiktok"
    "trello"
    "twitch"
    "typeform"
    "vercel-integration"
    "vercel"
    "webflow"
    "whatsapp"
    "x"
    "xero"
    "zendesk"
    "zoho"
    "zoom"
];

/// All providers, by id.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    providers: BTreeMap<ProviderId, Arc<Provider>>,
    /// The files as they are written, by id: others may build on them.
    texts: BTreeMap<String, Box<str>>,
}

impl Catalog {
    /// Loads every shipped file.
    ///
    /// # Errors
    /// [`ProviderError`] for the first file that does not load. A test loads them all, so a release
    /// has none.
    pub fn shipped() -> Result<Self, ProviderError> {
        let mut catalog = Self::default();
        catalog.add_all(FILES, &Reach::public())?;
        Ok(catalog)
    }

    /// Adds an operator's own file, which may name what `reach` covers. It stands in for a shipped one of the same id.
    ///
    /// # Errors
    /// [`ProviderError`], and the catalogue is as it was.
    pub fn add(&mut self, file_name: &str, text: &str, reach: &Reach) -> Result<(), ProviderError> {
        self.add_all(&[(file_name, text)], reach)
    }

    /// Adds several, which may build on each other in any order, or on what is there already: one of their
    /// own comes first. What builds on a file that another now stands in for stays as it was.
    ///
    /// # Errors
    /// [`ProviderError`] for the first that does not load, and the catalogue is as it was.
    pub fn add_all(&mut self, files: &[(&str, &str)], reach: &Reach) -> Result<(), ProviderError> {
        let own = files.iter().filter_map(|(name, text)| {
            let id = name.strip_suffix(".toml")?;
            Some((id, *text))
        });
        let own: BTreeMap<&str, &str> = own.collect();
        let mut read = Vec::new();
        for (name, text) in files {
            let parent = |id: &str| {
                let there = self.texts.get(id).map(|text| &**text);
                own.get(id).copied().or(there)
            };
            read.push(Provider::read_over(name, text, reach, parent)?);
        }
        for provider in read {
            self.providers
                .insert(provider.id().clone(), Arc::new(provider));
        }
        let own = own.into_iter();
        self.texts
            .extend(own.map(|(id, text)| (id.to_owned(), text.into())));
        Ok(())
    }

    /// The provider `id`.
    #[must_use]
    pub fn get(&self, id: &ProviderId) -> Option<&Arc<Provider>> {
        self.providers.get(id)
    }

    /// The providers that are the same one upstream as `id`: it, the file that it builds on, and all others
    /// that build on that. With one client, an account's grant is one for all of them there.
    #[must_use]
    pub fn family(&self, id: &ProviderId) -> Vec<ProviderId> {
        let root = self.get(id).and_then(|it| it.spec().extends.as_deref());
        let root = root.unwrap_or(id.as_str());
        let all = self.providers.values().filter(|other| {
            let parent = other.spec().extends.as_deref();
            parent == Some(root) || other.id().as_str() == root
        });
        let mut family: Vec<_> = all.map(|provider| provider.id().clone()).collect();
        if !family.contains(id) {
            family.push(id.clone());
        }
        family
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Catalog, FILES};

    #[test]
    fn the_list_and_the_folder_agree_and_every_file_loads() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/providers");
        let entries = std::fs::read_dir(folder).unwrap();
        let mut found: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let listed: Vec<_> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, listed);
        let alone = |text: &str| !text.contains("\nextends = ");
        let (alone, building): (Vec<_>, Vec<_>) = FILES.iter().partition(|(_, text)| alone(text));
        let mut catalog = Catalog::default();
        let broken: Vec<_> = alone
            .into_iter()
            .chain(building)
            .filter_map(|(name, text)| {
                let loaded = catalog.add(name, text, &super::Reach::public());
                loaded.err().map(|error| error.to_string())
            })
            .collect();
        assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
        assert_eq!(Catalog::shipped().unwrap().iter().count(), FILES.len());
    }
}
