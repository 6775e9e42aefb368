//! Resolve, inject, execute, scrub.
