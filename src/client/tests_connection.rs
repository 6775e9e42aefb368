//! Speaking to a broker that is played by a few lines.

use std::path::PathBuf;

use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::body::{self, Lent};
use super::{Client, ClientError, Exit, Place, Route};
use crate::secret::Secret;

/// Answers one connection after the other with `answers`; gives back what was asked.
fn broker(
    answers: Vec<(u16, &'static str)>,
) -> (tempfile::TempDir, PathBuf, JoinHandle<Vec<String>>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let served = tokio::spawn(async move {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 8192];
            let read = stream.read(&mut request).await.unwrap();
            asked.push(String::from_utf8_lossy(&request[..read]).into_owned());
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
        }
        asked
    });
    (folder, path, served)
}

fn client(path: PathBuf) -> Client {
    Client::new(Place::Socket(path), None).unwrap()
}

#[tokio::test]
async fn lists_are_read_to_their_end() {
    let (_folder, path, served) = broker(vec![
        (
            200,
            r#"{"data":[1,2],"meta":{"requestId":"r"},"hasMore":true,"nextCursor":"a b"}"#,
        ),
        (
            200,
            r#"{"data":[3],"meta":{"requestId":"r"},"hasMore":false,"nextCursor":null}"#,
        ),
    ]);
    let items: Vec<u8> = client(path)
        .list(&Route::new("/v1/x").flag("all", true))
        .await
        .unwrap();
    assert_eq!(items, [1, 2, 3]);
    let asked = served.await.unwrap();
    assert!(
        asked[0].starts_with("GET /v1/x?all=true HTTP/1.1\r\n"),
        "{}",
        asked[0]
    );
    assert!(
        asked[1].starts_with("GET /v1/x?all=true&cursor=a%20b HTTP/1.1\r\n"),
        "{}",
        asked[1]
    );
}

#[tokio::test]
async fn a_list_that_never_ends_is_left() {
    let page = (200, r#"{"data":[1],"hasMore":true,"nextCursor":"same"}"#);
    let (_folder, path, _served) = broker(vec![page; 2]);
    let left = client(path).list::<u8>(&Route::new("/v1/x")).await;
    assert!(matches!(left, Err(ClientError::NotAnAnswer { .. })));
}

#[tokio::test]
async fn no_credential_is_sent_over_the_socket_and_values_arrive() {
    let (_folder, path, served) = broker(vec![(201, r#"{"data":{"ok":true}}"#)]);
    let value = Secret::copy_of(b"a\"b");
    let body = body::secret(&[Lent(&value)]).unwrap();
    let done: Value = client(path)
        .call(Method::POST, &Route::new("/v1/x"), Some(body))
        .await
        .unwrap();
    assert_eq!(done["ok"], true);
    let asked = served.await.unwrap().remove(0);
    assert!(asked.ends_with("\r\n\r\n[\"a\\\"b\"]"), "{asked}");
    assert!(asked.contains("content-type: application/json\r\n"));
    assert!(
        !asked.contains("x-api-key") && !asked.contains("authorization"),
        "{asked}"
    );
}

#[tokio::test]
async fn refusals_keep_the_brokers_words_and_choose_the_exit_code() {
    let (_folder, path, _served) = broker(vec![
        (
            503,
            r#"{"error":{"code":"sealed","message":"the vault is sealed","hint":"unseal it","requestId":"req_1"}}"#,
        ),
        (401, r#"{"error":{"code":"unauthorized","message":"no"}}"#),
        (404, "<html>not here</html>"),
        (302, ""),
        (200, "not json"),
    ]);
    let client = client(path.clone());
    let mut refused = Vec::new();
    for _ in 0..5 {
        refused.push(
            client
                .get::<Value>(&Route::new("/v1/me"))
                .await
                .unwrap_err(),
        );
    }
    let exits: Vec<Exit> = refused.iter().map(ClientError::exit).collect();
    assert_eq!(
        exits,
        [
            Exit::Sealed,
            Exit::NotSignedIn,
            Exit::Failed,
            Exit::Failed,
            Exit::Failed
        ]
    );
    assert_eq!(refused[0].to_string(), "the vault is sealed");
    assert_eq!(refused[0].detail().request_id.as_deref(), Some("req_1"));
    assert!(refused[1].detail().hint.unwrap().contains("runtools login"));
    std::fs::remove_file(&path).unwrap();
    let gone = client
        .get::<Value>(&Route::new("/v1/me"))
        .await
        .unwrap_err();
    assert!(matches!(gone, ClientError::NoSocket { .. }));
    assert_eq!(gone.exit(), Exit::Unreachable);
}
