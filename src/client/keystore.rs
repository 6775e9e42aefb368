//! Roots as Java reads them: a trust store in PKCS#12 (RFC 7292), since it takes no PEM.
//!
//! Certificates are public, so that there is nothing to encrypt; and a checksum by a password that stands
//! beside it proves nothing. This store has neither, as the one that Java 18 and later bring: it opens
//! without a password, and with any.

use rustls_pki_types::CertificateDer;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, Tag, construct_der};

/// Content that is neither signed nor encrypted (RFC 2315, 14).
const DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 1];
/// A bag with a certificate (RFC 7292, 4.2.3), and the kind of certificate in it.
const CERTIFICATE_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 3];
const X509: &[u64] = &[1, 2, 840, 113_549, 1, 9, 22, 1];
/// Java's mark of a certificate that is trusted, and not merely one of somebody's chain; and for what it is.
const TRUSTED_FOR: &[u64] = &[2, 16, 840, 1, 113_894, 746_875, 1, 1];
const EVERYTHING: &[u64] = &[2, 5, 29, 37, 0];

/// A trust store with `certificates`.
pub(super) fn trust_store(certificates: &[CertificateDer<'static>]) -> Vec<u8> {
    let bags = construct_der(|writer| {
        writer.write_sequence_of(|writer| {
            for certificate in certificates {
                bag(writer.next(), certificate);
            }
        });
    });
    let contents = construct_der(|writer| {
        writer.write_sequence_of(|writer| content(writer.next(), &bags));
    });
    construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(3);
            content(writer.next(), &contents);
        });
    })
}

fn oid(writer: DERWriter<'_>, numbers: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(numbers));
}

/// `bytes` as a `ContentInfo`.
fn content(writer: DERWriter<'_>, bytes: &[u8]) {
    writer.write_sequence(|writer| {
        oid(writer.next(), DATA);
        let explicit = Tag::context(0);
        writer
            .next()
            .write_tagged(explicit, |writer| writer.write_bytes(bytes));
    });
}

/// A trusted certificate as a `SafeBag`.
fn bag(writer: DERWriter<'_>, certificate: &[u8]) {
    writer.write_sequence(|writer| {
        oid(writer.next(), CERTIFICATE_BAG);
        writer.next().write_tagged(Tag::context(0), |writer| {
            writer.write_sequence(|writer| {
                oid(writer.next(), X509);
                let explicit = Tag::context(0);
                writer
                    .next()
                    .write_tagged(explicit, |writer| writer.write_bytes(certificate));
            });
        });
        writer.next().write_set_of(|writer| {
            writer.next().write_sequence(|writer| {
                oid(writer.next(), TRUSTED_FOR);
                writer
                    .next()
                    .write_set_of(|writer| oid(writer.next(), EVERYTHING));
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use rustls_pki_types::CertificateDer;

    use super::trust_store;

    /// Built by hand from RFC 7292 and X.690. Whether Java agrees is for a journey with Java to say.
    #[test]
    fn a_store_nests_as_the_rfc_draws_it() {
        let drawn = concat!(
            "3068020103",                         // PFX, version 3
            "306306092a864886f70d010701a0560454", // its content: data
            "3052",                               // AuthenticatedSafe
            "305006092a864886f70d010701a0430441", // its one content: data
            "303f",                               // SafeContents
            "303d060b2a864886f70d010c0a0103",     // SafeBag: a certificate
            "a0143012060a2a864886f70d01091601a00404023000",
            "31183016060c6086480186f966adca7b010131060604551d2500", // trusted, for everything
        );
        let drawn = HEXLOWER.decode(drawn.as_bytes()).unwrap();
        let certificate = CertificateDer::from(vec![0x30, 0]);
        assert_eq!(trust_store(&[certificate]), drawn);
    }
}
