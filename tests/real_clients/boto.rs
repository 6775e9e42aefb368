//! boto3, which signs by itself: with placeholders, and the broker signs anew.

use crate::aws::{Keys, refusal};
use crate::harness::Upstream;
use crate::harness::upstream::json as document;
use crate::{World, python, vendor};

#[test]
fn boto3_works_and_never_has_the_keys() {
    let origin = Upstream::tls(&["localhost"], vendor::answer);
    let mut world = World::before(origin);
    let keys = Keys {
        id: world.secret("AWS_ACCESS_KEY_ID"),
        secret: world.secret("AWS_SECRET_ACCESS_KEY"),
        token: world.secret("AWS_SESSION_TOKEN"),
    };
    let slug = world.shipped("aws");
    let url = world.url();
    let ran = world.works(&slug, &[&python(), "clients.py", "boto3", &url]);
    let arrived = world.arrived(2);
    for request in &arrived {
        let refused = refusal(request, &keys, ("us-east-1", "s3"));
        assert_eq!(refused, None, "{request:?}");
    }
    assert!(
        arrived
            .iter()
            .any(|it| it.target == "/bucket/a%20key%20with%20signs%2Bin%3Dit")
    );
    assert_eq!(ran.told["came"][0][0]["Name"], "bucket", "{}", ran.told);
    let env = &ran.told["env"];
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ] {
        assert!(
            env[name].as_str().unwrap().starts_with("rtPlaceh0lder"),
            "{name}"
        );
    }
    world.stage.finish();
}

#[test]
fn what_is_signed_for_another_service_or_with_other_keys_is_not_passed_on_as_it_is() {
    let origin = Upstream::tls(&["localhost"], |seen| document(200, &seen.echo()));
    let mut world = World::before(origin);
    let keys = Keys {
        id: world.secret("AWS_ACCESS_KEY_ID"),
        secret: world.secret("AWS_SECRET_ACCESS_KEY"),
        token: String::new(),
    };
    let slug = world.shipped("aws");
    // Whatever the program signed, the region and the service are the binding's.
    let script = format!(
        "curl -sS -H \"authorization: AWS4-HMAC-SHA256 Credential=$AWS_ACCESS_KEY_ID/20200101/eu-west-9/iam/aws4_request, \
         SignedHeaders=host, Signature=00\" {0}/bucket/key; \
         curl -sS -H \"x-amz-meta-key: $AWS_SECRET_ACCESS_KEY\" {0}/bucket/other",
        world.url()
    );
    let ran = world.works(&slug, &["sh", "-c", &script]);
    assert!(
        ran.out.contains("\"code\":\"another_host\"") || ran.out.contains("placement"),
        "{}",
        ran.out
    );
    let arrived = world.arrived(1);
    assert_eq!(arrived.len(), 1, "{arrived:?}");
    assert_eq!(refusal(&arrived[0], &keys, ("us-east-1", "s3")), None);
    world.stage.finish();
}
