//! Resolve, inject, execute, scrub.

pub mod scrub;
