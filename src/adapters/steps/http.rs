//! Floor 2: `http`: one request, sent from a Job as the playbook's account and never by the operator itself. The Job's program
//! is this one, in an image that the installation names; nothing of it but the request is the author's.

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Forecast, Planning, Progress, Running, StepKind, job};
use crate::{
    adapters::{http_request::HttpRequest, kube::account::AccountError},
    api::v1alpha1::{HttpStep, JobStep, Step},
    domain::{plan::Obstacle, reason::Reason},
};

/// What the container reads the request from.
const REQUEST: &str = "NEURALOPS_HTTP_REQUEST";
/// And what is secret of it.
const AUTHORIZATION: &str = "NEURALOPS_HTTP_AUTHORIZATION";
/// What fits into one variable of a program, and leaves room for others.
const LONGEST: usize = 96 * 1024;

/// The kind.
pub(super) struct Http;

impl StepKind for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn is(&self, step: &Step) -> bool {
        step.http.is_some()
    }

    fn plan<'a>(
        &'a self,
        step: &'a Step,
        planning: &'a Planning<'a>,
    ) -> BoxFuture<'a, Result<Forecast, Obstacle>> {
        Box::pin(plan(step, planning))
    }

    fn run<'a>(
        &'a self,
        running: &'a Running<'a>,
    ) -> BoxFuture<'a, Result<Progress, AccountError>> {
        Box::pin(run(running))
    }
}

async fn plan(step: &Step, planning: &Planning<'_>) -> Result<Forecast, Obstacle> {
    let effect = effect(step, planning)?;
    let Some(whole) = with_container(&effect) else {
        return Err(Obstacle::fail(Reason::Invalid, "the step makes no request"));
    };
    job::tried(step, planning, &whole).await?;
    Ok(job::forecast(
        effect,
        "what a request has done is not known, so it cannot be taken back",
    ))
}

async fn run(running: &Running<'_>) -> Result<Progress, AccountError> {
    match with_container(&running.step.effect) {
        Some(whole) => job::go_on(running, &whole, meaning).await,
        None => Ok(Progress::failed(
            Reason::Invalid,
            "the effect in the plan is none of http",
        )),
    }
}

/// What the program means by its exit code (`neuralops http-request`).
fn meaning(code: i64) -> Option<&'static str> {
    match code {
        3 => Some("answered with a status that is not expected"),
        4 => Some("no answer, or none to its end"),
        _ => None,
    }
}

/// What is approved: the request as it will be sent, and where its secret lies.
fn effect(step: &Step, planning: &Planning<'_>) -> Result<Value, Obstacle> {
    let invalid = |message: String| Obstacle::fail(Reason::Invalid, message);
    let Some(http) = &step.http else {
        return Err(invalid("the step makes no request".to_owned()));
    };
    let Some(image) = &planning.installation.image else {
        let message = "the operator is not told which image sends requests: whoever runs it sets --step-image";
        return Err(Obstacle::unknown(Reason::StepImageMissing, message));
    };
    let job = JobStep {
        image: image.clone(),
        command: None,
        args: None,
        env: None,
        resources: None,
    };
    let mut effect = job::effect(step, &job, planning)?;
    let milliseconds = job::timeout(step)?.as_millis();
    let request = request(http, u64::try_from(milliseconds).unwrap_or(u64::MAX));
    request
        .check()
        .map_err(|error| invalid(format!("the request cannot be sent: {error}")))?;
    let pod = "/spec/template/spec";
    if let Some(pod) = effect.pointer_mut(pod).and_then(Value::as_object_mut) {
        // Whoever is asked is told nothing that he could come back with.
        pod.insert("automountServiceAccountToken".to_owned(), json!(false));
    }
    let rules = "/spec/template/spec/containers/0/securityContext";
    if let Some(rules) = effect.pointer_mut(rules).and_then(Value::as_object_mut) {
        rules.insert("readOnlyRootFilesystem".to_owned(), json!(true));
    }
    if let Some(fields) = effect.as_object_mut() {
        fields.insert("request".to_owned(), json!(request));
        if let Some(secret) = &http.secret_ref {
            fields.insert("secretRef".to_owned(), json!(secret));
        }
    }
    if with_container(&effect).is_none() {
        return Err(invalid(format!(
            "the request has more than {LONGEST} bytes as it is handed on: shorten its body or headers"
        )));
    }
    Ok(effect)
}

fn request(http: &HttpStep, timeout: u64) -> HttpRequest {
    let method = http.method.map(|method| json!(method));
    let method = method.as_ref().and_then(Value::as_str).unwrap_or("GET");
    let expected = http.expect_status.iter().flatten();
    HttpRequest {
        method: method.to_owned(),
        url: http.url.clone(),
        headers: http.headers.clone().unwrap_or_default(),
        body: http.body.clone(),
        expect_status: expected
            .filter_map(|status| (*status).try_into().ok())
            .collect(),
        timeout,
    }
}

/// The effect of a job whose container sends this request; nothing, if it says none, or a longer one than can be handed on.
fn with_container(effect: &Value) -> Option<Value> {
    let mut whole = effect.clone();
    let fields = whole.as_object_mut()?;
    let request: HttpRequest = serde_json::from_value(fields.remove("request")?).ok()?;
    let request = serde_json::to_string(&request).ok()?;
    if request.len() > LONGEST {
        return None;
    }
    let mut variables = vec![json!({"name": REQUEST, "value": job::plain(&request)})];
    if let Some(secret) = fields.remove("secretRef") {
        variables.push(json!({"name": AUTHORIZATION, "valueFrom": {"secretKeyRef": secret}}));
    }
    fields.insert("env".to_owned(), Value::Array(variables));
    fields.insert("args".to_owned(), json!(["http-request"]));
    let resources = json!({
        "requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"},
    });
    fields.insert("resources".to_owned(), resources);
    Some(whole)
}
