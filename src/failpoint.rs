//! Places at which a test ends this process as a loss of power would: SIGKILL, at that line and no other.
//!
//! A kill from outside hits some moment or other. What has to be right are the few lines between one durable
//! write and the next, and each of those has a name here. A broker that is started with such a name in
//! `RUNTOOLS_FAILPOINT` kills itself when it comes there (`name@3`: when it comes there for the third time).
//! With `name!` the work panics there instead, once, and the process lives: what is in memory then can be looked at.
//! The test sees it die, starts it again without the name, and looks at what became of the work.
//!
//! To name one more place: a row in the table below, and [`reached`] at the line.
//!
//! Builds without debug assertions, which is what ships, have nothing of this: [`arm`] reads no variable and
//! [`reached`] is empty. It is no feature of the package. Features add up over all that is built together, so a
//! test that wants one could put it into a build that ships; and each test would be built twice, with and without.

/// Declares the places, and the name of each.
macro_rules! failpoints {
    ($($(#[$doc:meta])* $place:ident = $name:literal,)+) => {
        /// A place at which a test can end the process, in the order in which each kind of work comes by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Failpoint {
            $($(#[$doc])* $place,)+
        }

        impl Failpoint {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$place),+];

            /// What `RUNTOOLS_FAILPOINT` says for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$place => $name,)+
                }
            }
        }
    };
}

failpoints! {
    /// A refresh: before its attempt is written.
    RefreshP1 = "oauth.refresh.p1",
    /// After it was.
    RefreshP2 = "oauth.refresh.p2",
    /// Before its request is sent.
    RefreshP3 = "oauth.refresh.p3",
    /// After the provider answered.
    RefreshP4 = "oauth.refresh.p4",
    /// Before the new tokens are committed.
    RefreshP5 = "oauth.refresh.p5",
    /// After they were.
    RefreshP6 = "oauth.refresh.p6",
    /// Before callers are told.
    RefreshP7 = "oauth.refresh.p7",
    /// A copy of the store: before its folder is made.
    RewriteBegins = "store.rewrite.begins",
    /// After a page was copied.
    RewritePage = "store.rewrite.page",
    /// After all were.
    RewriteCopied = "store.rewrite.copied",
    /// After what is in the copy was read back.
    RewriteVerified = "store.rewrite.verified",
    /// After the last changes were copied, while commits wait.
    RewriteCaughtUp = "store.rewrite.caught_up",
    /// After the new format marker was written, and before it has its name.
    RewriteNaming = "store.rewrite.naming",
    /// After that.
    RewritePlaced = "store.rewrite.placed",
    /// After the old files were removed.
    RewriteEnds = "store.rewrite.ends",
    /// A rotation of keys: before a new generation is drawn.
    RotatePrepares = "key.rotate.prepares",
    /// After it was made the active one on disk, and before it is in memory.
    RotateTurned = "key.rotate.turned",
    /// After that was written down of all keys.
    RotatePrepared = "key.rotate.prepared",
    /// Before a page of records is sealed anew.
    RotatePage = "key.rotate.page",
    /// After it was.
    RotatePaged = "key.rotate.paged",
    /// After the walk's end was written down.
    RotateRewrapped = "key.rotate.rewrapped",
    /// After it was written down that nothing is left.
    RotateVerified = "key.rotate.verified",
    /// Before an old generation is destroyed.
    RotateRetires = "key.rotate.retires",
    /// After it was, on disk, and before it is in memory.
    RotateRetired = "key.rotate.retired",
    /// The root key: after the next one was drawn and written down.
    RootDrawn = "key.root.drawn",
    /// After everything was sealed under it.
    RootSealed = "key.root.sealed",
    /// Before the ring has it.
    RootPlaces = "key.root.places",
    /// After that.
    RootPlaced = "key.root.placed",
    /// After the record was removed in which it had waited.
    RootEnds = "key.root.ends",
    /// After the end was written down.
    RotateFinished = "key.rotate.finished",
    /// The journal's keys: after the next ones were drawn and written down.
    AuditDrawn = "key.audit.drawn",
    /// After the journal says that they come next.
    AuditAnnounced = "key.audit.announced",
    /// After it has a segment under them, and before they have signed anything.
    AuditBegun = "key.audit.begun",
    /// Before the key is destroyed that signed until then.
    AuditRetires = "key.audit.retires",
    /// After it was.
    AuditRetired = "key.audit.retired",
    /// The key of what belongs to no organisation: after the next one was drawn and written down.
    StateDrawn = "key.state.drawn",
    /// After everything was sealed under it, and before the old one is destroyed.
    StateSealed = "key.state.sealed",
    /// After that, on disk, and before it is in memory.
    StateRetired = "key.state.retired",
    /// The key that names in the database are under: after the next one was drawn and written down.
    IndexDrawn = "key.index.drawn",
    /// After the store is in files whose names are under it.
    IndexTurned = "key.index.turned",
    /// After the one before was destroyed.
    IndexRetired = "key.index.retired",
    /// The key file: after the ring has a slot for the next one.
    KeyFileAdded = "key.file.added",
    /// After that one has its name.
    KeyFilePlaced = "key.file.placed",
    /// After the slot of the one before was removed.
    KeyFileRemoved = "key.file.removed",
    /// A deleted organisation: after its records are gone, and before its key is.
    OrgShredded = "org.delete.shredded",
    /// After that, on disk, and before it is in memory.
    OrgKeyDestroyed = "org.delete.destroyed",
    /// A backup: after a frame of it was written.
    BackupFrame = "backup.frame",
    /// After its file is durable, and before it has its name.
    BackupSynced = "backup.synced",
    /// After that.
    BackupPlaced = "backup.placed",
    /// A restore: after some of the records were put down.
    RestoreRecords = "restore.records",
    /// After everything was.
    RestoreUnpacked = "restore.unpacked",
    /// After everything was checked and recorded, and before the folder has its name.
    RestoreChecked = "restore.checked",
    /// After that.
    RestorePlaced = "restore.placed",
    /// A lockdown: after its marker was written, and before anything is void.
    LockdownMarked = "vault.lockdown.marked",
    /// An init: after its marker was written.
    InitBegun = "init.begun",
    /// After the ring was made.
    InitRing = "init.ring",
    /// After the store was.
    InitStore = "init.store",
    /// After the first organisation was.
    InitFounded = "init.founded",
    /// After another slot was added.
    InitSlot = "init.slot",
    /// After the settings file has its name.
    InitSettings = "init.settings",
    /// After the files have their owner, and before the marker goes.
    InitOwned = "init.owned",
    /// A value: after it was opened for one use.
    ValueOpened = "vault.value.opened",
}

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

#[cfg(debug_assertions)]
mod armed {
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
}

#[cfg(debug_assertions)]
#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::armed::Armed;
    use super::{Failpoint, UnknownFailpoint};

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
