//! What a callback may look like (B6, A7): checked before anything is looked up.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The longest query, in bytes.
const MAX_QUERY: usize = 8 * 1024;
/// The longest value, in bytes once decoded.
const MAX_VALUE: usize = 4 * 1024;
/// The longest name, in bytes once decoded, and the most members.
const MAX_NAME: usize = 128;
const MAX_MEMBERS: usize = 64;
/// What an answer to `response_type=code` never has.
const TOKENS: [&str; 3] = ["access_token", "id_token", "refresh_token"];

/// A callback's query: each name once, all of it text.
pub struct CallbackQuery {
    raw: Secret,
    members: BTreeMap<String, Zeroizing<String>>,
}

/// Why a query is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryFault {
    /// It is too long, or has too many members.
    #[error(
        "a callback's query has at most {MAX_QUERY} bytes and {MAX_MEMBERS} members of {MAX_VALUE} bytes"
    )]
    Long,
    /// It is no UTF-8.
    #[error("a callback's query is text")]
    Text,
    /// Something stands in it twice (RFC 6749 section 3.1).
    #[error("a callback's query says nothing twice")]
    Twice,
    /// It carries a token, which nobody asked for (RFC 9700 section 2.1.2).
    #[error("a callback carries a code, and never a token")]
    Token,
}

impl CallbackQuery {
    /// Reads a query as it arrived, without the `?`.
    ///
    /// # Errors
    /// [`QueryFault`].
    pub fn read(raw: &str) -> Result<Self, QueryFault> {
        if raw.len() > MAX_QUERY {
            return Err(QueryFault::Long);
        }
        let mut members = BTreeMap::new();
        for member in raw.split('&').filter(|member| !member.is_empty()) {
            let (name, value) = member.split_once('=').unwrap_or((member, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if name.len() > MAX_NAME || value.len() > MAX_VALUE || members.len() >= MAX_MEMBERS {
                return Err(QueryFault::Long);
            }
            if TOKENS.contains(&name.as_str()) {
                return Err(QueryFault::Token);
            }
            if members.insert(name.to_string(), value).is_some() {
                return Err(QueryFault::Twice);
            }
        }
        let raw = Secret::copy_of(raw.as_bytes());
        Ok(Self { raw, members })
    }

    /// The member of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.members.get(name).map(|value| value.as_str())
    }

    /// All members.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let members = self.members.iter();
        members.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Lends the query as it arrived.
    pub(super) fn raw<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        self.raw
            .expose(|raw| read(std::str::from_utf8(raw).unwrap_or_default()))
    }
}

fn decode(text: &str) -> Result<Zeroizing<String>, QueryFault> {
    let spaced = Zeroizing::new(text.replace('+', " "));
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let decoded = decoded.map_err(|_| QueryFault::Text)?;
    Ok(Zeroizing::new(decoded.into_owned()))
}

impl std::fmt::Debug for CallbackQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CallbackQuery(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{CallbackQuery, MAX_QUERY, MAX_VALUE, QueryFault};

    fn fault(raw: &str) -> Option<QueryFault> {
        CallbackQuery::read(raw).err()
    }

    #[test]
    fn b6_nothing_is_said_twice_or_too_long_or_in_no_language() {
        for (raw, expected) in [
            ("code=a&state=b".to_owned(), None),
            ("code=a&code=b".to_owned(), Some(QueryFault::Twice)),
            ("state=a&st%61te=a".to_owned(), Some(QueryFault::Twice)),
            ("iss=a&iss=a".to_owned(), Some(QueryFault::Twice)),
            ("code=%ff".to_owned(), Some(QueryFault::Text)),
            ("%c3%28=a".to_owned(), Some(QueryFault::Text)),
            (format!("code={}", "a".repeat(MAX_VALUE)), None),
            (
                format!("code={}", "a".repeat(MAX_VALUE + 1)),
                Some(QueryFault::Long),
            ),
            ("&".repeat(MAX_QUERY + 1), Some(QueryFault::Long)),
            (format!("{}=a", "a".repeat(129)), Some(QueryFault::Long)),
            (
                (0..65).map(|n| format!("a{n}=b&")).collect(),
                Some(QueryFault::Long),
            ),
            (String::new(), None),
        ] {
            assert_eq!(fault(&raw), expected, "{raw:.40}");
        }
    }

    #[test]
    fn a7_a_token_in_a_callback_is_refused() {
        for raw in [
            "access_token=x&state=b",
            "code=a&state=b&id_token=x",
            "state=b&access%5ftoken=x",
            "refresh_token=",
        ] {
            assert_eq!(fault(raw), Some(QueryFault::Token), "{raw}");
        }
    }

    #[test]
    fn members_are_decoded_and_the_whole_stays_as_it_came() {
        let query = CallbackQuery::read("state=a%20b+c&code=%2B&empty").unwrap();
        assert_eq!(query.get("state"), Some("a b c"));
        assert_eq!(query.get("code"), Some("+"));
        assert_eq!(query.get("empty"), Some(""));
        assert_eq!(query.get("iss"), None);
        query.raw(|raw| assert_eq!(raw, "state=a%20b+c&code=%2B&empty"));
    }

    proptest! {
        #[test]
        fn b6_no_query_makes_it_panic(raw in any::<String>()) {
            if let Ok(query) = CallbackQuery::read(&raw) {
                prop_assert!(query.pairs().all(|(_, value)| value.len() <= MAX_VALUE));
            }
        }
    }
}
