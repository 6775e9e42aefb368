//! The leak oracle: values planted once and looked for everywhere, in every encoding.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Planted texts.
#[derive(Clone, Debug, Default)]
pub struct Canaries {
    planted: Vec<String>,
    /// Made when it is first needed, and anew after more was planted.
    searcher: OnceLock<Searcher>,
}

/// All forms of all planted texts, found in one pass each.
#[derive(Clone, Debug)]
struct Searcher {
    exact: Forms,
    /// Forms that are written in either case.
    any_case: Forms,
}

#[derive(Clone, Debug)]
struct Forms {
    all: Vec<Form>,
    automaton: AhoCorasick,
}

/// A planted text, the name of one of its forms, and that.
type Form = (String, &'static str, Vec<u8>);

static COUNT: AtomicU64 = AtomicU64::new(0);

impl Searcher {
    fn of(all: Vec<Form>) -> Self {
        let (any_case, exact) = all
            .into_iter()
            .partition(|(_, form, _)| ["hex", "percent"].contains(form));
        Self {
            exact: Forms::of(exact, false),
            any_case: Forms::of(any_case, true),
        }
    }
}

impl Forms {
    fn of(all: Vec<Form>, any_case: bool) -> Self {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(any_case)
            .build(all.iter().map(|(_, _, bytes)| bytes))
            .unwrap();
        Self { all, automaton }
    }

    fn found_in(&self, bytes: &[u8]) -> Option<(String, &'static str)> {
        let hit = self.automaton.find(bytes)?;
        let (canary, form, _) = &self.all[hit.pattern().as_usize()];
        Some((canary.clone(), form))
    }
}

impl Canaries {
    pub fn new() -> Self {
        Self::default()
    }

    /// A new value of 40 characters, registered.
    pub fn value(&mut self) -> String {
        let value = random(40);
        self.also(&value);
        value
    }

    /// A new name of upper-case letters, for secrets and the like, registered.
    pub fn name(&mut self) -> String {
        let name = format!("CANARY_{}", random(24).to_ascii_uppercase());
        self.also(&name);
        name
    }

    /// Registers a text that the broker made, such as an API key.
    pub fn also(&mut self, text: &str) {
        self.planted.push(text.to_owned());
        self.searcher = OnceLock::new();
    }

    /// A planted text that `bytes` hold in any form, with the form's name.
    pub fn found_in(&self, bytes: &[u8]) -> Option<(String, &'static str)> {
        let searcher = self.searcher.get_or_init(|| Searcher::of(self.forms()));
        let exact = searcher.exact.found_in(bytes);
        exact.or_else(|| searcher.any_case.found_in(bytes))
    }

    /// Every form of every planted text.
    pub fn forms(&self) -> Vec<Form> {
        let all = self.planted.iter().flat_map(|canary| {
            let form = |(form, bytes)| (canary.clone(), form, bytes);
            forms(canary).into_iter().map(form)
        });
        all.collect()
    }

    /// Fails when `bytes` hold any planted text.
    #[track_caller]
    pub fn absent_from(&self, what: &str, bytes: &[u8]) {
        if let Some((canary, form)) = self.found_in(bytes) {
            panic!("{what} holds {canary} as {form}");
        }
    }
}

fn random(length: usize) -> String {
    use runtools_broker::crypto::{Random, SystemRandom};
    let random: &dyn Random = &SystemRandom;
    let mut text = format!("c{}", COUNT.fetch_add(1, Ordering::Relaxed));
    while text.len() < length {
        let [byte] = random.bytes::<1>().unwrap();
        let letter = b"abcdefghijklmnopqrstuvwxyz0123456789"[usize::from(byte % 36)];
        text.push(char::from(letter));
    }
    text
}

fn forms(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = text.as_bytes();
    let mut forms = vec![("text", bytes.to_vec())];
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    forms.push(("UTF-16", utf16));
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    forms.push(("hex", hex.into_bytes()));
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    forms.push(("percent", percent.into_bytes()));
    let unicode: String = bytes.iter().map(|byte| format!("\\u{byte:04x}")).collect();
    forms.push(("\\u", unicode.into_bytes()));
    for skip in 0..3 {
        // What stands before it decides the alignment; the letters at the ends depend on neighbours.
        let mut padded = vec![0; skip];
        padded.extend_from_slice(bytes);
        for (form, encoded) in [
            ("base64", STANDARD_NO_PAD.encode(&padded)),
            ("base64url", URL_SAFE_NO_PAD.encode(&padded)),
        ] {
            let start = if skip == 0 { 0 } else { 4 };
            let end = encoded.len() - encoded.len() % 4 - 4;
            forms.push((form, encoded.as_bytes()[start..end].to_vec()));
        }
    }
    forms
}
