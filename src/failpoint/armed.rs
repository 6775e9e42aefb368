//! The place at which this process is to die, and its end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Signal, getpid, kill_process};

use super::{Failpoint, UnknownFailpoint};

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Where to die.
#[derive(Debug)]
pub(super) struct Armed {
    place: Failpoint,
    /// How many more times the work comes by.
    left: AtomicU32,
    /// Whether it panics there.
    pub(super) panics: bool,
}

impl Armed {
    /// `name`, `name@3`, or either with `!` behind it.
    pub(super) fn parse(text: &str) -> Result<Self, UnknownFailpoint> {
        let (text, panics) = text
            .strip_suffix('!')
            .map_or((text, false), |it| (it, true));
        let (name, times) = text.split_once('@').unwrap_or((text, "1"));
        let mut all = Failpoint::ALL.iter().copied();
        let place = all.find(|place| place.name() == name);
        let times: Option<u32> = times.parse().ok().filter(|times| *times > 0);
        let (Some(place), Some(times)) = (place, times) else {
            return Err(UnknownFailpoint);
        };
        let left = AtomicU32::new(times);
        Ok(Self {
            place,
            left,
            panics,
        })
    }

    /// Whether this is where and when to die.
    pub(super) fn is_now(&self, place: Failpoint) -> bool {
        self.place == place && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

pub(super) fn arm() -> Result<(), UnknownFailpoint> {
    #[expect(
        clippy::disallowed_methods,
        reason = "no setting: builds that ship do not read it, and no file can say it"
    )]
    let said = super::VARIABLE.and_then(std::env::var_os);
    let Some(said) = said else {
        return Ok(());
    };
    let armed = Armed::parse(said.to_str().unwrap_or_default())?;
    tracing::warn!(
        place = armed.place.name(),
        "this process will kill itself, or panic"
    );
    ARMED.get_or_init(|| armed);
    Ok(())
}

pub(super) fn reached(place: Failpoint) {
    let Some(armed) = ARMED.get().filter(|armed| armed.is_now(place)) else {
        return;
    };
    assert!(!armed.panics, "a test has asked for this");
    // No handler sees it, no destructor runs, no buffer is written.
    while kill_process(getpid(), Signal::KILL).is_ok() {
        std::thread::park();
    }
    // A kernel that forbids even that: the test expects another signal, and fails.
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{Failpoint, UnknownFailpoint};
    use super::Armed;

    #[test]
    fn each_place_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Failpoint::ALL.iter().map(|place| place.name()).collect();
        assert_eq!(names.len(), Failpoint::ALL.len());
        assert!(names.iter().all(|name| !name.contains('@')));
    }

    #[test]
    fn a_place_is_reached_at_its_turn_and_once() {
        let at = |text: &str| {
            let armed = Armed::parse(text).unwrap();
            let comes = |place| (0..4).map(|_| armed.is_now(place)).collect::<Vec<_>>();
            (comes(Failpoint::RefreshP2), comes(Failpoint::RefreshP3))
        };
        let never = vec![false; 4];
        assert_eq!(
            at("oauth.refresh.p2"),
            (vec![true, false, false, false], never.clone())
        );
        assert_eq!(
            at("oauth.refresh.p3@3"),
            (never, vec![false, false, true, false])
        );
    }

    #[test]
    fn a_place_can_be_one_to_panic_at() {
        for (text, panics) in [("key.root.ends", false), ("key.root.ends@2!", true)] {
            assert_eq!(Armed::parse(text).unwrap().panics, panics);
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "oauth.refresh",
            "oauth.refresh.p9",
            "oauth.refresh.p2@",
            "oauth.refresh.p2@0",
            "oauth.refresh.p2@x",
            "oauth.refresh.p2@2@2",
            "!",
            "oauth.refresh.p2!@2",
            "oauth.refresh.p2!!",
        ] {
            assert_eq!(Armed::parse(text).unwrap_err(), UnknownFailpoint, "{text}");
        }
    }
}
