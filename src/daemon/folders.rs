//! The daemon's folders: its own, closed to everybody else.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use super::DaemonError;

/// Makes `path` with mode 0700, or checks that the one that is there is closed to others.
pub(super) fn private(path: &Path) -> Result<(), DaemonError> {
    let failed = |error: std::io::Error| DaemonError::Folder {
        path: path.to_owned(),
        kind: error.kind(),
    };
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(not_a_folder(path, &found)),
        Ok(found) if found.mode().trailing_zeros() >= 6 => Ok(()),
        Ok(_) if nothing_yet(path).map_err(failed)? => {
            // As git made it: nobody can have looked at what was never in it.
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)
        }
        Ok(_) => Err(DaemonError::FolderOpen(path.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// Refuses what is there and no folder. What is not there yet is no fault.
pub(super) fn refuse_file(path: &Path) -> Result<(), DaemonError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(not_a_folder(path, &found)),
        _ => Ok(()),
    }
}

fn not_a_folder(path: &Path, found: &fs::Metadata) -> DaemonError {
    let kind = found.file_type();
    let what = if kind.is_file() {
        "a file"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device or a pipe"
    };
    DaemonError::NotAFolder {
        path: path.to_owned(),
        what,
    }
}

/// Whether there is nothing in the folder but what a checkout puts there.
pub(super) fn nothing_yet(path: &Path) -> std::io::Result<bool> {
    for entry in fs::read_dir(path)? {
        if !is_of_a_checkout(&entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a checkout puts a file of this name into the folder.
pub(super) fn is_of_a_checkout(name: &OsStr) -> bool {
    name == "README.md" || name == ".gitignore" || name == ".gitkeep"
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::{private, refuse_file};

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_is_made_closed_and_an_empty_one_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("a/b");
        private(&made).unwrap();
        assert_eq!(mode(&made), 0o700);
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(open.join("README.md"), "read me").unwrap();
        private(&open).unwrap();
        assert_eq!(mode(&open), 0o700);
    }

    #[test]
    fn an_open_folder_with_something_in_it_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("root.key"), "x").unwrap();
        assert!(
            private(dir.path())
                .unwrap_err()
                .hint()
                .contains("chmod 700")
        );
        assert_eq!(mode(dir.path()), 0o755);
        let file = dir.path().join("root.key");
        for refused in [private(&file), refuse_file(&file)] {
            let text = refused.unwrap_err().to_string();
            assert!(
                text.ends_with("root.key is a file, and should be a folder"),
                "{text}"
            );
        }
        refuse_file(dir.path()).unwrap();
        refuse_file(&dir.path().join("none")).unwrap();
    }
}
