//! Floor 0, tests: what is secret stands in no Playbook, wherever an author puts it.

use super::*;

#[test]
fn what_is_secret_is_refused_where_it_stands() {
    let key = ["-----BEGIN ", "PRIVATE KEY-----"].concat();
    let job = |env: Value| {
        with_step(
            json!({"name": "j", "opaque": "Accepted", "job": {"image": "a@sha256:0", "env": env}}),
        )
    };
    let of = |name: &str, value: &str| job(json!([{"name": name, "value": value}]));
    refused(
        of("CONFIG", &key),
        "spec.steps[2].job.env[0].value",
        "this holds a private key: put it into a Secret",
    );
    refused(
        of("DB_PASSWORD", "hunter2"),
        "spec.steps[2].job.env[0].value",
        "DB_PASSWORD holds what is secret, by its name",
    );
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"key": key}});
    refused(
        with_step(json!({"name": "a", "apply": {"manifest": manifest}})),
        "spec.steps[2].apply.manifest.data.key",
        "this holds a private key",
    );
    let shown = findings(of("CONFIG", &key));
    assert!(!shown.iter().any(|one| one.contains("BEGIN")), "{shown:?}");
    let named = json!([{"name": "DB_PASSWORD", "secretKeyRef": {"name": "db", "key": "password"}}]);
    let fine = findings(job(named));
    assert!(!fine.iter().any(|one| one.contains("secret")), "{fine:?}");
}
