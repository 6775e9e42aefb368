//! What a process did to its files, as strace saw it.
//!
//! A write exists from the moment it is begun: until a sync that began after it ended, any part of it
//! may be lost. A sync holds from the moment it has ended, for what had ended before it began.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The calls that change files or names, sync them, or answer a client.
const CALLS: &str = "trace=open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,truncate,ftruncate,\
    fallocate,copy_file_range,sendfile,rename,renameat,renameat2,link,linkat,symlinkat,unlink,unlinkat,\
    mkdir,mkdirat,rmdir,fsync,fdatasync,sendto";

/// What happened next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// `number` tells this write from others. Without a place, it goes to the file's end.
    Write {
        number: usize,
        path: PathBuf,
        at: Option<u64>,
        bytes: Vec<u8>,
    },
    Written {
        number: usize,
    },
    Length {
        path: PathBuf,
        bytes: u64,
    },
    Make {
        path: PathBuf,
        emptied: bool,
    },
    MakeDir {
        path: PathBuf,
    },
    Move {
        from: PathBuf,
        to: PathBuf,
    },
    /// The file at `from` has a second name.
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    SyncBegun {
        number: usize,
        path: PathBuf,
    },
    Synced {
        number: usize,
    },
    /// A success was answered to this request.
    Answered {
        request: String,
    },
}

/// The words to put before a command, whose calls are then in `trace`.
pub(super) fn wrapper(trace: &Path) -> Vec<String> {
    let found = Command::new("strace").arg("-V").output();
    assert!(
        found.is_ok(),
        "strace is not installed: apt-get install -y strace"
    );
    let path = trace.display().to_string();
    [
        "strace", "-f", "-y", "-xx", "-s", "33554432", "-e", CALLS, "-o", &path,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Reads a trace; `folder` is where files count.
pub(super) fn read(trace: &str, folder: &Path) -> Vec<Event> {
    let mut reader = Reader {
        folder: folder.to_owned(),
        begun: HashMap::new(),
        events: Vec::new(),
    };
    for line in trace.lines() {
        reader.line(line);
    }
    reader.events
}

struct Reader {
    folder: PathBuf,
    /// What each thread has begun and not ended: the call's text, and the number of its event.
    begun: HashMap<String, (String, Option<usize>)>,
    events: Vec<Event>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let Some((pid, call)) = line.split_once(' ') else {
            return;
        };
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            let number = self.begins(start);
            self.begun
                .insert(pid.to_owned(), (start.to_owned(), number));
        } else if call.starts_with("<... ") {
            let (_, rest) = call.split_once(" resumed>").unwrap();
            let (start, number) = self.begun.remove(pid).unwrap();
            self.ends(&format!("{start}{rest}"), number);
        } else if call.contains('(') && call.contains(" = ") {
            let number = self.begins(call);
            self.ends(call, number);
        }
    }

    /// Whether a path is in the folder, and a file's name yet.
    fn ours(&self, path: &Path) -> bool {
        let removed = path.as_os_str().as_bytes().ends_with(b" (deleted)");
        path.starts_with(&self.folder) && !removed
    }

    /// What is so from the moment a call begins; the number of the event, of a write or a sync.
    fn begins(&mut self, call: &str) -> Option<usize> {
        let number = self.events.len();
        let (name, args) = call.split_once('(').unwrap();
        match name {
            "fsync" | "fdatasync" => {
                let path = described(args).filter(|path| self.ours(path))?;
                self.events.push(Event::SyncBegun { number, path });
                Some(number)
            }
            "pwrite64" | "write" => {
                let Some(path) = described(args).filter(|path| self.ours(path)) else {
                    self.answers(args);
                    return None;
                };
                let (bytes, rest) = quoted(args);
                let mut numbers = rest
                    .trim_start_matches(", ")
                    .split([',', ')'])
                    .map(|number| number.trim().parse::<u64>().ok());
                let length = numbers.next().flatten().unwrap();
                assert_eq!(bytes.len() as u64, length, "strace cut it short");
                let at = (name == "pwrite64").then(|| numbers.next().flatten().unwrap());
                self.events.push(Event::Write {
                    number,
                    path,
                    at,
                    bytes,
                });
                Some(number)
            }
            "writev" | "sendto" => {
                let ours = described(args).is_some_and(|path| self.ours(&path));
                assert!(!ours, "not modelled: {name}");
                self.answers(args);
                None
            }
            _ => None,
        }
    }

    /// Notes an answer to a client.
    fn answers(&mut self, args: &str) {
        const SUCCESS: &[u8] = b"HTTP/1.1 20";
        const ID: &[u8] = b"x-request-id: req_";
        let mut rest = args;
        let mut bytes = Vec::new();
        while rest.contains('"') {
            let (part, after) = quoted(rest);
            bytes.extend(part);
            rest = after;
        }
        let find = |what: &[u8]| bytes.windows(what.len()).position(|part| part == what);
        if let (Some(0), Some(at)) = (find(SUCCESS), find(ID)) {
            let id = bytes[at + ID.len()..].split(|byte| *byte == b'\r').next();
            let request = String::from_utf8(id.unwrap().to_vec()).unwrap();
            self.events.push(Event::Answered { request });
        }
    }

    /// What is so once a call has ended.
    fn ends(&mut self, call: &str, number: Option<usize>) {
        let (name, args) = call.split_once('(').unwrap();
        let (_, result) = call.rsplit_once(" = ").unwrap();
        if result.starts_with('-') {
            assert_eq!(number, None, "a write or a sync failed: {result}");
            return;
        }
        match (name, number) {
            ("fsync" | "fdatasync", Some(number)) => self.events.push(Event::Synced { number }),
            (_, Some(number)) => self.events.push(Event::Written { number }),
            (name, None) => self.ended(name, args, result),
        }
    }

    fn ended(&mut self, name: &str, args: &str, result: &str) {
        match name {
            "open" | "openat" | "creat" => {
                let path = described(result);
                let (make, emptied) = (args.contains("O_CREAT"), args.contains("O_TRUNC"));
                if let Some(path) = path.filter(|path| (make || emptied) && self.ours(path)) {
                    self.events.push(Event::Make { path, emptied });
                }
            }
            "ftruncate" | "fallocate" => {
                let path = described(args);
                if let Some(path) = path.filter(|path| self.ours(path)) {
                    assert_eq!(name, "ftruncate");
                    let (_, length) = args.rsplit_once(", ").unwrap();
                    let bytes = length.split(')').next().unwrap().parse().unwrap();
                    self.events.push(Event::Length { path, bytes });
                }
            }
            "mkdir" | "mkdirat" | "rename" | "renameat" | "renameat2" | "link" | "linkat"
            | "unlink" | "unlinkat" | "rmdir" => {
                let mut paths = paths(args).into_iter().filter(|path| self.ours(path));
                let event = match (name, paths.next(), paths.next()) {
                    ("mkdir" | "mkdirat", Some(path), _) => Event::MakeDir { path },
                    ("unlink" | "unlinkat" | "rmdir", Some(path), _) => Event::Remove { path },
                    ("link" | "linkat", Some(from), Some(to)) => Event::Link { from, to },
                    (_, Some(from), Some(to)) => Event::Move { from, to },
                    _ => return,
                };
                self.events.push(event);
            }
            "symlinkat" | "copy_file_range" | "sendfile" | "pwritev" | "pwritev2" | "truncate" => {
                let touched = paths(args).into_iter().chain(described(args));
                assert!(
                    !touched.into_iter().any(|path| self.ours(&path)),
                    "not modelled: {name}"
                );
            }
            _ => {}
        }
    }
}

/// The bytes of the first string in `args`, and what follows it.
fn quoted(args: &str) -> (Vec<u8>, &str) {
    let (_, rest) = args.split_once('"').unwrap();
    let (hex, after) = rest.split_once('"').unwrap();
    assert!(!after.starts_with("..."), "strace cut it short");
    (unhex(hex), after)
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.split("\\x").skip(1);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

/// The path that strace adds to a descriptor.
fn described(args: &str) -> Option<PathBuf> {
    let (number, rest) = args.split_once('<')?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hex, _) = rest.split_once('>')?;
    let path = PathBuf::from(OsString::from_vec(unhex(hex)));
    path.is_absolute().then_some(path)
}

/// The paths among the arguments: a relative one is of the descriptor before it.
fn paths(args: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rest = args;
    while let Some(at) = rest.find('"') {
        let base = rest[..at]
            .rsplit_once('<')
            .and_then(|(_, base)| base.split_once('>'));
        let base = base.map_or_else(PathBuf::new, |(hex, _)| {
            PathBuf::from(OsString::from_vec(unhex(hex)))
        });
        let (bytes, after) = quoted(rest);
        found.push(base.join(OsString::from_vec(bytes)));
        rest = after;
    }
    found
}
