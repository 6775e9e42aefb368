//! What is backed up comes back, for whom it should and from whom it should.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use super::frame::{Frames, Kind};
use super::shape::Head;
use super::tests_rig::{
    RECIPIENT, USER, backup, by_file, identities, key_file, plaintext, restore, started, used, wish,
};
use super::{
    BackupError, Identities, Recipients, Sought, Unpacked, Wish, envelope, inspect, verify,
};
use crate::audit::{Action, Filter, Scope, Verdict};
use crate::clock::Timestamp;
use crate::crypto::{Key, KeyRef, SigningKey};
use crate::custody::{CustodyError, Provider};
use crate::id::ObjectId;
use crate::secret::Secret;
use crate::store::EngineKind;
use crate::vault::tests_rig::Rig;
use crate::vault::{Opener, Vault};

const VALUE: &str = "a value that is to come back";

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn recorded(vault: &Vault, action: Action) -> usize {
    let filter = Filter {
        action: Some(action),
        ..Filter::new(Scope::All)
    };
    vault.journal().query(&filter).unwrap().entries.len()
}

#[tokio::test]
async fn a_store_comes_back_as_it_was_and_goes_on_beyond_it() {
    let rig = used(VALUE).await;
    let made_for = Wish {
        expires: Some(Timestamp::parse("2027-01-01T00:00:00Z").unwrap()),
        settings: Some("# mine\n".to_owned()),
        ..wish()
    };
    let (file, made) = backup(&rig, &made_for);
    assert_eq!(inspect(&*file).unwrap(), made.outer);
    assert_eq!(made.outer.expires, made_for.expires);
    let asked = by_file(key_file(&rig));
    let verified = verify(&*file, &identities(), &Sought::Opener(&asked)).unwrap();
    assert_eq!(verified.opened.end, made.end);
    assert_eq!(verified.opened.head.engine, EngineKind::Sled);
    let signer = Sought::Signer(rig.vault.journal().public_key());
    verify(&*file, &identities(), &signer).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("restored");
    let restored = restore(&file, &into, Provider::KeyFile(&key_file(&rig))).await;
    let restored = restored.unwrap();
    assert_eq!(restored.records, made.end.records);
    assert!(restored.generation > made.end.generation);
    assert_eq!(names(&into), ["broker.toml", "data", "keys"]);
    assert_eq!(fs::read(into.join("broker.toml")).unwrap(), b"# mine\n");
    assert_eq!(names(dir.path()), ["restored"]);

    let lifecycle = started(&into);
    let vault = lifecycle
        .unseal_unattended()
        .await
        .unwrap()
        .opened()
        .unwrap();
    assert_eq!(vault.store().generation(), restored.generation);
    assert_eq!(vault.store().records(), made.end.records);
    assert_eq!(recorded(&vault, Action::BackupRestore), 1);
    vault.journal().checkpoint().unwrap();
    assert_eq!(
        vault.journal().verify(None).unwrap().verdict,
        Verdict::Intact
    );
    let there = Rig {
        lifecycle,
        vault,
        ..rig
    };
    let org = there
        .vault
        .org(crate::id::OrgId::from_bytes([7; 16]))
        .unwrap();
    assert_eq!(there.get(&org, USER, "MINE").await.unwrap(), VALUE);
    there.set(&org, USER, "LATER", "and it goes on").await;
}

#[tokio::test]
async fn a_broker_that_has_replaced_its_journals_keys_for_centuries_is_backed_up_and_restored() {
    let rig = used(VALUE).await;
    rig.grow_old(3_000).await;
    let (file, made) = backup(&rig, &wish());
    assert!(made.end.records > 6_000);
    let asked = by_file(key_file(&rig));
    verify(&*file, &identities(), &Sought::Opener(&asked)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("restored");
    let restored = restore(&file, &into, Provider::KeyFile(&key_file(&rig))).await;
    assert_eq!(restored.unwrap().records, made.end.records);
    let unsealed = started(&into).unseal_unattended().await.unwrap();
    let vault = unsealed.opened().unwrap();
    assert_eq!(vault.store().records(), made.end.records);
}

#[tokio::test]
async fn neither_a_value_nor_a_name_nor_a_key_is_in_it_even_opened() {
    let rig = used(VALUE).await;
    let (file, _) = backup(&rig, &wish());
    let plain = plaintext(&file);
    let root = fs::read(key_file(&rig)).unwrap();
    let canaries: [&[u8]; 3] = [VALUE.as_bytes(), b"MINE", &root];
    for canary in canaries {
        for bytes in [&file, &plain] {
            assert!(!bytes.windows(canary.len()).any(|window| window == canary));
        }
    }
}

#[tokio::test]
async fn a_stranger_opens_nothing_and_leaves_nothing_behind() {
    let rig = used(VALUE).await;
    let (file, _) = backup(&rig, &wish());
    let other = age::x25519::Identity::generate();
    let text = age::secrecy::ExposeSecret::expose_secret(&other.to_string()).to_owned();
    let stranger = Identities::parse(&Secret::copy_of(text.as_bytes())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("restored");
    let refused = Unpacked::from(&*file, &stranger, &into, 1 << 20).unwrap_err();
    assert!(matches!(refused, BackupError::WrongIdentity), "{refused}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    // For both of them, both can.
    let both = Wish {
        recipients: Recipients::parse(&[RECIPIENT, &other.to_public().to_string()]).unwrap(),
        ..wish()
    };
    let (file, _) = backup(&rig, &both);
    let asked = by_file(key_file(&rig));
    for one in [&stranger, &identities()] {
        verify(&*file, one, &Sought::Opener(&asked)).unwrap();
    }
}

/// The same content, written by somebody who knows a recipient and not the signing key.
fn signed_by(file: &[u8], key: &SigningKey, says: bool) -> Vec<u8> {
    let mut rest = plaintext(file).split_off(9);
    let outer = inspect(file).unwrap();
    let mut out = Vec::new();
    let sealed = envelope::seal(&outer, &wish().recipients, &mut out).unwrap();
    let mut frames = Some(Frames::begin(sealed).unwrap());
    let kinds = [
        Kind::Head,
        Kind::Settings,
        Kind::Records,
        Kind::Ring,
        Kind::Segment,
    ];
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap());
        let after = rest.split_off(5 + usize::try_from(length).unwrap());
        let (kind, mut body) = (rest[0], rest.split_off(5));
        rest = after;
        if kind == 6 {
            let signed = body.split_off(body.len() - 64);
            drop(signed);
            let sign = |digest: &[u8; 32]| key.sign(&crate::audit::backup_message(digest));
            frames.take().unwrap().end(&body, sign).unwrap();
        } else {
            if kind == 1 && says {
                let head = Head::decode(&body).unwrap();
                let signer = key.public();
                body = Head { signer, ..head }.encode();
            }
            let kind = kinds[usize::from(kind - 1)];
            frames.as_mut().unwrap().write(kind, &body).unwrap();
        }
    }
    assert!(frames.is_none());
    out
}

#[tokio::test]
async fn what_somebody_else_made_is_refused_though_it_opens() {
    let (rig, other) = (used(VALUE).await, used("theirs").await);
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("restored");
    let asked = by_file(key_file(&rig));
    let mine = Sought::Signer(rig.vault.journal().public_key());
    // A broker of their own.
    let (file, _) = backup(&other, &wish());
    let refused = verify(&*file, &identities(), &mine).unwrap_err();
    assert!(matches!(refused, BackupError::Forged), "{refused}");
    let refused = verify(&*file, &identities(), &Sought::Opener(&asked)).unwrap_err();
    let wrong = BackupError::Custody(CustodyError::WrongKeyFile);
    assert_eq!(refused.to_string(), wrong.to_string());
    // Ours, altered or not, with a signature of theirs; and one that claims to be ours.
    let name = KeyRef {
        id: ObjectId::from_bytes([9; 16]),
        version: 1,
    };
    let theirs = SigningKey::from_seed(&Key::from_bytes(name, &mut [9; 32]).unwrap()).unwrap();
    let (file, _) = backup(&rig, &wish());
    for says in [true, false] {
        let forged = signed_by(&file, &theirs, says);
        for sought in [&mine, &Sought::Opener(&asked)] {
            let refused = verify(&*forged, &identities(), sought).unwrap_err();
            assert!(matches!(refused, BackupError::Forged), "{refused}");
        }
        let refused = restore(&forged, &into, Provider::KeyFile(&key_file(&rig))).await;
        assert!(matches!(refused, Err(BackupError::Forged)));
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }
    // Nobody who could say.
    let nobody = |_: &crate::custody::Ring| Ok(None);
    let unknown = verify(&*file, &identities(), &Sought::Opener(&nobody)).unwrap_err();
    assert!(matches!(unknown, BackupError::SignerUnknown));
}

#[tokio::test]
async fn nothing_is_restored_over_data_and_what_a_kill_has_left_is_begun_anew() {
    let rig = used(VALUE).await;
    let (file, _) = backup(&rig, &wish());
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("restored");
    let file_there = dir.path().join("file");
    fs::write(&file_there, "x").unwrap();
    fs::create_dir_all(into.join("data")).unwrap();
    for path in [&into, &file_there] {
        let refused = Unpacked::from(&*file, &identities(), path, 1 << 20).unwrap_err();
        assert!(matches!(refused, BackupError::NotEmpty(_)), "{refused}");
    }
    assert_eq!(names(&into), ["data"]);
    fs::remove_dir(into.join("data")).unwrap();
    let unfinished = dir.path().join("restored.restoring");
    let left = unfinished.join("data/store");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("half"), "x").unwrap();
    // Where others may write, and behind a link, somebody else may have put it: nothing of it is touched.
    let planted = |how: &str| {
        let refused = Unpacked::from(&*file, &identities(), &into, 1 << 20).unwrap_err();
        assert!(
            matches!(refused, BackupError::Io { .. }),
            "{how}: {refused}"
        );
        assert!(left.join("half").exists(), "{how}");
    };
    let open_to = |mode| fs::set_permissions(&unfinished, Permissions::from_mode(mode)).unwrap();
    open_to(0o777);
    planted("open");
    open_to(0o700);
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&unfinished, &elsewhere).unwrap();
    symlink(&elsewhere, &unfinished).unwrap();
    planted("a link");
    fs::remove_file(&unfinished).unwrap();
    fs::rename(&elsewhere, &unfinished).unwrap();
    // An empty folder gives way; another that restores does not.
    let first = Unpacked::from(&*file, &identities(), &into, 1 << 20).unwrap();
    let busy = Unpacked::from(&*file, &identities(), &into, 1 << 20).unwrap_err();
    assert!(matches!(busy, BackupError::Busy(_)), "{busy}");
    drop(first);
    let key = key_file(&rig);
    restore(&file, &into, Provider::KeyFile(&key))
        .await
        .unwrap();
    assert_eq!(names(dir.path()), ["file", "restored"]);
    let again = restore(&file, &into, Provider::KeyFile(&key)).await;
    assert!(matches!(again, Err(BackupError::NotEmpty(_))));
}

#[tokio::test]
async fn the_ring_of_its_moment_is_in_it_before_and_after_the_ways_in_are_changed() {
    let rig = used(VALUE).await;
    let words = Secret::copy_of(b"correct horse battery staple");
    let before = backup(&rig, &wish()).0;
    let opener = Opener::Passphrase(Secret::copy_of(b"correct horse battery staple"));
    rig.lifecycle
        .add_slot(&rig.vault, &opener, "person")
        .unwrap();
    let between = backup(&rig, &wish()).0;
    let old = rig.lifecycle.slots().remove(0).id;
    rig.lifecycle.remove_slot(&rig.vault, old).unwrap();
    let after = backup(&rig, &wish()).0;
    let dir = tempfile::tempdir().unwrap();
    let (file, words) = (key_file(&rig), &words);
    let by_file = Provider::KeyFile(&file);
    let by_words = Provider::Passphrase(words);
    for (name, backup, provider, opens) in [
        ("a", &before, by_file, true),
        ("b", &before, by_words, false),
        ("c", &between, by_file, true),
        ("d", &between, by_words, true),
        ("e", &after, by_file, false),
        ("f", &after, by_words, true),
    ] {
        let into = dir.path().join(name);
        let restored = restore(backup, &into, provider).await;
        assert_eq!(restored.is_ok(), opens, "{name}");
        assert_eq!(into.exists(), opens, "{name}");
    }
    let lifecycle = started(&dir.path().join("f"));
    let waits = lifecycle.unseal_unattended().await.unwrap();
    assert!(waits.opened().is_none(), "no key file was put there");
    let opener = Opener::Passphrase(Secret::copy_of(b"correct horse battery staple"));
    let vault = Arc::clone(&lifecycle).unseal(opener).await.unwrap();
    assert_eq!(vault.org_ids().len(), 1);
}
