//! How far long work has come, as a person reads it.

/// How wide a bar is, in characters.
const WIDTH: u64 = 24;

/// `done of total records`, with as much as is known.
#[must_use]
pub fn counted(done: u64, total: u64) -> String {
    match total {
        0 => format!("{done} records"),
        total => format!("{done} of about {total} records"),
    }
}

/// A bar of one line.
#[must_use]
pub fn bar(doing: &str, done: u64, total: u64) -> String {
    let full = match total {
        0 => 0,
        total => u128::from(done.min(total)) * u128::from(WIDTH) / u128::from(total),
    };
    let full = usize::try_from(full).unwrap_or_default();
    let rest = usize::try_from(WIDTH)
        .unwrap_or_default()
        .saturating_sub(full);
    let (full, rest) = ("#".repeat(full), ".".repeat(rest));
    format!("[{full}{rest}] {doing}: {}", counted(done, total))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        for (done, total, shown) in [
            (0, 0, "[........................] x: 0 records"),
            (1, 2, "[############............] x: 1 of about 2 records"),
            (3, 3, "[########################] x: 3 of about 3 records"),
            (9, 3, "[########################] x: 9 of about 3 records"),
        ] {
            assert_eq!(bar("x", done, total), shown);
        }
        assert!(bar("x", u64::MAX, u64::MAX).contains("[########################]"));
    }
}
