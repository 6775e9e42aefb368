//! What a check found.

use std::fmt::Display;
use std::path::Path;

use serde::Serialize;

use super::mend::Mend;

/// How bad it is. The worst of several counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It could not be looked at, so nothing is said of it.
    Unexamined,
    /// It works, and should be better.
    Warn,
    /// It does not work, or is not safe.
    Fail,
}

/// What one check found, or a group of checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check; a stable word.
    pub check: &'static str,
    /// How bad it is; for a group, its worst part.
    pub level: Level,
    /// What was found, in a few words. Never a secret. Empty for a group.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// What a group consists of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Finding>,
    /// What puts it right without a risk, if anything does.
    #[serde(skip)]
    pub(super) mend: Option<Mend>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, text: impl Display) -> Self {
        Self::new(check, Level::Ok, text, None)
    }

    pub(super) fn unexamined(check: &'static str, text: impl Display) -> Self {
        Self::new(check, Level::Unexamined, text, None)
    }

    pub(super) fn warn(check: &'static str, text: impl Display, fix: impl Display) -> Self {
        Self::new(check, Level::Warn, text, Some(fix.to_string()))
    }

    pub(super) fn fail(check: &'static str, text: impl Display, fix: impl Display) -> Self {
        Self::new(check, Level::Fail, text, Some(fix.to_string()))
    }

    /// The same, for one that can be put right by itself.
    pub(super) fn mended_by(self, mend: Mend) -> Self {
        let mend = Some(mend);
        Self { mend, ..self }
    }

    pub(super) fn group(check: &'static str, parts: Vec<Self>) -> Self {
        let worst = parts.iter().map(|part| part.level).max();
        Self {
            parts,
            ..Self::new(check, worst.unwrap_or(Level::Ok), "", None)
        }
    }

    fn new(check: &'static str, level: Level, text: impl Display, fix: Option<String>) -> Self {
        Self {
            check,
            level,
            text: text.to_string(),
            fix,
            parts: Vec::new(),
            mend: None,
        }
    }

    /// The first finding of `check` in here, this one included.
    #[must_use]
    pub fn find(&self, check: &str) -> Option<&Self> {
        if self.check == check {
            return Some(self);
        }
        self.parts.iter().find_map(|part| part.find(check))
    }
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{Finding, Level};

    #[test]
    fn a_group_is_as_bad_as_its_worst_part() {
        let warn = || Finding::warn("b", "so so", "mend it");
        let inner = Finding::group("inner", vec![Finding::ok("a", "fine"), warn()]);
        assert_eq!(inner.level, Level::Warn);
        let outer = Finding::group(
            "outer",
            vec![inner.clone(), Finding::fail("c", "bad", "mend")],
        );
        assert_eq!(outer.level, Level::Fail);
        assert_eq!(outer.find("b"), Some(&warn()));
        assert_eq!(Finding::group("none", vec![]).level, Level::Ok);
    }
}
