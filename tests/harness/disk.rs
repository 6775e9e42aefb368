//! Disks that are full while the broker runs. They are small ones, mounted by the test: as root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system of its own, gone with the test.
#[derive(Debug)]
pub struct Disk(PathBuf);

/// Copies a file or a folder as it is.
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.unwrap().success());
}

impl Disk {
    pub fn over(place: &Path, size: &str) -> Self {
        let aside = place.with_extension("aside");
        let exists = place.exists();
        if exists {
            fs::rename(place, &aside).unwrap();
        }
        fs::create_dir(place).unwrap();
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "none"])
            .arg(place)
            .status();
        assert!(
            mounted.unwrap().success(),
            "this test mounts a tmpfs: run it as root, in a container with --cap-add SYS_ADMIN"
        );
        if exists {
            copy(&aside.join("."), place);
        }
        Self(place.to_owned())
    }

    /// Takes all room that is left.
    pub fn fill(&self) {
        let mut length = 1 << 20;
        let mut filler = fs::File::create(self.0.join("filler")).unwrap();
        while length > 0 {
            if std::io::Write::write_all(&mut filler, &vec![1; length]).is_err() {
                length /= 2;
            }
        }
    }

    pub fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
