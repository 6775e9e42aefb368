//! `[device]`: connecting without a browser of ours.

use serde::Deserialize;

use super::pointer::{Pointer, one_or_many};
use super::spec::Map;
use super::spec_token::Body;
use super::template::Template;

/// A device flow.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Which of the two.
    #[serde(default)]
    pub style: DeviceStyle,
    /// Where a code is asked for. Absent only with discovery.
    pub url: Option<Template>,
    /// How parameters are sent.
    #[serde(default)]
    pub body: Body,
    /// Where the outcome is asked for, when not at the token URL.
    pub token_url: Option<Template>,
    /// Seconds between questions, when the reply does not say.
    #[serde(default = "five")]
    pub interval_default_s: u32,
    /// Seconds until it ends, when the reply does not say.
    pub max_wait_s: Option<u32>,
    /// Parameters of the first request, in place of the standard ones.
    #[serde(default)]
    pub request: Map<Template>,
    /// Where the reply says what.
    #[serde(default)]
    pub reply: DeviceReply,
    /// Parameters of each question, in place of the standard ones; `{handle}` and `{user_code}` may be used.
    #[serde(default)]
    pub poll: Map<Template>,
    /// Statuses that mean: not yet.
    #[serde(default)]
    pub pending_statuses: Vec<u16>,
    /// What the last answer hands over.
    pub handoff: Option<Handoff>,
    /// Where the person goes, when the reply does not say.
    pub verification_uri: Option<Template>,
    /// Hosts that the reply may send the person to; by default those of the file.
    #[serde(default)]
    pub verification_hosts: Vec<String>,
}

/// Which device flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceStyle {
    /// RFC 8628.
    #[default]
    Rfc8628,
    /// The last answer is an authorization code with its verifier.
    CodeHandoff,
}

/// Where a device reply says what.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceReply {
    /// What to ask with.
    #[serde(deserialize_with = "one_or_many")]
    pub handle: Vec<Pointer>,
    /// What the person types.
    #[serde(deserialize_with = "one_or_many")]
    pub user_code: Vec<Pointer>,
    /// Where.
    #[serde(deserialize_with = "one_or_many")]
    pub verification_uri: Vec<Pointer>,
    /// The same with the code in it.
    #[serde(deserialize_with = "one_or_many")]
    pub verification_uri_complete: Vec<Pointer>,
    /// Seconds between questions.
    #[serde(deserialize_with = "one_or_many")]
    pub interval: Vec<Pointer>,
    /// Seconds until it ends.
    #[serde(deserialize_with = "one_or_many")]
    pub expires_in: Vec<Pointer>,
}

/// What the last answer of a hand-off gives.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handoff {
    /// The authorization code.
    pub code: Pointer,
    /// Its PKCE verifier.
    pub verifier: Pointer,
    /// The redirect URI it was made for.
    pub redirect_uri: Template,
}

impl Default for DeviceReply {
    fn default() -> Self {
        let at = |name| vec![Pointer::member(name)];
        Self {
            handle: at("device_code"),
            user_code: at("user_code"),
            verification_uri: at("verification_uri"),
            verification_uri_complete: at("verification_uri_complete"),
            interval: at("interval"),
            expires_in: at("expires_in"),
        }
    }
}

fn five() -> u32 {
    5
}
