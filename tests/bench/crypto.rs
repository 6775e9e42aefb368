//! Opening a stored value, against its primitives in a loop.

use std::hint::black_box;
use std::time::Instant;

use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use runtools_broker::crypto::{
    Context, Key, KeyRef, Purpose, SystemRandom, open, open_padded, seal, seal_padded,
};
use runtools_broker::id::{ObjectId, StoreId};
use sha2::{Digest, Sha256};

use crate::Effort;
use crate::disk::key;
use crate::report::Report;

/// Nanoseconds per call: the best of several rounds, since whatever disturbs only adds.
pub(crate) fn nanos(effort: Effort<'_>, mut work: impl FnMut()) -> f64 {
    let rounds = if effort.quick { 3 } else { 7 };
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let began = Instant::now();
        for _ in 0..20_000 {
            work();
        }
        best = best.min(began.elapsed().as_secs_f64() / 20_000.0 * 1e9);
    }
    best
}

/// HKDF to a key and a commitment, the context's digest, AES-256-GCM in place: nothing else.
fn primitives(length: usize) -> impl FnMut() {
    let cipher = Aes256Gcm::new((&[1; 32]).into());
    let mut body = vec![7; length];
    let nonce = [2; 12];
    let tag = cipher
        .encrypt_inout_detached(
            (&nonce).into(),
            &[3; 179],
            InOutBuf::from(body.as_mut_slice()),
        )
        .unwrap();
    move || {
        let digest = Sha256::digest([3; 179]);
        let mut okm = [0; 64];
        let hkdf = Hkdf::<Sha256>::new(Some(&[5; 32]), &[6; 32]);
        hkdf.expand(&digest, &mut okm).unwrap();
        let mut text = body.clone();
        // The key is fixed, so that the tag fits; setting it up is part of the work.
        let cipher = Aes256Gcm::new(black_box(&[1; 32]).into());
        cipher
            .decrypt_inout_detached(
                (&nonce).into(),
                &[3; 179],
                InOutBuf::from(text.as_mut_slice()),
                &tag,
            )
            .unwrap();
        black_box((okm, text));
    }
}

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str = "Opening what is stored, against SHA-256 + HKDF + AES-256-GCM";
    const HEAD: [&str; 5] = ["what", "µs", "floor µs", "ratio", "bar"];
    let context = Context::system(
        StoreId::from_bytes([1; 16]),
        ObjectId::from_bytes([2; 16]),
        1,
    );
    let (owner, random) = (key(1), SystemRandom);
    let name = KeyRef {
        id: ObjectId::from_bytes([3; 16]),
        version: 1,
    };
    let data_key = Key::generate(name, &random).unwrap();
    let wrapped = data_key
        .expose(|bytes| seal(&owner, Purpose::DataKey, &context, bytes, &random))
        .unwrap();
    for (length, padded) in [(256, 512), (4096, 5120)] {
        let value = vec![7; length];
        let value = seal_padded(&data_key, Purpose::Value, &context, &value, &random).unwrap();
        let ours = nanos(effort, || {
            let key = open(&owner, Purpose::DataKey, &context, &wrapped).unwrap();
            let key = Key::from_secret(name, &key).unwrap();
            black_box(open_padded(&key, Purpose::Value, &context, &value).unwrap());
        });
        let floor = nanos(effort, primitives(32)) + nanos(effort, primitives(padded));
        let bar = match length {
            256 => Report::verdict("≤ 3 µs", ours <= 3000.0),
            _ => String::new(),
        };
        let row = [
            format!("unwrap the data key, open a value of {length} B"),
            format!("{:.2}", ours / 1000.0),
            format!("{:.2}", floor / 1000.0),
            format!("{:.2}", ours / floor),
            bar,
        ];
        report.row(TITLE, &HEAD, &row);
    }
}
