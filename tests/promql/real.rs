//! A real Prometheus: right, wrong, flapping, gone and back, behind TLS.

use std::{path::Path, process::Command};

use neuralops::{
    adapters::{
        kube::error::Classified as _,
        prometheus::Settings,
        steps::{Forecast, Progress},
    },
    domain::{plan::Coverage, reason::Reason},
};
use serde_json::{Value, json};
use std::time::Duration;

use crate::{
    bed::{Bed, Metrics, Own, asked, check, closed_port, settings, stable, until, waits},
    prometheus,
    wait::eventually,
};

async fn effect(bed: &Bed, step: &Value) -> Value {
    let forecast = bed.plan(step).await.expect("planned");
    assert_eq!(forecast.coverage, Coverage::SchemaOnly);
    assert!(forecast.targets.is_empty() && forecast.changes.is_empty());
    forecast.effect
}

fn failed(progress: Progress) -> (Reason, String) {
    match progress {
        Progress::Failed { reason, message } => (reason, message),
        other => panic!("{other:?}"),
    }
}

fn is_done(progress: &Progress) -> bool {
    matches!(progress, Progress::Done { .. })
}

#[tokio::test]
async fn what_holds_passes_and_what_does_not_fails() {
    let offered = prometheus!();
    let lines = "orders{app=\"a\"} 1\norders{app=\"b\"} 3.5\nnever 0";
    let _metrics = Metrics::serve(&offered, "right", lines).await;
    let settings = offered.settings();
    until(&settings, "sum(orders) + sum(never)", &[4.5]).await;
    let bed = Bed::with(Some(settings));
    passes(&bed).await;
    fails(&bed).await;
}

async fn passes(bed: &Bed) {
    for (query, expression) in [
        ("orders{app=\"b\"}", "result[0].value > params.limit"),
        ("sum(orders)", "result[0].value == 4.5"),
        ("orders", "size(result) == 2 && result.all(r, r.value >= 1)"),
        (
            "orders",
            "result.exists(r, r.metric.app == 'a' && r.value < 2)",
        ),
        ("orders", "size(result.filter(r, r.value > 9)) == 0"),
        ("orders", "size(result) == 2 && result[1].value > 0"),
        ("scalar(never)", "result[0].value == 0"),
        ("no_such_metric", "size(result) == 0"),
    ] {
        let effect = effect(bed, &check(query, expression)).await;
        let progress = bed.look(&effect, 1, None).await;
        assert!(is_done(&progress), "{query}, {expression}: {progress:?}");
    }
}

async fn fails(bed: &Bed) {
    for (query, expression, said) in [
        (
            "orders",
            "result.all(r, r.value >= 2)",
            "does not hold for what the query finds, 2 series",
        ),
        (
            "orders{app=\"c\"}",
            "result[0].value > 0",
            "finds no series",
        ),
        // All of nothing is at least two.
        (
            "orders{app=\"c\"}",
            "result.all(r, r.value >= 2)",
            "finds no series",
        ),
        ("never / never", "result[0].value < 1", "gives NaN"),
        ("never / never", "!(result[0].value >= 1)", "gives NaN"),
        ("orders / 0", "result[0].value > 1", "gives +Inf"),
        (
            "sum(orders)",
            "result[7].value > 1",
            "no item at that index",
        ),
        (
            "orders{app=\"a\"}",
            "result[0].metric.nothing == 'a'",
            "no nothing",
        ),
        // Nobody knows which of them comes first.
        ("orders", "result[0].value > 0", "looks at one of them"),
        // Of nothing, nothing is left by a filter.
        (
            "orders{app=\"c\"}",
            "size(result.filter(r, r.value > 9)) == 0",
            "finds no series",
        ),
    ] {
        let effect = effect(bed, &check(query, expression)).await;
        let (reason, message) = failed(bed.look(&effect, 1, None).await);
        assert_eq!(reason, Reason::CheckFailed, "{message}");
        assert!(message.contains(said), "{query}, {expression}: {message}");
    }
}

#[tokio::test]
async fn values_of_parameters_stand_in_the_plan_as_they_are_asked() {
    let offered = prometheus!();
    let bed = Bed::with(Some(offered.settings()));
    let mut step = check(
        "absent(nothing_of_it{app=$app})",
        "result[0].metric.app == 'a\"b'",
    );
    step["check"]["prometheus"]["vars"] = json!({"app": "a\"b"});
    let effect = effect(&bed, &step).await;
    assert_eq!(effect["query"], r#"absent(nothing_of_it{app="a\"b"})"#);
    assert!(is_done(&bed.look(&effect, 1, None).await));
}

#[tokio::test]
async fn a_query_or_expression_that_is_none_fails_before_anybody_is_asked() {
    let offered = prometheus!();
    let bed = Bed::with(Some(offered.settings()));
    for (query, expression, reason, said) in [
        (
            "up{",
            "size(result) > 0",
            "QueryInvalid",
            "unexpected end of input inside braces",
        ),
        (
            "rate(up)",
            "size(result) > 0",
            "QueryInvalid",
            "expected type range vector",
        ),
        (
            "up{app=\"$app\"}",
            "size(result) > 0",
            "QueryInvalid",
            "leave them out",
        ),
        (
            "vector(1)",
            "result[0].value >",
            "ExpressionInvalid",
            "does not compile",
        ),
        (
            "vector(1)",
            "object.spec.replicas > 1",
            "ExpressionInvalid",
            "object",
        ),
        (
            "vector(1)",
            "result[0].value > 'a'",
            "ExpressionInvalid",
            "types that it does not take",
        ),
        (
            "vector(1)",
            "result[0].metric",
            "ExpressionInvalid",
            "no truth value",
        ),
    ] {
        let mut step = check(query, expression);
        step["check"]["prometheus"]["vars"] = json!({"app": "a"});
        let (verdict, found, message) = bed.refused(&step).await;
        assert_eq!(
            (verdict.as_str(), found.as_str()),
            ("Fail", reason),
            "{message}"
        );
        assert!(message.contains(said), "{message}");
    }
}

#[tokio::test]
async fn what_a_query_gives_is_of_a_kind_that_expressions_look_at() {
    let offered = prometheus!();
    let bed = Bed::with(Some(offered.settings()));
    for query in ["up[5m]", "\"up\""] {
        let (verdict, reason, message) = bed.refused(&check(query, "size(result) > 0")).await;
        assert_eq!(verdict, "Unknown", "{message}");
        assert_eq!(reason, "PrometheusAnswerUnusable");
        assert!(message.contains("instant vector or a scalar"), "{message}");
    }
}

#[tokio::test]
async fn what_flaps_is_not_stable() {
    let offered = prometheus!();
    let metrics = Metrics::serve(&offered, "flapping", "queue 1").await;
    let settings = offered.settings();
    until(&settings, "queue", &[1.0]).await;
    let bed = Bed::with(Some(settings.clone()));
    let effect = effect(&bed, &stable("queue", "result[0].value < 10")).await;
    assert_eq!(effect["stableFor"], "10s");
    assert_eq!(waits(bed.look(&effect, 1, None).await).0, Some(1));
    assert_eq!(waits(bed.look(&effect, 9, Some((1, 8))).await).0, Some(1));
    // It would have been so a moment later.
    metrics.set("queue 50");
    until(&settings, "queue", &[50.0]).await;
    let (memory, message) = waits(bed.look(&effect, 10, Some((1, 9))).await);
    assert_eq!(memory, None, "{message}");
    metrics.set("queue 2");
    until(&settings, "queue", &[2.0]).await;
    assert_eq!(waits(bed.look(&effect, 11, None).await).0, Some(11));
    assert_eq!(
        waits(bed.look(&effect, 20, Some((11, 19))).await).0,
        Some(11)
    );
    assert!(is_done(&bed.look(&effect, 21, Some((11, 20))).await));
    // Another process knows nothing of it, and nobody knows what was while nobody looked.
    assert_eq!(waits(bed.look(&effect, 21, None).await).0, Some(21));
    assert_eq!(
        waits(bed.look(&effect, 31, Some((11, 20))).await).0,
        Some(31)
    );
    // Nothing at all is no more stable than too much.
    drop(metrics);
    eventually(
        "the metric is gone",
        Duration::from_secs(60),
        async || match asked(settings.clone(), "queue").await {
            Ok(answer) if answer.series.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
    let (memory, message) = waits(bed.look(&effect, 12, Some((1, 11))).await);
    assert!(
        memory.is_none() && message.contains("finds no series"),
        "{message}"
    );
}

#[tokio::test]
async fn without_a_prometheus_nothing_is_known() {
    let bed = Bed::with(None);
    let step = check("vector(1)", "size(result) > 0");
    let (verdict, reason, message) = bed.refused(&step).await;
    assert_eq!(
        (verdict.as_str(), reason.as_str()),
        ("Unknown", "PrometheusNotConfigured")
    );
    assert!(message.contains("--prometheus-url"), "{message}");
    let effect = json!({"query": "vector(1)", "expression": "size(result) > 0"});
    let (memory, message) = waits(bed.look(&effect, 1, None).await);
    assert!(
        memory.is_none() && message.contains("--prometheus-url"),
        "{message}"
    );
}

#[tokio::test]
async fn one_that_goes_leaves_it_unknown_until_it_comes_back() {
    let offered = prometheus!();
    let folder = tempfile::tempdir().unwrap();
    let mut own = Own::start(&offered, folder.path(), &[]);
    let settings = Settings {
        within: Duration::from_secs(3),
        ..settings(&format!("http://127.0.0.1:{}", own.port))
    };
    let bed = Bed::with(Some(settings.clone()));
    until(&settings, "vector(1)", &[1.0]).await;
    let step = stable("vector(1)", "result[0].value == 1");
    let effect = effect(&bed, &step).await;
    assert_eq!(waits(bed.look(&effect, 1, None).await).0, Some(1));
    // It has its port and says nothing.
    own.signal("STOP");
    let (memory, message) = waits(bed.look(&effect, 2, Some((1, 1))).await);
    assert!(
        memory.is_none() && message.contains("within 3s"),
        "{message}"
    );
    let (verdict, reason, message) = bed.refused(&step).await;
    assert_eq!(
        (verdict.as_str(), reason.as_str()),
        ("Unknown", "PrometheusUnavailable")
    );
    assert!(message.contains("within 3s"), "{message}");
    own.signal("CONT");
    until(&settings, "vector(1)", &[1.0]).await;
    // It is gone.
    own.kill();
    let (memory, message) = waits(bed.look(&effect, 11, Some((1, 10))).await);
    assert!(
        memory.is_none() && message.contains("does not answer"),
        "{message}"
    );
    let (verdict, reason, _) = bed.refused(&step).await;
    assert_eq!(
        (verdict.as_str(), reason.as_str()),
        ("Unknown", "PrometheusUnavailable")
    );
    own.again();
    until(&settings, "vector(1)", &[1.0]).await;
    assert!(matches!(bed.plan(&step).await, Ok(Forecast { .. })));
    assert_eq!(waits(bed.look(&effect, 12, None).await).0, Some(12));
}

/// The same for an object, where the API server is away: a break, and not a pass that is repeated as if nothing had been.
#[tokio::test]
async fn an_api_server_that_does_not_answer_begins_the_time_anew() {
    let bed = Bed::with(None);
    let mut effect = json!({"expression": "object.data.a == 'b'"});
    assert!(bed.try_look(&effect, 9, Some((1, 8))).await.is_err());
    effect["stableFor"] = json!("10s");
    let (memory, message) = waits(bed.look(&effect, 9, Some((1, 8))).await);
    assert!(
        memory.is_none() && message.contains("could not read"),
        "{message}"
    );
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output();
    let output = output.expect("openssl runs");
    assert!(output.status.success(), "{arguments}: {output:?}");
}

/// An authority of this name and a certificate of its own for this machine.
fn authority(folder: &Path, name: &str) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(
        folder,
        &format!(
            "req -x509 {key} -keyout {name}.key -out {name}.crt -subj /CN={name} -addext basicConstraints=critical,CA:TRUE"
        ),
    );
    openssl(
        folder,
        &format!(
            "req {key} -keyout {name}-leaf.key -out {name}-leaf.csr -subj /CN=leaf -addext subjectAltName=IP:127.0.0.1"
        ),
    );
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}-leaf.csr -CA {name}.crt -CAkey {name}.key -CAcreateserial -days 2 -copy_extensions copy -out {name}-leaf.crt"
        ),
    );
}

#[tokio::test]
async fn only_the_right_authority_is_trusted() {
    let offered = prometheus!();
    let folder = tempfile::tempdir().unwrap();
    authority(folder.path(), "ours");
    authority(folder.path(), "theirs");
    let config = "tls_server_config: {cert_file: ours-leaf.crt, key_file: ours-leaf.key}";
    std::fs::write(folder.path().join("web.yaml"), config).unwrap();
    let web = format!(
        "--web.config.file={}",
        folder.path().join("web.yaml").display()
    );
    let own = Own::start(&offered, folder.path(), &[web]);
    let url = format!("https://127.0.0.1:{}", own.port);
    let trusting = |name: &str| Settings {
        authorities: Some(folder.path().join(name)),
        ..settings(&url)
    };
    until(&trusting("ours.crt"), "vector(1)", &[1.0]).await;
    let unavailable = async |settings: Settings, said: &str| {
        let error = asked(settings, "vector(1)").await.expect_err("refused");
        assert_eq!(error.reason(), Reason::PrometheusUnavailable);
        let told = neuralops::adapters::kube::error::chain(&error);
        assert!(told.contains(said), "{told}");
    };
    unavailable(settings(&url), "does not answer").await;
    unavailable(trusting("theirs.crt"), "does not answer").await;
    unavailable(trusting("gone.crt"), "could not read").await;
    unavailable(trusting("web.yaml"), "no certificate in PEM").await;
    // Its name is another one.
    let other = url.replace("127.0.0.1", "localhost");
    let other = Settings {
        url: other.parse().unwrap(),
        ..trusting("ours.crt")
    };
    unavailable(other, "does not answer").await;
    // Certificates are renewed in place.
    let renewed = neuralops::adapters::prometheus::Prometheus::new(trusting("now.crt"));
    let now = folder.path().join("now.crt");
    std::fs::copy(folder.path().join("theirs.crt"), &now).unwrap();
    assert!(renewed.query("vector(1)").await.is_err());
    std::fs::copy(folder.path().join("ours.crt"), &now).unwrap();
    assert!(renewed.query("vector(1)").await.is_ok());
    let nobody = settings(&format!("https://127.0.0.1:{}", closed_port()));
    unavailable(nobody, "does not answer").await;
}
