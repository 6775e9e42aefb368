//! What the process denies itself.
