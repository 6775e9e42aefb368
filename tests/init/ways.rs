//! Every way to unseal that an init can make: the installation starts, opens by it, and is well.

use super::*;

/// The sample of a program that holds a key, as the settings have it.
fn custodian(folder: &Path) -> String {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/custodians/openssl-rsa");
    let private = folder.join("private.pem").display().to_string();
    let public = folder.join("public.pem").display().to_string();
    for words in [
        &["genpkey", "-quiet", "-algorithm", "RSA", "-out", &private][..],
        &["pkey", "-in", &private, "-pubout", "-out", &public],
    ] {
        let made = std::process::Command::new("openssl")
            .args(words)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let (sample, folder) = (sample.display(), folder.display());
    format!("settings.custody.exec.kms = {{ program = '{sample}', arguments = ['{folder}'] }}\n")
}

/// Starts what was made, unseals it with `given` where it waits for somebody, and looks whether all is well.
#[track_caller]
fn opens(folder: Arc<TempDir>, setup: Setup, given: Option<&str>) {
    let broker = started(folder, setup);
    let ready = || broker.operator().get("/readyz").status;
    if let Some(given) = given {
        assert_eq!(ready(), 503, "it opened by itself");
        let unsealed = broker.runs(&["unseal"], Some(given));
        assert_eq!(unsealed.exit, 0, "{}", unsealed.stderr);
    }
    assert_eq!(ready(), 200);
    let document = broker.runs(&["doctor", "--json"], None).expect(0);
    let found = to_mend(&document);
    // One way alone is one too few, which is what was asked for here.
    assert!(
        found.iter().all(|it| it.contains("\"check\":\"slots\"")),
        "{found:#?}"
    );
}

#[test]
fn by_a_key_file() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    init(folder.path(), "", &[], None).expect(0);
    opens(folder, Setup::default(), None);
}

#[test]
fn by_a_passphrase_alone_and_no_key_file_was_ever_there() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    init(
        folder.path(),
        "slots.passphrase = true",
        &[],
        Some(PASSPHRASE),
    )
    .expect(0);
    assert!(!folder.path().join("keys/root.key").exists());
    opens(folder, Setup::default(), Some(PASSPHRASE));
}

#[test]
fn by_shares_that_were_put_into_files() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let to = folder.path().join("shares");
    let answers = format!("slots.shares = 3\nslots.threshold = 2\nslots.shares_to = {to:?}");
    let made = init(folder.path(), &answers, &[], None);
    made.expect(0);
    assert!(!format!("{}{}", made.stdout, made.stderr).contains("rtshare1"));
    let share = |n: u8| fs::read_to_string(to.join(format!("share-{n}"))).unwrap();
    assert_eq!(fs::metadata(&to).unwrap().mode() & 0o777, 0o700);
    assert_eq!(
        fs::metadata(to.join("share-3")).unwrap().mode() & 0o777,
        0o600
    );
    let given = format!("{}{}", share(3), share(2));
    // Others' shares are not written over.
    let other = tempfile::tempdir().unwrap();
    let refused = init(other.path(), &answers, &["--json"], None).expect(1);
    assert_eq!(refused["error"]["code"], "shares_there", "{refused}");
    opens(folder, Setup::default(), Some(&given));
}

#[test]
fn by_a_systemd_credential() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let given = folder.path().join("credentials");
    fs::create_dir(&given).unwrap();
    let credential = given.join("runtools-root-key");
    fs::write(&credential, [7; 32]).unwrap();
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o400)).unwrap();
    answer(folder.path(), "slots.credential = 'runtools-root-key'");
    let service = format!("CREDENTIALS_DIRECTORY={}", given.display());
    let made = std::process::Command::new("env")
        .args([
            &service,
            Broker::binary(),
            "--config=broker.toml",
            "init",
            "--answers=answers.toml",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let wrapper = vec!["env".to_owned(), service];
    opens(
        folder,
        Setup {
            wrapper,
            ..Setup::default()
        },
        None,
    );
}

#[test]
fn by_a_program_that_holds_a_key_and_a_passphrase_beside_it() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let answers = format!(
        "{}slots.exec = ['kms']\nslots.passphrase = true",
        custodian(folder.path())
    );
    init(folder.path(), &answers, &[], Some(PASSPHRASE)).expect(0);
    opens(folder, Setup::default(), None);
}
