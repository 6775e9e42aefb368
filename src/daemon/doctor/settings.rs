//! The settings: whether they agree, and who else could change them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::{Finding, quoted};
use super::mend::Mend;
use crate::config::Config;
use crate::daemon::DaemonError;
use crate::daemon::connected::check;

/// The settings were read; what they name may be missing still.
pub(super) fn settings(config: &Config, uid: u32) -> Finding {
    let refused = |error: DaemonError| Finding::fail("agreement", &error, error.hint());
    let agreed = match check(config) {
        Err(error) => refused(error),
        Ok(()) => Finding::ok("agreement", "they can be read, and agree"),
    };
    let file = config.file.as_deref().map(|path| ("settings_file", path));
    let programs = config.custody.exec.values();
    let programs = programs.map(|it| ("program", &*it.program));
    let files = file.into_iter().chain(programs);
    let judged = files.filter_map(|(check, path)| ours_alone(check, path, uid));
    Finding::group("settings", std::iter::once(agreed).chain(judged).collect())
}

/// Whoever may change this file decides what the broker does. One that is not there is told elsewhere.
fn ours_alone(check: &'static str, path: &Path, uid: u32) -> Option<Finding> {
    let found = fs::metadata(path).ok()?;
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let shown = path.display();
    if owner != uid && owner != 0 {
        let text = format!("{shown} is user {owner}'s, who decides by it what the broker does");
        let fix = format!("chown root {}", quoted(path));
        return Some(Finding::fail(check, text, fix));
    }
    if mode & 0o022 != 0 {
        let text = format!("{shown} can be changed by others (mode {mode:04o})");
        let fix = format!("chmod go-w {}", quoted(path));
        let mend = Mend::new(path.to_owned(), 0o7755);
        return Some(Finding::fail(check, text, fix).mended_by(mend));
    }
    Some(Finding::ok(
        check,
        format!("{shown}, which nobody else can change"),
    ))
}
