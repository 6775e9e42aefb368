//! What clients may take from the built broker: time, connections, its end.

mod harness;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::crm::{crm_call, install_crm};
use harness::slow::Slow;
use harness::{Broker, Setup};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// Each limit at its shortest; a whole request may take three seconds.
fn short() -> Setup {
    let config = "[limits]\nfirst_byte_seconds = 1\nheader_read_seconds = 1\nbody_idle_seconds = 1\n\
        whole_request_seconds = 3\nkeep_alive_idle_seconds = 1\nwrite_stall_seconds = 1\n\
        connections_per_source = 400\n";
    Setup {
        config: config.into(),
        ..Setup::default()
    }
}

fn connect(broker: &Broker) -> TcpStream {
    let addr = broker.origin().strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// Reads until the broker closes: how long it took since `begun`, and what it said.
fn until_cut(stream: &mut TcpStream, begun: Instant) -> (Duration, Vec<u8>) {
    let mut said = Vec::new();
    if let Err(error) = stream.read_to_end(&mut said) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "not cut: {error}");
    }
    (begun.elapsed(), said)
}

#[track_caller]
fn assert_cut(what: &str, took: Duration, limit: Duration) {
    assert!(took <= limit + SECOND, "{what} was cut after {took:?}");
    assert!(
        took + SECOND / 10 >= limit,
        "{what} was cut early, after {took:?}"
    );
}

/// The head of a write that a caller with `key` makes, with a body of 100 bytes to come.
fn head(key: &str) -> String {
    format!(
        "POST /v1/secrets HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n"
    )
}

#[test]
fn a_silent_client_and_half_a_header_and_half_a_body_are_cut_in_time() {
    let broker = Broker::with(short());
    let key = broker.operator().make_key(&[]);
    let begun = Instant::now();
    let mut silent = connect(&broker);
    let mut half_header = connect(&broker);
    half_header
        .write_all(b"GET /v1/status HTTP/1.1\r\nho")
        .unwrap();
    let mut half_body = connect(&broker);
    half_body.write_all(head(&key).as_bytes()).unwrap();
    half_body.write_all(b"{\"name\":\"").unwrap();
    let mut idle = connect(&broker);
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    std::thread::scope(|scope| {
        for (what, stream) in [
            ("a silent client", &mut silent),
            ("half a header", &mut half_header),
            ("half a body", &mut half_body),
            ("an idle client", &mut idle),
        ] {
            scope.spawn(move || {
                let (took, said) = until_cut(stream, begun);
                assert_cut(what, took, SECOND);
                let said = String::from_utf8_lossy(&said);
                match what {
                    "half a body" => assert!(said.starts_with("HTTP/1.1 408 "), "{said}"),
                    "an idle client" => assert!(said.starts_with("HTTP/1.1 200 "), "{said}"),
                    _ => {}
                }
            });
        }
    });
}

#[test]
fn a_client_that_drips_is_cut_in_time() {
    let broker = Broker::with(short());
    let key = broker.operator().make_key(&[]);
    let drip = |mut stream: TcpStream, first: String, text: &'static str| {
        let begun = Instant::now();
        let mut writer = stream.try_clone().unwrap();
        writer.write_all(first.as_bytes()).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let dripping = std::thread::spawn(move || {
            for byte in text.bytes().cycle() {
                if ended.load(Ordering::SeqCst) || writer.write_all(&[byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(150));
            }
        });
        let (took, said) = until_cut(&mut stream, begun);
        over.store(true, Ordering::SeqCst);
        dripping.join().unwrap();
        (took, String::from_utf8_lossy(&said).into_owned())
    };
    let (header, body) = (connect(&broker), connect(&broker));
    std::thread::scope(|scope| {
        let header = scope.spawn(|| drip(header, "GET /v1/status HTTP/1.1\r\n".into(), "x"));
        let body = scope.spawn(|| drip(body, head(&key), " "));
        let (took, _) = header.join().unwrap();
        assert_cut("a dripping header", took, SECOND);
        let (took, said) = body.join().unwrap();
        assert_cut("a dripping body", took, 3 * SECOND);
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    });
}

/// Asks for far more than the kernel buffers, and takes none of it.
fn ask_and_take_nothing(stream: &mut TcpStream) {
    rustix::net::sockopt::set_socket_recv_buffer_size(&*stream, 4096).unwrap();
    let request = "GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.repeat(100).as_bytes()).unwrap();
}

#[test]
fn a_stuck_reader_is_cut_in_time() {
    let broker = Broker::with(short());
    let mut stream = connect(&broker);
    ask_and_take_nothing(&mut stream);
    let asked = Instant::now();
    // What the kernel has taken it still hands out, slowly: only the broker knows when it let go.
    while !page(&broker).contains("runtools_connections_cut_total{reason=\"stalled\"} 1\n") {
        assert!(asked.elapsed() < 4 * SECOND, "a stuck reader was not cut");
        std::thread::sleep(SECOND / 20);
    }
    // A second for the kernel's buffers to fill in, besides the limit and its second.
    assert!(
        asked.elapsed() <= 3 * SECOND,
        "a stuck reader was cut after {:?}",
        asked.elapsed()
    );
}

fn page(broker: &Broker) -> String {
    String::from_utf8(broker.operator().get("/metrics").body).unwrap()
}

#[test]
fn two_hundred_bad_clients_do_not_stop_a_good_one() {
    let broker = Broker::with(short());
    let key = broker.operator().make_key(&[]);
    let good = broker.anonymous().key(&key);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for kind in 0..200 {
            let (broker, key, ended) = (&broker, &key, &ended);
            scope.spawn(move || {
                while !ended.load(Ordering::SeqCst) {
                    let mut stream = connect(broker);
                    let sent = match kind % 4 {
                        0 => Ok(()),
                        1 => stream.write_all(b"GET / HTTP/1.1\r\nho"),
                        2 => stream.write_all(head(key).as_bytes()),
                        _ => {
                            ask_and_take_nothing(&mut stream);
                            std::thread::sleep(2 * SECOND);
                            continue;
                        }
                    };
                    if sent.is_ok() {
                        drop(stream.read_to_end(&mut Vec::new()));
                    }
                }
            });
        }
        std::thread::sleep(SECOND / 2);
        let mut slowest = Duration::ZERO;
        for n in 0..60 {
            let begun = Instant::now();
            let body = json!({"name": format!("GOOD_{n}"), "value": "a good value"});
            good.post("/v1/secrets", &body).expect(201);
            slowest = slowest.max(begun.elapsed());
            std::thread::sleep(Duration::from_millis(40));
        }
        ended.store(true, Ordering::SeqCst);
        println!("slowest answer beside 200 bad clients: {slowest:?}");
        assert!(slowest < 2 * SECOND, "the good client waited {slowest:?}");
    });
    assert!(!broker.log_text().contains("panicked"));
}

#[test]
fn connections_beyond_the_cap_are_closed_at_once_and_the_operator_gets_in() {
    let setup = Setup {
        config: "[limits]\nconnections = 12\nconnections_per_source = 8\n".into(),
        ..Setup::default()
    };
    let broker = Broker::with(setup);
    let mut held: Vec<_> = (0..8).map(|_| connect(&broker)).collect();
    for stream in &mut held {
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    let begun = Instant::now();
    let (took, said) = until_cut(&mut connect(&broker), begun);
    assert!(
        took < SECOND && said.is_empty(),
        "the ninth was kept for {took:?}"
    );
    broker.operator().get("/v1/me").expect(200);
    // From another address of the loopback network there is room for four more.
    let local = |last: u8| {
        let socket = Command::new("curl")
            .args([
                "-s",
                "-m",
                "5",
                "--interface",
                &format!("127.0.0.{last}"),
                &format!("{}/livez", broker.origin()),
            ])
            .output()
            .unwrap();
        socket.stdout == b"ok\n"
    };
    assert!(local(2), "another source was refused too");
    held.clear();
    let again = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        broker
            .anonymous()
            .try_send("GET", "/livez", None)
            .is_ok_and(|reply| reply.status == 200)
    });
    assert!(again, "room was not given back");
}

/// The actions in the journal, oldest first.
fn actions(broker: &Broker) -> Vec<String> {
    let export = broker.operator().get("/v1/audit/export");
    assert_eq!(export.status, 200);
    let text = String::from_utf8(export.body).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines
        .filter(|line| !line["record"]["actor"].is_null())
        .map(|line| line["record"]["action"].as_str().unwrap().to_owned())
        .collect()
}

/// The last record before the newest start is the shutdown, and the chain holds.
fn assert_shut_down(broker: &Broker) {
    let actions = actions(broker);
    let mut back = actions
        .iter()
        .rev()
        .skip_while(|action| *action != "server.start");
    assert_eq!(back.nth(1).unwrap(), "server.shutdown", "{actions:?}");
    let found = broker
        .operator()
        .send("POST", "/v1/audit/verify", None)
        .expect(200);
    assert_eq!(found["data"]["state"], "intact");
}

#[test]
fn the_first_signal_drains_and_the_last_record_is_the_shutdown() {
    let slow = Slow::start(Duration::from_millis(1500));
    let mut broker = Broker::with(Setup {
        config: "[limits]\ndrain_seconds = 10\n".into(),
        ..Setup::default()
    });
    let operator = broker.operator();
    install_crm(&operator, slow.port(), "crm-value-0123456789-abcdefghij");
    let call = crm_call("person@example.com", "CRM_KEY");
    let running = std::thread::spawn({
        let operator = operator.clone();
        move || operator.post("/v1/tools/custom-crm/execute", &call)
    });
    slow.wait_for(1);
    let begun = Instant::now();
    broker.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    let late = operator.try_send("GET", "/v1/me", None);
    assert!(
        late.is_err() || late.is_ok_and(|reply| reply.status == 503),
        "new work was taken"
    );
    let answer = running.join().unwrap().expect(200);
    assert_eq!(answer["data"]["result"]["slow"], true);
    assert_eq!(broker.wait(Duration::from_secs(12)), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(6), "the end took {took:?}");
    assert!(!broker.socket().exists(), "the socket is left behind");

    broker.restart();
    assert_shut_down(&broker);
}

#[test]
fn the_second_signal_and_the_deadline_cut() {
    for (drain, second) in [(60, true), (1, false)] {
        let slow = Slow::start(Duration::from_secs(30));
        let mut broker = Broker::with(Setup {
            config: format!("[limits]\ndrain_seconds = {drain}\n"),
            ..Setup::default()
        });
        let operator = broker.operator();
        install_crm(&operator, slow.port(), "crm-value-0123456789-abcdefghij");
        let call = crm_call("person@example.com", "CRM_KEY").to_string();
        let running = std::thread::spawn({
            let operator = operator.clone();
            move || {
                operator.try_send(
                    "POST",
                    "/v1/tools/custom-crm/execute",
                    Some(("application/json", call.as_bytes())),
                )
            }
        });
        slow.wait_for(1);
        broker.signal("TERM");
        std::thread::sleep(Duration::from_millis(300));
        if second {
            broker.signal("TERM");
        }
        let begun = Instant::now();
        let code = broker.wait(Duration::from_secs(8));
        let took = begun.elapsed();
        assert_eq!(code, Some(0), "it did not end: {}", broker.log_text());
        assert!(took < Duration::from_secs(5), "the end took {took:?}");
        assert!(running.join().unwrap().is_err(), "the call was not cut");
        broker.restart();
        assert_shut_down(&broker);
    }
}
