//! Whether a place is safe for root to work in by its name.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// How many links are followed on one way, as the kernel has it.
const LINKS: usize = 40;

/// The folder or link on the way to `path` that somebody besides root can change, if there is one: what root makes,
/// removes and hands over there by its name may be a link by then. `path` need not be there. Each link on the way is
/// looked at, and so is where it leads; a folder that is not there yet, and is left again by `..`, counts as one that
/// whoever makes it can change.
///
/// # Errors
/// What the operating system refuses; [`io::ErrorKind::InvalidInput`] for links that lead nowhere.
pub fn folder_of_others(path: &Path) -> io::Result<Option<PathBuf>> {
    met(path, &|_, found| {
        let Some(found) = found else { return false };
        // In a folder like /tmp everybody may make files, and nobody replace another's.
        let is_sticky = found.mode() & 0o1000 != 0;
        let by_others = !found.is_symlink() && found.mode() & 0o022 != 0 && !is_sticky;
        found.uid() != 0 || by_others
    })
}

/// The first of these folders on the way to `path`, if there is one, by whichever links the way leads there. Neither
/// need be there.
///
/// # Errors
/// As [`folder_of_others`].
pub fn folder_among(path: &Path, folders: &[PathBuf]) -> io::Result<Option<PathBuf>> {
    let real = |folder: &PathBuf| {
        let there = folder.canonicalize();
        there.or_else(|_| std::path::absolute(folder))
    };
    let folders = folders.iter().map(real).collect::<io::Result<Vec<_>>>()?;
    met(path, &|place, _| folders.iter().any(|it| it == place))
}

/// Whether it is what is looked for: a place on the way, and what is there.
type Looked<'a> = &'a dyn Fn(&Path, Option<&Metadata>) -> bool;

/// The first place on the way to `path` that is what is `looked` for; or that nobody knows, since a folder that is
/// not there yet is left again.
fn met(path: &Path, looked: Looked<'_>) -> io::Result<Option<PathBuf>> {
    let mut way = std::path::absolute(path)?;
    for _ in 0..LINKS {
        match along(&way, looked)? {
            Along::End => return Ok(None),
            Along::Met(place) => return Ok(Some(place)),
            Along::Link(next) => way = next,
        }
    }
    Err(io::ErrorKind::InvalidInput.into())
}

/// What is met on a way.
enum Along {
    /// Nothing of it, as far as there is anything.
    End,
    /// What is looked for.
    Met(PathBuf),
    /// A link that is none of it, and the way that goes on where it leads.
    Link(PathBuf),
}

fn along(way: &Path, looked: Looked<'_>) -> io::Result<Along> {
    let mut place = PathBuf::new();
    let mut parts = way.components();
    while let Some(part) = parts.next() {
        if part == Component::ParentDir {
            // What is left is a folder that was looked at, and no link.
            place.pop();
            continue;
        }
        place.push(part);
        let found = match fs::symlink_metadata(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let leaves = parts.any(|part| part == Component::ParentDir);
                return Ok(if leaves || looked(&place, None) {
                    Along::Met(place)
                } else {
                    Along::End
                });
            }
            found => found?,
        };
        if looked(&place, Some(&found)) {
            return Ok(Along::Met(place));
        }
        if found.is_symlink() {
            let leads = fs::read_link(&place)?;
            place.pop();
            return Ok(Along::Link(place.join(leads).join(parts.as_path())));
        }
    }
    Ok(Along::End)
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
        // So does one in between.
        std::os::unix::fs::lchown(&link, Some(0), None).unwrap();
        let far = dir.path().join("far");
        symlink(&link, &far).unwrap();
        let through = || folder_of_others(&far.join("a/../b")).unwrap();
        assert!(through().is_some(), "a is not there");
        fs::create_dir(theirs.join("a")).unwrap();
        assert_eq!(through(), None);
        std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
        assert_eq!(through().as_ref(), Some(&link));
        symlink(dir.path().join("round"), dir.path().join("round")).unwrap();
        folder_of_others(&dir.path().join("round")).unwrap_err();
    }
}
