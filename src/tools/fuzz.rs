//! A tool's file, its bindings and its templates, and what a caller fills in.

use http::Method;
use serde_json::Value;

use super::{Action, ToolSpec};
use crate::egress::Url;

/// A spec, and behind a zero the parameters of a call.
pub(crate) fn tool(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let (spec, params) = text.split_once('\0').unwrap_or((text, "{}"));
    let params: Value = serde_json::from_str(params).unwrap_or_default();
    let json = serde_json::from_str(spec).ok();
    let custom = json.and_then(|body| ToolSpec::from_custom_json(body).ok());
    for spec in custom.into_iter().chain(ToolSpec::from_toml(spec).ok()) {
        let written = spec.to_json();
        let again = ToolSpec::from_json(written.clone()).map(|again| again.to_json());
        assert!(again.is_ok_and(|again| again == written), "{written}");
        let _public = spec.to_public_json();
        for action in spec.actions.values() {
            rendered(&spec, action, &params);
        }
    }
}

/// Whatever is filled in, a request goes where a binding lets it go, and as it was understood.
fn rendered(spec: &ToolSpec, action: &Action, params: &Value) {
    let Ok(request) = action.render(params) else {
        return;
    };
    let to = request.destination();
    if let Ok(url) = Url::parse(&request.url()) {
        assert_eq!(
            (url.host(), url.port(), url.path()),
            (to.host, to.port, to.path)
        );
    }
    assert!(to.path.starts_with('/'), "{}", to.path);
    for binding in &spec.bindings {
        let admitted = binding.admits(&to, &[]);
        let method = super::Destination {
            method: &Method::TRACE,
            ..to
        };
        assert!(!admitted || !binding.admits(&method, &[]));
    }
}
