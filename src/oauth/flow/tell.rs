//! How whoever began a flow hears that the provider answered.
//!
//! The person who clicks may not be the one who began (RFC 9700 section 4.7 turned around: somebody
//! sends a link of theirs). So the answer is of use only to both together: either the beginner shows
//! a ticket that the browser carried to them, or the browser showed a code that the beginner was told.

use super::return_to::ReturnTo;

/// The way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tell {
    /// The browser is sent to a program on its own machine, which finishes the flow (RFC 8252
    /// section 7.3).
    Loopback(LoopbackTarget),
    /// The browser is elsewhere: a code from the beginner's terminal is typed into the page.
    Code,
    /// The browser is sent back to a dashboard, which finishes the flow.
    Return {
        /// Where to.
        to: ReturnTo,
        /// Whether it is in a window of its own, and tells the one that opened it.
        popup: bool,
    },
}

/// A program that listens on the loopback address of the browser's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopbackTarget {
    port: u16,
    path: Box<str>,
}

/// Why the browser is not sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TellFault {
    /// System services listen below.
    #[error("a loopback port is 1024 at least")]
    Port,
    /// It is no plain path.
    #[error(
        "a loopback path is a slash, and at most 64 letters, digits, slashes, hyphens and underscores"
    )]
    Path,
}

impl Tell {
    /// To a program that listens on 127.0.0.1. The browser makes a GET request there, so ports of
    /// system services, and paths that say more than a name, are refused.
    ///
    /// # Errors
    /// [`TellFault`].
    pub fn loopback(port: u16, path: &str) -> Result<Self, TellFault> {
        if port < 1024 {
            return Err(TellFault::Port);
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_".contains(&b);
        let sound = path.len() <= 65 && path.starts_with('/') && !path.starts_with("//");
        if !sound || !path.bytes().all(plain) {
            return Err(TellFault::Path);
        }
        let path = path.into();
        Ok(Self::Loopback(LoopbackTarget { port, path }))
    }

    /// Where the browser goes with these members, when it goes anywhere.
    pub(super) fn onward(&self, members: &[(&str, &str)]) -> Option<String> {
        match self {
            Self::Loopback(LoopbackTarget { port, path }) => {
                let query: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                Some(format!("http://127.0.0.1:{port}{path}?{}", query.join("&")))
            }
            Self::Return { to, .. } => Some(to.with(members)),
            Self::Code => None,
        }
    }

    /// The origin where the browser goes, when it goes anywhere.
    pub(super) fn origin(&self) -> Option<String> {
        match self {
            Self::Loopback(LoopbackTarget { port, .. }) => Some(format!("http://127.0.0.1:{port}")),
            Self::Return { to, .. } => Some(to.origin().to_owned()),
            Self::Code => None,
        }
    }

    /// Whether the page is a window that another one opened.
    #[must_use]
    pub const fn is_popup(&self) -> bool {
        matches!(self, Self::Return { popup: true, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::{Tell, TellFault};

    #[test]
    fn n1_a_loopback_address_is_a_number_with_a_high_port_and_a_plain_path() {
        let tell = Tell::loopback(49152, "/callback").unwrap();
        assert_eq!(
            tell.onward(&[("flow", "f"), ("ticket", "t")]).unwrap(),
            "http://127.0.0.1:49152/callback?flow=f&ticket=t"
        );
        assert_eq!(Tell::loopback(631, "/x"), Err(TellFault::Port));
        assert_eq!(Tell::loopback(0, "/x"), Err(TellFault::Port));
        for path in [
            "", "x", "//x", "/x?y", "/x#y", "/@evil", "/x%2f", "/a b", "/\\x", "/.", "/x\r\n",
        ] {
            assert_eq!(Tell::loopback(4000, path), Err(TellFault::Path), "{path}");
        }
        assert!(Tell::loopback(4000, &format!("/{}", "a".repeat(65))).is_err());
    }
}
