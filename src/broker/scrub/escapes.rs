//! Percent, JSON, JavaScript and HTML spellings, as the usual writers of each produce them.

use super::forms::Form;

/// Which bytes a writer of percent escapes leaves alone.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    /// RFC 3986 unreserved.
    Unreserved,
    /// JavaScript's `encodeURIComponent`.
    Component,
    /// Whole-URL writers, which leave reserved characters alone.
    Uri,
    /// `application/x-www-form-urlencoded`, with `+` for a space.
    Form,
    /// Only letters and digits.
    Letters,
    /// Printable ASCII but the backslash, as Python does for bytes.
    Printable,
    /// Every byte is escaped.
    Nothing,
}

impl Keep {
    fn keeps(self, byte: u8) -> bool {
        let also: &[u8] = match self {
            Self::Nothing => return false,
            Self::Printable => return matches!(byte, b' '..=b'~') && byte != b'\\',
            Self::Letters => b"",
            Self::Unreserved => b"-._~",
            Self::Component => b"-._~!'()*",
            Self::Uri => b"-._~!'()*;/?:@&=+$,#[]",
            Self::Form => b"*-._",
        };
        byte.is_ascii_alphanumeric() || also.contains(&byte)
    }
}

/// `value` with percent escapes; hex digits of either case are found.
pub(super) fn percent(value: &[u8], keep: Keep) -> Form {
    let mut form = Form::with_room(value.len() * 3);
    for &byte in value {
        if keep.keeps(byte) {
            form.exact(&[byte]);
        } else if byte == b' ' && matches!(keep, Keep::Form) {
            form.exact(b"+");
        } else {
            form.exact(b"%");
            form.soft(&hex_pair(byte));
        }
    }
    form
}

/// The two hex digits of a byte, upper case.
pub(super) fn hex_pair(byte: u8) -> [u8; 2] {
    [hex_digit(byte >> 4), hex_digit(byte & 0x0f)]
}

fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'A' + (nibble - 10),
    }
}

/// Whose habits the JSON follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Json {
    /// Only what must be escaped, as `serde_json` does.
    Plain,
    /// The slash too, as PHP can.
    Slash,
    /// Everything beyond ASCII too, as Python does.
    Ascii,
    /// Both, as PHP does by default.
    AsciiSlash,
    /// Also `<`, `>` and `&`, as Go does.
    Go,
    /// Also `=` and `'`, as Gson does.
    Gson,
    /// Every character as `\uXXXX`.
    Full,
}

impl Json {
    pub(super) const ALL: [Self; 7] = [
        Self::Plain,
        Self::Slash,
        Self::Ascii,
        Self::AsciiSlash,
        Self::Go,
        Self::Gson,
        Self::Full,
    ];

    fn as_unit(self, c: char) -> bool {
        let ascii = matches!(self, Self::Ascii | Self::AsciiSlash) && !c.is_ascii();
        ascii
            || match self {
                Self::Full => true,
                Self::Go => matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
                Self::Gson => matches!(c, '<' | '>' | '&' | '=' | '\'' | '\u{2028}' | '\u{2029}'),
                _ => false,
            }
    }
}

/// `value` inside a JSON string. Bytes that are no UTF-8 are read as Latin-1.
pub(super) fn json(value: &[u8], habit: Json) -> Form {
    let mut form = Form::with_room(value.len() * 6);
    for c in characters(value) {
        match c {
            _ if habit.as_unit(c) => units(c, &mut form),
            '"' => form.exact(b"\\\""),
            '\\' => form.exact(b"\\\\"),
            '/' if matches!(habit, Json::Slash | Json::AsciiSlash) => form.exact(b"\\/"),
            '\u{8}' => form.exact(b"\\b"),
            '\u{c}' => form.exact(b"\\f"),
            '\n' => form.exact(b"\\n"),
            '\r' => form.exact(b"\\r"),
            '\t' => form.exact(b"\\t"),
            c if c < ' ' => units(c, &mut form),
            c => form.exact(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    form
}

fn units(c: char, form: &mut Form) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        let [high, low] = unit.to_be_bytes();
        form.exact(b"\\u");
        form.soft(&hex_pair(high));
        form.soft(&hex_pair(low));
    }
}

fn characters(value: &[u8]) -> Box<dyn Iterator<Item = char> + '_> {
    match std::str::from_utf8(value) {
        Ok(text) => Box::new(text.chars()),
        Err(_) => Box::new(value.iter().copied().map(char::from)),
    }
}

/// `value` inside a JavaScript, Python or C string, with `\xNN` for what is not kept.
pub(super) fn script(value: &[u8], keep: Keep) -> Form {
    let mut form = Form::with_room(value.len() * 4);
    for &byte in value {
        if keep.keeps(byte) {
            form.exact(&[byte]);
        } else {
            form.exact(b"\\x");
            form.soft(&hex_pair(byte));
        }
    }
    form
}

/// Whose habits the HTML follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Html {
    /// `&`, `<`, `>`: text between tags.
    Text,
    /// Quotes as `&quot;` and `&#39;`.
    Named,
    /// Quotes as `&quot;` and `&#x27;`, as Python does.
    Python,
    /// Quotes as `&#34;` and `&#39;`, as Go does.
    Go,
    /// Quotes as `&quot;` and `&#039;`, as PHP does.
    Php,
    /// Quotes as `&quot;` and `&apos;`.
    Xml,
    /// Also the slash, the backtick and the equals sign, as template engines do.
    Template,
    /// Every character as `&#NN;`.
    Decimal,
    /// Every character as `&#xNN;`, with zeros up to so many digits.
    Hex(usize),
}

impl Html {
    pub(super) const ALL: [Self; 10] = [
        Self::Text,
        Self::Named,
        Self::Python,
        Self::Go,
        Self::Php,
        Self::Xml,
        Self::Template,
        Self::Decimal,
        Self::Hex(0),
        Self::Hex(4),
    ];
}

/// `value` inside HTML or XML.
pub(super) fn html(value: &[u8], habit: Html) -> Form {
    let mut form = Form::with_room(value.len() * 8);
    for c in characters(value) {
        match (c, habit) {
            (_, Html::Decimal) => form.exact(format!("&#{};", u32::from(c)).as_bytes()),
            (_, Html::Hex(digits)) => {
                form.exact(b"&#x");
                form.soft(format!("{:0digits$X};", u32::from(c)).as_bytes());
            }
            ('&', _) => form.exact(b"&amp;"),
            ('<', _) => form.exact(b"&lt;"),
            ('>', _) => form.exact(b"&gt;"),
            ('"', Html::Go) => form.exact(b"&#34;"),
            ('"', Html::Named | Html::Python | Html::Php | Html::Xml | Html::Template) => {
                form.exact(b"&quot;");
            }
            ('\'', Html::Named | Html::Go) => form.exact(b"&#39;"),
            ('\'', Html::Php) => form.exact(b"&#039;"),
            ('\'', Html::Python | Html::Template) => form.soft(b"&#x27;"),
            ('\'', Html::Xml) => form.exact(b"&apos;"),
            ('/', Html::Template) => form.soft(b"&#x2F;"),
            ('`', Html::Template) => form.soft(b"&#x60;"),
            ('=', Html::Template) => form.soft(b"&#x3D;"),
            (c, _) => form.exact(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    form
}
