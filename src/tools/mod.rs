//! Tool specs, installs, stored credentials, bindings.
