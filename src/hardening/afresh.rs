//! Beginning again, without what whoever started this left behind.
//!
//! A process has the environment it was started with on its first stack and in `/proc/PID/environ` for as long
//! as it lives, whatever it forgets; and a password that somebody exported is none of the broker's business. So
//! where there is a variable that serving does not read, or a file that was left open, the program runs itself
//! once more, as the same process: the new image has neither.

use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{Control, Report};
use crate::config::ServiceEnv;

/// Leaves behind what was inherited and serving does not need. Returns when there is nothing of it, or when
/// it was not to be had; call it before there is anything to lose.
pub fn begin_afresh(report: &Report) {
    let env = ServiceEnv::of_process();
    if env.began_afresh() || env.is_all() && report.enforces(Control::NoInheritedFiles) {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut again = Command::new(program);
    let mut words = std::env::args_os();
    if let Some(name) = words.next() {
        again.arg0(name);
    }
    // The files are closed by it: `harden` has seen to that. Where it fails, the report says what stayed.
    drop(again.args(words).env_clear().envs(env.afresh()).exec());
}
