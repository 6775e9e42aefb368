//! The values of one call, open; and what to search its answer for.
//!
//! Building the searcher costs more than everything else here together, so it is kept for a minute at
//! most, keyed by the very versions it was built for. It holds spellings of the values: the cache is
//! small, swept without waiting for a call, wiped as it goes, and emptied at sealing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use zeroize::Zeroizing;

use crate::audit::Recorded;
use crate::clock::Timestamp;
use crate::crypto::{Digest, hmac_of, sha256, sha256_parts};
use crate::name::FieldName;
use crate::oauth::Lent;
use crate::secret::Secret;
use crate::tools::{BasicOther, BasicRole, Binding, Slot};

use super::BrokerError;
use super::resolve::{Filled, Filling};
use super::scrub::Patterns;

/// How long a searcher is kept at most, in milliseconds.
const KEPT: i64 = 60_000;
/// How often old ones are dropped. One that was there twice is old, so each is gone within [`KEPT`].
const SWEEP: Duration = Duration::from_secs(30);
/// The most searchers that are kept.
const MOST: usize = 256;

/// The searchers of recent calls.
#[derive(Debug, Default)]
pub(super) struct Searchers(Arc<Mutex<Cache>>);

#[derive(Debug, Default)]
struct Cache {
    kept: HashMap<Digest, Kept>,
    sweeping: bool,
}

#[derive(Debug)]
struct Kept {
    patterns: Patterns,
    made: Timestamp,
    swept_once: bool,
}

/// The open values of one call.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) values: BTreeMap<FieldName, Secret>,
    pub(super) patterns: Patterns,
    /// The tokens among the values, sealed: for when the API refuses them.
    pub(super) tokens: Vec<Lent>,
    /// Which versions of which credentials these are; `None` when they are not kept.
    key: Option<Digest>,
}

impl Lease {
    /// What to search the answer for when this was made for the call as well: a signature, which is another
    /// one each time, or a token that was fetched, whose searcher is kept as the token is.
    pub(super) fn search_also_for(
        &self,
        searchers: &Searchers,
        binding: &Binding,
        (made, token): (&[Secret], Option<&Secret>),
        now: Timestamp,
    ) -> Result<Patterns, BrokerError> {
        let key = match (made, token, &self.key) {
            ([], None, _) => return Ok(self.patterns.clone()),
            ([], Some(token), Some(key)) => Some(hmac_of(token, key)),
            _ => None,
        };
        if let Some(kept) = key.and_then(|key| searchers.get(&key, now)) {
            return Ok(kept);
        }
        let patterns = build(&self.values, binding, made.iter().chain(token))?;
        if let Some(key) = key {
            searchers.keep(key, patterns.clone(), now);
        }
        Ok(patterns)
    }
}

impl Searchers {
    /// Forgets all of them.
    pub(super) fn forget(&self) {
        locked(&self.0).kept.clear();
    }

    fn get(&self, key: &Digest, now: Timestamp) -> Option<Patterns> {
        let cache = locked(&self.0);
        let kept = cache.kept.get(key)?;
        (now.millis_since(kept.made).abs() < KEPT).then(|| kept.patterns.clone())
    }

    fn keep(&self, key: Digest, patterns: Patterns, made: Timestamp) {
        // Without a runtime nothing would drop it in time.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut cache = locked(&self.0);
        if cache.kept.len() >= MOST {
            cache.kept.clear();
        }
        let kept = Kept {
            patterns,
            made,
            swept_once: false,
        };
        cache.kept.insert(key, kept);
        if !std::mem::replace(&mut cache.sweeping, true) {
            runtime.spawn(sweep(Arc::downgrade(&self.0)));
        }
    }
}

impl Cache {
    /// Drops those that were there the last time, too: whether none is left, and nothing is to be swept.
    fn sweep(&mut self) -> bool {
        self.kept
            .retain(|_, kept| !std::mem::replace(&mut kept.swept_once, true));
        self.sweeping = !self.kept.is_empty();
        !self.sweeping
    }
}

fn locked(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops old searchers even when no further call comes, until none is left.
async fn sweep(cache: Weak<Mutex<Cache>>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(cache) = cache.upgrade() else {
            return;
        };
        if locked(&cache).sweep() {
            return;
        }
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
pub(super) fn open(
    searchers: &Searchers,
    filled: BTreeMap<FieldName, Filled>,
    binding: &Binding,
    recorded: &Recorded,
    now: Timestamp,
) -> Result<Lease, BrokerError> {
    let mut identities = Vec::new();
    let mut cacheable = true;
    let mut values = BTreeMap::new();
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
    for (field, role, other) in basic_pairs(binding) {
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
    let key = sha256(&identities);
    if cacheable && let Some(patterns) = searchers.get(&key, now) {
        return Ok(Lease {
            values,
            patterns,
            tokens,
            key: Some(key),
        });
    }
    let patterns = build(&values, binding, [])?;
    if cacheable {
        searchers.keep(key, patterns.clone(), now);
    }
    Ok(Lease {
        values,
        patterns,
        tokens,
        key: cacheable.then_some(key),
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

fn build<'s>(
    values: &'s BTreeMap<FieldName, Secret>,
    binding: &Binding,
    made: impl IntoIterator<Item = &'s Secret>,
) -> Result<Patterns, BrokerError> {
    let mut basic: Vec<(Zeroizing<Vec<u8>>, &Secret)> = Vec::new();
    for (field, slots) in &binding.slots {
        let Some(value) = values.get(field) else {
            continue;
        };
        for slot in slots {
            let Slot::Basic {
                role: BasicRole::Password,
                other,
            } = slot
            else {
                continue;
            };
            let user = match other {
                BasicOther::Literal(text) => text.as_bytes().to_vec(),
                BasicOther::Field(other) => match values.get(other) {
                    Some(user) => user.expose(<[u8]>::to_vec),
                    None => continue,
                },
            };
            basic.push((Zeroizing::new(user), value));
        }
    }
    let basic = basic.iter().map(|(user, value)| (user.as_slice(), *value));
    let all: Vec<&Secret> = values.values().chain(made).collect();
    Ok(Patterns::for_values(
        all.iter().map(|value| &**value),
        basic,
    )?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{KEPT, Lease, MOST, Patterns, SWEEP, Searchers, locked, sha256_parts};
    use crate::clock::Timestamp;
    use crate::crypto::Digest;
    use crate::secret::Secret;
    use crate::tools::ToolSpec;

    fn key(number: usize) -> Digest {
        sha256_parts(&[&number.to_be_bytes()])
    }

    fn patterns() -> Patterns {
        Patterns::for_values([&Secret::copy_of(b"ghp_Zq9nKo0xj7")], []).unwrap()
    }

    fn lease(key: Option<Digest>) -> Lease {
        Lease {
            values: BTreeMap::new(),
            patterns: patterns(),
            tokens: Vec::new(),
            key,
        }
    }

    #[tokio::test]
    async fn the_searcher_of_a_kept_token_is_kept_and_that_of_a_signature_is_not() {
        let spec = serde_json::json!({
            "slug": "custom-x", "name": "X",
            "credentialsJson": {"required": ["apiKey"],
                "schema": {"apiKey": {"type": "string", "description": "key"}}},
            "bindings": [{"hosts": ["api.example.com"], "methods": ["GET"], "paths": ["/**"],
                "slots": {"apiKey": [{"header": "x-key"}]}}],
            "actionsJson": {"run": {"description": "run",
                "http": {"method": "GET", "url": "https://api.example.com/run"}}},
        });
        let spec = ToolSpec::from_custom_json(spec).unwrap();
        let binding = spec.bindings.first().unwrap();
        let (searchers, now) = (Searchers::default(), Timestamp::default());
        let kept = || locked(&searchers.0).kept.len();
        let token = |text: &[u8]| Secret::copy_of(text);
        let (one, two) = (token(b"token-of-the-first"), token(b"token-of-the-second"));
        let signature = [token(b"signature-of-a-call")];
        let search = |key, made: &[Secret], token| {
            let patterns = lease(key).search_also_for(&searchers, binding, (made, token), now);
            patterns.unwrap()
        };
        let finds = |patterns: &Patterns, text: &[u8]| !patterns.occurrences(text).is_empty();
        for (token, count) in [(None, 0), (Some(&one), 1), (Some(&one), 1), (Some(&two), 2)] {
            let patterns = search(Some(key(1)), &[], token);
            assert_eq!(kept(), count);
            assert_eq!(finds(&patterns, b"a token-of-the-first b"), count == 1);
        }
        // Nor where the values came with the request.
        search(None, &[], Some(&one));
        let patterns = search(Some(key(1)), &signature, Some(&one));
        assert!(
            finds(&patterns, b"signature-of-a-call") && finds(&patterns, b"token-of-the-first")
        );
        assert_eq!(kept(), 2);
    }

    #[tokio::test]
    async fn lk_8_searchers_are_few_and_gone_within_a_minute_though_nobody_calls() {
        let (searchers, now) = (Searchers::default(), Timestamp::default());
        let kept = || locked(&searchers.0).kept.len();
        for number in 0..2 * MOST + 5 {
            searchers.keep(key(number), patterns(), now);
            assert!((1..=MOST).contains(&kept()));
        }
        let last = key(2 * MOST + 4);
        assert!(searchers.get(&last, now.plus_millis(KEPT - 1)).is_some());
        for other in [KEPT, -KEPT] {
            assert!(searchers.get(&last, now.plus_millis(other)).is_none());
        }
        // Whoever comes between two sweeps is gone after two more.
        assert!(SWEEP.as_millis() * 2 <= u128::from(KEPT.unsigned_abs()));
        for _ in 0..2 {
            assert!(locked(&searchers.0).sweeping, "somebody sweeps");
            assert!(!locked(&searchers.0).sweep() && kept() > 0);
            assert!(locked(&searchers.0).sweep() && kept() == 0);
            searchers.keep(last, patterns(), now);
        }
        searchers.forget();
        assert_eq!(kept(), 0, "sealing does not wait");
    }
}
