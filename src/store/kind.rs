//! Which engine a store is kept in, and in which folder: what the format marker says.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An engine that keeps a store on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// sled: the faster one under many small writes.
    #[default]
    Sled,
    /// redb: one file, in which every page has a checksum.
    Redb,
}

impl EngineKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sled, Self::Redb];

    /// What a setting and a flag call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text names no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engines are sled and redb")]
pub struct UnknownEngine;

impl FromStr for EngineKind {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, UnknownEngine> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.name() == text).ok_or(UnknownEngine)
    }
}

/// The first line that every version's marker begins with.
const MARKER: &str = "runtools-broker store";

/// A folder of an engine's files. Folders are numbered: a copy that takes the place of another has the
/// higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) kind: EngineKind,
    pub(super) number: u32,
    /// The veil that names in it are under, if they are under any.
    pub(super) veil: Option<u32>,
}

impl Folder {
    /// The first one of a store.
    pub(super) const fn first(kind: EngineKind) -> Self {
        Self {
            kind,
            number: 1,
            veil: None,
        }
    }

    /// What it is called.
    pub(super) fn name(self) -> String {
        if self == Self::first(EngineKind::Sled) {
            return "sled".to_owned();
        }
        let Self { kind, number, veil } = self;
        match veil {
            None => format!("{kind}-{number}"),
            Some(veil) => format!("{kind}-{number}-{veil}"),
        }
    }

    /// The one of this name.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let mut words = name.split('-');
        let kind = words.next()?.parse().ok()?;
        let folder = match words.next() {
            None => Self::first(EngineKind::Sled),
            Some(number) => Self {
                kind,
                number: number.parse().ok()?,
                veil: words.next().map(str::parse).transpose().ok()?,
            },
        };
        // One spelling each: `sled-1` and `redb-01` are nobody's.
        (folder.name() == name).then_some(folder)
    }

    /// The format marker of a store that is in it. sled's first folder needs no more than the
    /// versions before redb wrote, and they can go on with it.
    pub(super) fn marker(self) -> String {
        if self == Self::first(EngineKind::Sled) {
            return format!("{MARKER} 1\n");
        }
        let Self { kind, number, veil } = self;
        match veil {
            None => format!("{MARKER} 2 {kind} {number}\n"),
            Some(veil) => format!("{MARKER} 3 {kind} {number} {veil}\n"),
        }
    }

    /// The one that a format marker names.
    pub(super) fn of_marker(marker: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(marker).ok()?;
        let mut words = text.strip_prefix(MARKER)?.split_ascii_whitespace();
        let folder = match words.next()? {
            "1" => Self::first(EngineKind::Sled),
            "2" | "3" => Self {
                kind: words.next()?.parse().ok()?,
                number: words.next()?.parse().ok()?,
                veil: words.next().map(str::parse).transpose().ok()?,
            },
            _ => return None,
        };
        (folder.marker().as_bytes() == marker).then_some(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::{EngineKind, Folder};

    #[test]
    fn a_folder_is_written_in_one_way_as_a_name_and_as_a_marker() {
        let folder = |kind, number| Folder {
            kind,
            number,
            veil: None,
        };
        let veiled = |kind, number, veil| Folder {
            veil: Some(veil),
            ..folder(kind, number)
        };
        for (folder, name, marker) in [
            (
                folder(EngineKind::Sled, 1),
                "sled",
                "runtools-broker store 1\n",
            ),
            (
                folder(EngineKind::Sled, 2),
                "sled-2",
                "runtools-broker store 2 sled 2\n",
            ),
            (
                folder(EngineKind::Redb, 1),
                "redb-1",
                "runtools-broker store 2 redb 1\n",
            ),
            (
                folder(EngineKind::Redb, 17),
                "redb-17",
                "runtools-broker store 2 redb 17\n",
            ),
            (
                veiled(EngineKind::Sled, 1, 1),
                "sled-1-1",
                "runtools-broker store 3 sled 1 1\n",
            ),
            (
                veiled(EngineKind::Redb, 4, 12),
                "redb-4-12",
                "runtools-broker store 3 redb 4 12\n",
            ),
        ] {
            assert_eq!(folder.name(), name);
            assert_eq!(folder.marker(), marker);
            assert_eq!(Folder::of_name(name), Some(folder));
            assert_eq!(Folder::of_marker(marker.as_bytes()), Some(folder));
        }
    }

    #[test]
    fn what_is_spelled_otherwise_is_nobodys() {
        for name in [
            "sled-1",
            "sled-02",
            "redb",
            "redb-",
            "redb-+1",
            "lmdb-1",
            "",
            "sled-2x",
            "sled-2-",
            "sled-2-01",
            "sled-2-1-1",
        ] {
            assert_eq!(Folder::of_name(name), None, "{name}");
        }
        for marker in [
            "",
            "runtools-broker store 1",
            "runtools-broker store 1\n\n",
            "runtools-broker store 2\n",
            "runtools-broker store 2 sled 1\n",
            "runtools-broker store 2 redb 01\n",
            "runtools-broker store 2  redb 1\n",
            "runtools-broker store 2 redb 1 more\n",
            "runtools-broker store 3 redb 1\n",
            "runtools-broker store 2 redb 1 1\n",
            "runtools-broker store 3 redb 2 01\n",
            "runtools-broker store 4 redb 1\n",
            "something else\n",
        ] {
            assert_eq!(Folder::of_marker(marker.as_bytes()), None, "{marker:?}");
        }
    }

    #[test]
    fn an_engine_is_named_as_in_the_settings() {
        for kind in EngineKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("Sled".parse::<EngineKind>().is_err());
    }
}
