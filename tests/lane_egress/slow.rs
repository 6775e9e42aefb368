//! Callers and upstreams that take their time (reference: HT-9).

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Set;
use crate::harness::Setup;
use crate::lanes::wire::resident;
use crate::lanes::{LANES, Wish};
use crate::stage::Stage;

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
    let mut spec = crate::stage::tool("custom-other", other.port());
    spec["name"] = json!("Another");
    set.stage.install(&set.admin, &spec);
    let handle = crate::lanes::resolve(&set.stage, &set.admin, "custom-other", &json!({}));
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
