//! Callers and upstreams that take their time (reference: HT-9).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Set;
use crate::harness::Setup;
use crate::harness::memory::resident;
use crate::lanes::origin::Origin;
use crate::lanes::wire::Wire;
use crate::lanes::{LANES, Lane, Wish, egress, resolve};
use crate::stage::{Stage, tls_tool, tool};

const MIB: usize = 1 << 20;

fn hasty() -> Stage {
    Stage::with(Setup {
        config: "limits.write_stall_seconds = 2".to_owned(),
        ..Setup::default()
    })
}

#[test]
fn ht_9_a_caller_who_reads_nothing_stops_the_upstream_and_is_cut_in_time() {
    let set = Set::on(hasty());
    let mut client = set.open("GET", &[]);
    let mut served = set.origin.next();
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n";
    served.write(head).unwrap();
    client.until("\r\n\r\n");
    let pid = set.stage.broker.pid();
    let before = resident(pid);
    // The caller reads no further. Whatever the sockets on the way hold, it is no gigabyte.
    let flood = std::thread::spawn(move || {
        let (piece, mut sent, mut most) = (vec![b'x'; MIB], 0, 0);
        while sent < 1024 && served.write(&piece).is_ok() {
            sent += 1;
            most = most.max(resident(pid));
        }
        (sent, most)
    });
    // Others are served meanwhile, in either lane.
    let other = crate::harness::Upstream::echo();
    let mut spec = tool("custom-other", other.port());
    spec["name"] = json!("Another");
    set.stage.install(&set.admin, &spec);
    let handle = resolve(&set.stage, &set.admin, "custom-other", &json!({}));
    let wish = Wish::get(&format!("http://127.0.0.1:{}/run", other.port()));
    for lane in LANES {
        let came = lane.send(&set.stage, &set.admin, &handle.text, &wish);
        assert_eq!(came.status, 200, "{lane:?}: {}", came.text);
    }
    // The upstream is let go of, which ends its writing.
    let (sent, most) = flood.join().unwrap();
    assert!(
        sent < 256,
        "{sent} MiB were taken for a caller who reads nothing"
    );
    assert!(most < before + 16 * MIB as u64, "{before} {most}");
    let end = Instant::now() + Duration::from_mins(1);
    let slow = loop {
        let entries = set.stage.journal("broker.exchange");
        let slow = entries
            .into_iter()
            .find(|entry| entry["tool"] == "custom-x" && !entry["outcome"].is_null());
        match slow {
            Some(entry) => break entry,
            None => assert!(Instant::now() < end, "no end"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(slow["outcome"]["code"], "client_gone", "{slow}");
    drop(client);
    set.stage.finish();
}

#[test]
fn who_goes_while_the_upstream_is_dialled_is_in_the_journal_and_has_used_their_handle() {
    let origin = Origin::start();
    let mut stage = Stage::new();
    let key = stage.operator().make_key(&[]);
    let admin = stage.broker.anonymous().key(&key);
    stage.secret(&admin, "KEY", &json!({}));
    // A port where nobody ever answers a TLS handshake.
    stage.install(&admin, &tls_tool("custom-x", origin.port()));
    let handle = resolve(&stage, &admin, "custom-x", &json!({"maxUses": 1})).text;
    let url = format!("https://localhost:{}/run", origin.port());
    let lines = [format!("X-RunTools-Handle: {handle}")];
    let first = format!("GET {}", egress(&url));
    let client = Wire::open(&stage.broker, &key, &first, &lines);
    while origin.accepted() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(client);
    let end = Instant::now() + Duration::from_secs(30);
    let entry = loop {
        if let Some(entry) = stage.journal("broker.exchange").first() {
            break entry.clone();
        }
        assert!(Instant::now() < end, "nothing is in the journal");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(entry["code"], "client_gone", "{entry}");
    assert_eq!(
        (&entry["host"], &entry["method"]),
        (&json!("localhost"), &json!("GET"))
    );
    let again = Lane::Egress.send(&stage, &admin, &handle, &Wish::get(&url));
    assert_eq!(again.code, "handle_spent", "{}", again.text);
    stage.finish();
}
