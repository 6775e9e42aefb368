//! Provider files: who issues tokens, and how to talk to them, as data.
//!
//! One TOML file each ([`spec`]), checked as a whole when it is loaded ([`check`]), so that nothing
//! past the [`Catalog`] has to ask whether a URL is https or a name is declared. A [`Provider`] is
//! such a file; [`Bound`] is what one connection adds to it: checked parameters, and what was
//! captured from the callback and the token answer. Both together write the URLs
//! ([`Template::render_url`]).

mod authorize;
mod bound;
mod capture;
mod catalog;
mod check;
mod check_params;
mod check_requests;
mod check_templates;
mod domain;
mod error;
mod extends;
mod hosts;
mod loaded;
mod param;
mod payload;
mod pointer;
mod pointer_text;
mod reach;
mod scopes;
mod signature;
pub mod spec;
mod spec_authorize;
mod spec_device;
mod spec_identity;
mod spec_refresh;
mod spec_response;
mod spec_token;
mod template;
mod template_place;
mod template_url;
#[cfg(test)]
mod tests_authorize;
#[cfg(test)]
mod tests_capture;
#[cfg(test)]
mod tests_check;
#[cfg(test)]
mod tests_check_requests;
#[cfg(test)]
mod tests_fixtures;
#[cfg(test)]
mod tests_hosts;
#[cfg(test)]
mod tests_param;
#[cfg(test)]
mod tests_payload;
#[cfg(test)]
mod tests_render;
#[cfg(test)]
mod tests_samples;
#[cfg(test)]
mod tests_signature;
mod uses;
mod vars;

pub use authorize::{AuthorizeAsk, AuthorizeFault, Purpose, authorize_url, authorize_url_at};
pub use bound::Bound;
pub use capture::CaptureFault;
pub use catalog::Catalog;
pub use check::check;
pub use error::ProviderError;
pub use loaded::Provider;
pub use param::ParamFault;
pub use payload::Payload;
pub use pointer::{Pointer, PointerError};
pub use pointer_text::PointerText;
pub use reach::Reach;
pub use scopes::{Beyond, ScopeFault};
pub(super) use signature::MAX_AHEAD_S;
pub use signature::{SignatureFault, Signed, check_payload, check_signature};
pub use template::{Place, QuerySecrets, Template, TemplateError};
pub(super) use template_place::encode;
pub use vars::Vars;
