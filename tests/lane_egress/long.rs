//! Bodies that are longer than what is held back (reference: EX-2, EX-10, EX-15).

use crate::Set;
use crate::harness::memory::resident;

const MIB: u64 = 1 << 20;

#[test]
fn ex_15_a_long_upload_has_its_credential_in_the_head_and_takes_no_memory() {
    let set = Set::new();
    let before = resident(set.stage.broker.pid());
    let length = 64 * MIB;
    let more = [
        format!("Content-Length: {length}"),
        "Content-Type: application/octet-stream".to_owned(),
    ];
    let mut client = set.open("PUT", &more);
    let piece = vec![b'u'; 1 << 20];
    let mut served = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for _ in 0..64 {
                client.write(&piece).unwrap();
            }
        });
        let mut served = set.origin.next();
        let head = served.head.to_ascii_lowercase();
        let bearer = format!("authorization: bearer {}", set.value.to_ascii_lowercase());
        assert!(head.contains(&bearer), "{head}");
        assert!(
            head.contains(&format!("content-length: {length}")),
            "{head}"
        );
        served.take(length);
        sending.join().unwrap();
        served
    });
    let after = resident(set.stage.broker.pid());
    served.write(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    let (_, head) = client.until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 204"), "{head}");
    assert!(after < before + 24 * MIB, "{before} {after}");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["status"], "success", "{entry}");
    assert_eq!(entry["outcome"]["bytes_out"], length, "{entry}");
    set.stage.finish();
}

#[test]
fn ex_2_a_long_download_is_searched_whole_and_takes_no_memory() {
    let set = Set::new();
    let mut client = set.open("GET", &[]);
    let mut served = set.origin.next();
    let mut piece = vec![b'd'; 1 << 20];
    // Across the end of one piece and the beginning of the next.
    let value = set.value.as_bytes();
    let (left, right) = value.split_at(11);
    let end = piece.len();
    piece[..right.len()].copy_from_slice(right);
    piece[end - left.len()..].copy_from_slice(left);
    let total = 300 * MIB;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n\r\n");
    served.write(head.as_bytes()).unwrap();
    let pid = set.stage.broker.pid();
    let (mut before, mut most) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..300 {
                served.write(&piece).unwrap();
                let now = resident(pid);
                if turn == 20 {
                    before = now;
                }
                most = most.max(now);
            }
        });
        let (_, head) = client.until("\r\n\r\n");
        assert!(head.contains(&format!("content-length: {total}")), "{head}");
        let (mut left, mut held) = (total, Vec::new());
        while left > 0 {
            let piece = client.some();
            left -= piece.len() as u64;
            held.extend_from_slice(&piece);
            let found = memchr::memmem::find(&held, value);
            assert!(found.is_none(), "{left} bytes before the end");
            let keep = held.len().saturating_sub(value.len());
            held.drain(..keep);
        }
    });
    assert!(most < before + 16 * MIB, "{before} {most}");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["bytes_in"], total, "{entry}");
    assert_eq!(entry["outcome"]["scrub_hits"], 299, "{entry}");
    set.stage.finish();
}

#[test]
fn ex_10_a_placeholder_late_in_a_long_upload_cuts_it_before_it_leaves() {
    let set = Set::new();
    let length = 3 * MIB;
    let mut client = set.open("POST", &[format!("Content-Length: {length}")]);
    let mut body = vec![b'x'; usize::try_from(length).unwrap()];
    let at = body.len() - 5_000;
    let text = set.handle.placeholder.as_bytes();
    body[at..at + text.len()].copy_from_slice(text);
    let received = std::thread::scope(|scope| {
        scope.spawn(|| drop(client.write(&body)));
        let mut served = set.origin.next();
        served.drain()
    });
    assert!(received < u64::try_from(at).unwrap() + 1, "{received}");
    let (_, answer) = client.until("\"code\":\"");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    client.until("placement");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "placement", "{entry}");
    set.stage.finish();
}
