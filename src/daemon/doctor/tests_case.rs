//! An installation to put faults into.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::Surroundings;
use super::tests_rig::{around, with_store};
use crate::clock::Timestamp;
use crate::config::{Config, ExecSettings};

/// An installation that is well, and the machine around it.
pub(super) struct Case {
    dir: TempDir,
    pub(super) config: Config,
    pub(super) around: Surroundings,
    /// What has to go on until the doctor has looked.
    pub(super) held: Vec<Box<dyn std::any::Any>>,
}

impl Case {
    pub(super) fn new() -> Self {
        let (dir, mut config) = with_store();
        config.socket = Some(dir.path().join("s"));
        let around = around();
        Self {
            dir,
            config,
            around,
            held: Vec::new(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.config.keys_dir.join(name)
    }

    /// A machine with another text in one of its files.
    pub(super) fn machine(&mut self, file: &str, text: &str) {
        let root = self.path("machine");
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self.around.root = root;
    }

    /// A certificate for the names, good in these years, with its own key or another.
    pub(super) fn certificate(&mut self, names: &[&str], (from, to): (i32, i32), own_key: bool) {
        let names: Vec<String> = names.iter().map(|&it| it.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (cert, file) = (self.path("cert.pem"), self.path("key.pem"));
        fs::write(&cert, params.self_signed(&key).unwrap().pem()).unwrap();
        let kept = if own_key { key } else { other };
        fs::write(&file, kept.serialize_pem()).unwrap();
        mode(&file, 0o600);
        self.config.tls.cert = Some(cert);
        self.config.tls.key = Some(file);
    }

    pub(super) fn backups(&mut self) {
        let to = self.path("backups");
        fs::create_dir(&to).unwrap();
        self.config.backup.to = Some(to);
        self.config.backup.recipients =
            vec!["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned()];
    }

    pub(super) fn custodian(&mut self) -> PathBuf {
        let program = self.path("custodian");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        mode(&program, 0o755);
        let exec = ExecSettings {
            program: program.clone(),
            arguments: Vec::new(),
        };
        self.config.custody.exec.insert("kms".to_owned(), exec);
        program
    }
}

pub(super) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Changes one byte of a file.
pub(super) fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

pub(super) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}
