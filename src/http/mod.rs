//! The API.

pub mod serve;
