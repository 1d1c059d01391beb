//! No network is needed: the command that verifies runs in a network namespace that holds nothing but a loopback device
//! which is down, and answers as it does elsewhere.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixtures::{MAIL, ROOT, identity, made};

/// In a network namespace of its own.
fn apart(command: &[&str]) -> Output {
    // Who is not root may make one only together with a namespace of users.
    Command::new("unshare")
        .args(["--net", "--map-root-user", "--"])
        .args(command)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Whether this machine lets us make one at all.
fn possible() -> Result<(), String> {
    let output = apart(&["true"]);
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("no network namespace can be made: {}", said.trim()))
}

struct Desk(TempDir);

impl Desk {
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// `neuralops playbook verify` about a bundle under a policy, without any network; what it prints.
    fn verify(&self, bundle: &str, spec: &Value) -> String {
        let policy = json!({
            "apiVersion": "neuralops.io/v1alpha1",
            "kind": "TrustPolicy",
            "metadata": {"name": "release"},
            "spec": spec,
        });
        let root = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "root"},
            "data": {"json": ROOT},
        });
        let output = apart(&[
            env!("CARGO_BIN_EXE_neuralops"),
            "playbook",
            "verify",
            "-f",
            &self.write("playbook.json", made!("playbook.jcs")),
            "--bundle",
            &self.write("bundle.json", bundle),
            "--policy",
            &self.write("policy.json", &policy.to_string()),
            "--config-map",
            &self.write("root.json", &root.to_string()),
        ]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn verification_needs_no_network_at_all() {
    if let Err(reason) = possible() {
        fn here() {}
        crate::skipping::skipped(std::any::type_name_of_val(&here), &reason);
        return;
    }
    let desk = Desk(tempfile::tempdir().unwrap());
    let by_key = json!({"keys": [{"name": "sre", "publicKey": made!("key.pub")}]});
    let answer = desk.verify(made!("key.sigstore.json"), &by_key);
    assert!(answer.contains("key \"sre\""), "{answer}");
    // Under a trusted root, with everything that could be asked of it: authority, logs, timestamp.
    let required = |mut spec: Value| {
        spec["trustedRoot"] = json!({"configMapRef": {"name": "root", "key": "json"}});
        spec["transparencyLog"] = json!("Required");
        spec
    };
    let answer = desk.verify(made!("key-logged.sigstore.json"), &required(by_key));
    assert!(answer.contains("key \"sre\""), "{answer}");
    let by_mail = required(json!({"keyless": [identity("mail", MAIL)]}));
    for bundle in [made!("mail.sigstore.json"), made!("mail-v1.sigstore.json")] {
        let answer = desk.verify(bundle, &by_mail);
        assert!(answer.contains(MAIL), "{answer}");
    }
}

#[test]
fn the_namespace_of_these_tests_has_no_way_out() {
    if let Err(reason) = possible() {
        fn here() {}
        crate::skipping::skipped(std::any::type_name_of_val(&here), &reason);
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = format!("exec 3<>/dev/tcp/{}", listener.local_addr().unwrap()).replace(':', "/");
    // The same that works here fails there; otherwise the test above would prove nothing.
    let here = Command::new("bash").args(["-c", &connect]).output();
    assert!(here.unwrap().status.success(), "{connect}");
    let there = apart(&["bash", "-c", &connect]);
    assert!(!there.status.success());
    let devices = apart(&["cat", "/proc/net/dev"]);
    let devices = String::from_utf8(devices.stdout).unwrap();
    let names: Vec<&str> = devices
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim())
        .collect();
    assert_eq!(names, ["lo"], "{devices}");
}
