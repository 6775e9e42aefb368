//! Which part of a host somebody registered.

/// Suffixes of two labels under which names are registered, as far as providers use them. The list
/// decides no trust: it says when a file owes a reason, and which wildcards are too wide.
const TWO_LABELS: [&str; 9] = [
    "co.in", "co.jp", "co.nz", "co.uk", "co.za", "com.au", "com.br", "com.cn", "co.kr",
];

/// The last labels of `host` that one owner registered: `example.com` of `api.example.com`. None
/// when it has too few.
pub(super) fn registrable(host: &str) -> Option<&str> {
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let _top = dots.next()?;
    let second = dots.next();
    let two = behind(host, second);
    if !TWO_LABELS.contains(&two) {
        return Some(two);
    }
    second.map(|_| behind(host, dots.next()))
}

/// What stands behind the dot at `at`, or all of it.
fn behind(host: &str, at: Option<usize>) -> &str {
    let start = at.map_or(0, |at| at.saturating_add(1));
    host.get(start..).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::registrable;

    #[test]
    fn an_owner_has_what_stands_before_the_public_suffix() {
        for (host, expected) in [
            ("a.b.example.com", Some("example.com")),
            ("example.com", Some("example.com")),
            ("accounts.zoho.com.au", Some("zoho.com.au")),
            ("zoho.com.au", Some("zoho.com.au")),
            ("com.au", None),
            ("com", None),
            ("", None),
        ] {
            assert_eq!(registrable(host), expected, "{host}");
        }
    }
}
