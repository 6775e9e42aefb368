//! A disk that may lose power: what lies on it for sure, and what may.
//!
//! Files lose what no sync has covered, by sectors of 512 bytes and in any order: of the states that a
//! sector has had since the last sync, any may be found, each sector's for itself. Names are lost from
//! the newest back until their folder is synced: file systems keep the order of those.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::file::{Change, File, Leaves, write};
use super::trace::Event;

#[derive(Clone, Debug)]
enum Naming {
    Make(PathBuf, usize),
    MakeDir(PathBuf),
    Move(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Dir,
    File(usize),
}

type Names = BTreeMap<PathBuf, Named>;

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    root: PathBuf,
    files: Vec<File>,
    durable: Names,
    names: Names,
    namings: Vec<Naming>,
    /// Syncs under way: what they will have made durable.
    syncs: BTreeMap<usize, Sync>,
}

#[derive(Clone, Debug)]
enum Sync {
    File { file: usize, changes: usize },
    Dir { path: PathBuf, namings: usize },
}

impl Disk {
    /// What lies in `root`, all of it durable.
    pub(super) fn of(root: &Path) -> Self {
        let mut disk = Self {
            root: root.to_owned(),
            ..Self::default()
        };
        disk.durable.insert(root.to_owned(), Named::Dir);
        disk.take(root);
        disk.names = disk.durable.clone();
        disk
    }

    fn take(&mut self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            // Written by whoever starts a broker, before each start.
            if path.ends_with("broker.toml") {
                continue;
            }
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                self.take(&path);
                self.durable.insert(path, Named::Dir);
            } else if kind.is_file() {
                let durable = fs::read(&path).unwrap();
                self.durable.insert(path, Named::File(self.files.len()));
                let bytes = durable.len() as u64;
                self.files.push(File {
                    durable,
                    bytes,
                    ..File::default()
                });
            }
        }
    }

    fn file(&mut self, path: &Path) -> (usize, &mut File) {
        let Some(Named::File(at)) = self.names.get(path) else {
            panic!("no such file: {}", path.display());
        };
        (*at, &mut self.files[*at])
    }

    /// Takes what happened next.
    pub(super) fn happens(&mut self, event: &Event) {
        match event {
            Event::Write {
                number,
                path,
                at,
                bytes,
            } => {
                let (number, bytes) = (*number, bytes.clone());
                let (_, file) = self.file(path);
                let at = at.unwrap_or(file.bytes);
                file.bytes = file.bytes.max(at + bytes.len() as u64);
                file.open.insert(number);
                file.pending.push(Change::Write { number, at, bytes });
            }
            Event::Written { number } => {
                for file in &mut self.files {
                    file.open.remove(number);
                }
            }
            Event::Length { path, bytes } => {
                self.file(path).1.becomes(*bytes);
            }
            Event::Make { path, emptied } => {
                if !self.names.contains_key(path) {
                    let at = self.files.len();
                    self.files.push(File::default());
                    self.names.insert(path.clone(), Named::File(at));
                    self.namings.push(Naming::Make(path.clone(), at));
                } else if *emptied {
                    self.file(path).1.becomes(0);
                }
            }
            Event::MakeDir { path } => self.naming(Naming::MakeDir(path.clone())),
            Event::Move { from, to } => self.naming(Naming::Move(from.clone(), to.clone())),
            Event::Link { from, to } => {
                let (at, _) = self.file(from);
                self.naming(Naming::Make(to.clone(), at));
            }
            Event::Remove { path } => self.naming(Naming::Remove(path.clone())),
            Event::SyncBegun { number, path } => self.sync_begins(*number, path),
            Event::Synced { number } => self.sync_ends(*number),
            Event::Answered { .. } => {}
        }
    }

    fn naming(&mut self, naming: Naming) {
        apply(&mut self.names, &naming);
        self.namings.push(naming);
    }

    fn sync_begins(&mut self, number: usize, path: &Path) {
        let sync = if self.names.get(path) == Some(&Named::Dir) {
            let (path, namings) = (path.to_owned(), self.namings.len());
            Sync::Dir { path, namings }
        } else {
            let (at, file) = self.file(path);
            let open = |change: &Change| matches!(change, Change::Write { number, .. } if file.open.contains(number));
            let changes = file.pending.iter().position(open);
            Sync::File {
                file: at,
                changes: changes.unwrap_or(file.pending.len()),
            }
        };
        self.syncs.insert(number, sync);
    }

    fn sync_ends(&mut self, number: usize) {
        match self.syncs.remove(&number).unwrap() {
            Sync::File { file: at, changes } => {
                let file = &mut self.files[at];
                for change in file.pending.drain(..changes).collect::<Vec<_>>() {
                    write(&mut file.durable, &change);
                }
                for other in self.syncs.values_mut() {
                    if let Sync::File {
                        file,
                        changes: others,
                    } = other
                        && *file == at
                    {
                        *others = others.saturating_sub(changes);
                    }
                }
            }
            Sync::Dir { path, namings } => {
                let mut now = Vec::new();
                let of_dir = |naming: &Naming| match naming {
                    Naming::Make(at, _) | Naming::MakeDir(at) | Naming::Remove(at) => {
                        at.parent() == Some(&path)
                    }
                    Naming::Move(from, to) => {
                        from.parent() == Some(&path) || to.parent() == Some(&path)
                    }
                };
                for at in (0..namings).rev() {
                    if !of_dir(&self.namings[at]) {
                        continue;
                    }
                    for other in self.syncs.values_mut() {
                        if let Sync::Dir { namings, .. } = other
                            && at < *namings
                        {
                            *namings -= 1;
                        }
                    }
                    now.push(self.namings.remove(at));
                }
                for naming in now.iter().rev() {
                    apply(&mut self.durable, naming);
                }
            }
        }
    }

    /// A path at which it is not, durable or not, what lies in its root.
    pub(super) fn differs_at(&self) -> Option<&Path> {
        let there = Self::of(&self.root);
        let alike = |(path, named): &(&PathBuf, &Named)| match (named, there.names.get(*path)) {
            (Named::Dir, Some(Named::Dir)) => true,
            (Named::File(at), Some(Named::File(found))) => {
                let mut bytes = self.files[*at].durable.clone();
                for change in &self.files[*at].pending {
                    write(&mut bytes, change);
                }
                there.files[*found].durable == bytes
            }
            _ => false,
        };
        let missed = there
            .names
            .keys()
            .find(|path| !self.names.contains_key(*path));
        let missed = missed.map(|path| path.parent().unwrap().to_owned());
        let mut all = self.names.iter();
        let (path, _) = all.find(|named| !alike(named) || missed.as_ref() == Some(named.0))?;
        Some(path)
    }

    /// Puts into `to` what a power cut at this moment may leave.
    pub(super) fn loses_power(
        &self,
        leaves: Leaves,
        dice: &mut dyn FnMut(usize) -> usize,
        to: &Path,
    ) {
        let kept = match leaves {
            Leaves::Nothing => 0,
            Leaves::All | Leaves::ButTheFirst => self.namings.len(),
            Leaves::UpToAMoment | Leaves::Any => dice(self.namings.len() + 1),
        };
        let mut names = self.durable.clone();
        for naming in &self.namings[..kept] {
            apply(&mut names, naming);
        }
        for (path, named) in &names {
            let place = to.join(path.strip_prefix(&self.root).unwrap());
            match named {
                Named::Dir => {
                    let mut made = fs::DirBuilder::new();
                    made.recursive(true).mode(0o700).create(place).unwrap();
                }
                // A file whose folder was lost is nowhere.
                Named::File(_) if !place.parent().unwrap().exists() => {}
                Named::File(at) => {
                    let mut made = fs::OpenOptions::new();
                    let made = made.create_new(true).write(true).mode(0o600).open(place);
                    let left = self.files[*at].left(leaves, dice);
                    made.unwrap().write_all(&left).unwrap();
                }
            }
        }
    }
}

fn apply(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Make(path, at) => {
            names.insert(path.clone(), Named::File(*at));
        }
        Naming::MakeDir(path) => {
            names.insert(path.clone(), Named::Dir);
        }
        Naming::Remove(path) => {
            names.remove(path);
        }
        Naming::Move(from, to) => {
            let moved: Vec<_> = names
                .keys()
                .filter(|path| path.starts_with(from))
                .cloned()
                .collect();
            for path in moved {
                let named = names.remove(&path).unwrap();
                let rest = path.strip_prefix(from).unwrap();
                let place = if rest.as_os_str().is_empty() {
                    to.clone()
                } else {
                    to.join(rest)
                };
                names.insert(place, named);
            }
        }
    }
}
