//! Checks of `[params]`, `[callback_capture]` and `[token_capture]`.

use super::domain::registrable;
use super::error::{Fault, ensure};
use super::param::{Rules, anchored};
use super::spec::{CaptureKind, Param, Spec};
use super::template::is_own_name;
use super::template_place::is_label;

pub(super) fn check_params(spec: &Spec) -> Result<(), Fault> {
    for (name, param) in &spec.params {
        let key = format!("params.{name}");
        ensure(is_own_name(name), &key, NAME)?;
        check_param(param).map_err(|reason| Fault::new(key, reason))?;
    }
    for (name, capture) in &spec.callback_capture {
        let key = format!("callback_capture.{name}");
        ensure(is_own_name(name), &key, NAME)?;
        ensure(
            !spec.token_capture.contains_key(name),
            &key,
            "a name is captured once",
        )?;
        ensure(
            !capture.query.is_empty(),
            &key,
            "query names a parameter of the callback",
        )?;
        check_suffixes(capture.kind, &capture.host_suffixes, &key)?;
        if let Some(pattern) = &capture.pattern {
            anchored(pattern).map_err(|reason| Fault::new(key, reason))?;
        }
    }
    for (name, capture) in &spec.token_capture {
        let key = format!("token_capture.{name}");
        ensure(is_own_name(name), &key, NAME)?;
        check_suffixes(capture.kind, &capture.host_suffixes, &key)?;
    }
    Ok(())
}

const NAME: &str = "a name is a letter, then letters, digits and underscores, 32 at most";

fn check_param(param: &Param) -> Result<(), &'static str> {
    let rules = Rules::of(param)?;
    for value in param.choices.iter().chain(&param.default) {
        if rules.normalise(value) != *value {
            return Err("the file's own values are written as normalize leaves them");
        }
        if rules.check_form(param, value).is_err() {
            return Err("one of the file's own values does not fit position and pattern");
        }
    }
    let listed = |value| param.choices.is_empty() || param.choices.contains(value);
    if !param.default.iter().all(listed) {
        return Err("the default is none of the values there are");
    }
    Ok(())
}

fn check_suffixes(kind: CaptureKind, suffixes: &[String], key: &str) -> Result<(), Fault> {
    if kind == CaptureKind::Text {
        return ensure(suffixes.is_empty(), key, "only an origin has host_suffixes");
    }
    ensure(!suffixes.is_empty(), key, "an origin has host_suffixes")?;
    let owned = |suffix: &String| {
        let domain = suffix.strip_prefix('.').unwrap_or_default();
        domain.split('.').all(is_label) && registrable(domain).is_some()
    };
    let reason = "each of host_suffixes is a dot and a domain that somebody registered";
    ensure(suffixes.iter().all(owned), key, reason)
}
