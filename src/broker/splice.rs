//! Putting values into a body that stays as it is otherwise, where their placeholders stood.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use zeroize::Zeroizing;

use super::BrokerError;
use super::guard::{Spelling, Splice};
use super::place::Values;

/// Everything but the unreserved characters (RFC 3986, 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `body` with the values at their places.
pub(super) fn splice(
    body: &Bytes,
    splices: &[Splice],
    values: &Values,
) -> Result<Bytes, BrokerError> {
    let mut ordered: Vec<_> = splices.iter().collect();
    ordered.sort_by_key(|splice| splice.at.start);
    let (mut whole, mut from) = (Zeroizing::new(Vec::new()), 0);
    for splice in ordered {
        let value = values
            .get(&splice.field)
            .ok_or_else(|| BrokerError::Missing {
                fields: vec![splice.field.clone()],
            })?;
        whole.extend_from_slice(body.get(from..splice.at.start).unwrap_or_default());
        let spelled = value.expose(|value| spell(value, splice.spelling))?;
        whole.extend_from_slice(&spelled);
        from = splice.at.end;
    }
    if from == 0 {
        return Ok(body.clone());
    }
    whole.extend_from_slice(body.get(from..).unwrap_or_default());
    Ok(Bytes::from_owner(whole))
}

fn spell(value: &[u8], spelling: Spelling) -> Result<Zeroizing<Vec<u8>>, BrokerError> {
    match spelling {
        Spelling::Form => Ok(Zeroizing::new(
            percent_encode(value, ENCODED).to_string().into_bytes(),
        )),
        Spelling::Json => {
            let unfit = |_| BrokerError::Placement("the credential is no text");
            let text = std::str::from_utf8(value).map_err(unfit)?;
            let quoted = serde_json::to_vec(text);
            let quoted = quoted.map_err(|_| BrokerError::Placement("the credential is no text"))?;
            let quoted = Zeroizing::new(quoted);
            let inner = quoted.get(1..quoted.len().saturating_sub(1));
            Ok(Zeroizing::new(inner.unwrap_or_default().to_vec()))
        }
    }
}

#[cfg(test)]
mod tests {

    use bytes::Bytes;

    use super::splice;
    use crate::broker::guard::{Spelling, Splice};
    use crate::name::{FieldName, Fields};
    use crate::secret::Secret;

    #[test]
    fn values_stand_where_placeholders_stood_and_nothing_else_changes() {
        let field = |name: &str| FieldName::parse(name).unwrap();
        let values = Fields::from_iter([
            (field("a"), Secret::copy_of(b"x\"y\\z")),
            (field("b"), Secret::copy_of(b"p&q=r s")),
        ]);
        let at = |start: usize, name: &str, spelling| Splice {
            at: start..start + 2,
            field: field(name),
            spelling,
        };
        let body = Bytes::from_static(br#"{ "n": 1.50e3, "k":"@@" }"#);
        let json = splice(&body, &[at(20, "a", Spelling::Json)], &values).unwrap();
        assert_eq!(json, r#"{ "n": 1.50e3, "k":"x\"y\\z" }"#);
        let body = Bytes::from_static(b"k=@@&l=@@&m=1");
        let both = [at(7, "b", Spelling::Form), at(2, "b", Spelling::Form)];
        let form = splice(&body, &both, &values).unwrap();
        assert_eq!(form, "k=p%26q%3Dr%20s&l=p%26q%3Dr%20s&m=1");
        assert!(splice(&body, &[at(2, "c", Spelling::Form)], &values).is_err());
        assert_eq!(splice(&body, &[], &values).unwrap(), body);
    }
}
