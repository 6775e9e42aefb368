//! Many at once, and placeholders that are not one's own (reference: HS-9, HS-10).

use std::sync::Barrier;

use serde_json::json;

use crate::harness::Client;
use crate::lanes::{Came, LANES, Lane, Wish, egress, resolve};
use crate::stage::Stage;
use crate::{on, set, url, use_it};

#[test]
fn hs_9_of_64_requests_with_one_use_exactly_one_reaches_the_origin() {
    // Each request has a connection of its own, and a busy broker has not yet closed those before it.
    let roomy = Stage::within("limits.connections_per_source = 256");
    let (stage, upstream, admin, _) = on(roomy, &json!({}));
    for lane in LANES {
        let before = upstream.seen().len();
        let handle = resolve(&stage, &admin, "custom-x", &json!({"maxUses": 1})).text;
        let start = Barrier::new(16);
        let codes: Vec<Came> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| {
                    let (start, handle, admin) = (&start, &handle, admin.clone());
                    let url = url(&upstream);
                    let send = move || {
                        start.wait();
                        // Each thread of the harness has a connection of its own for each request.
                        (0..4)
                            .map(|_| raw(lane, &admin, handle, &url))
                            .collect::<Vec<_>>()
                    };
                    scope.spawn(send)
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        let sent = codes.iter().filter(|came| came.status == 200).count();
        assert_eq!((codes.len(), sent), (64, 1), "{lane:?}");
        let rest = codes.iter().filter(|came| came.status != 200);
        assert!(
            rest.clone().all(|came| came.code == "handle_spent"),
            "{lane:?}"
        );
        assert_eq!(upstream.seen().len() - before, 1, "{lane:?}");
    }
    stage.finish();
}

/// As [`Lane::send`], without the stage, which is not for several threads.
fn raw(lane: Lane, client: &Client, handle: &str, url: &str) -> Came {
    let reply = match lane {
        Lane::Execute => {
            let body = json!({"handle": handle, "method": "GET", "url": url});
            client.post("/v1/execute", &body)
        }
        Lane::Egress => client.header("x-runtools-handle", handle).get(&egress(url)),
    };
    let code = if reply.status == 200 {
        String::new()
    } else {
        reply.value()["error"]["code"].as_str().unwrap().to_owned()
    };
    Came {
        status: reply.status,
        code,
        text: String::new(),
    }
}

#[test]
fn hs_10_another_handles_placeholder_is_never_swapped_and_ends_the_handle_that_brings_it() {
    let (stage, upstream, admin, _) = set(&json!({}));
    let one = resolve(&stage, &admin, "custom-x", &json!({}));
    let other = resolve(&stage, &admin, "custom-x", &json!({}));
    let mut forged = one.placeholder.clone();
    forged.replace_range(20..24, "0000");
    let mut near = one.placeholder.clone();
    let last = if near.ends_with('A') { "B" } else { "A" };
    near.replace_range(near.len() - 1.., last);
    let mut answers = Vec::new();
    for strange in [&other.placeholder, &forged, &near, &other.placeholder] {
        let wish = Wish::get(&url(&upstream)).header("x-try", strange);
        let came = Lane::Execute.send(&stage, &admin, &one.text, &wish);
        answers.push((came.status, came.code));
    }
    answers.dedup();
    assert_eq!(answers, [(403, "placeholder_unknown".to_owned())]);
    let wish = Wish::get(&url(&upstream)).header("x-try", &other.placeholder);
    Lane::Egress.send(&stage, &admin, &one.text, &wish);
    let came = Lane::Egress.send(&stage, &admin, &one.text, &Wish::get(&url(&upstream)));
    assert_eq!(
        (came.status, &*came.code),
        (410, "handle_dead"),
        "the fifth was the last"
    );
    assert_eq!(upstream.accepted(), 0);
    assert_eq!(use_it(&stage, &admin, &other.text, &upstream).status, 200);
    stage.finish();
}
