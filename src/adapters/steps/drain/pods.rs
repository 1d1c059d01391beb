//! Floor 2: which pods of a node are evicted, which stay, and which nobody may send away without saying so. Pure: what the
//! API server listed comes in, nothing is asked.

use serde_json::Value;

/// What the author of the step has allowed.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub(super) ignore_daemon_sets: bool,
    pub(super) delete_empty_dir_data: bool,
}

/// A pod that has to go.
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// Who makes another one.
    pub(super) owner: String,
}

impl Pod {
    /// As people say it.
    pub(super) fn shown(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// The pods of a node by what becomes of them.
#[derive(Default)]
pub(super) struct Sorted {
    /// They are evicted.
    pub(super) evicted: Vec<Pod>,
    /// They are on their way already.
    pub(super) leaving: Vec<Pod>,
    /// Why nothing is evicted, each with its pod and what to do.
    pub(super) refused: Vec<String>,
    /// How many DaemonSets keep here.
    pub(super) daemons: usize,
    /// How many the kubelet runs by itself.
    pub(super) mirrors: usize,
}

/// Sorts the pods of a node.
pub(super) fn sort(pods: &[Value], rules: Rules) -> Sorted {
    let mut sorted = Sorted::default();
    for live in pods {
        let text = |pointer| live.pointer(pointer).and_then(Value::as_str);
        let there = |pointer| live.pointer(pointer).is_some();
        let owner = controller(live);
        let pod = Pod {
            namespace: text("/metadata/namespace").unwrap_or_default().to_owned(),
            name: text("/metadata/name").unwrap_or_default().to_owned(),
            uid: text("/metadata/uid").unwrap_or_default().to_owned(),
            owner: owner.map_or_else(
                || "nobody".to_owned(),
                |(kind, name)| format!("{kind}/{name}"),
            ),
        };
        let finished = matches!(text("/status/phase"), Some("Succeeded" | "Failed"));
        if there("/metadata/annotations/kubernetes.io~1config.mirror") {
            sorted.mirrors += 1;
        } else if owner.is_some_and(|(kind, _)| kind == "DaemonSet") && !finished {
            if rules.ignore_daemon_sets {
                sorted.daemons += 1;
            } else {
                sorted.refused.push(format!(
                    "{} belongs to {}, which would put it back (allow it with ignoreDaemonSets)",
                    pod.shown(),
                    pod.owner
                ));
            }
        } else if there("/metadata/deletionTimestamp") {
            sorted.leaving.push(pod);
        } else if finished {
            sorted.evicted.push(pod);
        } else if owner.is_none() {
            sorted.refused.push(format!(
                "{} has no controller that would make it again elsewhere (delete it by hand)",
                pod.shown()
            ));
        } else if !rules.delete_empty_dir_data && keeps_data(live) {
            sorted.refused.push(format!(
                "{} has data in an emptyDir that would be lost (allow it with deleteEmptyDirData)",
                pod.shown()
            ));
        } else {
            sorted.evicted.push(pod);
        }
    }
    sorted
}

fn controller(live: &Value) -> Option<(&str, &str)> {
    let owners = live.pointer("/metadata/ownerReferences")?.as_array()?;
    let mut owners = owners.iter();
    let found =
        owners.find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    Some((found.get("kind")?.as_str()?, found.get("name")?.as_str()?))
}

fn keeps_data(live: &Value) -> bool {
    let volumes = live.pointer("/spec/volumes").and_then(Value::as_array);
    let mut volumes = volumes.map(Vec::as_slice).unwrap_or_default().iter();
    volumes.any(|volume| volume.get("emptyDir").is_some())
}

/// The first few of them in one sentence, and how many there are besides.
pub(super) fn named(all: impl IntoIterator<Item = String>, most: usize) -> String {
    let all: Vec<String> = all.into_iter().collect();
    let first: Vec<&str> = all.iter().take(most).map(String::as_str).collect();
    let rest = all.len().saturating_sub(most);
    let mut text = first.join("; ");
    if rest > 0 {
        text.push_str(&format!("; and {rest} more"));
    }
    text
}

/// So many pods, in words.
pub(super) fn count(pods: usize) -> String {
    format!("{pods} {}", if pods == 1 { "pod" } else { "pods" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, owner: Option<&str>, more: Value) -> Value {
        let owners = owner.map(|kind| json!([{"kind": kind, "name": "o", "controller": true}]));
        let mut pod = json!({"metadata": {"namespace": "shop", "name": name, "uid": name, "ownerReferences": owners}});
        for (field, value) in more.as_object().unwrap() {
            match (pod.get_mut(field), value) {
                (Some(Value::Object(fields)), Value::Object(more)) => fields.extend(more.clone()),
                (_, value) => pod[field] = value.clone(),
            }
        }
        pod
    }

    fn all() -> Vec<Value> {
        let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
        let leaves = json!({"metadata": {"deletionTimestamp": "now"}});
        vec![
            pod("web", Some("ReplicaSet"), json!({})),
            pod("agent", Some("DaemonSet"), json!({})),
            pod("bare", None, json!({})),
            pod(
                "cache",
                Some("ReplicaSet"),
                json!({"spec": {"volumes": [{"emptyDir": {}}]}}),
            ),
            pod("static", Some("Node"), mirror),
            pod("going", None, leaves),
            pod("ended", None, json!({"status": {"phase": "Succeeded"}})),
        ]
    }

    fn names(pods: &[Pod]) -> Vec<&str> {
        pods.iter().map(|pod| pod.name.as_str()).collect()
    }

    #[test]
    fn what_would_be_lost_or_come_back_is_refused() {
        let strict = Rules {
            ignore_daemon_sets: false,
            delete_empty_dir_data: false,
        };
        let sorted = sort(&all(), strict);
        assert_eq!(names(&sorted.evicted), ["web", "ended"]);
        assert_eq!(names(&sorted.leaving), ["going"]);
        assert_eq!((sorted.daemons, sorted.mirrors), (0, 1));
        for (pod, word) in [
            ("agent", "ignoreDaemonSets"),
            ("bare", "controller"),
            ("cache", "deleteEmptyDirData"),
        ] {
            let told = |line: &&String| line.contains(&format!("shop/{pod} "));
            let found = sorted.refused.iter().find(told);
            assert!(found.unwrap().contains(word), "{pod}");
        }
    }

    #[test]
    fn what_the_author_allows_is_evicted_or_stays() {
        let rules = Rules {
            ignore_daemon_sets: true,
            delete_empty_dir_data: true,
        };
        let sorted = sort(&all(), rules);
        assert_eq!(names(&sorted.evicted), ["web", "cache", "ended"]);
        assert_eq!(sorted.evicted[0].owner, "ReplicaSet/o");
        assert_eq!(sorted.daemons, 1);
        assert_eq!(sorted.refused.len(), 1, "{:?}", sorted.refused);
    }

    #[test]
    fn a_sentence_names_a_few_and_counts_the_rest() {
        let all = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(named(all.clone(), 3), "a; b; c");
        assert_eq!(named(all, 2), "a; b; and 1 more");
        assert_eq!((count(1), count(2)), ("1 pod".into(), "2 pods".into()));
    }
}
