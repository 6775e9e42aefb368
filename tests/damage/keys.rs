//! The ring, the key file and their folder.

use std::fs;
use std::path::Path;

use crate::golden::{GOLDEN, cut, flip, link_away, mode, refuses};

#[test]
fn a_damaged_ring_is_refused_with_its_own_words() {
    let ring = |folder: &Path| folder.join("keys/root.ring");
    let length = usize::try_from(fs::metadata(ring(GOLDEN.folder.path())).unwrap().len()).unwrap();
    for at in [0, 9, 20, 40, length / 2, length - 1] {
        let what = format!("byte {at} of the ring flipped");
        refuses(&what, |f| flip(&ring(f), at), "ring", "ring");
    }
    refuses(
        "ring cut",
        |f| cut(&ring(f), 50),
        "the ring file is damaged",
        "put root.ring back",
    );
    refuses(
        "ring emptied",
        |f| cut(&ring(f), 0),
        "the ring file is damaged",
        "put root.ring back",
    );
    refuses(
        "ring deleted",
        |f| fs::remove_file(ring(f)).unwrap(),
        "key ring",
        "Put root.ring and its key file back",
    );
    refuses(
        "ring open",
        |f| mode(&ring(f), 0o644),
        "has mode 0644",
        "chmod 600",
    );
    refuses(
        "ring a link",
        |f| link_away(&ring(f)),
        "is a symbolic link",
        "not a link",
    );
    refuses(
        "keys gone",
        |f| fs::remove_dir_all(f.join("keys")).unwrap(),
        "key ring",
        "Put root.ring and its key file back",
    );
    refuses(
        "keys open",
        |f| mode(&f.join("keys"), 0o755),
        "can be read or changed by others",
        "chmod 700",
    );
}

#[test]
fn a_file_in_a_folders_place_is_called_a_file() {
    for part in ["data", "keys"] {
        let to_a_file = |f: &Path| {
            fs::remove_dir_all(f.join(part)).unwrap();
            fs::write(f.join(part), "not a folder").unwrap();
        };
        refuses(
            part,
            to_a_file,
            "is a file, and should be a folder",
            "--data-dir",
        );
    }
}

#[test]
fn a_wrong_key_file_is_refused_with_its_own_words() {
    let key = |folder: &Path| folder.join("keys/root.key");
    refuses(
        "key flipped",
        |f| flip(&key(f), 7),
        "the key file does not open the ring",
        "put the key file of this ring",
    );
    refuses(
        "key short",
        |f| cut(&key(f), 31),
        "has a wrong length",
        "exactly 32 bytes",
    );
    refuses(
        "key long",
        |f| cut(&key(f), 33),
        "has a wrong length",
        "exactly 32 bytes",
    );
    refuses(
        "key empty",
        |f| cut(&key(f), 0),
        "has a wrong length",
        "exactly 32 bytes",
    );
    refuses(
        "key deleted",
        |f| fs::remove_file(key(f)).unwrap(),
        "not found",
        "check the path",
    );
    refuses(
        "key open",
        |f| mode(&key(f), 0o640),
        "has mode 0640",
        "chmod 600",
    );
    refuses(
        "key a link",
        |f| link_away(&key(f)),
        "is a symbolic link",
        "not a link",
    );
    let directory = |f: &Path| {
        fs::remove_file(key(f)).unwrap();
        fs::create_dir(key(f)).unwrap();
    };
    refuses(
        "key a directory",
        directory,
        "is not a regular file",
        "name a regular file",
    );
}
