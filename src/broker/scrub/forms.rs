//! The spellings in which a value may come back.
//!
//! A form is built from the value without white space at its ends, since a header cannot carry
//! such space and an echo would have lost it. Base64 is cut to the part that does not depend on
//! what stands next to the value: at most four bits of the value at either end are in characters
//! that it shares with a neighbour, and stay. Of a value of six bytes that leaves seven characters
//! at the least, so no spelling is shorter than its value.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::escapes::{self, Html, Json, Keep};
use super::plain::Plain;

/// What stands between the hex digits of bytes: in dumps, in S3's canonical requests, fingerprints, .NET's
/// texts of bytes, and lists of numbers in source code.
const BETWEEN_HEX: [&str; 6] = [" ", ":", "-", ", 0x", ",0x", " 0x"];

/// What stands between bytes as decimal numbers: in JSON of buffers, Python's and Rust's lists, and Go's.
const BETWEEN_NUMBERS: [&str; 3] = [",", ", ", " "];

/// One spelling of a value, with the places where a hex digit may be of either case.
#[derive(Default)]
pub(super) struct Form {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// As long as `bytes`; true where the case of a letter does not matter.
    pub(super) soft: Vec<bool>,
}

impl Form {
    /// An empty form with room for `room` bytes, so that it leaves no copies behind by growing.
    pub(super) fn with_room(room: usize) -> Self {
        Self {
            bytes: Zeroizing::new(Vec::with_capacity(room)),
            soft: Vec::with_capacity(room),
        }
    }

    /// Adds bytes that must be found as they are.
    pub(super) fn exact(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.soft.resize(self.bytes.len(), false);
    }

    /// Adds bytes whose letters may be of either case.
    pub(super) fn soft(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.soft.resize(self.bytes.len(), true);
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut form = Self::with_room(bytes.len());
        form.exact(bytes);
        form
    }

    /// The same without its escapes, as it stands in a text from which they were taken off; `None` when
    /// it has none.
    pub(super) fn plain(&self) -> Option<Self> {
        let plain = Plain::of(&self.bytes, true)?;
        let soft = |at| self.soft.get(plain.begins(at)).is_some_and(|soft| *soft);
        let soft = (0..plain.bytes.len()).map(soft).collect();
        let bytes = plain.bytes;
        Some(Self { bytes, soft })
    }
}

/// Every spelling of `value` but for those with escapes; some may be equal.
pub(super) fn of_value(value: &[u8]) -> Vec<Form> {
    let mut forms = vec![Form::of(value), hex(value, "")];
    forms.extend(BETWEEN_HEX.map(|between| hex(value, between)));
    forms.extend(BETWEEN_NUMBERS.map(|between| numbers(value, between)));
    for keep in [
        Keep::Unreserved,
        Keep::Component,
        Keep::Uri,
        Keep::Form,
        Keep::Letters,
        Keep::Nothing,
    ] {
        forms.push(escapes::percent(value, keep));
    }
    for html in Html::ALL {
        forms.push(escapes::html(value, html));
    }
    for before in 0..3 {
        base64_at(value, before, &mut forms);
    }
    forms
}

/// The usual spellings of `value` with escapes, for a value that is too short without its own.
pub(super) fn with_escapes(value: &[u8]) -> Vec<Form> {
    let mut forms: Vec<_> = Json::ALL
        .into_iter()
        .map(|json| escapes::json(value, json))
        .collect();
    let once = escapes::json(value, Json::Plain);
    forms.push(escapes::json(&once.bytes, Json::Plain));
    for keep in [Keep::Printable, Keep::Letters, Keep::Nothing] {
        forms.push(escapes::script(value, keep));
    }
    forms
}

/// The spellings of the Basic blob of `user` and `value`.
pub(super) fn of_basic(user: &[u8], value: &[u8]) -> Vec<Form> {
    let mut pair = Zeroizing::new(Vec::with_capacity(user.len() + 1 + value.len()));
    pair.extend_from_slice(user);
    pair.push(b':');
    pair.extend_from_slice(value);
    let mut forms = Vec::new();
    let blob = Zeroizing::new(STANDARD_NO_PAD.encode(&pair));
    base64_spellings(blob.as_bytes(), &mut forms);
    forms.push(Form::of(
        Zeroizing::new(URL_SAFE_NO_PAD.encode(&pair)).as_bytes(),
    ));
    forms
}

/// Base64 of `value` when `before` bytes (mod 3) come before it: the part that is the value's
/// alone, and the same with its last character as it is when nothing comes after.
fn base64_at(value: &[u8], before: usize, forms: &mut Vec<Form>) {
    let mut shifted = Zeroizing::new(vec![0; before]);
    shifted.extend_from_slice(value);
    let skip = (before * 8).div_ceil(6);
    let alone = (shifted.len() * 8) / 6;
    let standard = Zeroizing::new(STANDARD_NO_PAD.encode(&shifted));
    let url = Zeroizing::new(URL_SAFE_NO_PAD.encode(&shifted));
    for end in [alone, standard.len()] {
        if let Some(part) = standard.as_bytes().get(skip..end) {
            base64_spellings(part, forms);
        }
        if let Some(part) = url.as_bytes().get(skip..end) {
            forms.push(Form::of(part));
        }
    }
}

/// Base64 as it is, and in a query.
fn base64_spellings(blob: &[u8], forms: &mut Vec<Form>) {
    forms.push(Form::of(blob));
    forms.push(escapes::percent(blob, Keep::Unreserved));
}

/// The hex digits of each byte, with `between` between them.
fn hex(value: &[u8], between: &str) -> Form {
    let mut form = Form::with_room(value.len() * (2 + between.len()));
    for (at, byte) in value.iter().enumerate() {
        if at > 0 {
            form.exact(between.as_bytes());
        }
        form.soft(&escapes::hex_pair(*byte));
    }
    form
}

/// Each byte as a decimal number, with `between` between them.
fn numbers(value: &[u8], between: &str) -> Form {
    let mut form = Form::with_room(value.len() * (3 + between.len()));
    for (at, byte) in value.iter().enumerate() {
        if at > 0 {
            form.exact(between.as_bytes());
        }
        form.exact(Zeroizing::new(byte.to_string()).as_bytes());
    }
    form
}
