//! Searching what comes back, against copying it.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use runtools_broker::broker::scrub::{Patterns, Scrubber};
use runtools_broker::crypto::{Random, SystemRandom};
use runtools_broker::secret::Secret;

use crate::Effort;
use crate::report::Report;

const CHUNK: usize = 16 * 1024;

/// Something like what APIs answer: JSON with ids, numbers and words, and no lent value in it. `note` is a
/// text in it.
fn document(bytes: usize, note: &str) -> Bytes {
    let mut text = String::with_capacity(bytes + 200);
    let mut n = 0_u64;
    while text.len() < bytes {
        n = n
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!(
            "{{\"id\":\"{n:016x}\",\"name\":\"customer {}\",\"active\":true,\"total\":{}.50,\
             \"note\":\"{note}\"}},\n",
            n >> 40,
            n % 10_000
        ));
    }
    text.truncate(bytes);
    Bytes::from(text)
}

pub(crate) fn measure(effort: Effort<'_>, report: &mut Report) {
    const TITLE: &str = "Scrubbing a stream in chunks of 16 KiB, against copying it";
    const HEAD: [&str; 7] = [
        "lent values (40 B each)",
        "spellings searched for",
        "GB/s",
        "GB/s of a text full of escapes",
        "build µs",
        "copy GB/s",
        "bar",
    ];
    let text = document(32 << 20, "The quick brown fox jumps over the lazy dog");
    let gb = |seconds: f64| text.len() as f64 / seconds / 1e9;
    let rounds = if effort.quick { 2 } else { 5 };
    let best = |work: &dyn Fn()| {
        let times = (0..rounds).map(|_| {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64()
        });
        times.fold(f64::MAX, f64::min)
    };
    let cut = |text: &Bytes| -> Vec<Bytes> {
        let slices = 0..text.len() / CHUNK;
        slices
            .map(|at| text.slice(at * CHUNK..(at + 1) * CHUNK))
            .collect()
    };
    let chunks = cut(&text);
    let escaped = document(
        32 << 20,
        r#"The \"quick\" brown fox\njumps over \u003cthe\u003E lazy dog"#,
    );
    let escaped = cut(&escaped);
    let copy = best(&|| {
        for chunk in &chunks {
            drop(black_box(chunk.to_vec()));
        }
    });
    let mut judged = false;
    for count in [1, 5, 8, 16, 64] {
        let values: Vec<Secret> = (0..count).map(|_| random_value()).collect();
        let began = Instant::now();
        let patterns = Patterns::for_values(values.iter(), std::iter::empty()).unwrap();
        let build = began.elapsed();
        let search = |chunks: &[Bytes]| {
            let mut scrubber = Scrubber::new(&patterns);
            for chunk in chunks {
                drop(black_box(scrubber.push(chunk.clone())));
            }
            drop(black_box(scrubber.finish()));
        };
        let took = best(&|| search(&chunks));
        let took_escaped = best(&|| search(&escaped));
        // The bar is on a search for 64 strings.
        let bar = if patterns.spellings() >= 64 && !judged {
            judged = true;
            Report::verdict("≥ 2 GB/s", gb(took) >= 2.0)
        } else {
            String::new()
        };
        let row = [
            count.to_string(),
            patterns.spellings().to_string(),
            format!("{:.2}", gb(took)),
            format!("{:.2}", gb(took_escaped)),
            format!("{:.0}", build.as_secs_f64() * 1e6),
            format!("{:.1}", gb(copy)),
            bar,
        ];
        report.row(TITLE, &HEAD, &row);
        report.point("scrub", "scrub", f64::from(count), gb(took));
        report.point("scrub", "copy", f64::from(count), gb(copy));
    }
}

fn random_value() -> Secret {
    let random: &dyn Random = &SystemRandom;
    let bytes: [u8; 40] = random.bytes().unwrap();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    let text: Vec<u8> = bytes
        .iter()
        .map(|byte| alphabet[usize::from(byte & 63)])
        .collect();
    Secret::take(text)
}
