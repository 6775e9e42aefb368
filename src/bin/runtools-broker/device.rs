//! The child process in which a device's library is loaded. The broker starts it; people do not.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use runtools_broker::custody::{CustodianFault, Device, LOADS_LIBRARIES};
use zeroize::Zeroizing;

/// The longest question: more than the broker asks.
const MAX_QUESTION: usize = 16 * 1024;

/// Which key of which device.
#[derive(Args, Debug)]
pub(crate) struct DeviceArgs {
    /// The PKCS#11 library
    #[arg(long)]
    library: PathBuf,
    /// The label of the token
    #[arg(long)]
    token: String,
    /// The label of the key
    #[arg(long)]
    key: String,
    /// The file with the PIN
    #[arg(long)]
    pin_file: PathBuf,
}

/// What a person hears who starts a static build by hand.
#[derive(Debug, thiserror::Error)]
#[error("a PKCS#11 custodian {0}")]
struct Unable(CustodianFault);

/// Answers the one question on standard input.
pub(crate) fn run(args: DeviceArgs) -> ExitCode {
    if !LOADS_LIBRARIES {
        let hint = CustodianFault::Static.hint();
        return crate::serve::failed(&Unable(CustodianFault::Static), &hint);
    }
    let mut question = Zeroizing::new(Vec::with_capacity(MAX_QUESTION));
    let limit = u64::try_from(MAX_QUESTION).unwrap_or(u64::MAX);
    let read = std::io::stdin().take(limit).read_to_end(&mut question);
    if read.is_err() {
        return ExitCode::FAILURE;
    }
    let device = Device {
        library: args.library,
        token: args.token,
        key: args.key,
        pin_file: args.pin_file,
    };
    let answer = device.answer(&question);
    match std::io::stdout().write_all(&answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
