//! A token of `SoftHSM`, with an AES key on it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A token called `broker` whose key is called `root`. It goes with this.
#[derive(Debug)]
pub(crate) struct Token {
    place: TempDir,
    /// Its library.
    pub(crate) library: PathBuf,
    /// The file with its PIN.
    pub(crate) pin_file: PathBuf,
}

impl Token {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let token = Self {
            library: place.path().join("library.so"),
            pin_file: place.path().join("pin"),
            place,
        };
        token.make("tokens");
        token.mend();
        token
    }

    /// The file that `SoftHSM` is told of by `SOFTHSM2_CONF`.
    pub(crate) fn settings(&self) -> PathBuf {
        self.at("softhsm2.conf")
    }

    /// Another token of the same labels in the place of this one.
    pub(crate) fn replace(&self) {
        if !self.at("others").exists() {
            self.make("others");
        }
        self.use_tokens("others");
    }

    /// No token at all.
    pub(crate) fn take_away(&self) {
        fs::create_dir_all(self.at("none")).unwrap();
        self.use_tokens("none");
    }

    /// A PIN that is not the token's.
    pub(crate) fn forget_pin(&self) {
        self.set_pin("654321\n");
    }

    /// A library that brings its process down.
    pub(crate) fn crash(&self) {
        self.use_library("#include <stdlib.h>\nlong C_GetFunctionList(void **f) { abort(); }\n");
    }

    /// A library that never returns.
    pub(crate) fn hang(&self) {
        self.use_library(
            "#include <unistd.h>\nlong C_GetFunctionList(void **f) { for (;;) sleep(9); }\n",
        );
    }

    /// All as it was.
    pub(crate) fn mend(&self) {
        self.use_tokens("tokens");
        self.set_pin("123456\n");
        self.link(Path::new(SOFTHSM));
    }

    fn at(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn make(&self, tokens: &str) {
        fs::create_dir(self.at(tokens)).unwrap();
        self.use_tokens(tokens);
        let label = ["--label", "broker", "--so-pin", "123456", "--pin", "123456"];
        self.run(&[&["--init-token", "--free"][..], &label].concat());
        let key = self.at("key");
        fs::write(&key, tokens.repeat(32).get(..32).unwrap()).unwrap();
        let key = key.display().to_string();
        let words = [
            "--aes", "--label", "root", "--id", "A1B2", "--token", "broker", "--pin", "123456",
        ];
        self.run(&[&["--import", &key][..], &words].concat());
    }

    fn run(&self, words: &[&str]) {
        let mut softhsm = Command::new("softhsm2-util");
        let ran = softhsm
            .args(words)
            .env("SOFTHSM2_CONF", self.settings())
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }

    fn use_tokens(&self, tokens: &str) {
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\n",
            self.at(tokens).display()
        );
        fs::write(self.settings(), text).unwrap();
    }

    fn set_pin(&self, pin: &str) {
        fs::write(&self.pin_file, pin).unwrap();
        fs::set_permissions(&self.pin_file, Permissions::from_mode(0o600)).unwrap();
    }

    /// A library of this source, which the linker that every build has makes.
    fn use_library(&self, source: &str) {
        let (written, built) = (self.at("library.c"), self.at("built.so"));
        fs::write(&written, source).unwrap();
        let mut cc = Command::new("cc");
        let made = cc
            .args(["-shared", "-fPIC", "-o"])
            .args([&built, &written])
            .status();
        assert!(made.unwrap().success());
        self.link(&built);
    }

    fn link(&self, library: &Path) {
        drop(fs::remove_file(&self.library));
        symlink(library, &self.library).unwrap();
    }
}
