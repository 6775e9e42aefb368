//! A broker that is run by a user who is not root, also where root runs the tests.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::sync::Arc;

use tempfile::TempDir;

const NOBODY: u32 = 65534;

pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// What to put before a command for it: nothing where this is no root.
pub fn as_nobody() -> Vec<String> {
    let words: &[&str] = if is_root() {
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]
    } else {
        &[]
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A folder of that user's, from which everybody can reach the binary.
pub fn nobodys_folder() -> Arc<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    if is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    Arc::new(folder)
}
