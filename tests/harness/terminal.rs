//! A person at a terminal of their own.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

/// Runs a command at a pseudo-terminal and answers what it asks, in order. A share that is shown is written
/// down, and two groups of its letters are said when somebody asks for them.
const TYPIST: &str = r"
import json, os, pty, re, select, sys, time
steps, command = json.loads(sys.argv[1]), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execvpe(command[0], command, os.environ)
seen, mark, end = b'', 0, time.time() + 60
while True:
    if time.time() > end: sys.exit('nothing that is known was asked: %r' % seen)
    if select.select([fd], [], [], 0.2)[0]:
        try: piece = os.read(fd, 65536)
        except OSError: break
        if not piece: break
        seen += piece
    rest = seen[mark:]
    groups = re.search(rb'groups (\d+) and (\d+) of share \d+: ', rest)
    if steps and steps[0][0].encode() in rest:
        asked, answer = steps.pop(0)
        mark += rest.index(asked.encode()) + len(asked.encode())
        answer = answer.encode()
    elif groups:
        share = re.findall(rb'rtshare1(?:-[a-z2-7]+)+', seen)[-1].split(b'-')
        answer = share[int(groups[1])] + b' ' + share[int(groups[2])]
        mark += groups.end()
    elif b'press Enter. ' in rest:
        mark += rest.index(b'press Enter. ') + 13
        answer = b''
    else: continue
    os.write(fd, answer + b'\n')
sys.stdout.buffer.write(seen)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit('never asked: %r' % steps if steps else code)
";

/// What was on the terminal, and the exit code.
pub fn at_terminal(folder: &Path, command: &[&str], steps: &[(&str, &str)]) -> (String, i32) {
    let output = Command::new("python3")
        .args(["-c", TYPIST, &json!(steps).to_string()])
        .args(command)
        .current_dir(folder)
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("NO_COLOR", "1")
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.is_empty(), "{said}");
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        output.status.code().unwrap(),
    )
}
