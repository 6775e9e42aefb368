//! Request bodies and documents that hold secret values.
//!
//! [`Lent`] is the one way a value gets into JSON. The document is measured first, so that it is
//! written into one block that never grows, and that block wipes itself.

use std::io::{self, Write};

use bytes::Bytes;
use serde::ser::{Error as _, Serialize, Serializer};
use zeroize::Zeroizing;

use super::ClientError;
use crate::egress::Payload;
use crate::secret::Secret;

/// What to do with bytes that are no text.
const NOT_TEXT: &str = "a secret's value is printable ASCII without line breaks: \
    put anything else into base64 first, such as with `base64 -w0 FILE`";

/// A value lent to a document for as long as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Lent<'a>(pub &'a Secret);

impl Serialize for Lent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.expose(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Err(S::Error::custom("the value is not text")),
        })
    }
}

/// A JSON body that holds secret values.
///
/// # Errors
/// [`ClientError::Usage`] when a value is not UTF-8.
pub fn secret(document: &impl Serialize) -> Result<Payload, ClientError> {
    written(document, false).map(|json| Payload::Secret(Secret::copy_of(&json)))
}

/// A JSON body that holds none.
///
/// # Errors
/// [`ClientError::Usage`] when `document` cannot be written as JSON.
pub fn plain(document: &impl Serialize) -> Result<Payload, ClientError> {
    written(document, false).map(|json| Payload::Plain(Bytes::copy_from_slice(&json)))
}

/// A JSON body of changes, none of which holds a value. What is left out of it stays as it is.
///
/// # Errors
/// [`ClientError::Usage`] when it changes nothing.
pub fn change(document: &impl Serialize) -> Result<Payload, ClientError> {
    match plain(document)? {
        Payload::Plain(json) if json == b"{}".as_slice() => Err(ClientError::usage(
            "there is nothing to change",
            "say what; --help lists it",
        )),
        body => Ok(body),
    }
}

/// Writes JSON into one block of its exact size.
pub(super) fn written(
    document: &impl Serialize,
    pretty: bool,
) -> Result<Zeroizing<Vec<u8>>, ClientError> {
    let write = |to: &mut dyn Write| {
        let done = if pretty {
            serde_json::to_writer_pretty(to, document)
        } else {
            serde_json::to_writer(to, document)
        };
        done.map_err(|_| ClientError::usage("the value is not text", NOT_TEXT))
    };
    let mut size = Size(0);
    write(&mut size)?;
    let mut json = Zeroizing::new(Vec::with_capacity(size.0));
    write(&mut *json)?;
    Ok(json)
}

struct Size(usize);

impl Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Lent, secret, written};
    use crate::egress::Payload;
    use crate::secret::Secret;

    #[test]
    fn a_value_is_written_once_and_reads_back() {
        let value = Secret::copy_of(b"quote \" and \\ and \n");
        let json = written(&BTreeMap::from([("value", Lent(&value))]), false).unwrap();
        assert_eq!(json.capacity(), json.len());
        let read: BTreeMap<String, Secret> = serde_json::from_slice(&json).unwrap();
        assert!(read["value"].same_as(&value));
    }

    #[test]
    fn bodies_with_values_are_wiped_by_their_type_and_bytes_that_are_no_text_are_refused() {
        let value = Secret::copy_of(b"v");
        assert!(matches!(secret(&[Lent(&value)]), Ok(Payload::Secret(_))));
        let bytes = Secret::copy_of(b"\xff\xfe");
        let refused = secret(&[Lent(&bytes)]).unwrap_err().detail();
        // Not UTF-8: the broker refuses most of that too.
        let hint = refused.hint.unwrap();
        assert!(
            hint.contains("printable ASCII") && hint.contains("base64"),
            "{hint}"
        );
    }
}
