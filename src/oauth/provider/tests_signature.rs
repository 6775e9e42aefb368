//! B16: a callback that the provider did not sign, or not lately, is nobody's.
#![expect(clippy::string_slice, reason = "the texts are plain")]

use super::tests_samples::{GOOGLE, SHOPIFY, load};
use super::{Catalog, Provider, SignatureFault, check_signature};
use crate::clock::Timestamp;
use crate::name::ProviderId;
use crate::secret::Secret;

const NOW: i64 = 1_795_426_200;

/// Signed by Python's hmac module, under `hush`.
const HMAC: &str = "9b4b01535be819fef803ba47b60e2fde39f091a0aaea80f229f573081f24048a";
const CODE: &str = "code=0907a61c0c8d55e99db179b68161bc00";
const REST: &str = "shop=acme.myshopify.com&state=0.6784241404160823&timestamp=1795426100";

fn at(seconds: i64) -> Timestamp {
    Timestamp::default().plus_seconds(seconds)
}

fn check(provider: &Provider, query: &str, now: i64) -> Result<(), SignatureFault> {
    check_signature(provider, query, &Secret::copy_of(b"hush"), at(now))
}

fn signed() -> String {
    format!("{CODE}&hmac={HMAC}&{REST}")
}

#[test]
fn what_the_provider_signed_is_taken_in_any_order() {
    let shopify = load(SHOPIFY).unwrap();
    assert_eq!(check(&shopify, &signed(), NOW), Ok(()));
    assert_eq!(
        check(&shopify, &format!("{REST}&hmac={HMAC}&{CODE}"), NOW),
        Ok(())
    );
    let escaped = signed().replace("acme.myshopify.com", "%61cme.myshopify.com");
    assert_eq!(check(&shopify, &escaped, NOW), Ok(()));
}

#[test]
fn one_changed_byte_is_somebody_elses() {
    let shopify = load(SHOPIFY).unwrap();
    let whole = signed();
    for index in 0..whole.len() {
        let mut bytes = whole.clone().into_bytes();
        bytes[index] ^= 1;
        let changed = String::from_utf8(bytes).unwrap();
        assert!(check(&shopify, &changed, NOW).is_err(), "{changed}");
    }
    let other = Secret::copy_of(b"hush2");
    let wrong = check_signature(&shopify, &whole, &other, at(NOW));
    assert_eq!(wrong, Err(SignatureFault::Wrong));
    for extra in ["&x=y", "&x", "&host=evil"] {
        let longer = format!("{whole}{extra}");
        assert_eq!(
            check(&shopify, &longer, NOW),
            Err(SignatureFault::Wrong),
            "{extra}"
        );
    }
}

#[test]
fn a_query_with_two_readings_is_refused() {
    let shopify = load(SHOPIFY).unwrap();
    let whole = signed();
    for twice in [
        "shop=acme.myshopify.com",
        "shop=evil",
        "%73hop=evil",
        &format!("hmac={HMAC}"),
    ] {
        let query = format!("{whole}&{twice}");
        assert_eq!(
            check(&shopify, &query, NOW),
            Err(SignatureFault::Query),
            "{twice}"
        );
    }
    for bad in ["x=%ff", "x=%0a", "x=a%00b", "%0d=x"] {
        let query = format!("{whole}&{bad}");
        assert_eq!(
            check(&shopify, &query, NOW),
            Err(SignatureFault::Query),
            "{bad}"
        );
    }
    let long = format!("{whole}&x={}", "y".repeat(16 * 1024));
    assert_eq!(check(&shopify, &long, NOW), Err(SignatureFault::Query));
    let many: String = (0..64).map(|n| format!("&x{n}=y")).collect();
    assert_eq!(
        check(&shopify, &format!("{whole}{many}"), NOW),
        Err(SignatureFault::Query)
    );
}

#[test]
fn a_signature_is_written_in_one_way() {
    let shopify = load(SHOPIFY).unwrap();
    for hmac in [
        String::new(),
        HMAC.to_uppercase(),
        HMAC[..62].to_owned(),
        format!("{HMAC}00"),
        format!("0x{HMAC}"),
        format!(" {HMAC}"),
    ] {
        let query = format!("{CODE}&hmac={hmac}&{REST}");
        assert_eq!(
            check(&shopify, &query, NOW),
            Err(SignatureFault::Missing),
            "{hmac}"
        );
    }
    for query in [
        String::new(),
        format!("{CODE}&{REST}"),
        format!("{CODE}&hmac[]={HMAC}&{REST}"),
        format!("{CODE}&HMAC={HMAC}&{REST}"),
    ] {
        assert_eq!(
            check(&shopify, &query, NOW),
            Err(SignatureFault::Missing),
            "{query}"
        );
    }
    let google = load(GOOGLE).unwrap();
    assert_eq!(check(&google, &signed(), NOW), Err(SignatureFault::None));
}

#[test]
fn age_is_limited_both_ways() {
    let shopify = load(SHOPIFY).unwrap();
    let made = 1_795_426_100;
    for (now, good) in [
        (made - 61, false),
        (made - 60, true),
        (made, true),
        (made + 300, true),
        (made + 301, false),
        (0, false),
        (i64::MAX / 1000, false),
    ] {
        let expected = if good {
            Ok(())
        } else {
            Err(SignatureFault::Age)
        };
        assert_eq!(check(&shopify, &signed(), now), expected, "{now}");
    }
}

#[test]
fn b16_a_shop_s_answer_counts_for_ten_minutes() {
    let shipped = Catalog::shipped().unwrap();
    let shopify = shipped.get(&ProviderId::parse("shopify").unwrap()).unwrap();
    let made = 1_795_426_100;
    for (now, good) in [
        (made - 61, false),
        (made - 60, true),
        (made + 600, true),
        (made + 601, false),
    ] {
        let checked = check(shopify, &signed(), now);
        assert_eq!(checked.is_ok(), good, "{now}");
    }
}

#[test]
fn a_time_that_is_none_is_no_time() {
    let shopify = load(SHOPIFY).unwrap();
    for made in [
        "",
        "-1",
        "+1795426100",
        "1e9",
        "1795426100.0",
        "99999999999999999999",
    ] {
        let decoded = made.replace('+', "%2B");
        let message = format!("{CODE}&timestamp={made}");
        let digest = crate::crypto::hmac_of(&Secret::copy_of(b"hush"), message.as_bytes());
        let hmac = data_encoding::HEXLOWER.encode(&digest);
        let query = format!("{CODE}&timestamp={decoded}&hmac={hmac}");
        assert_eq!(
            check(&shopify, &query, NOW),
            Err(SignatureFault::Age),
            "{made}"
        );
    }
}

#[test]
fn a_value_cannot_pose_as_two_members() {
    let shopify = load(SHOPIFY).unwrap();
    // Signed by the provider with an ampersand, a percent sign and an equals sign in the code.
    let hmac = "0d52f9a64301434dd105e2527ae230a796e63304223d887f9766dd03e12683e4";
    let rest = "shop=acme.myshopify.com&state=x+y&timestamp=1795426100";
    let query = format!("code=a%26b%25=c&{rest}&hmac={hmac}");
    assert_eq!(check(&shopify, &query, NOW), Ok(()));
    // The signed text of one member, sent as two.
    let folded = format!(
        "{CODE}%26shop=acme.myshopify.com&state=0.6784241404160823\
        &timestamp=1795426100&hmac={HMAC}"
    );
    assert_eq!(check(&shopify, &folded, NOW), Err(SignatureFault::Wrong));
}
