//! The places, each between two durable steps, and the name of each.

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
    /// A commit: after the engine has it, and before the anchor files have.
    CommitApplied = "store.commit.applied",
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
    /// A file of the keys directory that replaces one: after it is whole and durable, under another name.
    KeysReplaceWritten = "keys.replace.written",
    /// After it took the name, and before that is durable.
    KeysReplaceNamed = "keys.replace.named",
    /// A new file of the keys directory: after it is whole and durable, under another name.
    KeysMakeWritten = "keys.make.written",
    /// After it has its name, and before that is durable.
    KeysMakeNamed = "keys.make.named",
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
    /// After everything is void, and before the vault is sealed.
    LockdownVoided = "vault.lockdown.voided",
    /// Its end: after what was handed out since is void as well, and before the marker goes.
    LockdownFinished = "vault.lockdown.finished",
    /// After the marker went, and before that is durable.
    LockdownLifted = "vault.lockdown.lifted",
    /// A first start: after its marker was written, and before there is a ring.
    StartMarked = "start.marked",
    /// After the ring was made.
    StartRing = "start.ring",
    /// After the journal was, and before there is a store.
    StartJournal = "start.journal",
    /// After the store was, and before the marker goes.
    StartStore = "start.store",
    /// After the marker went, and before that is durable.
    StartEnds = "start.ends",
    /// A store that was set back, and is accepted: after that is recorded, and before anything is changed.
    AcceptRecorded = "store.accept.recorded",
    /// After the store says so, and before any anchor file does.
    AcceptApplied = "store.accept.applied",
    /// After an anchor file was made anew.
    AcceptAnchored = "store.accept.anchored",
    /// After everything was, and before it is recorded how it ended.
    AcceptEnds = "store.accept.ends",
    /// A segment of the journal: after it is whole and durable, under another name.
    SegmentWritten = "audit.segment.written",
    /// After it has its name, and before that is durable.
    SegmentNamed = "audit.segment.named",
    /// After that, and before anything is written to it.
    SegmentMade = "audit.segment.made",
    /// A write of the journal that was cut short: after it was cut off, and before that is durable.
    RepairCut = "audit.repair.cut",
    /// After that, and before it is recorded.
    RepairDone = "audit.repair.done",
    /// Records that the store did not take: after they are whole and durable in a file, under another name.
    SpoolWritten = "spool.written",
    /// After it has its name, and before that is durable.
    SpoolNamed = "spool.named",
    /// After they are in the store, and their file went.
    SpoolRemoved = "spool.removed",
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
