//! Panics without their message, which may quote a value.

use std::io::Write;
use std::panic::{self, Location, PanicHookInfo};

/// Replaces the panic hook: location only, as a log event once logs are set up.
pub(super) fn print_only_where() {
    panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let (file, line) = info.location().map_or(("unknown", 0), place);
        if tracing::dispatcher::has_been_set() {
            tracing::error!(file, line, "panicked; the message is not shown");
            return;
        }
        let mut stderr = std::io::stderr().lock();
        if writeln!(
            stderr,
            "panicked at {file}:{line}; the message is not shown"
        )
        .is_err()
        {
            // Nobody reads stderr, and there is nobody else to tell.
        }
    }));
}

fn place<'a>(location: &'a Location<'_>) -> (&'a str, u32) {
    (location.file(), location.line())
}
