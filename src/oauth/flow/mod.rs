//! Flows: from "connect this account" to an answer that may be redeemed.
//!
//! ```text
//! begin ─▶ /connect/{flow}: who, what, where? ─click─▶ confirm ─▶ provider ─▶ callback: take ─▶ arrive ─▶ redeem
//!  API      any browser, changes nothing        cookie, state, PKCE           that browser, once
//! ```
//!
//! A flow belongs to the user who began it and to the browser that agreed, and they may be two people:
//! somebody sends a link of theirs, or a provider's URL with a state of theirs (rule 3.3). So three things
//! come together before an answer counts. The callback's state says which flow; the cookie says that
//! this browser left for it; and [`Tell`] says how the one who began shows that the browser is theirs.
//!
//! The [`FlowBook`] is in memory only, for ten minutes, and bounded. An answer is consumed before
//! anything is done with it ([`PendingFlow`] is taken, not read), so fifty copies of a callback make one
//! token request.

mod arrival;
mod ask;
mod book;
mod browser;
mod code;
mod cookies;
mod device;
mod device_book;
mod invitation;
mod outcome;
mod pending;
mod pkce;
mod public_url;
mod query;
mod record;
mod return_to;
mod service;
mod shelf;
mod spent;
mod tell;
#[cfg(test)]
mod tests_arrival;
#[cfg(test)]
mod tests_begin;
#[cfg(test)]
mod tests_device;
#[cfg(test)]
mod tests_payload;
#[cfg(test)]
pub(crate) mod tests_rig;
#[cfg(test)]
mod tests_signed;
mod text;
mod unguessable;
mod view;

pub use arrival::{Arrival, Taken};
pub use ask::{FlowAsk, FlowFacts, FlowFault, FlowPurpose, Found, Started};
pub use book::{FinishFault, FlowBook};
pub use browser::{ConfirmFault, Departure, Home, ResultView, Standing};
pub use cookies::{FlowCookies, prefix as cookie_prefix, set_cookie};
pub use device::{DeviceAnswer, DeviceAsk, DeviceShown, DeviceStatus, DeviceTurn, DeviceView};
pub use device_book::{DeviceBegun, DeviceBook, DeviceFault, Turn};
pub use invitation::{Invitation, ScopeLine};
pub use outcome::{Failure, Outcome};
pub use pending::{PendingFlow, SignedFlow};
pub use public_url::{PublicUrl, PublicUrlError};
pub use query::{CallbackQuery, QueryFault};
pub use return_to::{ReturnFault, ReturnRule, ReturnTo};
pub use service::{Redeemer, Soon, complete};
pub use tell::{LoopbackTarget, Tell, TellFault};
pub use text::one_line;
pub use unguessable::{FlowId, FlowKey};
pub use view::{FlowStatus, FlowView};
