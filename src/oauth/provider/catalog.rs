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
    "digitalocean"
    "discord"
    "docusign"
    "dropbox"
    "facebook"
    "figma"
    "github-app"
    "github"
    "gitlab"
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
    "telegram"
    "threads"
    "tiktok"
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
}

impl Catalog {
    /// Loads every shipped file.
    ///
    /// # Errors
    /// [`ProviderError`] for the first file that does not load. A test loads them all, so a release
    /// has none.
    pub fn shipped() -> Result<Self, ProviderError> {
        let (mut catalog, public) = (Self::default(), Reach::public());
        for (name, text) in FILES {
            catalog.add(name, text, &public)?;
        }
        Ok(catalog)
    }

    /// Adds an operator's own file, which may name what `reach` covers. It stands in for a shipped one of the same id.
    ///
    /// # Errors
    /// [`ProviderError`], and the catalogue is as it was.
    pub fn add(&mut self, file_name: &str, text: &str, reach: &Reach) -> Result<(), ProviderError> {
        let provider = Provider::read(file_name, text, reach)?;
        self.providers
            .insert(provider.id().clone(), Arc::new(provider));
        Ok(())
    }

    /// The provider `id`.
    #[must_use]
    pub fn get(&self, id: &ProviderId) -> Option<&Arc<Provider>> {
        self.providers.get(id)
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
        let broken: Vec<_> = FILES
            .iter()
            .filter_map(|(name, text)| {
                let loaded = Catalog::default().add(name, text, &super::Reach::public());
                loaded.err().map(|error| error.to_string())
            })
            .collect();
        assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
        assert_eq!(Catalog::shipped().unwrap().iter().count(), FILES.len());
    }
}
