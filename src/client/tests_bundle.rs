//! Where the roots of a program are written, for whom, and for how long.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rcgen::{Certificate, generate_simple_self_signed};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;

use super::{Bundle, OLD};
use crate::client::{ClientEnv, ClientError};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::id::ResolutionId;

struct Place {
    folder: TempDir,
    env: ClientEnv,
    authority: CertificateDer<'static>,
}

fn certificate() -> Certificate {
    generate_simple_self_signed(vec!["x.test".into()])
        .unwrap()
        .cert
}

fn id(number: u8) -> ResolutionId {
    ResolutionId::from_random([number; 16])
}

fn later(seconds: i64) -> Timestamp {
    SystemClock.now().plus_seconds(seconds)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env = ClientEnv {
            runtime_dir: Some(folder.path().into()),
            ..ClientEnv::default()
        };
        let authority = certificate().der().clone();
        Self {
            folder,
            env,
            authority,
        }
    }

    fn write(&self, number: u8, now: Timestamp) -> Result<Bundle, ClientError> {
        Bundle::write(
            &self.env,
            id(number),
            std::slice::from_ref(&self.authority),
            now,
        )
    }
}

fn read(bundle: &Bundle) -> Vec<CertificateDer<'static>> {
    let text = fs::read(bundle.path()).unwrap();
    let read = CertificateDer::pem_slice_iter(&text);
    read.collect::<Result<_, _>>().unwrap()
}

#[test]
fn it_is_its_owners_alone_and_goes_when_it_is_no_longer_needed() {
    let place = Place::new();
    let bundle = place.write(1, later(0)).unwrap();
    let (file, folder) = (
        bundle.path().to_owned(),
        bundle.path().parent().unwrap().to_owned(),
    );
    assert_eq!([mode(&file), mode(bundle.store())], [0o600; 2]);
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(folder.parent().unwrap()), 0o700);
    drop(bundle);
    assert!(!folder.exists());
    let bundle = place.write(2, later(0)).unwrap();
    let file = bundle.path().to_owned();
    bundle.keep();
    assert!(file.exists());
}

#[test]
fn it_adds_to_what_was_trusted_before_and_takes_no_key_along() {
    let mut place = Place::new();
    let mine = generate_simple_self_signed(vec!["corp.test".into()]).unwrap();
    let file = place.folder.path().join("mine.pem");
    let text = format!(
        "{}{}{}",
        mine.signing_key.serialize_pem(),
        mine.cert.pem(),
        mine.cert.pem()
    );
    fs::write(&file, text).unwrap();
    place.env.trusted = vec![file, "/no/such/file".into()];
    let bundle = place.write(1, later(0)).unwrap();
    let trusted = read(&bundle);
    assert_eq!(trusted.first(), Some(&place.authority));
    let mine = trusted.iter().filter(|it| *it == mine.cert.der());
    assert_eq!(mine.count(), 1);
    let text = fs::read_to_string(bundle.path()).unwrap();
    assert!(!text.contains("PRIVATE KEY"));
    // Java is told the same.
    let store = fs::read(bundle.store()).unwrap();
    let stands = |root: &CertificateDer<'_>| store.windows(root.len()).any(|part| part == &**root);
    assert!(trusted.iter().all(stands));
    assert!(text.lines().all(|line| line.len() <= 64));
    place.env.roots = Some("/no/such/file".into());
    let narrowed = read(&place.write(2, later(0)).unwrap());
    assert_eq!(
        narrowed.len(),
        2,
        "who named other roots gets no more than those"
    );
    if let Some(system) = super::SYSTEMS.iter().find(|file| Path::new(file).is_file()) {
        let system = fs::read(system).unwrap();
        let mut system = CertificateDer::pem_slice_iter(&system).map(Result::unwrap);
        assert!(system.all(|root| trusted.contains(&root)));
    }
}

#[test]
fn what_is_old_and_held_by_nobody_is_swept() {
    let place = Place::new();
    let held = place.write(1, later(0)).unwrap();
    let left = place.write(2, later(0)).unwrap();
    let forgotten = left.path().to_owned();
    left.keep();
    let young = place.write(3, later(OLD - 60)).unwrap();
    assert!(forgotten.exists(), "it may still be used");
    let _new = place.write(4, later(OLD + 60)).unwrap();
    assert!(!forgotten.exists());
    assert!(held.path().exists() && young.path().exists());
}

#[test]
fn a_folder_that_others_can_change_is_not_used() {
    let place = Place::new();
    let home = place.folder.path().join("runtools-proxy");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(
        place.write(1, later(0)),
        Err(ClientError::Exposed { .. })
    ));
    fs::remove_dir(&home).unwrap();
    let elsewhere = place.folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&elsewhere, &home).unwrap();
    assert!(matches!(
        place.write(1, later(0)),
        Err(ClientError::Exposed { .. })
    ));
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn without_a_session_it_is_where_temporary_files_are() {
    let place = Place::new();
    let temporary = place.folder.path().to_owned();
    let env = ClientEnv {
        temporary: Some(temporary.clone()),
        ..ClientEnv::default()
    };
    let bundle = Bundle::write(&env, id(1), &[], later(0)).unwrap();
    let me = rustix::process::geteuid().as_raw();
    assert!(
        bundle
            .path()
            .starts_with(temporary.join(format!("runtools-proxy-{me}")))
    );
}
