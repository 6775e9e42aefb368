//! Many streams at once, and how the broker's memory goes along with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::Effort;
use crate::load::{Opened, Way, dial};
use crate::report::Report;
use crate::requests::report_rate;
use crate::servers::resident_mib;
use crate::tunnels::{Handles, Secure, install, resolve};

/// Streams in each of the two lanes.
const EACH: usize = 500;

/// What one stream reads of.
#[derive(Default)]
struct Counts {
    open: AtomicU64,
    bytes: AtomicU64,
}

/// Streams that are opened at a time: who has shown no handle yet may be told to make room for another.
const AT_ONCE: usize = 32;

/// Opens a stream in its turn, and reads it until it is dropped.
async fn read(way: Way, counts: Arc<Counts>, turns: Arc<Semaphore>) {
    let turn = turns.acquire().await.unwrap();
    let Opened {
        mut stream, asks, ..
    } = way().await;
    stream.write_all(&asks.unwrap()).await.unwrap();
    stream.flush().await.unwrap();
    drop(turn);
    let mut piece = vec![0; 4096];
    let mut first = true;
    loop {
        let count = stream.read(&mut piece).await.unwrap_or(0);
        if first {
            let text = || String::from_utf8_lossy(&piece[..count]).into_owned();
            assert!(piece.starts_with(b"HTTP/1.1 200"), "{}", text());
            counts.open.fetch_add(1, Ordering::Relaxed);
            first = false;
        }
        if count == 0 {
            counts.open.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        counts.bytes.fetch_add(count as u64, Ordering::Relaxed);
    }
}

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str =
        "Streams of events that flow at once, half in the streaming lane, half in tunnels";
    const HEAD: [&str; 8] = [
        "streams",
        "seconds",
        "events/s",
        "MiB before",
        "MiB at a sixth",
        "most MiB after",
        "CPU",
        "bar",
    ];
    let seconds = if effort.quick { 12 } else { 60 };
    let origin = Secure::start(300);
    let broker = origin.broker();
    install(&broker, origin.port());
    let port = origin.port();
    let handles = Handles::ask(&broker, 1, port, "/events");
    let handle = resolve(&broker, &json!({}));
    let asks = format!(
        "GET /v1/egress/https/localhost:{port}/events HTTP/1.1\r\nhost: {}\r\nx-api-key: {}\r\n\
         x-runtools-handle: {}\r\n\r\n",
        broker.addr(),
        broker.key,
        handle["handle"].as_str().unwrap()
    );
    let addr = broker.addr();
    let plain: Way = Arc::new(move || {
        let asks = asks.clone().into_bytes();
        Box::pin(async move {
            Opened {
                stream: Box::new(dial(addr).await),
                asks: Some(asks),
                uses: 1,
            }
        })
    });
    let pid = broker.server.pid();
    let before = resident_mib(pid, "VmRSS");
    let counts = Arc::<Counts>::default();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    let (samples, bytes, used) = runtime.block_on(async {
        for way in [plain, handles.way(1)] {
            for _ in 0..EACH {
                let (way, counts) = (Arc::clone(&way), Arc::clone(&counts));
                tokio::spawn(read(way, counts, Arc::clone(&turns)));
            }
        }
        let opening = Instant::now();
        while counts.open.load(Ordering::Relaxed) < 2 * EACH as u64 {
            assert!(
                opening.elapsed() < Duration::from_mins(1),
                "all can be opened"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (began, cpu) = (Instant::now(), crate::load::cpu(pid));
        let first = counts.bytes.load(Ordering::Relaxed);
        let mut samples = Vec::new();
        for second in 0..=seconds {
            let at = began + Duration::from_secs(second);
            tokio::time::sleep_until(at.into()).await;
            samples.push(resident_mib(pid, "VmRSS"));
        }
        let open = counts.open.load(Ordering::Relaxed);
        assert_eq!(open, 2 * EACH as u64, "each flows to the end");
        let bytes = counts.bytes.load(Ordering::Relaxed) - first;
        (samples, bytes, crate::load::cpu(pid) - cpu)
    });
    for (second, mib) in samples.iter().enumerate() {
        report.point("streams", "1,000 streams", second as f64, *mib);
    }
    let sixth = samples[samples.len() / 6];
    let most = samples[samples.len() / 6..]
        .iter()
        .copied()
        .fold(0.0, f64::max);
    let row = [
        report_rate(2.0 * EACH as f64),
        seconds.to_string(),
        report_rate(bytes as f64 / crate::servers::EVENT_BYTES as f64 / seconds as f64),
        format!("{before:.0}"),
        format!("{sixth:.1}"),
        format!("{most:.1}"),
        format!("{:.0} %", used.as_secs_f64() * 100.0 / seconds as f64),
        Report::verdict("≤ 5 % more", most <= sixth * 1.05),
    ];
    report.row(TITLE, &HEAD, &row);
}
