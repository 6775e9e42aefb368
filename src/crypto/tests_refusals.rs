//! Everything that must not open: flipped, cut, moved, swapped, replayed, relabelled.

use std::sync::Mutex;

use super::sealed::{BODY, HEADER, MAX_PLAINTEXT};
use super::tests_vectors::{PURPOSES, Script};
use super::{
    Commitment, Context, CryptoError, Key, KeyRef, OVERHEAD, Owner, OwnerKind, Purpose, Record,
    Sealed, SigningKey, SystemRandom, open, open_padded, seal, seal_padded,
};
use crate::clock::Timestamp;
use crate::id::{ObjectId, OrgId, StoreId};

pub(super) fn name(seed: u8, version: u32) -> KeyRef {
    KeyRef {
        id: ObjectId::from_bytes([seed; 16]),
        version,
    }
}

pub(super) fn key() -> Key {
    Key::from_bytes(name(0x1D, 3), &mut [0x4B; 32]).unwrap()
}

pub(super) fn context() -> Context {
    Context {
        store: StoreId::from_bytes([1; 16]),
        org: OrgId::from_bytes([2; 16]),
        owner: Owner {
            kind: OwnerKind::User,
            id: [3; 16],
        },
        object: ObjectId::from_bytes([4; 16]),
        version: 5,
        data_key: Commitment::from_bytes([6; 32]),
        metadata: [7; 32],
        created: Timestamp::from_millis(8),
    }
}

pub(super) fn sealed(plaintext: &[u8]) -> Sealed {
    seal(&key(), Purpose::Value, &context(), plaintext, &SystemRandom).unwrap()
}

pub(super) fn opens(bytes: &[u8]) -> bool {
    let opened = |sealed| open(&key(), Purpose::Value, &context(), &sealed);
    Sealed::parse(bytes).and_then(opened).is_ok()
}

/// `base` with one field, the `field`th, taken from `other`; nothing when they agree in it.
pub(super) fn with_field_of(base: Context, other: &Context, field: usize) -> Option<Context> {
    let mut moved = base;
    let differs = match field {
        0 => std::mem::replace(&mut moved.store, other.store) != other.store,
        1 => std::mem::replace(&mut moved.org, other.org) != other.org,
        2 => std::mem::replace(&mut moved.owner.kind, other.owner.kind) != other.owner.kind,
        3 => std::mem::replace(&mut moved.owner.id, other.owner.id) != other.owner.id,
        4 => std::mem::replace(&mut moved.object, other.object) != other.object,
        5 => std::mem::replace(&mut moved.version, other.version) != other.version,
        6 => std::mem::replace(&mut moved.data_key, other.data_key) != other.data_key,
        7 => std::mem::replace(&mut moved.metadata, other.metadata) != other.metadata,
        _ => std::mem::replace(&mut moved.created, other.created) != other.created,
    };
    differs.then_some(moved)
}

/// One bit of a context's field turned over.
fn nudged(field: usize) -> Context {
    let mut other = context();
    match field {
        0 => other.store = StoreId::from_bytes([0x81; 16]),
        1 => other.org = OrgId::from_bytes([0x82; 16]),
        2 => other.owner.kind = OwnerKind::OrgShared,
        3 => other.owner.id[15] ^= 1,
        4 => other.object = ObjectId::from_bytes([5; 16]),
        5 => other.version ^= 1 << 63,
        6 => other.data_key = Commitment::NONE,
        7 => other.metadata[0] ^= 0x80,
        _ => other.created = Timestamp::from_millis(-8),
    }
    other
}

#[test]
fn every_single_bit_of_a_box_matters() {
    for plaintext in [&b""[..], b"ghp_0123456789"] {
        let whole = sealed(plaintext);
        assert!(opens(whole.as_bytes()));
        for bit in 0..whole.as_bytes().len() * 8 {
            let mut flipped = whole.as_bytes().to_vec();
            flipped[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(!opens(&flipped), "bit {bit}");
        }
    }
}

#[test]
fn every_refusal_to_open_is_the_same_error() {
    let whole = sealed(b"value");
    // One byte each of version, salt, nonce, commitment, ciphertext and tag.
    for at in [24, 28, 60, 72, BODY, whole.as_bytes().len() - 1] {
        let mut flipped = whole.as_bytes().to_vec();
        flipped[at] ^= 1;
        let box_ = Sealed::parse(&flipped).unwrap();
        let refusal = open(&key(), Purpose::Value, &context(), &box_).unwrap_err();
        assert_eq!(refusal, CryptoError::Open);
    }
    let refusal = open(&key(), Purpose::State, &context(), &whole).unwrap_err();
    assert_eq!(refusal, CryptoError::Open);
}

#[test]
fn unknown_suites_and_flags_have_no_form() {
    let whole = sealed(b"value");
    for bit in (0..64).filter(|bit| !(40..48).contains(bit)) {
        let mut flipped = whole.as_bytes().to_vec();
        flipped[bit / 8] ^= 0x80 >> (bit % 8);
        assert_eq!(
            Sealed::parse(&flipped).unwrap_err(),
            CryptoError::Form,
            "bit {bit}"
        );
    }
}

#[test]
fn a_box_that_was_cut_or_lengthened_has_no_form() {
    let whole = sealed(b"some value");
    for length in 0..whole.as_bytes().len() {
        let cut = Sealed::parse(&whole.as_bytes()[..length]);
        assert_eq!(cut.unwrap_err(), CryptoError::Form);
    }
    for more in 1..40 {
        let longer = [whole.as_bytes(), &vec![0; more]].concat();
        assert_eq!(Sealed::parse(&longer).unwrap_err(), CryptoError::Form);
    }
}

#[test]
fn a_box_that_was_cut_with_its_length_put_right_does_not_open() {
    let whole = sealed(b"some value");
    for length in OVERHEAD..whole.as_bytes().len() {
        let mut cut = whole.as_bytes()[..length].to_vec();
        let rest = u32::try_from(length - BODY).unwrap();
        cut[BODY - 4..BODY].copy_from_slice(&rest.to_be_bytes());
        assert!(Sealed::parse(&cut).is_ok());
        assert!(!opens(&cut));
    }
}

#[test]
fn a_box_moved_to_another_place_does_not_open() {
    let whole = sealed(b"value");
    for field in 0..9 {
        let moved = with_field_of(context(), &nudged(field), field).unwrap();
        assert!(
            open(&key(), Purpose::Value, &moved, &whole).is_err(),
            "field {field}"
        );
    }
}

#[test]
fn a_box_of_one_purpose_opens_for_no_other() {
    for made in PURPOSES {
        let whole = seal(&key(), made, &context(), b"value", &SystemRandom).unwrap();
        for asked in PURPOSES {
            let opened = open(&key(), asked, &context(), &whole);
            assert_eq!(opened.is_ok(), made == asked, "{made:?} {asked:?}");
            // Nor after it was relabelled.
            let mut relabelled = whole.as_bytes().to_vec();
            relabelled[5] = asked.byte();
            let relabelled = Sealed::parse(&relabelled).unwrap();
            let opened = open(&key(), asked, &context(), &relabelled);
            assert_eq!(opened.is_ok(), made == asked, "{made:?} {asked:?}");
        }
    }
}

#[test]
fn a_box_opens_under_its_own_key_and_name_only() {
    let whole = sealed(b"value");
    assert_eq!(whole.key(), Some(name(0x1D, 3)));
    for (name, byte) in [
        (name(0x1D, 3), 0x4A),
        (name(0x1D, 4), 0x4B),
        (name(0x1E, 3), 0x4B),
    ] {
        let other = Key::from_bytes(name, &mut [byte; 32]).unwrap();
        assert!(
            open(&other, Purpose::Value, &context(), &whole).is_err(),
            "{other:?}"
        );
    }
}

#[test]
fn no_part_of_a_box_can_stand_in_another_one() {
    let (one, two) = (sealed(b"value one"), sealed(b"value two"));
    let ends = [
        HEADER,
        60,
        72,
        104,
        BODY,
        one.as_bytes().len() - 16,
        one.as_bytes().len(),
    ];
    for part in ends.windows(2) {
        let range = part[0]..part[1];
        let mut mixed = one.as_bytes().to_vec();
        mixed[range.clone()].copy_from_slice(&two.as_bytes()[range.clone()]);
        // The length is the one part that both have in common.
        assert_eq!(opens(&mixed), range == (104..BODY), "{range:?}");
    }
}

#[test]
fn the_same_value_sealed_twice_looks_different_everywhere_but_in_the_header() {
    let (one, two) = (sealed(b"value"), sealed(b"value"));
    assert_eq!(one.as_bytes()[..HEADER], two.as_bytes()[..HEADER]);
    for range in [28..60, 60..72, 72..104, BODY..one.as_bytes().len()] {
        assert_ne!(one.as_bytes()[range.clone()], two.as_bytes()[range]);
    }
}

#[test]
fn without_randomness_nothing_is_sealed() {
    for enough in 0..44 {
        let random = Script(Mutex::new(vec![0; enough]));
        let outcome = seal(&key(), Purpose::Value, &context(), b"value", &random);
        assert_eq!(outcome.unwrap_err(), CryptoError::Random);
    }
}

#[test]
fn what_is_too_long_is_not_sealed() {
    let long = vec![0; MAX_PLAINTEXT + 1];
    let outcome = seal(&key(), Purpose::Value, &context(), &long, &SystemRandom);
    assert_eq!(outcome.unwrap_err(), CryptoError::TooLong);
    // Its padding would be too long.
    let nearly = &long[..MAX_PLAINTEXT - 3];
    let outcome = seal_padded(&key(), Purpose::Value, &context(), nearly, &SystemRandom);
    assert_eq!(outcome.unwrap_err(), CryptoError::TooLong);
    let mut huge = sealed(b"").as_bytes().to_vec();
    huge.resize(OVERHEAD + MAX_PLAINTEXT + 1, 0);
    let length = u32::try_from(huge.len() - BODY).unwrap();
    huge[BODY - 4..BODY].copy_from_slice(&length.to_be_bytes());
    assert_eq!(Sealed::parse(&huge).unwrap_err(), CryptoError::Form);
}

#[test]
fn a_plain_box_is_not_taken_for_a_padded_one() {
    let whole = sealed(&[0; 65]);
    let refusal = open_padded(&key(), Purpose::Value, &context(), &whole).unwrap_err();
    assert_eq!(refusal, CryptoError::Open);
}

#[test]
fn a_key_is_32_bytes_and_the_callers_copy_is_wiped() {
    for length in [0, 1, 31, 33, 64] {
        let mut raw = vec![9; length];
        let outcome = Key::from_bytes(name(1, 1), &mut raw);
        assert_eq!(outcome.unwrap_err(), CryptoError::Form);
        assert_eq!(raw, vec![0; length]);
    }
    let mut raw = [9; 32];
    let key = Key::from_bytes(name(1, 1), &mut raw).unwrap();
    assert_eq!(raw, [0; 32]);
    assert_eq!(
        format!("{key:?}"),
        "Key(01010101-0101-0101-0101-010101010101 v1)"
    );
}

/// RFC 8032, section 7.1, test 2.
#[test]
fn signatures_are_those_of_the_rfc_and_nothing_altered_verifies() {
    let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    let mut seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let key = SigningKey::from_seed(&Key::from_bytes(name(1, 1), &mut seed).unwrap()).unwrap();
    let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    assert_eq!(key.public().0.as_slice(), public);
    let signature = key.sign(&[0x72]);
    let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                    085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    assert_eq!(signature.as_slice(), hex(expected));
    assert!(key.public().verifies(&[0x72], &signature));
    assert!(!key.public().verifies(&[0x73], &signature));
    assert!(!key.public().verifies(&[], &signature));
    for bit in 0..512 {
        let mut flipped = signature;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!key.public().verifies(&[0x72], &flipped), "bit {bit}");
    }
}

#[test]
fn a_record_gives_no_part_as_another_kind() {
    let commitment = Commitment::from_bytes([1; 32]);
    let record = Record::of(&sealed(b"value")).with_commitment(commitment);
    let mut reader = record.reader();
    assert_eq!(reader.commitment().unwrap_err(), CryptoError::Form);
    reader.sealed().unwrap();
    assert_eq!(reader.sealed().unwrap_err(), CryptoError::Form);
    assert_eq!(reader.commitment().unwrap(), commitment);
    assert_eq!(reader.sealed().unwrap_err(), CryptoError::Form);
    reader.end().unwrap();
}
