//! When a certificate begins and ends: just enough X.509 (RFC 5280, 4.1) to find two dates.

use crate::clock::Timestamp;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// From when and until when a DER certificate is valid, or nothing if it has another form.
pub(super) fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (certificate, _) = inside(SEQUENCE, certificate)?;
    let (mut fields, _) = inside(SEQUENCE, certificate)?;
    if fields.first() == Some(&VERSION) {
        (_, _, fields) = element(fields)?;
    }
    // serial number, signature algorithm, issuer
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (validity, _) = inside(SEQUENCE, fields)?;
    let (tag, text, rest) = element(validity)?;
    let begin = date(tag, text)?;
    let (tag, text, _) = element(rest)?;
    Some((begin, date(tag, text)?))
}

fn date(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let full = match tag {
        // Two digits of a year: from 1950 to 2049.
        UTC_TIME if text.get(..1)? >= "5" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| full.get(from..to);
    Timestamp::parse(&format!(
        "{}-{}-{}T{}:{}:{}",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        full.get(12..)?,
    ))
    .ok()
}

/// The content of the first element if it has `tag`, and what follows it.
fn inside(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// Tag, content and rest of the first element.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    let (len, bytes) = if first < 0x80 {
        (usize::from(first), bytes)
    } else {
        let (digits, bytes) = bytes.split_at_checked(usize::from(first & 0x7f))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        let len = digits
            .iter()
            .fold(0_usize, |len, digit| len << 8 | usize::from(*digit));
        (len, bytes)
    };
    let (content, rest) = bytes.split_at_checked(len)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::validity;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_read_from_both_forms_of_a_date() {
        let end = |year| validity(&certificate(year)).unwrap().1.to_string();
        let (begin, _) = validity(&certificate(2030)).unwrap();
        assert_eq!(begin.to_string(), "1975-01-01T00:00:00.000Z");
        assert_eq!(end(2030), "2030-02-03T00:00:00.000Z");
        assert_eq!(end(2099), "2099-02-03T00:00:00.000Z");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            validity(&bytes);
        }

        #[test]
        fn no_change_of_a_certificate_makes_it_panic(at in 0_usize..400, to in any::<u8>()) {
            let mut der = certificate(2030);
            let at = at % der.len();
            der[at] = to;
            validity(&der);
            validity(&der[..at]);
        }
    }
}
