//! An empty machine: a root of its own with a shell, the programs that are named, and what they load; nothing
//! else of this one is there. Where the tests are not run by root it is a folder and an empty environment.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::nobody::is_root;

/// Mounts what every container has, and goes on inside as a user who is not root.
const ENTER: &str = r#"set -e
mount -t proc proc "$0/proc"
mount --bind /dev/null "$0/dev/null"
exec chroot --userspec=65534:65534 "$0" /bin/bash -c "cd /srv && $1""#;

#[derive(Debug)]
pub struct Machine {
    root: TempDir,
    programs: Vec<PathBuf>,
}

/// What runs there.
#[derive(Debug)]
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // With all that it started, on either side of the namespace.
        let killed = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let waited = self.0.wait();
        assert!(std::thread::panicking() || killed.is_ok() && waited.is_ok());
    }
}

impl Machine {
    /// With these programs and no others.
    pub fn with(programs: &[&Path]) -> Self {
        let machine = Self {
            root: tempfile::tempdir().unwrap(),
            programs: programs.iter().map(|&it| it.to_owned()).collect(),
        };
        for folder in ["bin", "dev", "proc", "srv", "tmp"] {
            fs::create_dir(machine.root.path().join(folder)).unwrap();
        }
        if is_root() {
            fs::write(machine.root.path().join("dev/null"), "").unwrap();
            chown(machine.home(), Some(65534), Some(65534)).unwrap();
            for program in programs.iter().copied().chain([Path::new("/bin/bash")]) {
                machine.install(program);
            }
        }
        machine
    }

    /// Copies a program to `/bin`, and the libraries that it loads to where it looks for them.
    fn install(&self, program: &Path) {
        let name = program.file_name().unwrap();
        fs::copy(program, self.root.path().join("bin").join(name)).unwrap();
        let listed = Command::new("ldd").arg(program).output().unwrap().stdout;
        let listed = String::from_utf8(listed).unwrap();
        let loaded = listed
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        for library in loaded {
            let place = self.root.path().join(library.trim_start_matches('/'));
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(library, place).unwrap();
        }
    }

    /// The folder that commands begin in, as this machine sees it.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("srv")
    }

    /// Brings a file along, to a place in that folder.
    pub fn keep(&self, file: &Path, place: &str) {
        let place = self.home().join(place);
        let folder = place.parent().unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::copy(file, &place).unwrap();
        if is_root() {
            chown(folder, Some(65534), Some(65534)).unwrap();
            chown(&place, Some(65534), Some(65534)).unwrap();
        }
    }

    /// A command line, to be run there.
    pub fn bash(&self, line: &str) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("unshare");
            command.args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "bash",
                "-c",
                ENTER,
            ]);
            command.arg(self.root.path()).arg(line);
            command
                .env_clear()
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
            command
        } else {
            let mut folders: Vec<_> = self.programs.iter().filter_map(|it| it.parent()).collect();
            folders.push(Path::new("/usr/bin"));
            let mut command = Command::new("bash");
            command.args(["-c", line]).current_dir(self.home());
            command
                .env_clear()
                .env("PATH", std::env::join_paths(folders).unwrap());
            command
        };
        command.stdin(Stdio::null()).process_group(0);
        command
    }

    /// Goes on running until it is dropped.
    pub fn keeps_running(&self, line: &str) -> Running {
        let mut command = self.bash(line);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().unwrap())
    }

    /// Runs it, and hands back what it said.
    #[track_caller]
    pub fn runs(&self, line: &str) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.bash(line).output().unwrap();
        let shown = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
        assert!(status.success(), "{line}: {status}\n{shown}");
        shown
    }
}
