//! Making an installation on purpose: what a first start would make by itself, and what it would not ask for.
//!
//! ```text
//! answers ─▶ plan: looked at by the doctor, nothing is touched
//!         ─▶ marker ─▶ ring ─▶ store and journal ─▶ first organisation ─▶ the other slots, each tested
//!         ─▶ proof by those who hold something ─▶ settings file ─▶ its owner ─▶ marker gone
//! ```
//!
//! Keys, store and organisation are made by the code of a first start. What is new is the marker, `data/init`,
//! which is held locked from before the first file to after the last: while it stands no broker starts, so
//! nothing can be in there that somebody would miss, and whoever comes again begins anew. What fails or is
//! called off is cleared away at once; what is killed, by the next run.

mod answers;
mod error;
mod make;
mod owner;
mod plan;
mod site;

pub use answers::{Answers, OrganizationAnswers, SlotAnswers};
pub use error::InitError;
pub use make::Made;
pub use plan::{Plan, Planned, Way};
pub(super) use site::is_unfinished;
