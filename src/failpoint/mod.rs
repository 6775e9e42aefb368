//! Places at which a test ends this process as a loss of power would: SIGKILL, at that line and no other.
//!
//! A kill from outside hits some moment or other. What has to be right are the few lines between one durable
//! write and the next, and each of those has a name here. A broker that is started with such a name in
//! `RUNTOOLS_FAILPOINT` kills itself when it comes there (`name@3`: when it comes there for the third time).
//! With `name!` the work panics there instead, once, and the process lives: what is in memory then can be looked at.
//! The test sees it die, starts it again without the name, and looks at what became of the work.
//!
//! To name one more place: a row in the table of `places.rs`, and [`reached`] at the line.
//!
//! Builds without debug assertions, which is what ships, have nothing of this: [`arm`] reads no variable and
//! [`reached`] is empty. It is no feature of the package. Features add up over all that is built together, so a
//! test that wants one could put it into a build that ships; and each test would be built twice, with and without.

#[cfg(debug_assertions)]
mod armed;
mod places;

pub use places::Failpoint;

/// `RUNTOOLS_FAILPOINT` says something that no place is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the place to die at is none that there is")]
pub struct UnknownFailpoint;

/// Where it is said, in the builds that read it.
pub const VARIABLE: Option<&str> = if cfg!(debug_assertions) {
    Some("RUNTOOLS_FAILPOINT")
} else {
    None
};

/// Reads at which place this process is to die, if at any. To be called before there is anything to lose.
///
/// # Errors
/// [`UnknownFailpoint`] for another name, so that no test waits for a place that nobody comes by.
#[cfg(debug_assertions)]
pub fn arm() -> Result<(), UnknownFailpoint> {
    armed::arm()
}

/// Reads at which place this process is to die: in this build, at none.
///
/// # Errors
/// None.
#[cfg(not(debug_assertions))]
pub const fn arm() -> Result<(), UnknownFailpoint> {
    Ok(())
}

/// The work is at `place`: does not return when the process is to die here.
#[cfg(debug_assertions)]
pub fn reached(place: Failpoint) {
    armed::reached(place);
}

/// The work is at `place`.
#[cfg(not(debug_assertions))]
#[inline]
pub const fn reached(_place: Failpoint) {}
