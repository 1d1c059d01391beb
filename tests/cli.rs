//! The commands that need no cluster, as a user runs them: output, exit codes, and errors that say what to do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command};

struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

fn neuralops(args: &[&str]) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .output()
        .unwrap();
    Answer {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

const SAMPLE: &str = "config/samples/playbook-restart-after-bad-rollout.yaml";

/// What people do on a cluster.
const OF_PEOPLE: [&str; 13] = [
    "run", "release", "inbox", "diff", "approve", "reject", "withdraw", "cancel", "wait", "tree",
    "freeze", "unfreeze", "role",
];

#[test]
fn help_names_every_command() {
    let answer = neuralops(&["--help"]);
    for command in [
        &[
            "operator",
            "audit",
            "crds",
            "playbook",
            "reference",
            "trust",
        ][..],
        &OF_PEOPLE,
    ]
    .concat()
    {
        assert!(
            answer.out.contains(&format!("\n  {command} ")),
            "{}",
            answer.out
        );
    }
}

#[test]
fn help_of_each_command_of_people_has_an_example_and_the_exit_codes() {
    let roles = ["approver", "runner", "author"].map(|role| vec!["role", role]);
    let others = OF_PEOPLE.iter().filter(|command| **command != "role");
    for command in others.map(|command| vec![*command]).chain(roles) {
        let answer = neuralops(&[&command[..], &["--help"]].concat());
        assert_eq!(answer.code, Some(0), "{command:?}: {}", answer.err);
        let example = format!("\n  neuralops {} ", command.join(" "));
        for part in ["Example", &example, "with 0", "--kubeconfig", "--context"] {
            assert!(
                answer.out.contains(part),
                "{command:?}: {part}: {}",
                answer.out
            );
        }
        // A line that wraps in a usual terminal is read by nobody.
        let long = answer.out.lines().find(|line| line.chars().count() > 125);
        assert_eq!(long, None, "{command:?}");
    }
}

#[test]
fn roles_are_printed_without_a_cluster_and_need_a_namespace() {
    let answer = neuralops(&[
        "role",
        "runner",
        "runbook",
        "-n",
        "shop",
        "--operator-namespace",
        "ops",
    ]);
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    for part in [
        "verbs:\n  - impersonate",
        "- runbook",
        "namespace: ops",
        "name: neuralops-controller",
    ] {
        assert!(answer.out.contains(part), "{part}: {}", answer.out);
    }
    let answer = neuralops(&["role", "runner", "runbook"]);
    assert_eq!(answer.code, Some(2), "{}", answer.err);
    assert!(answer.err.contains("Give -n NAMESPACE"), "{}", answer.err);
    let answer = neuralops(&["role", "runner", "runbook", "-n", "a\nkind: b"]);
    assert_eq!(answer.code, Some(2), "{}", answer.out);
}

/// One for each step kind, named after it, without a finding; authors begin with these.
#[test]
fn every_step_kind_has_a_sample_without_a_finding() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/steps");
    for kind in neuralops::domain::lint::STEP_KINDS {
        let path = folder.join(format!("{kind}.yaml"));
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text.contains(&format!("\n    {kind}:\n")),
            "{}",
            path.display()
        );
    }
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let answer = neuralops(&["playbook", "lint", "-f", path.to_str().unwrap()]);
        assert_eq!(answer.code, Some(0), "{}: {}", path.display(), answer.err);
        assert_eq!(answer.err, "", "{}", path.display());
    }
}

#[test]
fn every_playbook_sample_is_good() {
    let mut samples = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples")).unwrap()
    {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("playbook-")
            && fs::read_to_string(&path)
                .unwrap()
                .contains("kind: Playbook\n")
        {
            let answer = neuralops(&["playbook", "lint", "-f", path.to_str().unwrap()]);
            assert_eq!(answer.code, Some(0), "{}: {}", path.display(), answer.err);
            samples += 1;
        }
    }
    assert!(samples >= 2, "{samples} samples");
}

#[test]
fn every_sample_of_a_runbook_is_good_and_lets_the_operator_act_by_the_role_that_is_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/samples/playbooks");
    let mut samples = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let namespace = path.file_name().unwrap().to_str().unwrap();
        let playbook = path.join("playbook.yaml");
        let answer = neuralops(&["playbook", "lint", "-f", playbook.to_str().unwrap()]);
        assert_eq!(answer.code, Some(0), "{namespace}: {}", answer.err);
        let granted = fs::read_to_string(path.join("rbac.yaml")).unwrap();
        let printed = neuralops(&["role", "runner", "healer", "-n", namespace]).out;
        assert!(granted.ends_with(&printed), "{namespace}: {granted}");
        samples += 1;
    }
    assert_eq!(samples, 6);
}

#[test]
fn the_linter_names_every_error_with_its_place_and_exits_with_1() {
    let bad = tempfile::NamedTempFile::new().unwrap();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE)).unwrap();
    fs::write(
        bad.path(),
        text.replace("$(params.deployment)", "$(params.nothing)"),
    )
    .unwrap();
    let answer = neuralops(&["playbook", "lint", "-f", bad.path().to_str().unwrap()]);
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.err.contains(
            "error: spec.steps[0].rolloutRestart.target.name: the parameter nothing is not declared"
        ),
        "{}",
        answer.err
    );
}

#[test]
fn an_unknown_field_is_refused_before_the_api_server_prunes_it() {
    let bad = tempfile::NamedTempFile::new().unwrap();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE)).unwrap();
    fs::write(
        bad.path(),
        text.replace("  revision:", "  revisions: 3\n  revision:"),
    )
    .unwrap();
    let answer = neuralops(&["playbook", "lint", "-f", bad.path().to_str().unwrap()]);
    assert_eq!(answer.code, Some(1), "{}", answer.out);
    assert!(answer.err.contains("revisions"), "{}", answer.err);
}

#[test]
fn the_digest_is_one_word_and_depends_on_the_namespace() {
    let digest = |namespace: &str| {
        let sample = tempfile::NamedTempFile::new().unwrap();
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLE)).unwrap();
        fs::write(sample.path(), text.replace("  namespace: shop\n", "")).unwrap();
        neuralops(&[
            "playbook",
            "digest",
            "-n",
            namespace,
            "-f",
            sample.path().to_str().unwrap(),
        ])
        .out
    };
    let (here, there) = (digest("here"), digest("there"));
    assert!(here.starts_with("sha256:") && here.len() == 72, "{here}");
    assert_ne!(here, there);
}

#[test]
fn a_file_that_is_something_else_is_refused() {
    let answer = neuralops(&["playbook", "lint", "-f", "config/samples/gate.yaml"]);
    assert_eq!(answer.code, Some(1));
    assert!(
        answer
            .err
            .contains("not a Playbook of neuralops.io/v1alpha1"),
        "{}",
        answer.err
    );
    let answer = neuralops(&["playbook", "lint", "-f", "nowhere.yaml"]);
    assert!(
        answer.err.contains("could not read nowhere.yaml"),
        "{}",
        answer.err
    );
}

#[test]
fn the_configuration_is_printed_with_its_origins_and_refused_with_its_place() {
    let answer = neuralops(&["operator", "--print-config", "--concurrency", "8"]);
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    assert!(
        answer.out.contains("concurrency: 8 # flag --concurrency\n"),
        "{}",
        answer.out
    );

    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "concurrency: 8\nleaseTime: 3s\n").unwrap();
    let answer = neuralops(&["operator", "--config", file.path().to_str().unwrap()]);
    assert_eq!(answer.code, Some(1));
    for part in ["leaseTime", "line 2", file.path().to_str().unwrap()] {
        assert!(answer.err.contains(part), "{}", answer.err);
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_before_a_cluster_is_looked_for() {
    let answer = neuralops(&["operator", "--tls-cert", SAMPLE, "--tls-key", "/nowhere"]);
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.err.contains("could not read /nowhere"),
        "{}",
        answer.err
    );
    let answer = neuralops(&["operator", "--tls-cert", SAMPLE, "--tls-key", SAMPLE]);
    assert_eq!(answer.code, Some(1));
    let said = format!("{SAMPLE} holds no certificate in PEM");
    assert!(answer.err.contains(&said), "{}", answer.err);
}

#[test]
fn without_a_cluster_the_operator_says_what_it_looked_for() {
    let answer = neuralops(&["operator", "--probe-address", "127.0.0.1:0"]);
    assert_eq!(answer.code, Some(1));
    assert!(
        answer.err.contains("neither --kubeconfig nor KUBECONFIG"),
        "{}",
        answer.err
    );
}

#[test]
fn all_kinds_are_printed() {
    let answer = neuralops(&["crds"]);
    assert_eq!(
        answer
            .out
            .matches("\nkind: CustomResourceDefinition\n")
            .count(),
        7
    );
}

/// What the container of an http step says of a request that comes to no good end: by its code, and nothing that is secret.
#[test]
fn a_request_that_is_not_answered_tells_so_by_its_code() {
    let ask = |request: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_neuralops"))
            .arg("http-request")
            .env_clear()
            .env("NEURALOPS_HTTP_REQUEST", request)
            .env("NEURALOPS_HTTP_AUTHORIZATION", "Bearer c4n4ry")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("c4n4ry"), "{said}");
        (output.status.code(), said)
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/?c4n4ry", port.local_addr().unwrap());
    drop(port);
    let request = format!(r#"{{"method": "GET", "url": "{nobody}", "timeout": 20000}}"#);
    let (code, said) = ask(&request);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("127.0.0.1 does not answer"), "{said}");
    let (code, said) = ask(r#"{"method": "GET", "c4n4ry": 1}"#);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("holds no request"), "{said}");
    assert!(!neuralops(&["--help"]).out.contains("http-request"));
}
