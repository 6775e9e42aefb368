//! An upstream that takes its time: on threads of its own, so that nothing else waits with it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A running slow upstream; it ends with the test.
#[derive(Clone, Debug)]
pub struct Slow {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Slow {
    /// Answers each request with `{"slow":true}` after `delay`.
    pub fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let slow = Self {
            port: listener.local_addr().unwrap().port(),
            asked: Arc::default(),
        };
        let asked = Arc::clone(&slow.asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let asked = Arc::clone(&asked);
                std::thread::spawn(move || {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read(&mut byte).unwrap_or(0) == 0 {
                            return;
                        }
                        head.push(byte[0]);
                    }
                    asked.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(delay);
                    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                                  content-length: 13\r\nconnection: close\r\n\r\n{\"slow\":true}";
                    drop(stream.write_all(answer.as_bytes()));
                });
            }
        });
        slow
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many requests have arrived.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until `count` requests have arrived.
    pub fn wait_for(&self, count: usize) {
        for _ in 0..1000 {
            if self.asked() >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("only {} requests arrived", self.asked());
    }
}
