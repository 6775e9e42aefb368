//! How far flows come is counted, whichever way they take.

use crate::harness::connect::Stage;
use crate::harness::fault_provider::{Answer, FaultProvider};
use crate::harness::jar::Jar;
use crate::harness::{Client, eventually};
use crate::{ended, faulty, start};

#[test]
fn each_step_of_each_way_is_counted() {
    let stage = Stage::open();
    let started = start(&stage.admin, "peer");
    let (page, code) = (&started["verificationUri"], &started["userCode"]);
    Jar::new().agree_device(page.as_str().unwrap(), code.as_str().unwrap(), "ann");
    let done = ended(&stage.admin, "peer", &started);
    assert_eq!(done["status"], "connected");
    stage.connect(&stage.admin, "ann");
    for step in ["agreed", "connected"] {
        counted(&stage.admin, "device", step);
        counted(&stage.admin, "browser", step);
    }
    counted(&stage.admin, "browser", "opened");
}

#[test]
fn a_no_to_a_device_flow_is_counted() {
    let fault = FaultProvider::start();
    let (_broker, admin) = faulty(&fault);
    fault.always("/token", Answer::error(400, "access_denied"));
    let started = start(&admin, "fault");
    assert_eq!(ended(&admin, "fault", &started)["status"], "denied");
    counted(&admin, "device", "denied");
}

/// Whoever asks is told how an attempt ended before it is counted.
fn counted(admin: &Client, way: &str, step: &str) {
    let series = format!("runtools_oauth_steps_total{{way=\"{way}\",step=\"{step}\"}} 1\n");
    eventually(|| {
        let metrics = String::from_utf8(admin.get("/metrics").body).unwrap();
        metrics.contains(&series).then_some(())
    });
}
