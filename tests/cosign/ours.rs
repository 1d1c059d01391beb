//! What is signed here verifies there, and the commands of the guide work with the real cosign.

use neuralops::domain::reason::Reason;

use crate::desk::{Desk, program};

const SAMPLE: &str = "config/samples/playbook-restart-after-bad-rollout.yaml";

fn openssl(desk: &Desk, line: &str) {
    desk.run("openssl", line.split(' ').map(ToOwned::to_owned))
        .unwrap();
}

/// A desk with a Playbook on it.
fn desk() -> Desk {
    let desk = Desk::new();
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE);
    desk.write("pb.yaml", std::fs::read(sample).unwrap());
    let canonical = desk.neuralops("playbook canonicalize -f pb.yaml").unwrap();
    desk.write("pb.jcs", canonical);
    desk
}

#[test]
fn a_bundle_of_ours_verifies_with_cosign() {
    let desk = desk();
    openssl(
        &desk,
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sre.pem",
    );
    openssl(&desk, "ec -in sre.pem -out sec1.pem");
    openssl(&desk, "pkey -in sre.pem -pubout -out sre.pub");
    for key in ["sre.pem", "sec1.pem"] {
        let bundle = desk
            .neuralops(&format!("playbook sign -f pb.yaml --key {key}"))
            .unwrap();
        desk.write("pb.sigstore.json", bundle);
        let verify = "verify-blob --key sre.pub --insecure-ignore-tlog --bundle pb.sigstore.json";
        desk.good(&format!("{verify} pb.jcs"));
        desk.write("other.jcs", desk.read("pb.jcs") + "\n");
        let refused = desk.cosign(&format!("{verify} other.jcs"));
        assert!(refused.is_err());
    }
    // The bundle is about the bytes, not only about what they mean.
    openssl(
        &desk,
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.pem",
    );
    openssl(&desk, "pkey -in other.pem -pubout -out other.pub");
    let other =
        "verify-blob --key other.pub --insecure-ignore-tlog --bundle pb.sigstore.json pb.jcs";
    assert!(desk.cosign(other).is_err());
}

#[test]
fn the_guide_from_a_pair_of_keys_to_a_verified_playbook() {
    let desk = desk();
    desk.good("generate-key-pair");
    let policy = desk.neuralops("trust import cosign.pub --name shop-playbooks --namespace shop");
    desk.write("trustpolicy.yaml", policy.unwrap());
    desk.good("sign-blob --yes --key cosign.key --use-signing-config=false --tlog-upload=false --bundle pb.sigstore.json pb.jcs");
    let signed = desk.neuralops("playbook attach -f pb.yaml --bundle pb.sigstore.json");
    desk.write("signed.json", signed.unwrap());
    let answer = desk
        .neuralops("playbook verify -f signed.json --policy trustpolicy.yaml")
        .unwrap();
    assert!(answer.contains("key \"cosign\""), "{answer}");
}

#[test]
fn the_command_lets_the_real_cosign_sign() {
    let desk = desk();
    desk.good("generate-key-pair");
    let policy = desk.neuralops("trust import cosign.pub --name p").unwrap();
    desk.write("policy.yaml", policy);
    let cosign = program("cosign");
    let sign = |file: &str| {
        desk.neuralops(&format!(
            "playbook sign -f {file} --cosign={cosign} --key cosign.key --attach"
        ))
    };
    desk.write("signed.json", sign("pb.yaml").unwrap());
    let answer = desk
        .neuralops("playbook verify -f signed.json --policy policy.yaml")
        .unwrap();
    assert!(answer.contains("key \"cosign\""), "{answer}");
    let changed = desk
        .read("signed.json")
        .replacen("\"revision\": 14", "\"revision\": 15", 1);
    desk.write("changed.json", changed);
    let refused = desk
        .neuralops("playbook verify -f changed.json --policy policy.yaml")
        .unwrap_err();
    assert!(
        refused.contains(Reason::DigestMismatch.as_str()),
        "{refused}"
    );
}
