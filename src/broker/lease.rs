//! The values of one call, open; and what to search its answer for.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Digest, hmac_of, sha256, sha256_parts};
use crate::id::OrgId;
use crate::name::{FieldName, Fields};
use crate::oauth::Lent;
use crate::secret::{MAX_VALUE_BYTES, Secret};
use crate::tools::{BasicOther, BasicRole, Binding, Slot};

use super::BrokerError;
use super::resolve::{Filled, Filling};
use super::scrub::{Patterns, ScrubError};
use super::searchers::{Material, Searchers};

/// The most bytes of all values of one call: they are spelled in more than a hundred times as many.
const MOST: usize = MAX_VALUE_BYTES;

/// The open values of one call.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) spelled: Spelled,
    patterns: Patterns,
    /// The tokens among the values, sealed: for when the API refuses them.
    tokens: Vec<Lent>,
    /// Which versions of which credentials these are; `None` when they are not kept.
    key: Option<Digest>,
    /// Whose call it is.
    org: OrgId,
}

/// All that an answer is searched for.
#[derive(Debug, Default)]
pub(super) struct Spelled {
    pub(super) values: Fields<Secret>,
    /// Passwords of Basic blobs, and the user of each.
    pairs: Vec<(FieldName, BasicOther)>,
    /// What was made for the call: signatures, and a token that was fetched.
    made: Vec<Secret>,
    token: Option<Arc<Secret>>,
}

impl Lease {
    /// What to search the answer for when this was made for the call as well: a signature, which is another
    /// one each time, or a token that was fetched, whose searcher is kept as the token is. With it come the
    /// tokens among the values.
    pub(super) async fn search_also_for(
        mut self,
        searchers: &Searchers,
        (made, token): (Vec<Secret>, Option<Arc<Secret>>),
        now: Timestamp,
    ) -> Result<(Patterns, Vec<Lent>), BrokerError> {
        let key = match (&*made, &token, &self.key) {
            ([], None, _) => return Ok((self.patterns, self.tokens)),
            ([], Some(token), Some(key)) => Some(hmac_of(token, key)),
            _ => None,
        };
        (self.spelled.made, self.spelled.token) = (made, token);
        // Whoever waits for memory has none meanwhile, or calls could wait for each other.
        drop(self.patterns);
        let (patterns, _) = searchers.of(self.org, key, self.spelled, now).await?;
        Ok((patterns, self.tokens))
    }
}

impl Spelled {
    /// # Errors
    /// [`ScrubError::TooLong`] for values that are too long together.
    fn check(&self) -> Result<(), ScrubError> {
        let values: usize = self.values.values().map(Secret::len).sum();
        if values > MOST || self.blobs() > MOST {
            return Err(ScrubError::TooLong { most: MOST });
        }
        Ok(())
    }

    /// How many bytes are spelled once more, in Basic blobs.
    fn blobs(&self) -> usize {
        let of = |field: &FieldName| self.values.get(field).map_or(0, Secret::len);
        let blob = |(password, user): &(FieldName, BasicOther)| {
            of(password)
                + match user {
                    BasicOther::Literal(text) => text.len(),
                    BasicOther::Field(user) => of(user),
                }
        };
        self.pairs.iter().map(blob).sum()
    }
}

impl Material for Spelled {
    fn size(&self) -> usize {
        let values = self.values.values().chain(&self.made);
        let values = values.chain(self.token.as_deref());
        values.map(Secret::len).sum::<usize>() + self.blobs()
    }

    fn build(&self) -> Result<Patterns, BrokerError> {
        let mut basic: Vec<(Zeroizing<Vec<u8>>, &Secret)> = Vec::new();
        for (password, user) in &self.pairs {
            let Some(value) = self.values.get(password) else {
                continue;
            };
            let user = match user {
                BasicOther::Literal(text) => text.as_bytes().to_vec(),
                BasicOther::Field(user) => match self.values.get(user) {
                    Some(user) => user.expose(<[u8]>::to_vec),
                    None => continue,
                },
            };
            basic.push((Zeroizing::new(user), value));
        }
        let basic = basic.iter().map(|(user, value)| (user.as_slice(), *value));
        let values = self.values.values().chain(&self.made);
        let values = values.chain(self.token.as_deref());
        Ok(Patterns::for_values(values, basic)?)
    }
}

/// Which version a filling is; `None` for one that came with the request.
pub(super) fn identity(filling: &Filling) -> Option<Digest> {
    match filling {
        Filling::Request(_) | Filling::Account(_) => None,
        Filling::Secret(found) => {
            let version = found.version().to_be_bytes();
            Some(sha256_parts(&[b"s", found.id().bytes(), &version]))
        }
        Filling::Stored(stored) => Some(*stored.1.bytes()),
        Filling::Token(lent) => Some(sha256_parts(&[b"t", &lent.identity()])),
    }
}

/// Opens the values and readies the searcher. The use is on disk in the journal.
pub(super) async fn open(
    searchers: &Searchers,
    org: OrgId,
    filled: Fields<Filled>,
    binding: &Binding,
    recorded: &Recorded,
    now: Timestamp,
) -> Result<Lease, BrokerError> {
    let mut identities = Vec::new();
    let mut cacheable = true;
    let mut values = Fields::new();
    let mut tokens = Vec::new();
    for (field, Filled { filling, .. }) in filled {
        match identity(&filling) {
            Some(digest) => {
                identities.extend_from_slice(&sha256(field.as_str().as_bytes()));
                identities.extend_from_slice(&digest);
            }
            None => cacheable = false,
        }
        let value = match filling {
            Filling::Request(value) => value,
            Filling::Secret(found) => found.lend(recorded)?,
            Filling::Stored(stored) => stored.0.open(recorded)?,
            Filling::Token(lent) => {
                let value = lent.open(recorded)?;
                tokens.push(*lent);
                value
            }
            // What is not lent by now stays closed.
            Filling::Account(_) => return Err(BrokerError::Unbound),
        };
        values.insert(field, value);
    }
    // The Basic blobs depend on how the binding pairs the halves.
    let mut pairs = Vec::new();
    for (field, role, other) in basic_pairs(binding) {
        if role == BasicRole::Password {
            pairs.push((field.clone(), other.clone()));
        }
        identities.extend_from_slice(&sha256(field.as_str().as_bytes()));
        let role: &[u8] = match role {
            BasicRole::User => b"u",
            BasicRole::Password => b"p",
        };
        let (kind, other): (&[u8], _) = match other {
            BasicOther::Literal(text) => (b"l", text.as_bytes()),
            BasicOther::Field(field) => (b"f", field.as_str().as_bytes()),
        };
        identities.extend_from_slice(&sha256_parts(&[role, kind, other]));
    }
    let key = cacheable.then(|| sha256(&identities));
    let spelled = Spelled {
        values,
        pairs,
        ..Spelled::default()
    };
    spelled.check()?;
    let (patterns, spelled) = searchers.of(org, key, spelled, now).await?;
    Ok(Lease {
        spelled,
        patterns,
        tokens,
        key,
        org,
    })
}

fn basic_pairs(binding: &Binding) -> impl Iterator<Item = (&FieldName, BasicRole, &BasicOther)> {
    let slots = binding
        .slots
        .iter()
        .flat_map(|(field, slots)| slots.iter().map(move |s| (field, s)));
    slots.filter_map(|(field, slot)| match slot {
        Slot::Basic { role, other } => Some((field, *role, other)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Lease, MOST, Patterns, ScrubError, Searchers, Spelled, open, sha256_parts};
    use crate::broker::BrokerError;
    use crate::broker::resolve::{Filled, Filling};
    use crate::clock::Timestamp;
    use crate::crypto::Digest;
    use crate::id::OrgId;
    use crate::name::{FieldName, Fields};
    use crate::secret::Secret;
    use crate::tools::{Binding, ToolSpec};
    use crate::vault::tests_rig::Rig;
    use crate::wire::FieldSource;

    fn key(number: usize) -> Digest {
        sha256_parts(&[&number.to_be_bytes()])
    }

    const ONE: OrgId = OrgId::from_bytes([1; 16]);

    fn lease(key: Option<Digest>) -> Lease {
        Lease {
            spelled: Spelled::default(),
            patterns: Patterns::for_values([&Secret::copy_of(b"ghp_Zq9nKo0xj7")], []).unwrap(),
            tokens: Vec::new(),
            key,
            org: ONE,
        }
    }

    /// A tool with one field, which stands where `slot` says.
    fn binding(slot: &serde_json::Value) -> Binding {
        let spec = serde_json::json!({
            "slug": "custom-x", "name": "X",
            "credentialsJson": {"required": ["apiKey"],
                "schema": {"apiKey": {"type": "string", "description": "key"}}},
            "bindings": [{"hosts": ["api.example.com"], "methods": ["GET"], "paths": ["/**"],
                "slots": {"apiKey": [slot]}}],
            "actionsJson": {"run": {"description": "run",
                "http": {"method": "GET", "url": "https://api.example.com/run"}}},
        });
        let spec = ToolSpec::from_custom_json(spec).unwrap();
        spec.bindings.first().unwrap().clone()
    }

    #[tokio::test]
    async fn the_searcher_of_a_kept_token_is_kept_and_that_of_a_signature_is_not() {
        let (searchers, now) = (Searchers::default(), Timestamp::default());
        let token = |text: &[u8]| Arc::new(Secret::copy_of(text));
        let (one, two) = (token(b"token-of-the-first"), token(b"token-of-the-second"));
        let search = async |key, made: Option<&[u8]>, token: Option<&Arc<Secret>>| {
            let made = made.map(Secret::copy_of).into_iter().collect();
            let lease = lease(key);
            let also = (made, token.cloned());
            let (patterns, _) = lease.search_also_for(&searchers, also, now).await.unwrap();
            patterns
        };
        let finds = |patterns: &Patterns, text: &[u8]| !patterns.occurrences(text).is_empty();
        for (token, count) in [(None, 0), (Some(&one), 1), (Some(&one), 1), (Some(&two), 2)] {
            let patterns = search(Some(key(1)), None, token).await;
            assert_eq!(searchers.count(), count);
            assert_eq!(finds(&patterns, b"a token-of-the-first b"), count == 1);
        }
        // Nor where the values came with the request.
        search(None, None, Some(&one)).await;
        let patterns = search(Some(key(1)), Some(b"signature-of-a-call"), Some(&one)).await;
        assert!(
            finds(&patterns, b"signature-of-a-call") && finds(&patterns, b"token-of-the-first")
        );
        assert_eq!(searchers.count(), 2);
    }

    #[tokio::test]
    async fn a_call_whose_values_are_too_long_together_is_refused_before_a_searcher_is_built() {
        let (rig, now) = (Rig::new().await, Timestamp::default());
        let recorded = rig.recorded().await;
        let searchers = Searchers::default();
        let opened = async |lengths: &[usize], slot: serde_json::Value| {
            let filled = |(number, length): (usize, &usize)| {
                let name = match number {
                    0 => "apiKey".to_owned(),
                    number => format!("other{number}"),
                };
                let value = Secret::take(vec![b'x'; *length]);
                let filled = Filled {
                    filling: Filling::Request(value),
                    source: FieldSource::Request,
                };
                (FieldName::parse(&name).unwrap(), filled)
            };
            let filled: Fields<_> = lengths.iter().enumerate().map(filled).collect();
            let opened = open(&searchers, ONE, filled, &binding(&slot), &recorded, now).await;
            opened.map(drop)
        };
        let header = || serde_json::json!({"header": "x-key"});
        let basic = || serde_json::json!({"basic": "password", "with": "someone"});
        opened(&[MOST], header()).await.unwrap();
        opened(&[MOST - 6, 6], header()).await.unwrap();
        opened(&[MOST - 7], basic()).await.unwrap();
        for (lengths, slot) in [
            (&[MOST, 6][..], header()),
            (&[2_049; 32], header()),
            (&[MOST - 6], basic()),
        ] {
            let refused = opened(lengths, slot).await.unwrap_err();
            let too_long = BrokerError::Scrub(ScrubError::TooLong { most: MOST });
            assert_eq!(refused.code(), "values_too_long");
            assert_eq!(refused.to_string(), too_long.to_string());
        }
    }
}
