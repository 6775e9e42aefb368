//! Records of the store, and what strangers sign.

use super::{Jwks, Jws, JwsAlg, JwsKey, NamedKey, Record, unambiguous_json};
use crate::secret::Secret;

/// A record is its parts, one after the other, and nothing else.
pub(crate) fn record(bytes: &[u8]) {
    let Ok(record) = Record::parse(bytes) else {
        return;
    };
    assert_eq!(record.as_bytes(), bytes);
    let mut reader = record.reader();
    let mut again = Record::default();
    while !reader.is_empty() {
        if let Ok(sealed) = reader.sealed() {
            again = again.with_box(&sealed);
        } else if let Ok(commitment) = reader.commitment() {
            again = again.with_commitment(commitment);
        } else {
            unreachable!("a part of a record is of one kind or the other");
        }
    }
    assert_eq!(again, record);
}

/// A token, a set of keys, a private key and a document: the same bytes are tried as each.
pub(crate) fn signed(bytes: &[u8]) {
    if let (Ok(jws), Ok(keys)) = (Jws::parse(bytes), Jwks::parse(b"{\"keys\":[]}")) {
        assert!(jws.verify(&keys).is_err());
        let _claims = jws.unverified();
    }
    let _keys = Jwks::parse(bytes);
    let _document = unambiguous_json(bytes);
    let _named = NamedKey::read(&Secret::copy_of(bytes));
    for alg in [JwsAlg::Rs256, JwsAlg::Es256] {
        let _key = JwsKey::read(alg, &Secret::copy_of(bytes));
    }
}
