//! What an upstream says before its answer and after it: neither brings a credential back (reference: EX-4).

use crate::MASK;
use crate::lanes::set::Set;

/// An upstream that shows what it was sent wherever HTTP has room: before the answer,
fn early(value: &str) -> String {
    format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nx-echo: {value}\r\n\r\n\
         HTTP/1.1 103 Early Hints {value}\r\nlink: </{value}>; rel=preload\r\n\r\n"
    )
}

/// and after it.
fn late(value: &str) -> String {
    format!(
        "HTTP/1.1 200 OK {value}\r\ntransfer-encoding: chunked\r\ntrailer: x-echo, set-cookie, x-plain\r\n\r\n\
         2\r\nok\r\n0\r\nx-echo: <{value}>\r\nset-cookie: a=1\r\nx-plain: said\r\n\r\n"
    )
}

#[test]
fn ex_4_what_comes_before_an_answer_stays_here() {
    let set = Set::new();
    for method in ["GET", "POST"] {
        let mut client = set.open(method, &["Content-Length: 0".to_owned()]);
        let mut served = set.origin.next();
        served.write(early(&set.value).as_bytes()).unwrap();
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        served.write(answer.as_bytes()).unwrap();
        let (_, came) = client.until("ok");
        assert!(came.starts_with("HTTP/1.1 200 OK\r\n"), "{came}");
        assert_eq!(came.matches("HTTP/1.1").count(), 1, "{came}");
        assert!(!came.contains("preload"), "{came}");
        set.stage.keep_bytes(method, came.as_bytes());
    }
    set.stage.finish();
}

#[test]
fn ex_4_what_comes_after_an_answer_is_searched_too() {
    let set = Set::new();
    let mut client = set.open("GET", &["TE: trailers".to_owned()]);
    let mut served = set.origin.next();
    served.write(late(&set.value).as_bytes()).unwrap();
    let (_, came) = client.until("said\r\n\r\n");
    assert!(came.contains("\r\nok\r\n"), "{came}");
    assert!(came.contains(&format!("x-echo: <{MASK}>\r\n")), "{came}");
    assert!(!came.contains(&set.value), "{came}");
    assert!(!came.contains("set-cookie: a=1"), "{came}");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["scrub_hits"], 1, "{entry}");
    set.stage.keep_bytes("the answer", came.as_bytes());
    set.stage.finish();
}
