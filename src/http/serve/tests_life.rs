//! How a listener begins and how it ends.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::sleep;

use super::tests_harness::{Server, all, short};
use super::{ListenError, Listener, ServeLimits, refuse_plain};

const WHO: &[u8] = b"GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[test]
fn plain_http_stays_on_this_machine() {
    for addr in [
        "127.0.0.1:1",
        "127.9.9.9:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
    ] {
        assert!(refuse_plain(addr.parse().unwrap()).is_ok(), "{addr}");
    }
    for addr in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
        assert!(refuse_plain(addr.parse().unwrap()).is_err(), "{addr}");
    }
}

#[tokio::test]
async fn the_peer_of_a_unix_socket_is_who_the_kernel_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run/broker.sock");
    let server = Server::on(Listener::unix(&path, 0o600).unwrap(), short());
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o600);
    assert_eq!(mode(folder.path().join("run")), 0o700);
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(WHO).await.unwrap();
    let answer = all(&mut client).await;
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let pid = std::process::id();
    let expected = format!("Unix {{ uid: {uid}, gid: {gid}, pid: Some({pid}) }}");
    assert!(answer.ends_with(&expected), "{answer}");
    server.shutdown.signal();
    server.task.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.sock");
    drop(StdUnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let first = Listener::unix(&path, 0o660).unwrap();
    assert!(matches!(
        Listener::unix(&path, 0o600),
        Err(ListenError::SocketInUse(_))
    ));
    assert!(path.exists());
    drop(first);
    std::fs::write(&path, "notes").unwrap();
    assert!(matches!(
        Listener::unix(&path, 0o600),
        Err(ListenError::NotASocket(_))
    ));
    assert_eq!(std::fs::read(&path).unwrap(), b"notes");
    let long = folder.path().join("x".repeat(120));
    assert!(matches!(
        Listener::unix(&long, 0o600),
        Err(ListenError::SocketPathTooLong { .. })
    ));
}

#[tokio::test]
async fn a_listener_that_ends_leaves_its_successors_socket_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.sock");
    let first = Listener::unix(&path, 0o600).unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = Listener::unix(&path, 0o600).unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn draining_finishes_running_requests_and_cuts_a_stuck_header() {
    let limits = ServeLimits {
        header_read: Duration::from_mins(1),
        ..short()
    };
    let server = Server::plain(limits).await;
    let mut stuck = server.connect().await;
    stuck.write_all(b"GET / HT").await.unwrap();
    let _silent = server.connect().await;
    let mut running = Vec::new();
    for _ in 0..20 {
        let mut stream = server.connect().await;
        stream
            .write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        running.push(stream);
    }
    sleep(Duration::from_millis(150)).await;
    let began = Instant::now();
    server.shutdown.signal();
    for mut stream in running {
        let answer = all(&mut stream).await;
        assert!(answer.ends_with("done"), "{answer}");
    }
    server.task.await.unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert!(took < limits.drain + Duration::from_secs(1), "{took:?}");
    assert!(tokio::net::TcpStream::connect(server.addr).await.is_err());
    assert_eq!(server.seen.open(), 0);
}

#[tokio::test]
async fn what_does_not_finish_is_cut_at_the_deadline_or_at_the_second_signal() {
    for second_signal in [false, true] {
        let limits = ServeLimits {
            whole_request: Duration::from_mins(1),
            ..short()
        };
        let server = Server::plain(limits).await;
        let mut hanging = server.connect().await;
        hanging
            .write_all(b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        server.shutdown.signal();
        if second_signal {
            server.shutdown.signal();
        }
        let drained = server.task.await.unwrap();
        assert_eq!(drained.cut, 1);
        assert_eq!(began.elapsed() < limits.drain, second_signal);
        assert!(began.elapsed() < limits.drain + Duration::from_secs(1));
        assert_eq!(all(&mut hanging).await, "");
    }
}
