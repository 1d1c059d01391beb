//! Playbooks as artifacts: pushed by the command, signed by the real cosign with the very line that the command prints,
//! pulled again, in registries of four kinds. No Sigstore runs here at all.

use crate::{desk::Desk, services::Services};

const SAMPLE: &str = "config/samples/playbook-restart-after-bad-rollout.yaml";

#[test]
fn a_pushed_playbook_is_signed_as_the_command_says_and_pulled() {
    let desk = Desk::new();
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE);
    desk.write("pb.yaml", std::fs::read(sample).unwrap());
    desk.good("generate-key-pair");
    let policy = desk.neuralops("trust import cosign.pub --name p").unwrap();
    desk.write("policy.yaml", policy);
    desk.good("generate-key-pair --output-key-prefix other");
    let other = desk.neuralops("trust import other.pub --name p").unwrap();
    desk.write("other.yaml", other);
    let canonical = desk.neuralops("playbook canonicalize -f pb.yaml").unwrap();
    let services = Services::registries();
    for registry in ["DEBIAN", "SPEC", "QUIRK", "OFF"] {
        let address = &services.env[&format!("SIGNING_BED_REGISTRY_{registry}")];
        let push = format!("playbook push {address}/pb/restart:1.4.0 -f pb.yaml");
        let said = desk.neuralops(&push).unwrap();
        let sign = said
            .lines()
            .find_map(|line| line.strip_prefix("sign it: cosign sign "));
        let sign = sign.unwrap_or_else(|| panic!("{registry}: {said}"));
        let image = sign.split(' ').next_back().unwrap();
        let pull = format!("playbook pull {image} --policy policy.yaml");
        let unsigned = desk.neuralops(&pull).unwrap_err();
        assert!(
            unsigned.contains("NoSignatureFound"),
            "{registry}: {unsigned}"
        );
        desk.good(&format!("sign --yes {sign}"));
        desk.good(&format!(
            "verify --key cosign.pub --insecure-ignore-tlog --allow-http-registry {image}"
        ));
        desk.write("pulled.json", desk.neuralops(&pull).unwrap());
        let pulled = desk
            .neuralops("playbook canonicalize -f pulled.json")
            .unwrap();
        assert_eq!(pulled, canonical, "{registry}");
        let other = format!("playbook pull {image} --policy other.yaml");
        let refused = desk.neuralops(&other).unwrap_err();
        assert!(refused.contains("UntrustedKey"), "{registry}: {refused}");
    }
    services.stop("registries");
}
