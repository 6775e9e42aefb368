//! Texts that are to be names.

use super::{Host, HostPattern, SecretName, VariableName, is_name_like};

/// A name is written in one way, and read again as the same.
pub(crate) fn names(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if let Ok(name) = SecretName::parse(text) {
        assert_eq!(SecretName::parse(name.as_str()).as_ref(), Ok(&name));
    }
    if let Ok(name) = VariableName::parse(text) {
        assert_eq!(VariableName::parse(name.as_str()).as_ref(), Ok(&name));
    }
    if let Ok(host) = Host::parse(text) {
        assert_eq!(Host::parse(&host.to_string()).as_ref(), Ok(&host));
    }
    if let Ok(pattern) = HostPattern::parse(text) {
        let again = HostPattern::parse(&pattern.to_string());
        assert_eq!(again.as_ref(), Ok(&pattern));
    }
    let _likely = is_name_like(text);
}
