//! What a person is asked to agree to, in words.

use super::ask::FlowPurpose;
use super::record::{Flow, Stage};
use super::text::one_line;
use crate::clock::Timestamp;
use crate::oauth::provider::Provider;

/// The longest name that is shown, in characters.
const NAME: usize = 80;

/// What a flow's page says. Names were made fit to be shown; they are escaped where they are.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// What the provider is called.
    pub provider: String,
    /// Its picture: the path of an SVG of 24 by 24.
    pub icon: Option<String>,
    /// The host of the provider's page.
    pub host: String,
    /// The origins that the browser is sent to once somebody agrees: the provider's, and that of
    /// whoever is told in the end.
    pub ways: Vec<String>,
    /// What the user is called whom the account will be attached to.
    pub user: String,
    /// What the organisation is called.
    pub org: String,
    /// What is asked for.
    pub scopes: Vec<ScopeLine>,
    /// What the person told, by what it is called: `Shop` and `acme`.
    pub told: Vec<(String, String)>,
    /// What for.
    pub purpose: FlowPurpose,
    /// Whether the code from the terminal has to be typed.
    pub needs_code: bool,
    /// Whether the page is a window that another one opened.
    pub popup: bool,
    /// When the link ends.
    pub expires: Timestamp,
}

/// A scope, and what it allows where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeLine {
    /// The scope.
    pub scope: String,
    /// What it allows.
    pub label: Option<String>,
}

impl Invitation {
    pub(super) fn of(flow: &Flow) -> Self {
        let ask = &*flow.ask;
        let spec = ask.provider.spec();
        let further = ask.extra_scopes.iter();
        let further = further.flat_map(|(list, scopes)| {
            let written = move |scope| format!("{list}:{scope}");
            scopes.iter().map(written)
        });
        let scopes = ask.scopes.iter().cloned().chain(further);
        Self {
            provider: one_line(&spec.display_name, NAME),
            icon: spec.icon.clone(),
            host: flow.door.host.clone(),
            ways: [flow.door.origin.clone()]
                .into_iter()
                .chain(ask.tell.origin())
                .collect(),
            user: one_line(&ask.user_name, NAME),
            org: one_line(&ask.org_name, NAME),
            scopes: scopes.map(|scope| line(&ask.provider, &scope)).collect(),
            told: told(flow),
            purpose: ask.purpose,
            needs_code: flow.code.is_some() && !matches!(flow.stage, Stage::Away(_)),
            popup: ask.tell.is_popup(),
            expires: flow.until,
        }
    }

    /// Whether the account of a connection is to be authorised again.
    #[must_use]
    pub const fn is_reconnect(&self) -> bool {
        matches!(self.purpose, FlowPurpose::Reconnect(_))
    }
}

fn line(provider: &Provider, scope: &str) -> ScopeLine {
    let available = &provider.spec().scopes.available;
    let known = available.iter().find(|known| known.scope == scope);
    ScopeLine {
        scope: one_line(scope, 256),
        label: known.map(|known| one_line(&known.label, 160)),
    }
}

fn told(flow: &Flow) -> Vec<(String, String)> {
    let spec = flow.ask.provider.spec();
    let params = flow.ask.bound.params().iter();
    let lines = params.map(|(name, value)| {
        let label = spec.params.get(name).and_then(|param| param.label.as_ref());
        (one_line(label.unwrap_or(name), NAME), one_line(value, NAME))
    });
    lines.collect()
}
