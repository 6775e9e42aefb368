//! The sample of `config/custodians/`, and a program in front of it that spoils what it says.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `mode` stands for is done to what the program after it says.
const SPOILER: &str = r#"#!/bin/sh
PATH=/usr/bin:/bin
here=$1; shift
case $(cat "$here/mode") in
    short) "$@" | cut -c1-60 ;;
    long) yes '{"version":1}' ;;
    swapped) "$@" | sed 's/"plaintext":"[^"]*"/"plaintext":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="/' ;;
    hang) sleep 600 & exec sleep 600 ;;
    crash) "$@" | head -c 20; kill -9 $$ ;;
    other) "$@" | sed 's/"keyId":"./"keyId":"x/' ;;
    look) tr '\0' '\n' <"/proc/$$/environ" >"$here/environment"; ls -l "/proc/$$/fd" >"$here/files"; exec "$@" ;;
    rude) echo 'hunter2 is the password' >&2; printf '{"version":1,"error":"denied","message":"hunter2"}'; exit 1 ;;
    *) exec "$@" ;;
esac
"#;

/// The words of the sample program and its keys in `dir`, which must be there.
pub(crate) fn sample(dir: &Path) -> (PathBuf, Vec<String>) {
    let program = dir.join("openssl-rsa");
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/custodians/openssl-rsa");
    fs::copy(shipped, &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let openssl = |words: &[&str]| {
        let ran = Command::new("openssl")
            .args(words)
            .current_dir(dir)
            .output();
        let ran = ran.unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    };
    openssl(&[
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        "private.pem",
    ]);
    openssl(&[
        "pkey",
        "-in",
        "private.pem",
        "-pubout",
        "-out",
        "public.pem",
    ]);
    (program, vec![dir.display().to_string()])
}

/// The same, spoilt by what the file `mode` of `dir` says: `spoil` writes it.
pub(crate) fn spoilt(
    dir: &Path,
    (program, arguments): (PathBuf, Vec<String>),
) -> (PathBuf, Vec<String>) {
    let spoiler = dir.join("spoiler");
    fs::write(&spoiler, SPOILER).unwrap();
    fs::set_permissions(&spoiler, Permissions::from_mode(0o755)).unwrap();
    spoil(dir, "well");
    let mut words = vec![dir.display().to_string(), program.display().to_string()];
    words.extend(arguments);
    (spoiler, words)
}

pub(crate) fn spoil(dir: &Path, mode: &str) {
    fs::write(dir.join("mode"), mode).unwrap();
}
