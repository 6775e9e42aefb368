//! How long a stream may last.

use std::time::Duration;

use crate::lanes::set::Set;
use crate::stage::Stage;
use crate::stream;

#[test]
fn a_stream_is_cut_when_its_time_is_over_however_much_moves() {
    let set = Set::on(Stage::within("limits.stream_seconds = 2"));
    let (mut client, mut served) = stream(&set);
    let flowing = std::thread::spawn(move || {
        while served.chunk("data: more\n\n").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
        served.is_left()
    });
    let mut came = Vec::new();
    while let Some(piece) = client.next() {
        came.extend(piece);
    }
    assert!(!came.ends_with(b"0\r\n\r\n"), "it breaks off");
    assert!(flowing.join().unwrap(), "the upstream is let go of");
    let entry = set.stage.ended("broker.exchange");
    assert_eq!(entry["outcome"]["code"], "upstream_timeout", "{entry}");
    set.stage.finish();
}
