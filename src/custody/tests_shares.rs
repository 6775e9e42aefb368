//! Dealing a key, writing shares down, reading them, and putting them together.

use proptest::prelude::*;

use super::shares::{MAX_SHARES, Share, Split};
use crate::crypto::{KeyRef, SystemRandom};
use crate::damage::Harm;
use crate::id::ObjectId;
use crate::secret::Secret;

const NAME: KeyRef = KeyRef {
    id: ObjectId::from_bytes([1; 16]),
    version: 1,
};

fn copy(share: &Share) -> Share {
    Share::parse(&share.text()).unwrap()
}

fn key(split: &Split, shares: &[Share]) -> Option<Vec<u8>> {
    let key = split.key(shares, NAME).unwrap()?;
    Some(key.expose(|bytes| bytes.to_vec()))
}

fn text(share: &Share) -> String {
    share
        .text()
        .expose(|text| String::from_utf8(text.to_vec()).unwrap())
}

fn parse(text: &str) -> Result<Share, &'static str> {
    Share::parse(&Secret::copy_of(text.as_bytes())).map_err(|error| error.code())
}

#[test]
fn any_three_of_five_yield_the_same_key_and_two_yield_none() {
    let all = Share::deal(5, 3, &SystemRandom).unwrap();
    let split = Split::of(&all).unwrap();
    let mut keys = Vec::new();
    for a in 0..5 {
        for b in (0..5).filter(|b| *b != a) {
            for c in (0..5).filter(|c| *c != a && *c != b) {
                let some = [copy(&all[a]), copy(&all[b]), copy(&all[c])];
                keys.push(key(&split, &some).unwrap());
            }
            assert!(key(&split, &[copy(&all[a]), copy(&all[b])]).is_none());
            let doubled = [copy(&all[a]), copy(&all[b]), copy(&all[a])];
            assert!(key(&split, &doubled).is_none());
        }
    }
    keys.dedup();
    assert_eq!(keys.len(), 1);
    assert_ne!(keys[0], [0; 32]);
}

#[test]
fn shares_of_two_sets_yield_nothing_together() {
    let ours = Share::deal(3, 2, &SystemRandom).unwrap();
    let theirs = Share::deal(3, 2, &SystemRandom).unwrap();
    let split = Split::of(&ours).unwrap();
    assert!(key(&split, &[copy(&ours[0]), copy(&theirs[1])]).is_none());
    assert!(key(&split, &theirs).is_none());
    assert!(Split::of(&[copy(&ours[0]), copy(&theirs[1])]).is_none());
    assert!(Split::of(&ours[..2]).is_some());
    assert!(Split::of(&ours[1..]).is_none(), "the first is missing");
}

#[test]
fn a_key_is_dealt_to_two_at_least_and_needs_two_at_least() {
    for (count, threshold, good) in [
        (5, 3, true),
        (2, 2, true),
        (MAX_SHARES, MAX_SHARES, true),
        (5, 1, false),
        (1, 1, false),
        (3, 4, false),
        (5, 0, false),
        (MAX_SHARES + 1, 2, false),
        (0, 0, false),
    ] {
        let dealt = Share::deal(count, threshold, &SystemRandom);
        assert_eq!(dealt.is_ok(), good, "{threshold} of {count}");
    }
}

#[test]
fn a_share_is_read_as_people_write_it_and_a_slip_is_told_as_one() {
    let all = Share::deal(2, 2, &SystemRandom).unwrap();
    let written = text(&all[1]);
    assert_eq!(written.len(), 8 + 11 * 9);
    for spelt in [
        written.to_uppercase(),
        written.replace('-', " "),
        written.replace('-', ""),
        format!("  {written}\n"),
    ] {
        let read = parse(&spelt).unwrap();
        assert_eq!(text(&read), written);
        assert!(Share::is_like(&Secret::copy_of(written.as_bytes())));
    }
    let letter = |at: usize| written.as_bytes()[at];
    for at in (9..written.len()).filter(|at| letter(*at) != b'-') {
        let other = if letter(at) == b'q' { "w" } else { "q" };
        let mut slip = written.clone();
        slip.replace_range(at..=at, other);
        assert_eq!(parse(&slip).unwrap_err(), "share_mistyped", "{at}");
    }
    let mut swapped = written.clone().into_bytes();
    swapped.swap(10, 11);
    if swapped[10] != swapped[11] {
        let swapped = String::from_utf8(swapped).unwrap();
        assert_eq!(parse(&swapped).unwrap_err(), "share_mistyped");
    }
    for end in 0..written.len() {
        assert_eq!(
            parse(written.get(..end).unwrap()).unwrap_err(),
            "share_form"
        );
    }
    for other in [
        "correct horse battery staple",
        &format!("{written}a"),
        &written.replace("rtshare1", "rtshare2"),
        &"a".repeat(5000),
    ] {
        assert_eq!(parse(other).unwrap_err(), "share_form");
    }
}

#[test]
fn whatever_becomes_of_a_share_it_is_no_other_one() {
    let all = Share::deal(2, 2, &SystemRandom).unwrap();
    let sound = text(&all[0]);
    for harm in Harm::every(sound.len()) {
        let damaged = harm.of(sound.as_bytes());
        if let Ok(read) = Share::parse(&Secret::take(damaged)) {
            assert_eq!(text(&read), sound, "{harm:?}");
        }
    }
}

#[test]
fn a_share_shows_nothing_of_itself() {
    let all = Share::deal(2, 2, &SystemRandom).unwrap();
    assert_eq!(format!("{:?}", all[0]), "Share(1 of a set of 2)");
}

proptest! {
    #[test]
    fn reading_never_panics(text in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Share::parse(&Secret::take(text)).is_err());
    }

    #[test]
    fn parameters_are_read_as_they_were_written(params in prop::collection::vec(any::<u8>(), 0..24)) {
        if let Some(split) = Split::parse(&params) {
            let mut again = Vec::new();
            split.encode(&mut again);
            prop_assert_eq!(again, params);
        }
    }
}
