//! The same refusals, and what opens, for contexts, values and bytes of every kind.

use proptest::prelude::*;

use super::sealed::{BODY, HEADER};
use super::tests_refusals::{context, key, name, opens, sealed, with_field_of};
use super::tests_vectors::PURPOSES;
use super::{
    Commitment, Context, Key, OVERHEAD, Owner, OwnerKind, Purpose, Record, Sealed, SystemRandom,
    open, open_padded, padded_len, seal, seal_padded,
};
use crate::clock::Timestamp;
use crate::id::{ObjectId, OrgId, StoreId};

fn any_context() -> impl Strategy<Value = Context> {
    let ids = (
        any::<[u8; 16]>(),
        any::<[u8; 16]>(),
        any::<[u8; 16]>(),
        any::<[u8; 16]>(),
    );
    let kinds = [OwnerKind::System, OwnerKind::OrgShared, OwnerKind::User];
    let kind = prop::sample::select(kinds.to_vec());
    let rest = (
        any::<u64>(),
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
        any::<i64>(),
    );
    (ids, kind, rest).prop_map(
        |((store, org, owner, object), kind, (version, data_key, metadata, created))| Context {
            store: StoreId::from_bytes(store),
            org: OrgId::from_bytes(org),
            owner: Owner { kind, id: owner },
            object: ObjectId::from_bytes(object),
            version,
            data_key: Commitment::from_bytes(data_key),
            metadata,
            created: Timestamp::from_millis(created),
        },
    )
}

/// What goes into a record: a box of some plaintext, or a commitment.
fn any_part() -> impl Strategy<Value = Result<Vec<u8>, [u8; 32]>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Ok),
        any::<[u8; 32]>().prop_map(Err),
    ]
}

proptest! {
    #[test]
    fn what_was_sealed_opens_and_any_flipped_bit_refuses(
        context in any_context(),
        purpose in prop::sample::select(PURPOSES.to_vec()),
        plaintext in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
        padded in any::<bool>(),
    ) {
        let key = Key::generate(name(1, 1), &SystemRandom).unwrap();
        let sealing = if padded { seal_padded } else { seal };
        let opening = if padded { open_padded } else { open };
        let whole = sealing(&key, purpose, &context, &plaintext, &SystemRandom).unwrap();
        let held = if padded { padded_len(plaintext.len()) } else { plaintext.len() };
        prop_assert_eq!(whole.as_bytes().len(), held + OVERHEAD);
        let read = Sealed::parse(whole.as_bytes()).unwrap();
        let opened = opening(&key, purpose, &context, &read).unwrap();
        prop_assert!(opened.expose(|bytes| bytes == plaintext));

        let mut flipped = whole.as_bytes().to_vec();
        flipped[at.index(whole.as_bytes().len())] ^= 1 << bit;
        let opened = Sealed::parse(&flipped)
            .and_then(|flipped| opening(&key, purpose, &context, &flipped));
        prop_assert!(opened.is_err());
    }

    #[test]
    fn a_box_replayed_with_any_field_of_another_context_refuses(
        here in any_context(),
        there in any_context(),
        field in 0..9usize,
    ) {
        if let Some(moved) = with_field_of(here, &there, field) {
            let whole = seal(&key(), Purpose::Value, &here, b"value", &SystemRandom).unwrap();
            prop_assert!(open(&key(), Purpose::Value, &moved, &whole).is_err());
            prop_assert!(open(&key(), Purpose::Value, &here, &whole).is_ok());
        }
    }

    #[test]
    fn a_box_opens_under_no_other_key(other in any::<[u8; 32]>()) {
        prop_assume!(other != [0x4B; 32]);
        let other = Key::from_bytes(name(0x1D, 3), &mut other.clone()).unwrap();
        prop_assert!(open(&other, Purpose::Value, &context(), &sealed(b"value")).is_err());
    }

    #[test]
    fn random_bytes_never_open_and_never_panic(
        body in prop::collection::vec(any::<u8>(), 0..200),
        fit in any::<bool>(),
    ) {
        let mut bytes = body;
        if fit && bytes.len() >= OVERHEAD {
            // With a header and a length that fit, so that the bytes reach the commitment.
            bytes[..HEADER].copy_from_slice(&sealed(b"").as_bytes()[..HEADER]);
            let length = u32::try_from(bytes.len() - BODY).unwrap();
            bytes[BODY - 4..BODY].copy_from_slice(&length.to_be_bytes());
            prop_assert!(Sealed::parse(&bytes).is_ok());
        }
        prop_assert!(!opens(&bytes));
    }

    #[test]
    fn a_record_reads_back_as_the_parts_it_was_made_of(
        parts in prop::collection::vec(any_part(), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let made: Vec<_> = parts
            .iter()
            .map(|part| part.as_ref().map(|plaintext| sealed(plaintext)))
            .map(|part| part.map_err(|bytes| Commitment::from_bytes(*bytes)))
            .collect();
        let mut record = Record::default();
        let mut ends = vec![0];
        for part in &made {
            record = match part {
                Ok(sealed) => record.with_box(sealed),
                Err(commitment) => record.with_commitment(*commitment),
            };
            ends.push(record.as_bytes().len());
        }
        let read = Record::parse(record.as_bytes()).unwrap();
        prop_assert_eq!(&read, &record);
        let mut reader = read.reader();
        for part in &made {
            match part {
                Ok(sealed) => prop_assert_eq!(&reader.sealed().unwrap(), sealed),
                Err(commitment) => prop_assert_eq!(&reader.commitment().unwrap(), commitment),
            }
        }
        reader.end().unwrap();

        // Cut anywhere but between parts it is no record; one part short it does not end.
        let cut = cut.index(record.as_bytes().len() + 1);
        prop_assert_eq!(Record::parse(&record.as_bytes()[..cut]).is_ok(), ends.contains(&cut));
        let mut longer = record.as_bytes().to_vec();
        longer.push(1);
        prop_assert!(Record::parse(&longer).is_err());
        prop_assert_eq!(record.reader().end().is_ok(), made.is_empty());
    }

    #[test]
    fn hostile_records_never_panic(
        tag in 0..4u8,
        length in any::<u32>(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [&[tag][..], &length.to_be_bytes(), &body].concat();
        if let Ok(record) = Record::parse(&bytes) {
            prop_assert_eq!(record.as_bytes(), bytes);
        }
        if let Ok(record) = Record::parse(&body) {
            prop_assert_eq!(record.as_bytes(), body);
        }
    }
}
