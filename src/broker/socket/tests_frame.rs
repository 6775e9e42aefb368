//! The framer, against the examples of RFC 6455, 5.7, and against anything.

use bytes::BytesMut;
use proptest::prelude::*;

use super::{Head, Kind, MAX_HEAD, Malformed, mask};

const KINDS: [Kind; 6] = [
    Kind::More,
    Kind::Text,
    Kind::Binary,
    Kind::Close,
    Kind::Ping,
    Kind::Pong,
];

fn written(head: Head) -> BytesMut {
    let mut out = BytesMut::new();
    head.write(&mut out);
    out
}

#[test]
fn the_examples_of_the_rfc_are_read_and_written() {
    let head = |last, kind, mask, length| Head {
        last,
        kind,
        mask,
        length,
    };
    let key = Some([0x37, 0xfa, 0x21, 0x3d]);
    let examples: [(&[u8], Head); 6] = [
        (&[0x81, 0x05], head(true, Kind::Text, None, 5)),
        (
            &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d],
            head(true, Kind::Text, key, 5),
        ),
        (&[0x01, 0x03], head(false, Kind::Text, None, 3)),
        (&[0x80, 0x02], head(true, Kind::More, None, 2)),
        (
            &[0x82, 0x7e, 0x01, 0x00],
            head(true, Kind::Binary, None, 256),
        ),
        (
            &[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0],
            head(true, Kind::Binary, None, 65536),
        ),
    ];
    for (bytes, head) in examples {
        assert_eq!(Head::read(bytes), Ok(Some((head, bytes.len()))));
        assert_eq!(written(head), bytes);
    }
    let mut hello = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
    mask(&mut hello, [0x37, 0xfa, 0x21, 0x3d], 0);
    assert_eq!(&hello, b"Hello");
}

#[test]
fn what_breaks_the_protocol_is_refused() {
    let broken: [(&str, &[u8]); 9] = [
        ("a bit of an extension", &[0xc1, 0x00]),
        ("another bit", &[0x91, 0x00]),
        ("an opcode that is none", &[0x83, 0x00]),
        ("a control opcode that is none", &[0x8b, 0x00]),
        ("a ping in pieces", &[0x09, 0x00]),
        ("a ping that is too long", &[0x89, 126, 0, 126]),
        ("a length in more bytes than needed", &[0x82, 126, 0, 125]),
        (
            "the same in eight",
            &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        ),
        (
            "a length with its first bit set",
            &[0x82, 127, 0x80, 0, 0, 0, 0, 1, 0, 0],
        ),
    ];
    for (what, bytes) in broken {
        assert_eq!(Head::read(bytes), Err(Malformed), "{what}");
    }
}

fn heads() -> impl Strategy<Value = Head> {
    let length = prop_oneof![
        0..200_u64,
        65_000..66_000_u64,
        any::<u64>().prop_map(|n| n >> 1)
    ];
    let parts = (any::<bool>(), 0..6_usize, any::<Option<[u8; 4]>>(), length);
    parts.prop_map(|(last, kind, mask, length)| {
        let kind = KINDS[kind];
        let control = kind.is_control();
        Head {
            last: last || control,
            kind,
            mask,
            length: if control { length % 126 } else { length },
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again_and_never_from_less(head in heads()) {
        let bytes = written(head);
        prop_assert!(bytes.len() <= MAX_HEAD);
        prop_assert_eq!(Head::read(&bytes), Ok(Some((head, bytes.len()))));
        for cut in 0..bytes.len() {
            prop_assert_eq!(Head::read(&bytes[..cut]), Ok(None));
        }
    }

    #[test]
    fn any_bytes_are_read_in_one_way_or_not_at_all(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        if let Ok(Some((head, length))) = Head::read(&bytes) {
            prop_assert_eq!(&written(head)[..], &bytes[..length]);
        }
    }

    #[test]
    fn a_payload_is_masked_the_same_however_it_is_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        key in any::<[u8; 4]>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(bytes.len() + 1);
        let each: Vec<u8> = bytes.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
        let mut pieces = bytes.clone();
        let (one, two) = pieces.split_at_mut(cut);
        mask(one, key, 0);
        mask(two, key, u64::try_from(cut).unwrap());
        prop_assert_eq!(pieces, each);
    }
}
