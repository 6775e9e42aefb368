//! `git clone` over HTTPS, from git's own server program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use data_encoding::BASE64;
use http::Response;

use crate::World;
use crate::harness::{Seen, Upstream};

const TOOL: &str = r#"
slug = "custom-git"
name = "Git"

[credentials.token]
secret = "GIT_TOKEN"

[[bindings]]
hosts = ["localhost"]
port = PORT
private = ["127.0.0.1/32", "::1/128"]
methods = ["GET", "POST"]
paths = ["/team/project.git/**"]
slots.token = [{ basic = "password", with = "x-access-token" }]
"#;

/// A bare repository with one commit.
fn repository(folder: &Path) {
    let script = "git init -q work && cd work && echo 'in the repository' > file && git add file \
        && git -c user.name=a -c user.email=a@b.test commit -qm first \
        && git clone -q --bare . ../team/project.git";
    let mut command = Command::new("sh");
    command.args(["-euc", script]).current_dir(folder);
    let output = clean(&mut command, folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Without the settings of whoever runs the test.
fn clean<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    command
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_SSL_CAINFO")
}

/// `git http-backend`, asked as a CGI program (RFC 3875); who brings no credential is asked for one.
fn serve(folder: &Path, seen: &Seen) -> Response<Bytes> {
    if seen.header("authorization").is_empty() {
        let response = Response::builder().status(401);
        let response = response.header("www-authenticate", "Basic realm=\"git\"");
        return response.body(Bytes::new()).unwrap();
    }
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let mut command = Command::new("git");
    clean(&mut command, folder)
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &seen.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", seen.header("content-type"))
        .env("CONTENT_LENGTH", seen.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", seen.header("content-encoding"))
        .env("GIT_PROTOCOL", seen.header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Who has read enough closes the pipe.
    drop(child.stdin.take().unwrap().write_all(&seen.body));
    let output = child.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(&value[..3]),
            _ => response.header(name, value),
        };
    }
    response.body(output[end + 4..].to_vec().into()).unwrap()
}

#[test]
fn git_clones_and_never_has_the_token() {
    let folder = tempfile::tempdir().unwrap();
    repository(folder.path());
    let root: PathBuf = folder.path().into();
    let origin = Upstream::tls(&["localhost"], move |seen| serve(&root, seen));
    let mut world = World::before(origin);
    let value = world.secret("GIT_TOKEN");
    let slug = world.install(&TOOL.replace("PORT", &world.origin.port().to_string()));
    let target = folder.path().join("cloned").display().to_string();
    let script = format!(
        "git clone -q https://x-access-token:$GIT_TOKEN@localhost:{}/team/project.git {target} \
         && git -C {target} fetch -q && cat {target}/file && cat {target}/.git/config",
        world.origin.port()
    );
    let ran = world.works(&slug, &["sh", "-c", &script]);
    assert!(
        ran.out.contains("in the repository"),
        "{}\n{}",
        ran.out,
        ran.err
    );
    assert!(
        ran.out.contains("rtPlaceh0lder"),
        "git wrote down the address as it was given: {}",
        ran.out
    );
    let sent = format!(
        "Basic {}",
        BASE64.encode(format!("x-access-token:{value}").as_bytes())
    );
    let with = world
        .arrived(2)
        .into_iter()
        .filter(|it| !it.header("authorization").is_empty());
    let with: Vec<_> = with.collect();
    assert!(with.len() >= 2 && with.iter().any(|it| it.method == "POST"));
    for request in with {
        assert_eq!(request.header("authorization"), sent);
    }
    world.stage.finish();
}
