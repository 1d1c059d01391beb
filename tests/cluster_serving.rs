//! The metrics behind a token, asked of a real API server: who is let in, who is told what, and how often it is asked; and
//! the same port encrypted.

use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use crate::support::{Cluster, Operator, OwnCluster, create, eventually, need};

const SOON: Duration = Duration::from_secs(30);
const OPERATOR: &str = "system:serviceaccount:neuralops-system:neuralops-controller";

async fn account(admin: &Client, name: &str) {
    let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}});
    create(admin, object).await.expect("an account");
}

/// A token of the account that nobody has seen yet.
async fn token(admin: &Client, name: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), "default");
    let request = json!({"spec": {"audiences": [], "expirationSeconds": 3600}});
    let request = serde_json::from_value(request).expect("a TokenRequest");
    let made = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await;
    made.expect("a token").status.expect("a token").token
}

async fn may_read_metrics(admin: &Client, name: &str) {
    let metadata = json!({"name": "reads-metrics"});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata,
        "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
    });
    create(admin, role).await.expect("a role");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reads-metrics"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    });
    create(admin, binding).await.expect("a binding");
}

async fn asked(operator: &Operator, token: Option<&str>) -> (u16, String) {
    let answer = operator.probe_with("/metrics", token).await;
    answer.expect("an answer")
}

/// The API server is asked about a token once, and not again while the answer is kept.
async fn is_asked_once(
    cluster: &Cluster,
    operator: &Operator,
    known: [(&str, u16); 2],
    unknown: &str,
) {
    let mark = cluster.audit_mark();
    for _ in 0..5 {
        for (token, code) in known {
            assert_eq!(asked(operator, Some(token)).await.0, code);
        }
    }
    assert_eq!(asked(operator, Some(unknown)).await.0, 200);
    let reviews = eventually("the API server tells of it", SOON, async || {
        let events = cluster.audit_since(mark).into_iter();
        let reviews = events.filter(|event| {
            event.user == OPERATOR && event.resource == "tokenreviews" && event.code == 201
        });
        match reviews.count() {
            0 => Err("not yet".to_owned()),
            count => Ok(count),
        }
    })
    .await;
    assert_eq!(
        reviews, 1,
        "only the token that was not known yet is asked about"
    );
}

/// Another replica, with a certificate of its own making.
async fn encrypted(own: &OwnCluster, token: &str) {
    let operator = own.operator(&["--metrics-auth", "token-review", "--tls-self-signed"]);
    let client = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .no_proxy()
        .build()
        .expect("a client");
    let ask = async |path: &str| {
        let address = operator.address().ok_or_else(|| operator.log())?;
        let request = client.get(format!("https://{address}{path}"));
        let answer = request.bearer_auth(token).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let code = answer.status().as_u16();
        let said = answer.text().await.map_err(|error| error.to_string())?;
        if code == 200 {
            Ok(said)
        } else {
            Err(format!("{code} {said}"))
        }
    };
    eventually("it is ready", SOON, async || ask("/readyz").await).await;
    let metrics = ask("/metrics").await.expect("metrics");
    assert!(metrics.contains("neuralops_leader 0"), "{metrics}");
    let plain = operator.probe("/livez").await;
    assert!(plain.is_err(), "{plain:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_whoever_may_get_them_and_probes_for_everybody() {
    need!(Owned);
    let own = OwnCluster::start().await;
    let cluster = own.cluster();
    let admin = cluster.admin().await;
    for name in ["reader", "stranger"] {
        account(&admin, name).await;
    }
    may_read_metrics(&admin, "reader").await;
    let operator = own.operator(&["--metrics-auth", "token-review"]);
    // Without any token.
    operator.ready().await;
    assert_eq!(operator.probe("/livez").await.expect("an answer").0, 200);

    let (code, said) = asked(&operator, None).await;
    assert!(
        code == 401 && said.contains("Authorization: Bearer"),
        "{code} {said}"
    );
    let (code, said) = asked(&operator, Some("sesame")).await;
    assert!(
        code == 401 && said.contains("does not know this token"),
        "{code} {said}"
    );
    let strange = token(&admin, "stranger").await;
    let (code, said) = asked(&operator, Some(&strange)).await;
    let denied = "system:serviceaccount:default:stranger may not get /metrics";
    assert!(code == 403 && said.starts_with(denied), "{code} {said}");

    let admitted = eventually("the reader is let in", SOON, async || {
        // A refusal is remembered for a while, but only of the token that it was about.
        let token = token(&admin, "reader").await;
        match asked(&operator, Some(&token)).await {
            (200, metrics) if metrics.contains("neuralops_build_info") => Ok(token),
            (code, said) => Err(format!("{code} {said}")),
        }
    })
    .await;
    let another = token(&admin, "reader").await;
    let known = [(admitted.as_str(), 200), (strange.as_str(), 403)];
    is_asked_once(cluster, &operator, known, &another).await;
    encrypted(&own, &another).await;

    let unasked = token(&admin, "reader").await;
    own.ctl("kill", "kube-apiserver");
    let (code, said) = asked(&operator, Some(&unasked)).await;
    assert!(
        code == 503 && said.contains("could not be asked"),
        "{code} {said}"
    );
    assert_eq!(asked(&operator, Some(&another)).await.0, 200);
    for secret in [&strange, &admitted, &another, &unasked] {
        assert!(
            !operator.log().contains(secret.as_str()),
            "a token is in the log"
        );
    }
}
