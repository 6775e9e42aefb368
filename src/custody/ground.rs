//! Whether a place is safe for root to work in by its name.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The folder or link on the way to `path` that somebody besides root can change, if there is one: what root makes,
/// removes and hands over there by its name may be a link by then. `path` need not be there. It is looked at as it
/// is written, and as its links lead. A folder that is not
/// there yet, and left by `..` again, counts as one.
///
/// # Errors
/// What the operating system refuses.
pub fn folder_of_others(path: &Path) -> io::Result<Option<PathBuf>> {
    let written = std::path::absolute(path)?;
    // Where `..` leads from a folder that is not there yet, whoever makes that decides.
    if written
        .components()
        .any(|part| part == Component::ParentDir)
    {
        return Ok(Some(written));
    }
    if let Some(theirs) = changed_by_others(&written)? {
        return Ok(Some(theirs));
    }
    for place in written.ancestors() {
        match fs::canonicalize(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            led => return changed_by_others(&led?),
        }
    }
    Ok(None)
}

fn changed_by_others(path: &Path) -> io::Result<Option<PathBuf>> {
    for place in path.ancestors() {
        let found = match fs::symlink_metadata(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        // In a folder like /tmp everybody may make files, and nobody replace another's.
        let is_sticky = found.mode() & 0o1000 != 0;
        let by_others = !found.is_symlink() && found.mode() & 0o022 != 0 && !is_sticky;
        if found.uid() != 0 || by_others {
            return Ok(Some(place.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::folder_of_others;

    #[test]
    fn a_folder_of_others_is_found_however_the_way_leads_there() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not tried: only root has folders of others");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (theirs, link) = (dir.path().join("theirs"), dir.path().join("link"));
        fs::create_dir(&theirs).unwrap();
        symlink(&theirs, &link).unwrap();
        let places = [
            theirs.clone(),
            theirs.join("a/b"),
            link.join("a"),
            dir.path().join("none/../theirs/a"),
        ];
        let found = || places.each_ref().map(|at| folder_of_others(at).unwrap());
        let [plain, inner, linked, upwards] = found();
        assert!([plain, inner, linked].iter().all(Option::is_none));
        assert!(upwards.is_some());
        chown(&theirs, Some(65534), None).unwrap();
        let [plain, inner, linked, _] = found();
        assert!(
            [plain, inner, linked]
                .iter()
                .all(|at| at.as_ref() == Some(&theirs))
        );
        chown(&theirs, Some(0), None).unwrap();
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(found()[1].as_ref(), Some(&theirs));
        // The link itself, if it is theirs, leads wherever they like.
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
        assert_eq!(found()[2].as_ref(), Some(&link));
    }
}
