//! A file with the roots that a program trusts behind the proxy: its own authority *and* the system's.
//!
//! Programs take such a file in place of their roots, so that one with the proxy's authority alone would
//! take the rest of the world from them. It stands in a folder of its own, for its owner only, beside one that
//! says the same to Java. Whoever runs a program holds a lock on it as long as that runs; what nobody holds
//! and is old is swept away the next time.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{FlockOperation, flock};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::keystore::trust_store;
use super::{ClientEnv, ClientError};
use crate::clock::Timestamp;
use crate::id::ResolutionId;

/// Where systems keep their roots in one file, by how often one meets them.
const SYSTEMS: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // CentOS, RHEL
    "/etc/ssl/ca-bundle.pem",             // openSUSE
    "/etc/ssl/cert.pem",                  // Alpine, macOS, OpenBSD
    "/usr/local/share/certs/ca-root-nss.crt", // FreeBSD
    "/etc/pki/tls/cacert.pem",            // OpenELEC
];
/// The files' names in their folder.
const NAME: &str = "roots.pem";
const STORE: &str = "roots.p12";
/// After how many seconds a folder that nobody holds is swept: no handle lives longer than 900.
const OLD: i64 = 1_200;

/// A file of roots. It goes when this goes, unless it is kept.
#[derive(Debug)]
pub struct Bundle {
    folder: Folder,
    file: PathBuf,
    store: PathBuf,
    lock: Option<File>,
}

/// The folder that the file stands in, and who removes it.
#[derive(Debug)]
enum Folder {
    /// It goes with the file.
    Own(PathBuf),
    /// It is left to whoever sweeps next.
    Left,
}

impl Bundle {
    /// Writes `authority` and every root that the environment and the system name, and sweeps what is old.
    ///
    /// # Errors
    /// [`ClientError::Exposed`] when others could put something in its place, [`ClientError::File`].
    pub fn write(
        env: &ClientEnv,
        id: ResolutionId,
        authority: &[CertificateDer<'static>],
        now: Timestamp,
    ) -> Result<Self, ClientError> {
        let home = home(env);
        own_folder(&home)?;
        sweep(&home, now);
        let folder = home.join(id.to_string());
        // Made before it is written: what comes of half a writing goes with it.
        let mut bundle = Self {
            file: folder.join(NAME),
            store: folder.join(STORE),
            folder: Folder::Own(folder.clone()),
            lock: None,
        };
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| ClientError::file(&folder, &error))?;
        let trusted = once(authority.iter().cloned().chain(roots(env)));
        let lock = put(&bundle.file, pem(&trusted).as_bytes())?;
        bundle.lock = Some(lock);
        put(&bundle.store, &trust_store(&trusted))?;
        Ok(bundle)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Where the same is for Java.
    #[must_use]
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// Leaves the files for programs that are run later; they are swept when the handle is over.
    pub fn keep(mut self) {
        self.folder = Folder::Left;
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if let Folder::Own(folder) = &self.folder {
            // What cannot be removed now is swept next time.
            drop(fs::remove_dir_all(folder));
        }
    }
}

/// Writes a new file; what comes back holds the lock on it.
fn put(path: &Path, bytes: &[u8]) -> Result<File, ClientError> {
    let written = || {
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(bytes)?;
        Ok(file)
    };
    written().map_err(|error: io::Error| ClientError::file(path, &error))
}

/// The folder for such files: of the session, else one of the user's own where temporary files are.
fn home(env: &ClientEnv) -> PathBuf {
    if let Some(session) = &env.runtime_dir {
        return session.join("runtools-proxy");
    }
    let temporary = env.temporary.clone().unwrap_or_else(|| "/tmp".into());
    let me = rustix::process::geteuid().as_raw();
    temporary.join(format!("runtools-proxy-{me}"))
}

/// Makes the folder, or sees that the one that is there is the user's alone: in `/tmp` it may be somebody
/// else's, and a link to anywhere.
fn own_folder(home: &Path) -> Result<(), ClientError> {
    let failed = |error| ClientError::file(home, &error);
    match DirBuilder::new().mode(0o700).create(home) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(home).map_err(failed)?;
    let own = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    let others = found.mode() & 0o077;
    if own && others == 0 {
        return Ok(());
    }
    Err(ClientError::Exposed {
        path: home.to_owned(),
        mode: "700",
    })
}

/// Removes folders that are old and that nobody holds. Whatever stands in the way stays.
fn sweep(home: &Path, now: Timestamp) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let folder = entry.path();
        let changed = fs::symlink_metadata(&folder).map(|found| found.mtime());
        let is_old = changed.is_ok_and(|then| now.millis() / 1000 - then > OLD);
        if is_old && !is_held(&folder.join(NAME)) {
            drop(fs::remove_dir_all(&folder));
        }
    }
}

fn is_held(file: &Path) -> bool {
    File::open(file)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
}

/// Every root that a program of this environment trusts now. Files that cannot be read are passed over,
/// as the program would have done.
fn roots(env: &ClientEnv) -> Vec<CertificateDer<'static>> {
    let usual = || SYSTEMS.iter().map(Path::new).find(|file| file.is_file());
    let system = env.roots.as_deref().or_else(usual);
    let files = env.trusted.iter().map(PathBuf::as_path).chain(system);
    let certificates = files
        .filter_map(|file| fs::read(file).ok())
        .flat_map(|text| {
            let read = CertificateDer::pem_slice_iter(&text);
            read.filter_map(Result::ok).collect::<Vec<_>>()
        });
    certificates.collect()
}

/// Certificates, each once.
fn once(
    certificates: impl Iterator<Item = CertificateDer<'static>>,
) -> Vec<CertificateDer<'static>> {
    let mut seen = BTreeSet::new();
    certificates
        .filter(|certificate| seen.insert(certificate.to_vec()))
        .collect()
}

/// Certificates as PEM. They are written anew: a file may hold a key besides.
fn pem(certificates: &[CertificateDer<'static>]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let letters = STANDARD.encode(certificate);
        for (index, letter) in letters.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                text.push('\n');
            }
            text.push(letter);
        }
        text.push_str("\n-----END CERTIFICATE-----\n");
    }
    text
}

#[cfg(test)]
#[path = "tests_bundle.rs"]
mod tests;
