//! The daemon, and what its operator does with it.

mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Freed memory is wiped: what a library forgot to wipe is gone with it.
#[global_allocator]
static ALLOC: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Keeps secrets, and uses them for tool calls without handing them out.
#[derive(Debug, Parser)]
#[command(name = "runtools-broker", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    serve: serve::ServeArguments,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve (the default).
    Serve,
    /// Print the OpenAPI 3.1 document.
    Openapi,
}

fn main() -> ExitCode {
    let report = match runtools_broker::hardening::harden() {
        Ok(report) => report,
        Err(error) => {
            return serve::failed(
                &error,
                "This kernel refuses a protection that the broker needs.",
            );
        }
    };
    let arguments = Arguments::parse();
    match arguments.verb {
        None | Some(Verb::Serve) => serve::run(&arguments.serve, &report),
        Some(Verb::Openapi) => serve::openapi(),
    }
}
