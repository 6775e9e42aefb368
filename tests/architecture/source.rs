//! Source files, and their code without comments and texts.

use std::path::{Path, PathBuf};

/// One file of the tree.
#[derive(Debug)]
pub(super) struct Source {
    /// From the root of the package, with `/`.
    pub(super) path: String,
    /// As it stands in the file.
    pub(super) text: String,
    /// The same with comments and the insides of texts blanked out, so that a word found is code.
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: code_of(text),
        }
    }

    /// The module of the import line that it belongs to: the first folder or file below `src`.
    pub(super) fn module(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("src/")?;
        let first = inner.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (name != "lib").then_some(name)
    }

    /// Whether the whole file is unit tests.
    pub(super) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let stem = name.strip_suffix(".rs").unwrap_or(name);
        self.path.starts_with("tests/")
            || stem == "tests"
            || stem.starts_with("tests_")
            || stem.ends_with("_tests")
    }

    /// The code that ships: without the unit tests at the bottom.
    pub(super) fn shipped(&self) -> &str {
        if self.is_test() {
            return "";
        }
        let end = self.code.find("#[cfg(test)]\nmod tests {");
        &self.code[..end.unwrap_or(self.code.len())]
    }
}

/// Every Rust file below `dirs`.
pub(super) fn sources(dirs: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for dir in dirs {
        collect(&root.join(dir), &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        Source::new(&name, &std::fs::read_to_string(&path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "target" | "node_modules") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Where `word` stands in `code` as a whole word.
pub(super) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let bytes = code.as_bytes();
            let first = word.as_bytes()[0];
            let before = at.checked_sub(1).and_then(|at| bytes.get(at));
            let inside = part(Some(&first)) && part(before);
            let last = word.as_bytes()[word.len() - 1];
            let goes_on = part(Some(&last)) && part(bytes.get(at + word.len()));
            !inside && !goes_on
        })
}

/// The line, from 1, that byte `at` of `code` is on.
pub(super) fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => find(bytes, at, b"\n"),
            b'/' if bytes[at..].starts_with(b"/*") => find(bytes, at + 2, b"*/") + 2,
            b'"' => text_end(bytes, at),
            b'r' if raw_start(bytes, at).is_some() => {
                let hashes = raw_start(bytes, at).unwrap();
                let close = format!("\"{}", "#".repeat(hashes));
                find(bytes, at + hashes + 2, close.as_bytes()) + close.len()
            }
            b'\'' if bytes.get(at + 1) == Some(&b'\\') => find(bytes, at + 3, b"'") + 1,
            b'\'' if bytes.get(at + 2) == Some(&b'\'') => at + 3,
            _ => {
                at += 1;
                continue;
            }
        };
        let end = end.min(bytes.len());
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).unwrap()
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let found = rest.windows(what.len()).position(|window| window == what);
    found.map_or(bytes.len(), |found| from + found)
}

fn text_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The number of `#` of a raw text that begins at `at`.
fn raw_start(bytes: &[u8], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).and_then(|at| bytes.get(at));
    if before.is_some_and(|byte| (byte.is_ascii_alphanumeric() && *byte != b'b') || *byte == b'_') {
        return None;
    }
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    (bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}
