//! The API, called.
