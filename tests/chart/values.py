"""values.py: each value of values.yaml, set once and found in what is rendered. A value that no case sets fails the test, and
so does a case whose expectation holds without it."""
import importlib.machinery
import importlib.util

import yaml

from bed import DIGEST, PG, RELEASE, ROOT, Refused, documents, find, get, merged, read, set_at

POD = "spec.template.spec"
BOX = f"{POD}.containers.0"


def generator():
    loader = importlib.machinery.SourceFileLoader("generate", f"{ROOT}/charts/generate")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("generate", loader))
    loader.exec_module(module)
    return module


def workload(rendered):
    return (find(rendered, "StatefulSet") + find(rendered, "Deployment"))[0]


def at(kind, path, expected, name=None):
    """In every object of the kind (of that name), at that path."""
    def holds(rendered):
        objects = [one for one in find(rendered, kind) if name is None or one["metadata"]["name"] == name]
        return bool(objects) and all(get(one, path) == expected for one in objects)
    return holds


def in_pod(path, expected):
    return lambda rendered: get(workload(rendered), f"{POD}.{path}" if path else POD) == expected


def in_box(path, expected):
    return lambda rendered: get(workload(rendered), f"{BOX}.{path}") == expected


def on_pod(path, expected):
    return lambda rendered: get(workload(rendered), f"spec.template.{path}") == expected


def has(path, expected):
    """An entry of a list of the workload."""
    return lambda rendered: expected in (get(workload(rendered), path) or [])


def none(kind):
    return lambda rendered: not find(rendered, kind)


def some(kind, name):
    return lambda rendered: find(rendered, kind, name) is not None


def config(key, expected):
    """In the operator's configuration file."""
    def holds(rendered):
        file = next(one for one in find(rendered, "ConfigMap") if "operator.yaml" in one["data"])
        return yaml.safe_load(file["data"]["operator.yaml"]).get(key) == expected
    return holds


def both(*all_of):
    return lambda rendered: all(one(rendered) for one in all_of)


def everywhere(path, expected):
    """In every object, and in the pods."""
    return lambda rendered: all(get(one["metadata"], path) == expected for one in rendered) and on_pod(f"metadata.{path}", expected)(rendered)


CRDS, POLICIES = "CustomResourceDefinition", "ValidatingAdmissionPolicy"
KEEP = "metadata.annotations.helm|sh/resource-policy"
TOLERATION = {"key": "dedicated", "operator": "Exists"}
SPREAD = {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
AFFINITY = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]}}}
VARIABLE = {"name": "HTTPS_PROXY", "value": "http://proxy"}
SIDECAR = {"name": "proxy", "image": "registry.example/proxy:1"}
CERTIFICATE = {"tls": {"mode": "cert-manager", "certManager": {"issuerRef": {"name": "issuer"}}}}
MONITOR = {"metrics": {"serviceMonitor": {"enabled": True}}}
POD_MONITOR = {"metrics": {"podMonitor": {"enabled": True}}}
RULES = {"metrics": {"prometheusRule": {"enabled": True}}}
DASHBOARD = {"metrics": {"dashboard": {"enabled": True}}}
NAME = f"{RELEASE}-neuralops"


def lease_role(name):
    def holds(rendered):
        role = find(rendered, "Role", f"{NAME}-controller")
        return [rule["resourceNames"] for rule in role["rules"] if "leases" in rule["resources"] and "resourceNames" in rule] == [[name]]
    return holds


def keys_role(name):
    def holds(rendered):
        role = find(rendered, "Role", f"{NAME}-controller")
        return [rule["resourceNames"] for rule in role["rules"] if "secrets" in rule["resources"] and "resourceNames" in rule] == [[name]]
    return holds


def account_everywhere(name):
    """The pods and every binding of the operator name it."""
    def holds(rendered):
        bindings = [one for one in find(rendered, "ClusterRoleBinding") + find(rendered, "RoleBinding") if "-test" not in one["metadata"]["name"]]
        subjects = [subject["name"] for one in bindings for subject in one["subjects"]]
        return subjects and set(subjects) == {name} and get(workload(rendered), f"{POD}.serviceAccountName") == name
    return holds


def dashboard(path, expected):
    return at("ConfigMap", path, expected, name=f"{NAME}-dashboard")


def setting(key, value):
    return (f"config.{key}", value, config(key, value))


# Value, what it is set to, what must be in the render then, and what has to be set besides.
CASES = [
    ("nameOverride", "other", some("StatefulSet", f"{RELEASE}-other-controller")),
    ("fullnameOverride", "other", some("StatefulSet", "other-controller")),
    ("commonLabels", {"team": "sre"}, everywhere("labels.team", "sre")),
    ("commonAnnotations", {"owner": "sre"}, everywhere("annotations.owner", "sre")),
    ("extraObjects", [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-mine"}}], some("ConfigMap", f"{RELEASE}-mine")),
    ("crds.enabled", False, none(CRDS)),
    ("crds.keep", False, at(CRDS, KEEP, None), {"policies": {"enabled": False}}),
    ("policies.enabled", False, both(none(POLICIES), none(f"{POLICIES}Binding"))),
    ("policies.keep", False, both(at(POLICIES, KEEP, None), at(f"{POLICIES}Binding", KEEP, None))),
    ("policies.decisionGate", False, lambda rendered: find(rendered, POLICIES, "decision-gate.neuralops.io") is None
        and find(rendered, f"{POLICIES}Binding", "decision-gate.neuralops.io") is None),
    ("clusterScope.enabled", False, lambda rendered: find(rendered, "ClusterRole", f"{NAME}-controller") is None
        and find(rendered, "ClusterRoleBinding", f"{NAME}-controller") is None),
    ("userRoles.enabled", False, lambda rendered: find(rendered, "ClusterRole", "neuralops-viewer") is None),
    ("userRoles.aggregate", False, lambda rendered: not any("aggregate-to" in key for one in rendered for key in one["metadata"]["labels"])),
    ("rbac.create", False, both(none("Role"), none("RoleBinding"))),
    ("operator.enabled", False, both(none("StatefulSet"), none("ServiceAccount"), none("ConfigMap"), none("PersistentVolumeClaim"), none("Service"),
        none("NetworkPolicy"))),
    ("watchNamespaces", ["shop", "pay"], both(config("watchNamespaces", ["shop", "pay"]), lambda rendered: all(
        find(rendered, kind, f"{NAME}-controller-runs", namespace) for kind in ("Role", "RoleBinding") for namespace in ("shop", "pay")),
        lambda rendered: find(rendered, "ClusterRole", f"{NAME}-controller") is None, some("ClusterRole", f"{NAME}-controller-cluster"))),
    ("runnerAccounts", {"shop": ["runbook"]}, both(
        at("Role", "rules", [{"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["runbook"], "verbs": ["impersonate"]}],
           name="neuralops-runner-runbook"),
        at("RoleBinding", "metadata.namespace", "shop", name="neuralops-runner-runbook"),
        at("RoleBinding", "subjects", [{"kind": "ServiceAccount", "name": f"{NAME}-controller", "namespace": "ops"}], name="neuralops-runner-runbook"))),
    ("image.registry", "mirror.example", in_box("image", "mirror.example/neuralops:0.1.0")),
    ("image.registry", "", in_box("image", "neuralops:0.1.0")),
    ("image.repository", "team/neuralops", in_box("image", "registry.example/team/neuralops:0.1.0")),
    ("image.tag", "edge", in_box("image", "registry.example/neuralops:edge")),
    ("image.digest", DIGEST, both(in_box("image", f"registry.example/neuralops@{DIGEST}"), config("stepImage", f"registry.example/neuralops@{DIGEST}"))),
    ("image.pullPolicy", "Always", in_box("imagePullPolicy", "Always")),
    ("imagePullSecrets", [{"name": "pull"}], in_pod("imagePullSecrets", [{"name": "pull"}])),
    ("store.postgres.existingSecret", "database", both(
        has(f"{BOX}.env", {"name": "NEURALOPS_STORE", "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}}}),
        none("StatefulSet"), none("PersistentVolumeClaim"), at("Deployment", "spec.replicas", 2), some("PodDisruptionBudget", f"{NAME}-controller"))),
    ("store.postgres.key", "dsn", has(f"{BOX}.env", {"name": "NEURALOPS_STORE", "valueFrom": {"secretKeyRef": {"name": "database", "key": "dsn"}}}), PG),
    ("persistence.existingClaim", "mine", both(none("PersistentVolumeClaim"),
        has(f"{POD}.volumes", {"name": "data", "persistentVolumeClaim": {"claimName": "mine"}}))),
    ("persistence.size", "5Gi", at("PersistentVolumeClaim", "spec.resources.requests.storage", "5Gi")),
    ("persistence.storageClass", "fast", at("PersistentVolumeClaim", "spec.storageClassName", "fast")),
    ("persistence.accessModes", ["ReadWriteOncePod"], at("PersistentVolumeClaim", "spec.accessModes", ["ReadWriteOncePod"])),
    ("persistence.annotations", {"backup": "daily"}, at("PersistentVolumeClaim", "metadata.annotations.backup", "daily")),
    ("persistence.keep", False, at("PersistentVolumeClaim", KEEP, None)),
    setting("roles", ["controller"]),
    setting("kubeconfig", "/etc/kube/config"),
    setting("identity", "one"),
    ("config.probeAddress", "0.0.0.0:9090", both(config("probeAddress", "0.0.0.0:9090"), in_box("ports.0.containerPort", 9090))),
    ("config.leaseName", "mine", both(config("leaseName", "mine"), lease_role("mine"))),
    setting("leaseDuration", "30s"),
    ("config.dataDir", "/data", both(config("dataDir", "/data"), has(f"{BOX}.volumeMounts", {"name": "data", "mountPath": "/data"}))),
    ("config.auditKeys", "my-keys", both(config("auditKeys", "my-keys"), keys_role("my-keys"))),
    setting("auditRetention", 500),
    setting("registryConfig", "/etc/registry/config.json"),
    setting("plainHttp", ["registry.lan:5000"]),
    setting("prometheusUrl", "https://prometheus.example"),
    setting("prometheusToken", "/etc/prometheus/token"),
    setting("prometheusCa", "/etc/prometheus/ca.crt"),
    setting("prometheusTimeout", "20s"),
    setting("stepImage", f"mirror.example/neuralops@{DIGEST}"),
    setting("concurrentRuns", 8),
    setting("concurrency", 16),
    setting("livenessTimeout", "10m"),
    setting("shutdownGrace", "40s"),
    setting("logLevel", "debug"),
    setting("logFormat", "text"),
    ("replicas", 3, at("Deployment", "spec.replicas", 3), PG),
    ("updateStrategy", {"type": "OnDelete"}, at("StatefulSet", "spec.updateStrategy", {"type": "OnDelete"})),
    ("updateStrategy", {"type": "Recreate"}, at("Deployment", "spec.strategy", {"type": "Recreate"}), PG),
    ("revisionHistoryLimit", 7, at("StatefulSet", "spec.revisionHistoryLimit", 7)),
    ("workloadAnnotations", {"a": "b"}, at("StatefulSet", "metadata.annotations.a", "b")),
    ("podLabels", {"a": "b"}, on_pod("metadata.labels.a", "b")),
    ("podAnnotations", {"a": "b"}, on_pod("metadata.annotations.a", "b")),
    ("serviceAccount.create", False, lambda rendered: find(rendered, "ServiceAccount", f"{NAME}-controller") is None),
    ("serviceAccount.name", "mine", both(some("ServiceAccount", "mine"), account_everywhere("mine"))),
    ("serviceAccount.annotations", {"role": "arn"}, at("ServiceAccount", "metadata.annotations.role", "arn", name=f"{NAME}-controller")),
    ("serviceAccount.labels", {"a": "b"}, at("ServiceAccount", "metadata.labels.a", "b", name=f"{NAME}-controller")),
    ("podSecurityContext", {"runAsUser": None, "supplementalGroups": [7]}, both(in_pod("securityContext.runAsUser", None),
        in_pod("securityContext.supplementalGroups", [7]))),
    ("securityContext", {"seLinuxOptions": {"level": "s0"}}, in_box("securityContext.seLinuxOptions.level", "s0")),
    ("resources", {"limits": {"memory": "1Gi"}}, in_box("resources.limits.memory", "1Gi")),
    ("terminationGracePeriodSeconds", 90, in_pod("terminationGracePeriodSeconds", 90)),
    ("startupProbe", {"failureThreshold": 7}, in_box("startupProbe.failureThreshold", 7)),
    ("livenessProbe", {"failureThreshold": 7}, in_box("livenessProbe.failureThreshold", 7)),
    ("readinessProbe", {"failureThreshold": 7}, in_box("readinessProbe.failureThreshold", 7)),
    ("extraEnv", [VARIABLE], has(f"{BOX}.env", VARIABLE)),
    ("extraEnvFrom", [{"secretRef": {"name": "more"}}], in_box("envFrom", [{"secretRef": {"name": "more"}}])),
    ("extraArgs", ["--log-level=trace"], in_box("args", ["operator", "--log-level=trace"])),
    ("extraVolumes", [{"name": "more", "emptyDir": {}}], has(f"{POD}.volumes", {"name": "more", "emptyDir": {}})),
    ("extraVolumeMounts", [{"name": "more", "mountPath": "/more"}], has(f"{BOX}.volumeMounts", {"name": "more", "mountPath": "/more"})),
    ("extraContainers", [SIDECAR], has(f"{POD}.containers", SIDECAR)),
    ("extraInitContainers", [SIDECAR], has(f"{POD}.initContainers", SIDECAR)),
    ("nodeSelector", {"pool": "ops"}, in_pod("nodeSelector", {"pool": "ops"})),
    ("tolerations", [TOLERATION], in_pod("tolerations", [TOLERATION])),
    ("affinity", AFFINITY, in_pod("affinity", AFFINITY)),
    ("topologySpreadConstraints", [SPREAD], in_pod("topologySpreadConstraints", [SPREAD])),
    ("priorityClassName", "high", in_pod("priorityClassName", "high")),
    ("runtimeClassName", "sandbox", in_pod("runtimeClassName", "sandbox")),
    ("schedulerName", "mine", in_pod("schedulerName", "mine")),
    ("dnsPolicy", "None", in_pod("dnsPolicy", "None")),
    ("dnsConfig", {"nameservers": ["10.0.0.10"]}, in_pod("dnsConfig", {"nameservers": ["10.0.0.10"]})),
    ("hostAliases", [{"ip": "10.0.0.1", "hostnames": ["db"]}], in_pod("hostAliases", [{"ip": "10.0.0.1", "hostnames": ["db"]}])),
    ("hostUsers", False, in_pod("hostUsers", False)),
    ("podDisruptionBudget.enabled", False, none("PodDisruptionBudget"), PG),
    ("podDisruptionBudget.maxUnavailable", "50%", at("PodDisruptionBudget", "spec.maxUnavailable", "50%"), PG),
    ("podDisruptionBudget.minAvailable", 1, both(at("PodDisruptionBudget", "spec.minAvailable", 1), at("PodDisruptionBudget", "spec.maxUnavailable", None)), PG),
    ("networkPolicy.enabled", False, none("NetworkPolicy")),
    ("networkPolicy.ingress.from", [{"podSelector": {}}], at("NetworkPolicy", "spec.ingress.0.from", [{"podSelector": {}}], name=f"{NAME}-controller")),
    ("networkPolicy.egress", [{"ports": [{"port": 443}]}], at("NetworkPolicy", "spec.egress", [{"ports": [{"port": 443}]}])),
    ("helmTest.trustedMutators", ["injector"], lambda rendered: "--mutator=injector" in yaml.safe_dump(rendered)),
    ("helmTest.enabled", False, both(none("Pod"), lambda rendered: not any("-test" in one["metadata"]["name"] for one in rendered))),
    ("tls.mode", "self-signed", both(config("tlsSelfSigned", True), *(in_box(f"{probe}.httpGet.scheme", "HTTPS")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")))),
    ("tls.secretName", "mine", both(config("tlsCert", "/etc/neuralops-tls/tls.crt"), config("tlsKey", "/etc/neuralops-tls/tls.key"),
        has(f"{POD}.volumes", {"name": "tls", "secret": {"secretName": "mine"}}),
        has(f"{BOX}.volumeMounts", {"name": "tls", "mountPath": "/etc/neuralops-tls", "readOnly": True})), CERTIFICATE),
    ("tls.certManager.issuerRef", {"name": "other", "kind": "ClusterIssuer"},
        at("Certificate", "spec.issuerRef", {"name": "other", "kind": "ClusterIssuer"}), CERTIFICATE),
    ("tls.certManager.duration", "48h", at("Certificate", "spec.duration", "48h"), CERTIFICATE),
    ("metrics.auth", "token-review", both(config("metricsAuth", "token-review"), some("ClusterRole", f"{NAME}-metrics-reader"))),
    ("metrics.readers", [{"namespace": "monitoring", "name": "prometheus"}], at("ClusterRoleBinding", "subjects",
        [{"kind": "ServiceAccount", "name": "prometheus", "namespace": "monitoring"}], name=f"{NAME}-metrics-reader"), {"metrics": {"auth": "token-review"}}),
    ("metrics.serviceMonitor.tlsConfig", {"serverName": "mine"}, at("ServiceMonitor", "spec.endpoints.0.tlsConfig", {"serverName": "mine"}),
        merged(MONITOR, {"tls": {"mode": "self-signed"}})),
    ("metrics.service.enabled", False, none("Service")),
    ("metrics.service.port", 80, at("Service", "spec.ports.0.port", 80)),
    ("metrics.service.annotations", {"a": "b"}, at("Service", "metadata.annotations.a", "b")),
    ("metrics.service.labels", {"a": "b"}, at("Service", "metadata.labels.a", "b")),
    ("metrics.serviceMonitor.enabled", True, some("ServiceMonitor", f"{NAME}-controller")),
    ("metrics.serviceMonitor.labels", {"a": "b"}, at("ServiceMonitor", "metadata.labels.a", "b"), MONITOR),
    ("metrics.serviceMonitor.annotations", {"a": "b"}, at("ServiceMonitor", "metadata.annotations.a", "b"), MONITOR),
    ("metrics.serviceMonitor.interval", "1m", at("ServiceMonitor", "spec.endpoints.0.interval", "1m"), MONITOR),
    ("metrics.serviceMonitor.scrapeTimeout", "5s", at("ServiceMonitor", "spec.endpoints.0.scrapeTimeout", "5s"), MONITOR),
    ("metrics.serviceMonitor.relabelings", [{"action": "drop"}], at("ServiceMonitor", "spec.endpoints.0.relabelings", [{"action": "drop"}]), MONITOR),
    ("metrics.serviceMonitor.metricRelabelings", [{"action": "drop"}], at("ServiceMonitor", "spec.endpoints.0.metricRelabelings", [{"action": "drop"}]), MONITOR),
    ("metrics.podMonitor.enabled", True, some("PodMonitor", f"{NAME}-controller")),
    ("metrics.podMonitor.labels", {"a": "b"}, at("PodMonitor", "metadata.labels.a", "b"), POD_MONITOR),
    ("metrics.podMonitor.annotations", {"a": "b"}, at("PodMonitor", "metadata.annotations.a", "b"), POD_MONITOR),
    ("metrics.podMonitor.interval", "1m", at("PodMonitor", "spec.podMetricsEndpoints.0.interval", "1m"), POD_MONITOR),
    ("metrics.podMonitor.scrapeTimeout", "5s", at("PodMonitor", "spec.podMetricsEndpoints.0.scrapeTimeout", "5s"), POD_MONITOR),
    ("metrics.podMonitor.tlsConfig", {"serverName": "mine"}, at("PodMonitor", "spec.podMetricsEndpoints.0.tlsConfig", {"serverName": "mine"}),
        merged(POD_MONITOR, {"tls": {"mode": "self-signed"}})),
    ("metrics.podMonitor.authorization", {"credentials": {"name": "mine", "key": "token"}},
        at("PodMonitor", "spec.podMetricsEndpoints.0.authorization", {"credentials": {"name": "mine", "key": "token"}}), POD_MONITOR),
    ("metrics.podMonitor.relabelings", [{"action": "drop"}], at("PodMonitor", "spec.podMetricsEndpoints.0.relabelings", [{"action": "drop"}]), POD_MONITOR),
    ("metrics.podMonitor.metricRelabelings", [{"action": "drop"}],
        at("PodMonitor", "spec.podMetricsEndpoints.0.metricRelabelings", [{"action": "drop"}]), POD_MONITOR),
    ("metrics.prometheusRule.enabled", True, some("PrometheusRule", NAME)),
    ("metrics.prometheusRule.labels", {"a": "b"}, at("PrometheusRule", "metadata.labels.a", "b"), RULES),
    ("metrics.prometheusRule.annotations", {"a": "b"}, at("PrometheusRule", "metadata.annotations.a", "b"), RULES),
    ("metrics.prometheusRule.runbookBaseUrl", "https://git.example/", lambda rendered: all(
        rule["annotations"]["runbook_url"].startswith("https://git.example/docs/runbooks/")
        for one in find(rendered, "PrometheusRule") for group in one["spec"]["groups"] for rule in group["rules"] if "alert" in rule), RULES),
    ("metrics.dashboard.enabled", True, some("ConfigMap", f"{NAME}-dashboard")),
    ("metrics.dashboard.label", "board", dashboard("metadata.labels.board", "1"), DASHBOARD),
    ("metrics.dashboard.labelValue", "yes", dashboard("metadata.labels.grafana_dashboard", "yes"), DASHBOARD),
    ("metrics.dashboard.folderAnnotation", "folder", dashboard("metadata.annotations.folder", "NeuralOps"), DASHBOARD),
    ("metrics.dashboard.folder", "Ops", dashboard("metadata.annotations.grafana_folder", "Ops"), DASHBOARD),
    ("metrics.dashboard.annotations", {"a": "b"}, dashboard("metadata.annotations.a", "b"), DASHBOARD),
]


def check():
    """What is wrong, one line each."""
    known = [".".join(path) for path, _, _ in generator().documented(read("charts/neuralops/values.yaml"))]
    wrong = [f"{value} has no case" for value in known if value not in {case[0] for case in CASES}]
    wrong += [f"{case[0]} is no value any more" for case in CASES if case[0] not in known]
    for value, new, holds, *besides in CASES:
        besides = besides[0] if besides else {}
        try:
            if not holds(documents(merged(besides, set_at(value, new)))):
                wrong.append(f"{value}: {new!r} is not found in the render")
            if holds(documents(besides)):
                wrong.append(f"{value}: what its case expects is there without it")
        except (Refused, KeyError, TypeError, StopIteration, AttributeError) as error:
            wrong.append(f"{value}: {type(error).__name__}: {error}")
    return wrong
