//! Organisations, members, API keys.
