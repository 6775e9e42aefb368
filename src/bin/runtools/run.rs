//! Running a program with a tool's credentials, which it never holds.

use std::ffi::OsString;

use clap::Args;
use runtools_broker::client::{ClientError, Exit, Outcome, Program, Proxied, Session};

use crate::proxy::{AskedArgs, equipped, release};

/// Which credentials, for which program.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    asked: AskedArgs,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Asks for a handle, runs the program by right of it, and ends the handle.
pub(crate) async fn run(args: RunArgs, session: &Session) -> Outcome {
    let client = session.client()?;
    let proxied = args.asked.ask(&client, session).await?;
    let ended = program(&args.program, &proxied, session).await;
    if let Err(error) = release(&client, proxied.id).await {
        session
            .out
            .note(format!("the handle could not be ended: {error}"));
        session
            .out
            .hint(format!("it ends by itself at {}", proxied.ends));
    }
    ended
}

async fn program(
    words: &[OsString],
    proxied: &Proxied,
    session: &Session,
) -> Result<Exit, ClientError> {
    let (variables, bundle) = equipped(proxied, session)?;
    let program = Program::new(words, (&variables, proxied.empty()), session.env())?;
    let exit = program.run().await;
    drop(bundle);
    exit
}
