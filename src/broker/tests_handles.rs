//! Handles: found by their own text and by nothing near it, spent once, and over when they are over.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::{Full, Handles, Missing, REMEMBERED};
use crate::broker::LaneLimits;
use crate::broker::handle::{
    Ended, Handle, HandleFault, HandleToken, MAX_LIFE, MAX_USES, Owner, Purpose, Terms, Wishes,
};
use crate::crypto::{SystemRandom, check_letters, draw_letters};
use crate::id::{ApiKeyId, OrgId, ResolutionId, UserId};
use crate::policy::Via;
use crate::tools::{Tool, ToolSpec};

fn usual() -> Handles {
    Handles::within(&LaneLimits::default())
}

/// Room for so many handles, in all, of one organisation and of one user.
fn room(handles: usize, handles_per_org: usize, handles_per_user: usize) -> Handles {
    Handles::within(&LaneLimits {
        handles,
        handles_per_org,
        handles_per_user,
        ..LaneLimits::default()
    })
}

pub(crate) fn owner(org: u8, user: u8, key: u8) -> Owner {
    Owner {
        org: OrgId::from_bytes([org; 16]),
        user: UserId::from_bytes([user; 16]),
        via: Via::ApiKey(ApiKeyId::from_bytes([key; 16])),
    }
}

pub(crate) fn tool() -> Tool {
    let spec = json!({
        "slug": "custom-x", "name": "X", "actionsJson": {},
        "credentialsJson": {"required": [], "schema": {}},
    });
    Tool {
        spec: Arc::new(ToolSpec::from_custom_json(spec).unwrap()),
        custom: None,
    }
}

pub(crate) fn terms(seconds: u64, uses: u32) -> Terms {
    let life = Duration::from_secs(seconds);
    Terms { life, uses }
}

type Made = (Vec<u8>, Arc<Handle>);

pub(crate) fn handle(tool: &Tool, owner: Owner, terms: Terms, now: Instant) -> Made {
    let token = HandleToken::draw(&SystemRandom).unwrap();
    let text = token.into_secret().expose(<[u8]>::to_vec);
    let random: &dyn crate::crypto::Random = &SystemRandom;
    let id = ResolutionId::from_random(random.bytes().unwrap());
    let purpose = Purpose {
        owner,
        call: None,
        only: None,
        tool: tool.clone(),
        wishes: Wishes::default(),
        fingerprint: [0; 32],
        proxied: None,
        placeholders: crate::name::Fields::new(),
    };
    (text, Arc::new(Handle::new(id, purpose, terms, now)))
}

fn keep(handles: &Handles, owner: Owner, terms: Terms, now: Instant) -> (Vec<u8>, Arc<Handle>) {
    let (text, made) = handle(&tool(), owner, terms, now);
    let digest = crate::crypto::sha256(&text);
    handles.keep(digest, Arc::clone(&made), now).unwrap();
    (text, made)
}

fn fault(handles: &Handles, text: &[u8], owner: &Owner) -> HandleFault {
    handles.find(text, owner).unwrap_err().into()
}

#[test]
fn a_handles_text_can_be_told_from_a_look_alike_offline() {
    let drawn: HashSet<Vec<u8>> = (0..5_000)
        .map(|_| handle(&tool(), owner(1, 1, 1), terms(60, 1), Instant::now()).0)
        .collect();
    assert_eq!(drawn.len(), 5_000);
    for text in drawn {
        assert!(text.starts_with(b"rt_hdl_") && text.len() == 56);
        let (body, check) = text.split_at(50);
        assert_eq!(check, check_letters(body));
    }
}

#[test]
fn hs_1_a_near_guess_takes_as_long_as_a_far_one() {
    let (handles, now, me) = (usual(), Instant::now(), owner(1, 1, 1));
    let (mut near, _) = keep(&handles, me, terms(60, 1), now);
    near[20] ^= 1;
    let (theirs, _) = keep(&handles, owner(2, 2, 2), terms(60, 1), now);
    let (far, _) = handle(&tool(), me, terms(60, 1), now);
    // In turn, so that whatever the machine does besides is in all of them.
    let apart = || {
        let mut times: [Vec<Duration>; 3] = Default::default();
        for _ in 0..4_001 {
            for (guess, times) in [&near, &theirs, &far].into_iter().zip(&mut times) {
                let began = Instant::now();
                let missed = handles.find(guess, &me);
                times.push(began.elapsed());
                assert!(missed.is_err());
            }
        }
        let mut medians = times.map(|mut times| *times.select_nth_unstable(2_000).1);
        medians.sort_unstable();
        medians[2].saturating_sub(medians[0])
    };
    let least = (0..5).map(|_| apart()).min().unwrap();
    assert!(least < Duration::from_micros(2), "{least:?}");
}

#[test]
fn hs_1_no_guess_finds_a_handle_however_near_it_is() {
    let (handles, now, me) = (usual(), Instant::now(), owner(1, 1, 1));
    let tool = tool();
    let mut texts = Vec::new();
    for _ in 0..1_000 {
        let (text, made) = handle(&tool, me, terms(60, 1), now);
        let digest = crate::crypto::sha256(&text);
        handles.keep(digest, made, now).unwrap();
        texts.push(text);
    }
    let mut guess = Vec::with_capacity(56);
    for round in 0..1_000_000_u32 {
        guess.clear();
        guess.extend_from_slice(b"rt_hdl_");
        draw_letters(&SystemRandom, 43, &mut guess).unwrap();
        // Every other one has the right checksum, as a forger would send it.
        let check = if round % 2 == 0 {
            check_letters(&guess)
        } else {
            *b"000000"
        };
        guess.extend_from_slice(&check);
        assert_eq!(fault(&handles, &guess, &me), HandleFault::Unknown);
    }
    for text in &texts[..20] {
        for bit in 0..text.len() * 8 {
            let mut near = text.clone();
            near[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                fault(&handles, &near, &me),
                HandleFault::Unknown,
                "bit {bit}"
            );
        }
        for cut in 0..text.len() {
            assert_eq!(fault(&handles, &text[..cut], &me), HandleFault::Unknown);
        }
        assert_eq!(
            fault(&handles, &[text, b"0".as_slice()].concat(), &me),
            HandleFault::Unknown
        );
        assert!(handles.find(text, &me).is_ok());
    }
}

#[test]
fn hs_3_another_caller_hears_what_a_guesser_hears() {
    let (handles, now, me) = (usual(), Instant::now(), owner(1, 1, 1));
    let (text, made) = keep(&handles, me, terms(60, 1), now);
    for other in [owner(2, 1, 1), owner(1, 2, 1), owner(1, 1, 2)] {
        let missing = handles.find(&text, &other).unwrap_err();
        assert!(matches!(&missing, Missing::Foreign(handle) if handle.id == made.id));
        assert_eq!(HandleFault::from(missing), HandleFault::Unknown);
    }
    let local = Owner {
        via: Via::Local { uid: 1 },
        ..me
    };
    assert_eq!(fault(&handles, &text, &local), HandleFault::Unknown);
    assert!(handles.find(&text, &me).is_ok());
    // Who releases need not be the credential that asked, but must be the user.
    assert!(handles.of_user(made.id, me.org, me.user).is_some());
    for (org, user) in [(2, 1), (1, 2)] {
        let other = owner(org, user, 1);
        assert!(handles.of_user(made.id, other.org, other.user).is_none());
    }
}

#[test]
fn hs_9_of_64_threads_that_spend_one_use_exactly_one_succeeds() {
    for uses in [1, 7, 64] {
        let now = Instant::now();
        let (_, made) = handle(&tool(), owner(1, 1, 1), terms(60, uses), now);
        let (start, spent) = (std::sync::Barrier::new(64), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    start.wait();
                    if made.spend(now).is_ok() {
                        spent.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(spent.into_inner(), usize::try_from(uses).unwrap());
        assert_eq!(made.spend(now), Err(HandleFault::Spent));
    }
}

#[test]
fn a_handle_ends_by_age_by_idleness_and_by_its_uses() {
    let (now, at) = (Instant::now(), Duration::from_secs);
    let me = owner(1, 1, 1);
    let (_, made) = handle(&tool(), me, terms(60, 3), now);
    assert_eq!(made.spend(now + at(59)), Ok(()));
    assert_eq!(made.spend(now + at(60)), Err(HandleFault::Expired));
    // A life longer than the longest is the longest; idle for five minutes it is over before.
    let (_, made) = handle(&tool(), me, terms(100_000, 100_000), now);
    assert_eq!(made.ends(), now + MAX_LIFE);
    assert_eq!(made.check(now + at(299)), Ok(()));
    assert_eq!(made.check(now + at(300)), Err(HandleFault::Expired));
    assert_eq!(made.spend(now + at(299)), Ok(()));
    assert_eq!(made.spend(now + at(598)), Ok(()));
    assert_eq!(made.spend(now + at(897)), Ok(()));
    assert_eq!(made.spend(now + MAX_LIFE), Err(HandleFault::Expired));
    let (_, made) = handle(&tool(), me, terms(60, 100_000), now);
    for _ in 0..MAX_USES {
        made.spend(now).unwrap();
    }
    assert_eq!(made.spend(now), Err(HandleFault::Spent));
}

#[test]
fn hs_2_a_dead_handle_stays_dead_and_tells_those_who_wait() {
    let now = Instant::now();
    let (_, made) = handle(&tool(), owner(1, 1, 1), terms(60, 9), now);
    let ending = made.ending();
    assert!(!ending.is_cancelled());
    made.end(Ended::Released);
    made.end(Ended::Changed);
    assert!(ending.is_cancelled() && made.ending().is_cancelled());
    assert_eq!(made.spend(now), Err(HandleFault::Dead(Ended::Released)));
    let handles = usual();
    let (text, made) = keep(&handles, owner(1, 1, 1), terms(60, 9), now);
    handles.end_all(Ended::Sealed);
    assert!(made.ending().is_cancelled());
    assert_eq!(
        fault(&handles, &text, &owner(1, 1, 1)),
        HandleFault::Unknown
    );
}

#[test]
fn hs_10_five_strange_placeholders_and_the_handle_is_dead() {
    let now = Instant::now();
    let (_, made) = handle(&tool(), owner(1, 1, 1), terms(60, 9), now);
    for _ in 0..4 {
        made.missed();
        assert_eq!(made.check(now), Ok(()));
    }
    made.missed();
    assert_eq!(made.check(now), Err(HandleFault::Dead(Ended::Guessing)));
}

#[test]
fn one_that_is_over_is_remembered_for_a_while_and_makes_room_when_there_is_none() {
    let (now, me) = (Instant::now(), owner(1, 1, 1));
    let handles = room(4, 3, 2);
    let (first, _) = keep(&handles, me, terms(60, 1), now);
    let (_, used) = keep(&handles, me, terms(60, 1), now);
    keep(&handles, owner(1, 2, 1), terms(60, 1), now);
    let put = |who: Owner, now: Instant| {
        let (text, made) = handle(&tool(), who, terms(60, 1), now);
        handles.keep(crate::crypto::sha256(&text), made, now)
    };
    assert_eq!(put(owner(1, 3, 1), now), Err(Full), "its share");
    assert_eq!(put(owner(2, 1, 1), now), Ok(()));
    assert_eq!(put(owner(3, 1, 1), now), Err(Full), "all there is");
    used.spend(now).unwrap();
    // A full table is searched once a second.
    assert_eq!(put(me, now + Duration::from_millis(999)), Err(Full));
    assert_eq!(put(me, now + Duration::from_secs(1)), Ok(()));
    assert!(handles.find(&first, &me).is_ok());
    let later = now + Duration::from_secs(59) + REMEMBERED;
    assert!(handles.find(&first, &me).unwrap().is_over(later));
    assert_eq!(
        put(owner(2, 1, 1), later),
        Ok(()),
        "those that are over go first"
    );
    assert_eq!(fault(&handles, &first, &me), HandleFault::Unknown);
    let table = handles.lock();
    assert_eq!(table.by_digest.len(), table.ends.len());
    assert_eq!(table.by_digest.len(), table.by_id.len());
    assert_eq!(table.shares.values().sum::<usize>(), table.by_digest.len());
    assert_eq!(table.owns.values().sum::<usize>(), table.by_digest.len());
}

#[test]
fn what_a_handle_held_is_gone_minutes_after_its_end() {
    let (now, me) = (Instant::now(), owner(1, 1, 1));
    let (handles, at) = (usual(), |seconds| now + Duration::from_secs(seconds));
    let kept = |seconds, uses| Arc::downgrade(&keep(&handles, me, terms(seconds, uses), now).1);
    let (short, idle, used, dead) = (kept(60, 9), kept(900, 9), kept(900, 1), kept(900, 9));
    used.upgrade().unwrap().spend(at(10)).unwrap();
    dead.upgrade().unwrap().end(Ended::Released);
    let there = |it: &Weak<Handle>| it.strong_count() > 0;
    handles.tidy(at(119));
    assert!([&short, &idle, &used, &dead].into_iter().all(there));
    handles.tidy(at(129));
    assert!(there(&used), "used up at ten seconds");
    handles.tidy(at(130));
    assert!(!there(&used) && there(&short));
    handles.tidy(at(179));
    assert!(there(&short), "over after a minute");
    handles.tidy(at(180));
    assert!(!there(&short) && there(&idle));
    handles.tidy(at(419));
    assert!(there(&idle), "over after five minutes without a use");
    assert!(!there(&dead), "it was released long ago");
    handles.tidy(at(420));
    assert!(!there(&idle));
    let table = handles.lock();
    assert!(table.by_digest.is_empty() && table.by_id.is_empty() && table.ends.is_empty());
    assert!(table.shares.is_empty() && table.owns.is_empty());
}

#[test]
fn those_that_are_forgotten_are_dropped_by_who_had_the_lock() {
    let (now, me) = (Instant::now(), owner(1, 1, 1));
    let handles = usual();
    let (_, first) = keep(&handles, me, terms(60, 1), now);
    let (_, second) = keep(&handles, me, terms(90, 1), now);
    let at = |seconds| now + Duration::from_secs(seconds);
    let forgotten = handles.lock().forget_ended(at(60), Duration::ZERO);
    assert_eq!(forgotten.len(), 1);
    assert!(Arc::ptr_eq(&forgotten[0], &first));
    let forgotten = handles.lock().make_room(at(90));
    assert_eq!(forgotten.len(), 1);
    assert!(Arc::ptr_eq(&forgotten[0], &second));
    assert!(handles.lock().make_room(at(120)).is_empty());
}

#[test]
fn one_user_cannot_leave_their_colleagues_without() {
    let (now, me) = (Instant::now(), owner(1, 1, 1));
    let handles = room(10, 8, 2);
    keep(&handles, me, terms(60, 1), now);
    keep(&handles, owner(1, 1, 2), terms(60, 1), now);
    let (text, made) = handle(&tool(), me, terms(60, 1), now);
    let digest = crate::crypto::sha256(&text);
    assert_eq!(handles.keep(digest, made, now), Err(Full));
    keep(&handles, owner(1, 2, 1), terms(60, 1), now);
}

#[test]
fn a_use_that_came_to_nothing_is_given_back() {
    let now = Instant::now();
    let (_, made) = handle(&tool(), owner(1, 1, 1), terms(60, 1), now);
    made.spend(now).unwrap();
    assert_eq!(made.spend(now), Err(HandleFault::Spent));
    made.give_back();
    assert_eq!(made.spend(now), Ok(()));
}

proptest! {
    #[test]
    fn no_order_of_uses_yields_more_than_there_were(
        uses in 1_u32..6,
        steps in proptest::collection::vec((0_u64..40, any::<bool>()), 1..30),
    ) {
        let now = Instant::now();
        let (_, made) = handle(&tool(), owner(1, 1, 1), terms(60, uses), now);
        let (mut at, mut spent, mut over) = (now, 0, false);
        for (seconds, die) in steps {
            at += Duration::from_secs(seconds);
            match made.spend(at) {
                Ok(()) => {
                    prop_assert!(!over && at < made.ends());
                    spent += 1;
                }
                // What is over stays over.
                Err(_) => over = true,
            }
            if die && spent == uses {
                made.end(Ended::Changed);
            }
        }
        prop_assert!(spent <= uses);
    }
}
