//! The commands as authors and operators call them, from a key to a verified Playbook.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use tempfile::TempDir;

use crate::made::p256;

const SAMPLE: &str = "config/samples/playbook-restart-after-bad-rollout.yaml";
const COMMANDS: [&str; 4] = ["canonicalize", "sign", "attach", "verify"];

struct Answer {
    good: bool,
    out: String,
    err: String,
}

impl Answer {
    #[track_caller]
    fn good(self) -> String {
        assert!(self.good, "{}", self.err);
        self.out
    }

    #[track_caller]
    fn bad(self, word: &str) -> String {
        assert!(!self.good, "{}", self.out);
        assert!(self.err.contains(word), "{}", self.err);
        self.err
    }
}

fn run(args: &[&str], input: Option<&Path>) -> Answer {
    let stdin = input.map_or_else(Stdio::null, |path| fs::File::open(path).unwrap().into());
    let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .stdin(stdin)
        .output()
        .unwrap();
    Answer {
        good: output.status.success(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with a key, its public half and a policy that trusts it.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        let key = p256();
        desk.write("sre.pem", &key.private.unwrap());
        desk.write("sre.pub", &key.public);
        let import = [
            "trust",
            "import",
            &desk.at("sre.pub"),
            "--name",
            "shop",
            "--namespace",
            "shop",
        ];
        desk.write("policy.yaml", &run(&import, None).good());
        desk
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn signed(&self) -> String {
        run(
            &[
                "playbook",
                "sign",
                "-f",
                SAMPLE,
                "--key",
                &self.at("sre.pem"),
                "--attach",
            ],
            None,
        )
        .good()
    }

    fn verify(&self, file: &str) -> Answer {
        run(
            &[
                "playbook",
                "verify",
                "-f",
                &self.at(file),
                "--policy",
                &self.at("policy.yaml"),
            ],
            None,
        )
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in COMMANDS {
        let help = run(&["playbook", command, "--help"], None).good();
        assert!(help.contains("Examples\n"), "{help}");
        assert!(
            help.contains(&format!("neuralops playbook {command}")),
            "{help}"
        );
    }
    assert!(
        run(&["trust", "import", "--help"], None)
            .good()
            .contains("neuralops trust import")
    );
}

#[test]
fn from_a_key_to_a_verified_playbook() {
    let desk = Desk::new();
    let key = desk.at("sre.pem");
    desk.write(
        "bundle.json",
        &run(&["playbook", "sign", "-f", SAMPLE, "--key", &key], None).good(),
    );
    let attach = [
        "playbook",
        "attach",
        "-f",
        SAMPLE,
        "--bundle",
        &desk.at("bundle.json"),
    ];
    desk.write("signed.json", &run(&attach, None).good());
    let answer = desk.verify("signed.json").good();
    let digest = run(&["playbook", "digest", "-f", SAMPLE], None).good();
    assert!(answer.contains("verified: shop/restart-after-bad-rollout, signed for this namespace"));
    assert!(answer.contains(&format!("digest: {digest}")), "{answer}");
    assert!(
        answer.contains("policy \"shop\": key \"sre\" (sha256:"),
        "{answer}"
    );
    // The same from standard input, and with a bundle that is not attached.
    let signed = desk.0.path().join("signed.json");
    let policy = desk.at("policy.yaml");
    run(
        &["playbook", "verify", "-f", "-", "--policy", &policy],
        Some(&signed),
    )
    .good();
    let loose = [
        "playbook",
        "verify",
        "-f",
        SAMPLE,
        "--bundle",
        &desk.at("bundle.json"),
        "--policy",
        &policy,
    ];
    run(&loose, None).good();
    run(
        &[
            "playbook",
            "attach",
            "-f",
            &desk.at("signed.json"),
            "--bundle",
            &desk.at("bundle.json"),
        ],
        None,
    )
    .bad("attached already, in neuralops.io/cosign-bundle");
}

#[test]
fn a_changed_playbook_says_which_bytes_to_sign() {
    let desk = Desk::new();
    desk.write(
        "changed.json",
        &desk
            .signed()
            .replace("\"revision\": 14", "\"revision\": 15"),
    );
    let refusal = desk.verify("changed.json").bad("DigestMismatch");
    assert!(
        refusal.contains("neuralops playbook canonicalize"),
        "{refusal}"
    );
    desk.write(
        "moved.json",
        &desk
            .signed()
            .replace("\"namespace\": \"shop\"", "\"namespace\": \"bank\""),
    );
    desk.verify("moved.json").bad("NoPolicy");
    run(
        &[
            "playbook",
            "verify",
            "-f",
            SAMPLE,
            "--policy",
            &desk.at("policy.yaml"),
        ],
        None,
    )
    .bad("Unsigned");
    // A bundle about something else is not even attached.
    let mut other: Value = serde_json::from_str(&desk.signed()).unwrap();
    other["spec"]["revision"] = 15.into();
    desk.write("other.json", &other.to_string());
    let key = desk.at("sre.pem");
    let bundle = run(
        &[
            "playbook",
            "sign",
            "-f",
            &desk.at("other.json"),
            "--key",
            &key,
        ],
        None,
    )
    .good();
    desk.write("other-bundle.json", &bundle);
    run(
        &[
            "playbook",
            "attach",
            "-f",
            SAMPLE,
            "--bundle",
            &desk.at("other-bundle.json"),
        ],
        None,
    )
    .bad("DigestMismatch");
}

#[test]
fn openssl_agrees_about_the_signature() {
    let desk = Desk::new();
    let canonical = run(&["playbook", "canonicalize", "-f", SAMPLE], None).good();
    desk.write("document", &canonical);
    let bundle = run(
        &[
            "playbook",
            "sign",
            "-f",
            SAMPLE,
            "--key",
            &desk.at("sre.pem"),
        ],
        None,
    )
    .good();
    let bundle: Value = serde_json::from_str(&bundle).unwrap();
    let signature = bundle["messageSignature"]["signature"].as_str().unwrap();
    fs::write(desk.at("signature"), STANDARD.decode(signature).unwrap()).unwrap();
    let verify = |document: &str| {
        let output = Command::new("openssl")
            .args(["dgst", "-sha256", "-verify", &desk.at("sre.pub")])
            .args(["-signature", &desk.at("signature"), &desk.at(document)])
            .output()
            .unwrap();
        output.status.success()
    };
    assert!(verify("document"));
    desk.write("longer", &format!("{canonical}\n"));
    assert!(!verify("longer"));
}

#[test]
fn a_namespace_is_never_guessed_for_a_signature() {
    let desk = Desk::new();
    let sample = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE)).unwrap();
    desk.write("open.yaml", &sample.replacen("  namespace: shop\n", "", 1));
    let file = desk.at("open.yaml");
    let canonicalize = |more: &[&str]| {
        let mut args = vec!["playbook", "canonicalize", "-f", &file];
        args.extend(more);
        run(&args, None)
    };
    canonicalize(&[]).bad("--any-namespace");
    let here = canonicalize(&["-n", "shop"]).good();
    assert_eq!(
        here,
        run(&["playbook", "canonicalize", "-f", SAMPLE], None).good()
    );
    let anywhere = canonicalize(&["--any-namespace"]).good();
    assert!(
        anywhere.contains(r#""metadata":{"name":"restart-after-bad-rollout"}"#),
        "{anywhere}"
    );
    assert!(!anywhere.ends_with('\n'));
    run(
        &["playbook", "canonicalize", "-f", SAMPLE, "-n", "bank"],
        None,
    )
    .bad("leave one out");
    let key = desk.at("sre.pem");
    let signed = run(
        &[
            "playbook",
            "sign",
            "-f",
            &file,
            "--any-namespace",
            "--key",
            &key,
            "--attach",
        ],
        None,
    );
    desk.write("signed.json", &signed.good());
    let policy = desk.at("policy.yaml");
    let verify = |namespace: &str| {
        let signed = desk.at("signed.json");
        run(
            &[
                "playbook", "verify", "-f", &signed, "-n", namespace, "--policy", &policy,
            ],
            None,
        )
    };
    assert!(verify("shop").good().contains("signed for any namespace"));
    verify("bank").bad("NoPolicy");
}

#[test]
fn cosign_is_called_offline_with_a_key_and_its_answer_is_looked_at() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    // In cosign's place: writes down how it was called, and hands out a bundle.
    let program = desk.at("cosign");
    let script = format!(
        "#!/bin/sh\necho \"$@\" > {0}/called\nwhile [ \"$1\" != --bundle ]; do shift; done\n/bin/cp {0}/bundle.json \"$2\"\n",
        desk.0.path().display()
    );
    desk.write("cosign", &script);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let key = desk.at("sre.pem");
    let own = run(&["playbook", "sign", "-f", SAMPLE, "--key", &key], None).good();
    desk.write("bundle.json", &own);
    let cosign = format!("--cosign={program}");
    let sign = || {
        run(
            &["playbook", "sign", "-f", SAMPLE, &cosign, "--key", &key],
            None,
        )
    };
    assert_eq!(sign().good(), own);
    let called = fs::read_to_string(desk.at("called")).unwrap();
    assert!(
        called.starts_with(&format!(
            "sign-blob --yes --key {key} --use-signing-config=false --tlog-upload=false --bundle "
        )),
        "{called}"
    );
    desk.write("bundle.json", r#"{"base64Signature":"MEUC"}"#);
    sign().bad("UnsupportedBundle");
    run(
        &["playbook", "sign", "-f", SAMPLE, "--cosign=/nowhere/cosign"],
        None,
    )
    .bad("is cosign 3 installed");
}

#[test]
fn a_policy_with_a_slip_of_the_pen_is_not_used() {
    let desk = Desk::new();
    desk.write("signed.json", &desk.signed());
    let policy = fs::read_to_string(desk.at("policy.yaml")).unwrap();
    desk.write(
        "policy.yaml",
        &policy.replace("  match:", "  thresold: 2\n  match:"),
    );
    desk.verify("signed.json").bad("thresold");
}

#[test]
fn keys_and_roots_come_from_config_maps() {
    let desk = Desk::new();
    desk.write("signed.json", &desk.signed());
    let public = fs::read_to_string(desk.at("sre.pub")).unwrap();
    let config_map = serde_json::json!({"kind": "ConfigMap", "metadata": {"name": "keys"}, "data": {"sre.pub": public}});
    desk.write("map.json", &config_map.to_string());
    desk.write(
        "policy.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: neuralops.io/v1alpha1\n  kind: TrustPolicy\n  metadata: {name: p}\n  spec:\n    keys:\n    - name: sre\n      configMapRef: {name: keys, key: sre.pub}\n",
    );
    desk.verify("signed.json").bad("PolicyNotReady");
    let (signed, policy, map) = (
        desk.at("signed.json"),
        desk.at("policy.yaml"),
        desk.at("map.json"),
    );
    let args = [
        "playbook",
        "verify",
        "-f",
        &signed,
        "--policy",
        &policy,
        "--config-map",
        &map,
    ];
    run(&args, None).good();
}

#[test]
fn import_refuses_what_would_weaken_a_policy() {
    let desk = Desk::new();
    let import = |args: &[&str]| {
        let mut all = vec!["trust", "import", "--name", "p"];
        all.extend(args);
        run(&all, None)
    };
    let (public, private) = (desk.at("sre.pub"), desk.at("sre.pem"));
    let err = import(&[&private]).bad("this is a private key");
    assert!(!err.contains("MIGH"), "{err}");
    import(&[&format!("a={public}"), &format!("b={public}")]).bad("stands here twice");
    import(&[&public, "--threshold", "2"]).bad("the threshold is 2");
    let good = import(&[
        &format!("lead={public}"),
        "--not-after",
        "2031-01-01T00:00:00Z",
    ])
    .good();
    assert!(good.starts_with("# lead: ECDSA P-256 sha256:"), "{good}");
    assert!(good.contains("notAfter: "), "{good}");
}
