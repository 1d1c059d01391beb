//! Blobs and images by cosign 2, and by cosign 3 with Rekor v1.

use neuralops::{
    adapters::verify::{PreparedPolicy, examine_image},
    domain::{
        digest::Digest,
        reason::Reason,
        trust::{Examination, Examiner as _},
    },
};
use serde_json::json;

use crate::{
    desk::{Desk, program},
    made::{Maps, bytes, document, now, policy_with},
    registry::{self, Found},
    services::Services,
};

/// What cosign 2 is told about the services, and cosign 3 where it writes an old form.
const OLD: &str = "SIGSTORE_ROOT_FILE=fulcio.pem SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=ctlog.pub SIGSTORE_REKOR_PUBLIC_KEY=rekor1.pub";

/// Whom the policy trusts.
#[derive(Clone, Copy)]
enum Trusting {
    /// The key alone.
    Key,
    /// The key, and the log that is asked for.
    Logged,
    /// The mail address.
    Mail,
}

type Form = (&'static str, &'static str, Trusting, Result<(), Reason>);

const BLOBS: [Form; 7] = [
    (
        "cosign 3, a key, Rekor v1",
        "sign-blob --yes --key key.key --signing-config signing_config_v1.json --trusted-root trusted_root.json --bundle OUT playbook.jcs",
        Trusting::Logged,
        Ok(()),
    ),
    (
        "cosign 3, a mail address, Rekor v1",
        "sign-blob --yes --identity-token MAIL_TOKEN --signing-config signing_config_v1.json --trusted-root trusted_root.json --bundle OUT playbook.jcs",
        Trusting::Mail,
        Ok(()),
    ),
    (
        "cosign 2, a key, air-gapped",
        "cosign2 sign-blob --key key.key --tlog-upload=false --new-bundle-format --bundle OUT -y playbook.jcs",
        Trusting::Key,
        Ok(()),
    ),
    (
        "cosign 2, a mail address, Rekor v1",
        "OLD cosign2 sign-blob --identity-token MAIL_TOKEN --fulcio-url FULCIO --rekor-url REKOR1 --oidc-issuer MAIL_ISSUER --new-bundle-format --bundle OUT -y playbook.jcs",
        Trusting::Mail,
        Ok(()),
    ),
    (
        "cosign 2, a key, its own bundle",
        "cosign2 sign-blob --key key.key --tlog-upload=false --bundle OUT -y playbook.jcs",
        Trusting::Key,
        Err(Reason::UnsupportedBundle),
    ),
    (
        "cosign 2, a mail address, its own bundle",
        "OLD cosign2 sign-blob --identity-token MAIL_TOKEN --fulcio-url FULCIO --rekor-url REKOR1 --oidc-issuer MAIL_ISSUER --bundle OUT -y playbook.jcs",
        Trusting::Mail,
        Err(Reason::UnsupportedBundle),
    ),
    (
        "cosign 2, a bare signature",
        "cosign2 sign-blob --key key.key --tlog-upload=false --output-signature OUT -y playbook.jcs",
        Trusting::Key,
        Err(Reason::UnsupportedBundle),
    ),
];

/// Each has a repository, which is named after its place here.
const IMAGES: [Form; 6] = [
    (
        "cosign 3, a key, Rekor v1",
        "sign --yes --key key.key --signing-config signing_config_v1.json --trusted-root trusted_root.json --allow-http-registry REF",
        Trusting::Logged,
        Ok(()),
    ),
    (
        "cosign 3, a mail address, Rekor v1",
        "sign --yes --identity-token MAIL_TOKEN --signing-config signing_config_v1.json --trusted-root trusted_root.json --allow-http-registry REF",
        Trusting::Mail,
        Ok(()),
    ),
    (
        "cosign 2, a key, air-gapped",
        "cosign2 sign --key key.key --new-bundle-format --tlog-upload=false --allow-http-registry -y REF",
        Trusting::Key,
        Ok(()),
    ),
    (
        "cosign 3, a mail address, .sig",
        "OLD sign --yes --identity-token MAIL_TOKEN --new-bundle-format=false --use-signing-config=false --fulcio-url FULCIO --rekor-url REKOR1 --oidc-issuer MAIL_ISSUER --allow-http-registry REF",
        Trusting::Mail,
        Err(Reason::UnsupportedBundle),
    ),
    (
        "cosign 2, a key, .sig",
        "cosign2 sign --key key.key --tlog-upload=false --allow-http-registry -y REF",
        Trusting::Key,
        Err(Reason::UnsupportedBundle),
    ),
    (
        "cosign 2, a mail address, .sig",
        "OLD cosign2 sign --identity-token MAIL_TOKEN --fulcio-url FULCIO --rekor-url REKOR1 --oidc-issuer MAIL_ISSUER --allow-http-registry -y REF",
        Trusting::Mail,
        Err(Reason::UnsupportedBundle),
    ),
];

const REPOSITORIES: [&str; 6] = ["form-0", "form-1", "form-2", "form-3", "form-4", "form-5"];

struct Old {
    blobs: Vec<String>,
    images: Vec<Found>,
    key: String,
    root: String,
    mail_issuer: String,
}

impl Old {
    fn policy(&self, trusting: Trusting) -> PreparedPolicy {
        let mut spec = match trusting {
            Trusting::Key | Trusting::Logged => {
                json!({"keys": [{"name": "key", "publicKey": self.key}]})
            }
            Trusting::Mail => json!({"keyless": [
                {"name": "alice", "issuer": self.mail_issuer, "subject": "alice@shop.example"},
            ]}),
        };
        spec["trustedRoot"] = json!({"configMapRef": {"name": "root", "key": "json"}});
        if !matches!(trusting, Trusting::Key) {
            spec["transparencyLog"] = json!("Required");
        }
        let maps = Maps([("root/json".to_owned(), self.root.clone())].into());
        let policy = policy_with(spec, &maps);
        assert_eq!(policy.problems(), []);
        policy
    }
}

fn push(desk: &Desk, address: &str, repository: &str) -> Digest {
    let line = format!(
        "append --insecure --oci-empty-base --new_layer layer.tar --new_tag {address}/{repository}:1"
    );
    let words = line.split(' ').map(ToOwned::to_owned);
    let reference = desk.run(&program("crane"), words).unwrap();
    let digest = reference.trim().rsplit_once('@').unwrap().1.to_owned();
    Digest::try_from(digest).unwrap()
}

fn sign_everything() -> Old {
    let mut desk = Desk::new();
    let services = Services::start(&["--rekor1"]);
    let files = [
        "signing_config_v1.json",
        "trusted_root.json",
        "pki/fulcio.pem",
        "pki/ctlog.pub",
        "pki/rekor1.pub",
    ];
    services.lay_out(&mut desk, &files);
    desk.write("playbook.jcs", bytes(&document()));
    desk.good("generate-key-pair --output-key-prefix key");
    let mut blobs = Vec::new();
    for (_, line, ..) in BLOBS {
        desk.good(&line.replace("OLD", OLD).replace("OUT", "out"));
        blobs.push(desk.read("out"));
    }
    desk.write("playbook.json", "{}\n");
    let tar = "--create --file=layer.tar playbook.json".split(' ');
    desk.run("tar", tar.map(ToOwned::to_owned)).unwrap();
    let address = services.env["SIGNING_BED_REGISTRY_SPEC"].clone();
    let mut pushed = Vec::new();
    for ((_, line, ..), repository) in IMAGES.iter().zip(REPOSITORIES) {
        let digest = push(&desk, &address, repository);
        let reference = format!("{address}/{repository}@{digest}");
        desk.good(&line.replace("OLD", OLD).replace("REF", &reference));
        pushed.push((repository, digest));
    }
    let root = desk.read("trusted_root.json");
    services.stop("up");
    let read = |(repository, digest): &(&'static str, Digest)| {
        registry::read(&desk, "spec", &address, repository, digest)
    };
    let images = pushed.iter().map(read).collect();
    ask(&desk, &address, &pushed);
    services.stop("registries");
    Old {
        blobs,
        images,
        key: desk.read("key.pub"),
        root,
        mail_issuer: format!("{}/mail", services.env["SIGNING_BED_ISSUERS"]),
    }
}

/// The product finds the old forms under their tag: by a key they count where the policy says so, by an identity never.
fn ask(desk: &Desk, address: &str, pushed: &[(&str, Digest)]) {
    let policy = desk.neuralops("trust import key.pub --name p").unwrap();
    let policy = policy.replacen("spec:\n", "spec:\n  formats: [Bundle, LegacySig]\n", 1);
    desk.write("policy.yaml", policy);
    for ((what, _, trusting, expected), (repository, digest)) in IMAGES.iter().zip(pushed) {
        let image = format!("{address}/{repository}@{digest}");
        let line = format!("playbook verify --image {image} -n shop --policy policy.yaml");
        let answer = desk.neuralops(&line);
        match (trusting, expected, answer) {
            (Trusting::Mail, Ok(()), Err(said)) => assert!(said.contains("UntrustedKey"), "{said}"),
            (Trusting::Mail, Err(_), Err(said)) => {
                assert!(said.contains("UnsupportedBundle"), "{what}: {said}");
                assert!(said.contains("cosign 3"), "{what}: {said}");
            }
            (Trusting::Mail, _, Ok(said)) => panic!("{what}: trusted: {said}"),
            (_, _, answer) => assert!(answer.unwrap().contains("key \"key\""), "{what}"),
        }
    }
}

fn judge(what: &str, examination: &Examination, expected: Result<(), Reason>) {
    match expected {
        Ok(()) => assert_eq!(examination.signers.len(), 1, "{what}: {examination:?}"),
        Err(reason) => {
            assert_eq!(examination.signers, [], "{what}");
            assert_eq!(
                examination.attempts[0].reason, reason,
                "{what}: {examination:?}"
            );
        }
    }
}

#[test]
fn what_the_older_generation_signs_verifies_or_is_refused_for_a_reason() {
    let old = sign_everything();
    let message = bytes(&document());
    for ((what, _, trusting, expected), bundle) in BLOBS.iter().zip(&old.blobs) {
        let policy = old.policy(*trusting);
        judge(
            what,
            &policy.examine(bundle.trim(), &message, now()),
            *expected,
        );
        let other = policy.examine(bundle.trim(), b"other bytes", now());
        assert_eq!(other.signers, [], "{what}");
    }
    for ((what, _, trusting, expected), found) in IMAGES.iter().zip(&old.images) {
        assert_eq!(found.pieces.len(), 1, "{what}");
        let text = &found.pieces[0].text;
        let policy = old.policy(*trusting);
        judge(
            what,
            &examine_image(&policy, text, &found.image, now()),
            *expected,
        );
        let other = Digest::of(b"another image");
        assert_eq!(
            examine_image(&policy, text, &other, now()).signers,
            [],
            "{what}"
        );
    }
}

#[test]
fn a_bundle_of_ours_verifies_with_cosign_2() {
    let desk = Desk::new();
    let sample = "config/samples/playbook-restart-after-bad-rollout.yaml";
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(sample);
    desk.write("pb.yaml", std::fs::read(sample).unwrap());
    let words = |line: &str| line.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
    let make = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out sre.pem";
    desk.run("openssl", words(make)).unwrap();
    desk.run("openssl", words("pkey -in sre.pem -pubout -out sre.pub"))
        .unwrap();
    for (line, file) in [
        ("playbook canonicalize -f pb.yaml", "pb.jcs"),
        ("playbook sign -f pb.yaml --key sre.pem", "out"),
    ] {
        desk.write(file, desk.neuralops(line).unwrap());
    }
    // Without a trusted root, be it an empty one, it asks a server for the public one.
    desk.good("trusted-root create --out empty_root.json");
    let verify = "cosign2 verify-blob --key sre.pub --insecure-ignore-tlog --new-bundle-format --trusted-root empty_root.json --bundle out";
    desk.good(&format!("{verify} pb.jcs"));
    desk.write("other.jcs", "{}");
    assert!(desk.cosign(&format!("{verify} other.jcs")).is_err());
}
