//! Messages, however they are cut.

use proptest::prelude::*;

use super::SocketLimits;
use super::frame::Kind;
use super::tests_rig::{VALUE, stage};

/// What a client sees of messages that stand in these fragments.
async fn through(messages: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
    let mut stage = stage(SocketLimits::default());
    let mut seen = Vec::new();
    for message in messages {
        for (at, fragment) in message.iter().enumerate() {
            let kind = if at == 0 { Kind::Binary } else { Kind::More };
            let last = at + 1 == message.len();
            stage.upstream.send(last, kind, fragment).await;
        }
        seen.push(stage.caller.message().await.1);
    }
    seen
}

/// Cuts `text` into messages of fragments at these places.
fn cut(text: &str, cuts: &[(prop::sample::Index, bool)]) -> Vec<Vec<Vec<u8>>> {
    let mut places: Vec<_> = cuts
        .iter()
        .map(|(at, end)| (at.index(text.len() + 1), *end))
        .collect();
    places.sort_unstable();
    let (mut messages, mut message, mut from) = (Vec::new(), Vec::new(), 0);
    for (at, ends) in places {
        message.push(text.as_bytes()[from..at].to_vec());
        from = at;
        if ends {
            messages.push(std::mem::take(&mut message));
        }
    }
    message.push(text.as_bytes()[from..].to_vec());
    messages.push(message);
    messages
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn however_messages_are_cut_their_lengths_stay_and_no_message_has_the_value(
        before in "[a-h0-9_p]{0,40}",
        after in "[a-h0-9_p]{0,40}",
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..8),
    ) {
        let whole = format!("{before}{VALUE}{after}");
        let messages = cut(&whole, &cuts);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let seen = runtime.block_on(through(&messages));
        let lengths: Vec<_> = messages.iter().map(|m| m.iter().map(Vec::len).sum::<usize>()).collect();
        prop_assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), lengths.clone());
        // Where the value lies over messages, all of it is masked from the one in which it becomes whole.
        let (begins, ends) = (before.len(), before.len() + VALUE.len());
        let (mut at, mut together) = (0, Vec::new());
        for (message, length) in seen.iter().zip(&lengths) {
            together.extend_from_slice(message);
            at += length;
            if at >= ends {
                break;
            }
        }
        let of_last = at - lengths.iter().take(seen.len()).scan(0, |sum, l| { *sum += l; Some(*sum) })
            .take_while(|sum| *sum < at).last().unwrap_or(0);
        let from = begins.max(at - of_last);
        prop_assert!(together[from..ends].iter().all(|b| *b == b'*'), "{:?}", String::from_utf8_lossy(&together));
        // And nothing else is.
        let all = seen.concat();
        prop_assert_eq!(&all[..begins], before.as_bytes());
        prop_assert_eq!(&all[ends..], after.as_bytes());
    }
}
