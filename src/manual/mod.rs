#![doc = include_str!("index.md")]

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("threats.md")]
pub mod threats {}

#[doc = include_str!("formats.md")]
pub mod formats {}

#[doc = include_str!("operations.md")]
pub mod operations {}
#[doc = include_str!("backup.md")]
pub mod backup {}
#[doc = include_str!("custodians.md")]
pub mod custodians {}

#[doc = include_str!("tools.md")]
pub mod tools {}

#[doc = include_str!("lanes.md")]
pub mod lanes {}

#[doc = include_str!("accounts.md")]
pub mod accounts {}

#[doc = include_str!("providers.md")]
pub mod providers {}

#[doc = include_str!("style.md")]
pub mod style {}
