"""rendered.py: what the chart renders, for everything that needs no cluster; `run` calls it. Each function is one test."""
import json
import os
import re
import shlex
import subprocess
import tempfile

import yaml

import values
from bed import ALL, CHART, DIGEST, KUBE, NAMESPACE, PG, Refused, documents, equal, files, find, get, merged, notes, parsed, read, rendered, run, set_at, test, text


def lint(helm, *more):
    return subprocess.run([helm, "lint", "--strict", "--kube-version", KUBE, CHART, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def refused(new, *said):
    """helm renders nothing with these values, and says why."""
    try:
        text(new)
    except Refused as error:
        for word in said:
            assert word in str(error), f"{new}: {word!r} is not in: {error}"
        return
    raise AssertionError(f"{new} is accepted")


@test
def what_is_generated_is_committed():
    done = subprocess.run([f"{values.ROOT}/charts/generate", "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "PATH": f"{os.path.dirname(os.sys.executable)}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stdout


@test
def both_helms_lint_it_strictly():
    for helm in ("HELM", "HELM4"):
        done = lint(os.environ[helm])
        assert done.returncode == 0 and "0 chart(s) failed" in done.stdout, f"{helm}: {done.stdout}"


@test
def both_helms_render_the_same():
    for new in ({}, PG, ALL, merged(ALL, PG)):
        equal(documents(new, helm=os.environ["HELM4"]), documents(new))


@test
def the_same_values_give_the_same_bytes():
    equal(text(ALL), text(ALL, release="r", namespace=NAMESPACE))
    for name in os.listdir(f"{CHART}/templates"):
        if os.path.isfile(f"{CHART}/templates/{name}"):
            source = read(f"charts/neuralops/templates/{name}")
            for word in ("rand", "lookup", "now", "uuidv4", "genCA", "genSelfSignedCert", "htpasswd"):
                assert not re.search(rf"\b{word}[A-Za-z]*\b(?= |\))", re.sub(r"#.*|/\*.*?\*/", "", source)), f"{name} uses {word}"


@test
def each_value_is_set_once_and_found():
    wrong = values.check()
    assert not wrong, "; ".join(wrong)


@test
def the_schema_knows_every_value_and_no_other():
    schema = json.loads(read("charts/neuralops/values.schema.json"))

    def compare(schema, value, place):
        if schema.get("additionalProperties") is False and isinstance(value, dict) and place != "resources":
            known = set(schema["properties"]) - ({"global", "enabled"} if not place else set())
            leaf = place in ("affinity", "dnsConfig", "startupProbe", "livenessProbe", "readinessProbe", "tls.certManager.issuerRef")
            assert leaf or known == set(value), f"{place or 'the root'}: {sorted(known ^ set(value))} is in one of schema and values"
            for key in value:
                compare(schema["properties"].get(key, {}), value[key], f"{place}.{key}".strip("."))

    compare(schema, yaml.safe_load(read("charts/neuralops/values.yaml")), "")


@test
def the_schema_refuses_typos_wherever_they_are():
    schema = json.loads(read("charts/neuralops/values.schema.json"))
    places = []

    def collect(schema, place):
        if "$ref" in schema:
            return
        if schema.get("additionalProperties") is False:
            places.append(place)
        for key, inner in schema.get("properties", {}).items():
            collect(inner, [*place, key])

    collect(schema, [])
    assert len(places) > 20, places
    for place in places:
        if place and place[-1] in ("items",):
            continue
        refused(set_at(".".join([*place, "typo"]), 1), "typo")


@test
def the_schema_refuses_what_cannot_be():
    for place, value in [
        ("image.digest", "sha256:short"), ("image.pullPolicy", "Sometimes"), ("replicas", "two"), ("config.leaseDuration", "15"),
        ("config.auditRetention", 30), ("config.concurrency", 0), ("config.stepImage", "registry.example/neuralops:1"),
        ("config.logFormat", "xml"), ("config.roles", []), ("runnerAccounts", {"Upper": ["a"]}), ("runnerAccounts", {"shop": ["A b"]}),
        ("persistence.accessModes", ["ReadWriteMany"]), ("extraEnv", [{"value": "without a name"}]), ("commonLabels", {"a": 1}),
        ("terminationGracePeriodSeconds", 3), ("tolerations", {}), ("store.postgres.existingSecret", "postgres://user@host/db"),
        ("resources.limit", {}), ("extraArgs", "--a"),
    ]:
        # A bad key of a map is told by its name.
        refused(set_at(place, value), "Upper" if "Upper" in str(value) else place.split(".")[-1])


@test
def umbrella_charts_may_add_global_and_enabled():
    equal(documents({"global": {"imageRegistry": "x", "any": {"thing": 1}}, "enabled": True}), documents())


@test
def what_is_null_renders_or_is_refused_by_its_name():
    # Umbrella charts write nulls to take a default away. What is a list or a map is empty then, and the rest is asked for.
    paths = [path for path, _, _ in values.generator().documented(read("charts/neuralops/values.yaml"))]
    places = {".".join(path[:size]) for path in paths for size in range(1, len(path) + 1)}
    asked, wrong = 0, []
    for place in sorted(places):
        # With the store that has a disk, where there is a value about it.
        new = merged(ALL, PG if place.startswith(("store", "podDisruptionBudget", "replicas")) else {}, set_at(place, None))
        try:
            documents(new)
        except Refused as error:
            by_name = "values don't meet the specifications" in str(error) and f"'{place.rsplit('.', 1)[-1]}'" in str(error)
            asked, wrong = asked + by_name, wrong + ([] if by_name else [f"{place}: {error}"])
        except yaml.YAMLError as error:
            wrong.append(f"{place}: {error}")
    assert not wrong, "; ".join(wrong)
    assert 20 < asked < len(places), f"{asked} of {len(places)} values are asked for"


@test
def what_is_empty_renders():
    for place, value in (("networkPolicy.egress", []), ("livenessProbe", {}), ("podSecurityContext", {}), ("resources", {}), ("extraEnv", [])):
        documents(set_at(place, value))
    equal([one["spec"]["egress"] for one in find(documents({"networkPolicy": {"egress": []}}), "NetworkPolicy")], [[], []], "nothing may be reached")


@test
def the_embedded_store_has_one_replica_and_its_disk():
    found = documents(set_at("store.postgres.existingSecret", None))
    equal([len(find(found, "StatefulSet")), len(find(found, "Deployment"))], [1, 0], "nothing is no Secret")
    refused({"replicas": 2}, "store.postgres.existingSecret")
    rendered = documents()
    one = find(rendered, "StatefulSet")[0]
    equal(get(one, "spec.replicas"), 1)
    claim = find(rendered, "PersistentVolumeClaim")[0]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in get(one, "spec.template.spec.volumes")
    equal(get(claim, "metadata.annotations.helm|sh/resource-policy"), "keep", "the log outlives the release")
    assert not find(rendered, "PodDisruptionBudget"), "a budget would block every drain"
    assert not find(documents(merged(PG, {"replicas": 1})), "PodDisruptionBudget"), "likewise"


@test
def kinds_do_not_go_with_a_release_that_has_their_guard():
    refused({"crds": {"keep": False}}, "policies.enabled", "install.md")
    refused({"crds": {"keep": False}, "policies": {"keep": False}}, "policies.enabled")
    assert not find(documents({"crds": {"keep": False, "enabled": False}}), "CustomResourceDefinition")


@test
def the_port_is_served_as_it_is_asked():
    refused({"tls": {"mode": "secret"}}, "tls.secretName")
    refused({"tls": {"mode": "cert-manager"}}, "tls.certManager.issuerRef")
    refused({"tls": {"mode": "cert-manager", "certManager": {"issuerRef": None}}}, "name who signs the certificate")
    on = {"metrics": {"auth": "token-review", "serviceMonitor": {"enabled": True}}}

    def endpoint(mode, **more):
        return find(documents(merged(on, {"tls": {"mode": mode, **more}})), "ServiceMonitor")[0]["spec"]["endpoints"][0]

    assert "scheme" not in endpoint("none") and endpoint("none")["bearerTokenFile"], "a token is sent"
    equal(endpoint("self-signed")["tlsConfig"], {"insecureSkipVerify": True})
    mine = endpoint("secret", secretName="mine")
    equal([mine["scheme"], mine["tlsConfig"]["ca"]["secret"]["name"]], ["https", "mine"])
    made = {"tls": {"mode": "cert-manager", "certManager": {"issuerRef": {"name": "issuer"}}}}
    certificate = find(documents(merged(on, made)), "Certificate")[0]["spec"]
    verified = endpoint("cert-manager", certManager={"issuerRef": {"name": "issuer"}})["tlsConfig"]
    assert verified["serverName"] in certificate["dnsNames"] and verified["ca"]["secret"]["name"] == certificate["secretName"], verified


@test
def pods_are_scraped_once_and_by_who_may():
    on = {"metrics": {"podMonitor": {"enabled": True}}}
    refused(merged(on, {"metrics": {"serviceMonitor": {"enabled": True}}}), "scraped twice")
    refused(merged(on, {"metrics": {"auth": "token-review"}}), "metrics.podMonitor.authorization")
    rendered = documents(merged(on, {"tls": {"mode": "self-signed"}}))
    monitor = find(rendered, "PodMonitor")[0]["spec"]
    endpoint = monitor["podMetricsEndpoints"][0]
    template = values.workload(rendered)["spec"]["template"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items(), "it picks the operator's pods"
    assert endpoint["port"] in [port["name"] for port in template["spec"]["containers"][0]["ports"]], "and one of their ports"
    equal([endpoint["path"], endpoint["scheme"], endpoint["tlsConfig"]], ["/metrics", "https", {"insecureSkipVerify": True}])


@test
def a_password_is_in_no_file():
    rendered = text(merged(PG, ALL))
    assert "postgres://" not in rendered, "the URL comes from the Secret alone"
    assert not find(documents(merged(PG, ALL)), "Secret"), "the chart makes no Secret"


@test
def variables_are_merged_by_name():
    def names(new):
        return [entry["name"] for entry in get(values.workload(documents(new)), "spec.template.spec.containers.0.env")]

    for base in ({}, PG):
        own = names(base)
        assert own and len(own) == len(set(own)), own
        more = [{"name": name, "value": "mine"} for name in own] + [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}, {"name": "A", "value": "2"}]
        new = merged(base, {"extraEnv": more})
        equal(names(new), [*own, "A", "B"])
        env = get(values.workload(documents(new)), "spec.template.spec.containers.0.env")
        assert all(entry == {"name": entry["name"], "value": "mine"} for entry in env[:len(own)]), env
        equal(env[len(own)]["value"], "2", "the last one counts")


@test
def kinds_and_policies_are_those_of_the_source_to_the_letter():
    rendered, raw = documents(), text()
    for folder in ("crds", "config/admission"):
        for name in files(folder):
            source = read(f"{folder}/{name}")
            for shipped in yaml.safe_load_all(source):
                equal(find(rendered, shipped["kind"], shipped["metadata"]["name"])["spec"], shipped["spec"], name)
            for line in source.split("\n"):
                assert not line.lstrip().startswith("#") or line in raw, f"{name}: a comment is lost: {line}"
    for kind in ("CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        assert find(rendered, kind)
        for one in find(rendered, kind):
            # What a value turns off on a live cluster must go then.
            keep = None if one["metadata"]["name"] == "decision-gate.neuralops.io" else "keep"
            equal(get(one, "metadata.annotations.helm|sh/resource-policy"), keep, one["metadata"]["name"])


@test
def rights_are_those_of_the_source_with_a_comment_for_each_rule():
    # Named as config/ names things, nothing is different at all.
    rendered = documents(release="neuralops", namespace="neuralops-system")
    raw = text(release="neuralops", namespace="neuralops-system")
    for name in ("operator", "users"):
        source = read(f"config/rbac/{name}.yaml")
        for shipped in yaml.safe_load_all(source):
            if shipped["kind"] in ("Namespace", "ServiceAccount"):
                continue
            found = [one for one in find(rendered, shipped["kind"]) if one["metadata"]["name"] == shipped["metadata"]["name"]]
            equal(len(found), 1, shipped["metadata"]["name"])
            for part in ("rules", "roleRef", "subjects"):
                equal(found[0].get(part), shipped.get(part), shipped["metadata"]["name"])
            for label, value in shipped["metadata"]["labels"].items():
                equal(found[0]["metadata"]["labels"].get(label), value, shipped["metadata"]["name"])
        for line in re.split(r"\n---\n", source)[-1].split("\n"):
            assert not line.startswith("#") or line in raw, f"{name}: a comment is lost: {line}"


def rights_of(rendered, kind, name, namespace=None):
    """(group, resource, name, verb) of a role."""
    role = find(rendered, kind, name, namespace=namespace)
    return {(group, resource, one, verb) for rule in role["rules"] for group in rule["apiGroups"] for resource in rule["resources"]
            for one in rule.get("resourceNames", [""]) for verb in rule["verbs"]}


@test
def in_some_namespaces_the_rights_are_the_same_and_nowhere_else():
    # What the test brings comes and goes with it, and only where one release brings everything.
    some_only = {"watchNamespaces": ["shop", "pay"], "helmTest": {"enabled": False}}
    everywhere, some = documents(), documents(some_only)
    cluster = rights_of(some, "ClusterRole", "r-neuralops-controller-cluster")
    for namespace in ("shop", "pay"):
        equal(cluster | rights_of(some, "Role", "r-neuralops-controller-runs", namespace), rights_of(everywhere, "ClusterRole", "r-neuralops-controller"))
        binding = find(some, "RoleBinding", "r-neuralops-controller-runs", namespace=namespace)
        equal(binding["roleRef"], {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r-neuralops-controller-runs"})
        equal(binding["subjects"], [{"kind": "ServiceAccount", "name": "r-neuralops-controller", "namespace": NAMESPACE}])
    equal([one["metadata"]["name"] for one in find(some, "ClusterRoleBinding")], ["r-neuralops-controller-cluster"])
    for resource in ("orchestrations", "playbooks", "decisions", "configmaps", "secrets", "serviceaccounts", "events"):
        assert not [right for right in cluster if right[1] == resource], f"{resource} of every namespace"
    equal(rights_of(some, "Role", "r-neuralops-controller", NAMESPACE), rights_of(everywhere, "Role", "r-neuralops-controller", NAMESPACE))
    # What a cluster admin installs, and what the user installs then, are together the whole.
    admin = documents({**some_only, "operator": {"enabled": False}})
    user = documents({**some_only, **{part: {"enabled": False} for part in ("crds", "policies", "clusterScope", "userRoles")},
                      "rbac": {"create": False}})
    equal(sorted(map(str, admin + user)), sorted(map(str, some)))
    equal({one["metadata"]["namespace"] for one in user}, {NAMESPACE}, "the user needs rights in one namespace")


@test
def the_notes_of_the_admins_release_install_the_rest_for_the_user():
    for new in (
        {"watchNamespaces": ["shop", "pay"]},
        {"fullnameOverride": "other", "watchNamespaces": ["shop"], "serviceAccount": {"name": "mine"}, "image": {"digest": DIGEST, "registry": "here.example"},
         "config": {"leaseName": "lease", "auditKeys": "keys"}, "metrics": {"auth": "token-review"}},
        {"rbac": {"create": False}, "userRoles": {"enabled": False}},
    ):
        new = merged(new, {"helmTest": {"enabled": False}})
        admins = merged(new, {"operator": {"enabled": False}})
        said = notes(admins)
        words = shlex.split(said[said.index("  helm install"):].replace("\\\n", " "))
        equal(words[:6], ["helm", "install", "neuralops", "CHART", "-n", NAMESPACE])
        users = parsed(rendered(CHART, *words[6:]))
        whole = documents(new)
        for part in ("rbac", "userRoles"):
            if part in new:  # who brings nothing of it leaves it to the other
                whole = documents({key: value for key, value in new.items() if key not in ("rbac", "userRoles")})
        equal(sorted(map(str, [one for one in documents(admins) + users if not hook(one)])), sorted(map(str, [one for one in whole if not hook(one)])), said)


@test
def the_notes_name_only_what_there_is():
    for new, there, absent in (
        ({}, ["helm test r -n ops", "statefulset/r-neuralops-controller"], ["cluster admin", "neuralops_audit_spool_bytes"]),
        ({"helmTest": {"enabled": False}, "policies": {"decisionGate": False}}, ["verify-install -n ops --lease ops/r-neuralops-controller --without decision-gate"], ["helm test"]),
        ({"clusterScope": {"enabled": False}, "policies": {"enabled": False}}, ["neuralops verify-install", "cluster admin's too", "AdmissionGuardMissing"], ["helm test"]),
        (PG, ["deployment/r-neuralops-controller", "neuralops_audit_spool_bytes"], []),
        ({"image": {"digest": DIGEST}}, [f"registry.example/neuralops@{DIGEST}"], []),
    ):
        said = notes(new)
        for word in there:
            assert word in said, f"{new}: {word!r} is not in: {said}"
        for word in absent:
            assert word not in said, f"{new}: {word!r} is in: {said}"
        equal(bool(re.search("helm test", said)), bool(find(documents(new), "Pod")), "helm test is named where it is rendered")


@test
def the_account_of_the_source_is_the_charts():
    source = next(one for one in yaml.safe_load_all(read("config/rbac/operator.yaml")) if one["kind"] == "ServiceAccount")
    found = find(documents(release="neuralops", namespace="neuralops-system"), "ServiceAccount", source["metadata"]["name"])
    equal(source["automountServiceAccountToken"], False, "another pod that is given the account by mistake gets no token")
    equal(found["automountServiceAccountToken"], False)


@test
def under_another_name_nothing_of_the_first_one_is_left():
    new = merged(PG, ALL, {"crds": {"enabled": False}, "policies": {"enabled": False}, "userRoles": {"enabled": False}})
    rendered = text(new, release="other", namespace="somewhere")
    for line in rendered.split("\n"):
        assert line.lstrip().startswith("#") or "neuralops-system" not in line, line
        assert not re.search(r"(?<![-a-z])neuralops-controller", line) or line.lstrip().startswith("#"), line


def hook(one):
    return get(one, "metadata.annotations.helm|sh/hook")


@test
def nobody_is_bound_but_the_operator_and_nothing_is_anybodys():
    lasting = [one for one in documents(ALL) if not hook(one)]
    for one in find(lasting, "ClusterRoleBinding") + find(lasting, "RoleBinding"):
        equal([(subject["kind"], subject["name"]) for subject in one["subjects"]], [("ServiceAccount", "r-neuralops-controller")])
    for one in find(documents(ALL), "ClusterRole") + find(documents(ALL), "Role"):
        for rule in one["rules"]:
            for words in rule.values():
                assert "*" not in words, one["metadata"]["name"]
            if "impersonate" in rule["verbs"]:
                assert rule["resourceNames"] and rule["resources"] in (["serviceaccounts"], *([["users"]] if hook(one) else [])), "an account is lent by its name"


@test
def what_the_test_may_do_goes_with_it():
    hooks = [one for one in documents(ALL) if hook(one)]
    assert {one["kind"] for one in hooks} == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Pod"}, hooks
    for one in hooks:
        equal(hook(one), "test", "a hook of another kind could delete what must stay")
        assert one["metadata"]["name"].startswith("r-neuralops-test"), "it is made anew each time, so it must be nobody else's"
        policy = get(one, "metadata.annotations.helm|sh/hook-delete-policy")
        equal(policy, "before-hook-creation" if one["kind"] == "Pod" else "before-hook-creation,hook-succeeded,hook-failed", one["kind"])
    users = [subject["name"] for one in find(hooks, "ClusterRoleBinding") for subject in one["subjects"] if subject["kind"] == "User"]
    equal(users, ["ops:r-neuralops-test:nobody"], "who forges")
    args = get(find(hooks, "Pod")[0], "spec.containers.0.args")
    assert f"--as={users[0]}" in args and "--without=decision-gate" not in args, args
    assert "--without=decision-gate" in get(find(documents({"policies": {"decisionGate": False}}), "Pod")[0], "spec.containers.0.args")
    assert not find(documents({"clusterScope": {"enabled": False}}), "Pod"), "it needs rights in the whole cluster"


@test
def lent_accounts_are_what_the_command_prints():
    ours = documents({"runnerAccounts": {"shop": ["runbook-shop"]}}, release="neuralops", namespace="neuralops-system")
    printed = subprocess.run([os.environ["NEURALOPS"], "role", "runner", "runbook-shop", "-n", "shop"], check=True, stdout=subprocess.PIPE, text=True).stdout
    for shipped in yaml.safe_load_all(printed):
        found = find(ours, shipped["kind"], shipped["metadata"]["name"], namespace="shop")
        for part in ("rules", "roleRef", "subjects"):
            equal(found.get(part), shipped.get(part), shipped["kind"])


def operator(file):
    """What the operator makes of a configuration file."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as out:
        out.write(file)
        out.flush()
        clean = {key: value for key, value in os.environ.items() if not key.startswith("NEURALOPS_")}
        return subprocess.run([os.environ["NEURALOPS"], "operator", "--config", out.name, "--print-config"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean)


@test
def durations_are_refused_where_the_operator_refuses_them():
    for key in ("leaseDuration", "prometheusTimeout", "livenessTimeout", "shutdownGrace"):
        for value in ("2999ms", "500ms", "0s", "1h1ms", "61m", "3s", "3000ms", "1m500ms", "59m60s", "1h"):
            taken = operator(f"{key}: {value}\n").returncode == 0
            equal(taken, value in ("3s", "3000ms", "1m500ms", "59m60s", "1h"), f"the operator about {key}: {value}")
            if taken:
                documents(set_at(f"config.{key}", value))
            else:
                refused(set_at(f"config.{key}", value), key, "3s to 1h")


@test
def the_pod_is_given_the_time_that_the_operator_takes():
    def seconds(new):
        return get(values.workload(documents(new)), "spec.template.spec.terminationGracePeriodSeconds")

    for grace, expected in (("20s", 30), ("60s", 70), ("1m30s", 100), ("5001ms", 16)):
        equal(seconds({"config": {"shutdownGrace": grace}}), expected, grace)
    refused({"config": {"shutdownGrace": "60s"}, "terminationGracePeriodSeconds": 30}, "terminationGracePeriodSeconds", "60s")
    equal(seconds({"config": {"shutdownGrace": "60s"}, "terminationGracePeriodSeconds": 60}), 60)


@test
def the_operator_takes_its_file_and_finds_every_setting_in_it():
    made = {"tls": {"mode": "cert-manager", "certManager": {"issuerRef": {"name": "issuer"}}}, "metrics": {"auth": "token-review"}}
    for new in ({}, merged(PG, ALL), made, {"tls": {"mode": "self-signed"}, "watchNamespaces": ["shop"]}):
        file = next(one for one in find(documents(new), "ConfigMap") if "operator.yaml" in one["data"])["data"]["operator.yaml"]
        done = operator(file)
        assert done.returncode == 0, done.stdout
        elsewhere = [line.split(":")[0] for line in done.stdout.splitlines() if not line.endswith("# file")]
        equal(elsewhere, ["store"], "settings that the chart does not set; the store comes by the variable, because it may hold a password")


@test
def pods_are_as_pod_security_asks():
    for new in ({}, PG):
        pod = get(values.workload(documents(new)), "spec.template.spec")
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            assert key not in pod, key
        equal(get(pod, "securityContext.seccompProfile.type"), "RuntimeDefault")
        box = pod["containers"][0]["securityContext"]
        equal([box["allowPrivilegeEscalation"], box["readOnlyRootFilesystem"], box["runAsNonRoot"], box["capabilities"]], [False, True, True, {"drop": ["ALL"]}])
        equal(get(pod, "securityContext.runAsUser"), 65532)
        assert all(set(volume) <= {"name", "configMap", "emptyDir", "persistentVolumeClaim"} for volume in pod["volumes"]), pod["volumes"]
        assert pod["containers"][0]["resources"]["limits"] and pod["containers"][0]["resources"]["requests"]


@test
def pods_are_exchanged_when_their_configuration_changes_and_else_not():
    def annotation(new):
        return get(values.workload(documents(new)), "spec.template.metadata.annotations.checksum/config")

    assert annotation({}) != annotation({"config": {"logLevel": "debug"}})
    equal(annotation({}), annotation({"metrics": {"service": {"port": 80}}}))


@test
def samples_and_the_anchor_are_not_of_the_chart():
    for one in documents(ALL):
        assert not one["apiVersion"].startswith("neuralops.io/"), f"{one['kind']}: the anchor is the operator's, a run would hang helm's --wait"


@test
def alerts_name_a_runbook_that_exists():
    groups = [group for one in find(documents(ALL), "PrometheusRule") for group in one["spec"]["groups"]]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert rules, "no alerts"
    for rule in rules:
        page = rule["annotations"]["runbook_url"]
        assert os.path.exists(os.path.join(values.ROOT, page)), f"{rule['alert']}: {page} is not there"


@test
def the_dashboard_is_json():
    board = find(documents(ALL), "ConfigMap", "r-neuralops-dashboard")
    assert board["data"], "no dashboard"
    for name, content in board["data"].items():
        assert json.loads(content)["title"], name


if __name__ == "__main__":
    run("chart")
