//! What somebody meant who mistyped a name.

/// The name that is nearest to `asked`, when it is near enough to have been meant: two letters added, left
/// out, changed or swapped, and one in a short name. Of equals, the first.
#[must_use]
pub fn nearest<'n>(asked: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let letters = asked.chars().count();
    let most = if letters < 5 { 1 } else { 2 };
    let far = names.map(|name| (distance(asked, name), name));
    // Something of it must be right.
    let near = far.filter(|(far, _)| *far <= most && *far < letters);
    near.min_by_key(|(far, _)| *far).map(|(_, name)| name)
}

/// How many letters must be added, left out, changed or swapped with their neighbour to make one text the
/// other (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // Of each beginning of `other`, its distance from the beginnings of `one` up to here, and before.
    let mut before: Vec<usize> = Vec::new();
    let mut here: Vec<usize> = (0..=other.len()).collect();
    let mut last = None;
    for (row, letter) in one.chars().enumerate() {
        let mut next = vec![row.saturating_add(1)];
        for (column, wanted) in other.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let left = next.last().copied().unwrap_or_default();
            let changed = at(&here, column).saturating_add(usize::from(letter != *wanted));
            let added = left
                .min(at(&here, column.saturating_add(1)))
                .saturating_add(1);
            let swapped = column
                .checked_sub(1)
                .filter(|left| last == Some(*wanted) && other.get(*left) == Some(&letter))
                .map(|left| at(&before, left).saturating_add(1));
            next.push(changed.min(added).min(swapped.unwrap_or(usize::MAX)));
        }
        last = Some(letter);
        before = std::mem::replace(&mut here, next);
    }
    here.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn a_slip_of_the_finger_is_understood_and_another_word_is_not() {
        let names = [
            "github",
            "github-app",
            "gitlab",
            "google",
            "x",
            "xero",
            "box",
        ];
        let near = |asked| nearest(asked, names.into_iter());
        for (asked, meant) in [
            ("githb", Some("github")),
            ("gtihub", Some("github")),
            ("gihtub", Some("github")),
            ("githubb", Some("github")),
            ("gitlba", Some("gitlab")),
            ("gogle", Some("google")),
            ("xeor", Some("xero")),
            ("bos", Some("box")),
            ("dropbox", None),
            ("github-apps", Some("github-app")),
            ("", None),
            ("y", None),
        ] {
            assert_eq!(near(asked), meant, "{asked}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
