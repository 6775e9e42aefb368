//! The tools that ship with the broker.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::ToolError;
use super::spec::ToolSpec;
use crate::name::ToolSlug;

/// Every shipped file: its slug and its text.
const FILES: [(&str, &str); 17] = [
    (
        "anthropic",
        include_str!("../../config/tools/anthropic.toml"),
    ),
    ("aws", include_str!("../../config/tools/aws.toml")),
    (
        "generic-http",
        include_str!("../../config/tools/generic-http.toml"),
    ),
    ("github", include_str!("../../config/tools/github.toml")),
    (
        "github-app",
        include_str!("../../config/tools/github-app.toml"),
    ),
    ("gitlab", include_str!("../../config/tools/gitlab.toml")),
    ("gmail", include_str!("../../config/tools/gmail.toml")),
    (
        "google-calendar",
        include_str!("../../config/tools/google-calendar.toml"),
    ),
    (
        "google-drive",
        include_str!("../../config/tools/google-drive.toml"),
    ),
    ("jira", include_str!("../../config/tools/jira.toml")),
    ("linear", include_str!("../../config/tools/linear.toml")),
    ("notion", include_str!("../../config/tools/notion.toml")),
    ("openai", include_str!("../../config/tools/openai.toml")),
    ("sendgrid", include_str!("../../config/tools/sendgrid.toml")),
    ("slack", include_str!("../../config/tools/slack.toml")),
    ("stripe", include_str!("../../config/tools/stripe.toml")),
    ("twilio", include_str!("../../config/tools/twilio.toml")),
];

/// The shipped tools, by slug.
#[derive(Clone, Debug)]
pub struct Catalog {
    tools: BTreeMap<ToolSlug, Arc<ToolSpec>>,
}

impl Catalog {
    /// Loads every shipped file.
    ///
    /// # Errors
    /// [`ToolError`], its pointer starting with the file's slug, for the first file that does not
    /// load. A test loads them all, so a release has none.
    pub fn embedded() -> Result<Self, ToolError> {
        let mut tools = BTreeMap::new();
        for (slug, text) in FILES {
            let spec = ToolSpec::from_toml(text).map_err(|e| e.under(&format!("/{slug}")))?;
            tools.insert(spec.slug.clone(), Arc::new(spec));
        }
        Ok(Self { tools })
    }

    /// The tool `slug`.
    #[must_use]
    pub fn get(&self, slug: &ToolSlug) -> Option<&Arc<ToolSpec>> {
        self.tools.get(slug)
    }

    /// All tools, by slug.
    pub fn all(&self) -> impl Iterator<Item = &Arc<ToolSpec>> {
        self.tools.values()
    }
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
