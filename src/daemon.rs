//! The daemon, put together.
