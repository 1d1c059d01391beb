//! What is secret is named and not written down, neither in a Playbook nor in the parameters of a run; what only looks like it
//! passes, and what was written before keeps nobody from a stop.

use serde_json::{Value, json};

use super::{Accepted, Denied, Scene, Table, merge};
use crate::support::{api, bind, create, grant, need, ours, random};

/// What is said of Playbooks and of runs, and what each pattern finds, put together here: nothing that looks like a credential stands in the repository.
fn credentials() -> [(&'static str, &'static str, String); 8] {
    let jwt = [
        "eyJ",
        &"a".repeat(20),
        ".eyJ",
        &"b".repeat(20),
        ".",
        &"c".repeat(20),
    ];
    [
        (
            "the steps hold a private key: name a Secret with secretKeyRef or secretRef instead",
            "the parameters hold a private key: let the Playbook name a Secret instead",
            ["-----BEGIN RSA ", "PRIVATE KEY-----\nMII"].concat(),
        ),
        (
            "the steps hold a key of AWS: name a Secret with secretKeyRef or secretRef instead",
            "the parameters hold a key of AWS: let the Playbook name a Secret instead",
            ["AKIA", &"B7".repeat(8)].concat(),
        ),
        (
            "the steps hold a token of GitHub: name a Secret with secretKeyRef or secretRef instead",
            "the parameters hold a token of GitHub: let the Playbook name a Secret instead",
            ["gh", "p_", &"a1".repeat(18)].concat(),
        ),
        (
            "the steps hold a token of Slack: name a Secret with secretKeyRef or secretRef instead",
            "the parameters hold a token of Slack: let the Playbook name a Secret instead",
            ["xox", "b-1234567890-abc"].concat(),
        ),
        (
            "the steps hold a signed token (JWT): name a Secret with secretKeyRef or secretRef instead",
            "the parameters hold a signed token (JWT): let the Playbook name a Secret instead",
            jwt.concat(),
        ),
        (
            "the steps hold a password: name a Secret with secretKeyRef or secretRef instead",
            "the parameters hold a password: let the Playbook name a Secret instead",
            ["--pass", "word=hunter22"].concat(),
        ),
        (
            "the steps hold a webhook of Slack: name a Secret with secretKeyRef or secretRef instead",
            "the parameters hold a webhook of Slack: let the Playbook name a Secret instead",
            ["https://hooks.sl", "ack.com/services/T0A/B0A/a1b2c3d4e5"].concat(),
        ),
        (
            "the steps hold a credential in an address: name a Secret with secretKeyRef or secretRef instead",
            "the parameters hold a credential in an address: let the Playbook name a Secret instead",
            ["https://a.example/x?to", "ken=a1b2c3"].concat(),
        ),
    ]
}

const HARMLESS: [&str; 5] = [
    "checkout",
    "-----BEGIN CERTIFICATE-----",
    "--password-file=/run/secrets/db",
    "password: $(params.name)",
    "token-bucket=fast",
];

fn playbook(scene: &Scene, step: Value) -> Value {
    json!({
        "apiVersion": "neuralops.io/v1alpha1", "kind": "Playbook",
        "metadata": {"name": random("t-secrets"), "namespace": scene.name()},
        "spec": {
            "revision": 1, "serviceAccountName": "runbook",
            "approval": [{"rules": [{"role": "oncall", "min": 1}]}],
            "steps": [step],
        },
    })
}

fn job(more: Value) -> Value {
    let mut step =
        json!({"name": "j", "opaque": "Accepted", "job": {"image": "registry.example/a:1"}});
    merge(&mut step, json!({"job": more}));
    step
}

#[tokio::test]
async fn a_playbook_holds_nothing_that_is_secret() {
    let cluster = need!();
    let scene = Scene::set(cluster, "secrets").await;
    let mut table = Table::of("no secret in a Playbook");
    let refused = |message: &str| Denied("playbook-secrets", message.to_owned());
    let admin = scene.ns.admin();
    for (what, _, text) in credentials() {
        let http = json!({"name": "h", "opaque": "Accepted", "http": {"url": "https://example.com", "headers": {"X-A": text}}});
        let notify = json!({"name": "n", "notify": {"message": text}});
        let url = json!({"name": "h", "opaque": "Accepted", "http": {"url": "https://example.com", "body": text}});
        for (place, step) in [
            ("a message", notify),
            ("a body", url),
            ("a command", job(json!({"command": ["sh", text]}))),
            (
                "a variable",
                job(json!({"env": [{"name": "A", "value": text}]})),
            ),
            ("an argument", job(json!({"args": ["-c", text]}))),
            ("a header", http),
        ] {
            let made = create(admin, playbook(&scene, step)).await;
            table.check(&format!("{what} in {place}"), &refused(what), made);
        }
    }
    for text in HARMLESS {
        let step = job(json!({"env": [{"name": "A", "value": text}], "command": [text]}));
        let made = create(admin, playbook(&scene, step)).await;
        table.check(text, &Accepted, made);
    }
    let header = |name: &str| json!({"name": "h", "opaque": "Accepted", "http": {"url": "https://example.com", "headers": {name: "a"}}});
    let carries = "a header with such a name (Authorization, Cookie, or PASSWORD, SECRET, TOKEN, API-KEY at its end) carries what is secret: use secretRef, which sends Authorization";
    for (name, expected) in [
        ("X-Api-Key", refused(carries)),
        ("private-token", refused(carries)),
        ("Cookie", refused(carries)),
        ("Authorization", refused(carries)),
        ("Idempotency-Key", Accepted),
    ] {
        let made = create(admin, playbook(&scene, header(name))).await;
        table.check(name, &expected, made);
    }
    let named = "a variable with such a name (PASSWORD, SECRET, TOKEN, API_KEY at its end) takes its value from a Secret: use secretKeyRef instead of value";
    let by_name = |name: &str, value: &str| job(json!({"env": [{"name": name, "value": value}]}));
    for (name, value, expected) in [
        (
            "DB_PASSWORD",
            "hunter2",
            Denied("playbook-secrets", named.to_owned()),
        ),
        (
            "api_key",
            "$(params.key)",
            Denied("playbook-secrets", named.to_owned()),
        ),
        ("USE_TOKEN", "true", Accepted),
        ("TOKEN_URL", "https://id.example.com", Accepted),
    ] {
        let made = create(admin, playbook(&scene, by_name(name, value))).await;
        table.check(name, &expected, made);
    }
    let reference = json!({"env": [{"name": "DB_PASSWORD", "secretKeyRef": {"name": "db", "key": "password"}}]});
    let made = create(admin, playbook(&scene, job(reference))).await;
    table.check("a reference", &Accepted, made);
}

#[tokio::test]
async fn a_parameter_holds_nothing_that_is_secret() {
    let cluster = need!(Users);
    let scene = Scene::set(cluster, "secrets").await;
    bind(&scene.ns, "alice", "neuralops-engineer").await;
    grant(
        &scene.ns,
        "alice",
        &[ours("create get patch", "orchestrations")],
    )
    .await;
    let alice = cluster.person("alice").await;
    let mut table = Table::of("no secret in a parameter");
    let run = |parameters: Value| {
        json!({
            "apiVersion": "neuralops.io/v1alpha1", "kind": "Orchestration",
            "metadata": {"name": random("t-secrets"), "namespace": scene.name()},
            "spec": {"incident": {}, "requestedBy": "alice", "playbookRef": {"name": "p"}, "parameters": parameters},
        })
    };
    let refused = |message: &str| Denied("orchestration-secrets", message.to_owned());
    for (_, message, text) in credentials() {
        let made = create(&alice, run(json!({"a": "fine", "b": text}))).await;
        table.check(message, &refused(message), made);
    }
    for text in HARMLESS {
        let made = create(&alice, run(json!({"a": text}))).await;
        table.check(text, &Accepted, made);
    }
    // Also when they are set later, with the Playbook.
    let mut waiting = run(json!({}));
    let spec = waiting["spec"].as_object_mut().expect("a spec");
    spec.remove("parameters");
    spec.remove("playbookRef");
    let made = create(&alice, waiting).await.expect("a run");
    let name = made.metadata.name.clone().expect("a name");
    let [(_, message, text), ..] = credentials();
    let take = json!({"spec": {"playbookRef": {"name": "p"}, "selectedBy": "alice", "parameters": {"a": text}}});
    let patch = kube::api::Patch::Merge(take);
    let taken = api(&alice, "Orchestration", scene.name())
        .patch(&name, &kube::api::PatchParams::default(), &patch)
        .await;
    table.check("set later", &refused(message), taken);
}
