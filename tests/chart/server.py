"""server.py: what a real API server says about what the chart renders: kubeconform with schemas made from the server's own
description, then a server-side dry run with strict field validation. KUBECTL and KUBECONFIG name the server, which has our kinds
and the namespaces ops and shop; `on-cluster` calls it."""
import json
import os
import subprocess
import tempfile

import schemas
from bed import ALL, PG, documents, merged, run, test, text

# Of an operator that is not installed here; their fields are tested by what reads them.
FOREIGN = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
RENDERS = {"sqlite": ALL, "postgres": merged(ALL, PG), "every knob": merged(ALL, PG, {
    "extraEnv": [{"name": "NEURALOPS_CONFIG", "value": "/mine"}, {"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}], "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "extraEnvFrom": [{"secretRef": {"name": "more", "optional": True}}], "extraArgs": ["--log-level=debug"],
    "tolerations": [{"key": "a", "operator": "Exists"}], "nodeSelector": {"a": "b"}, "priorityClassName": "system-cluster-critical",
    "dnsPolicy": "None", "dnsConfig": {"nameservers": ["10.0.0.10"], "options": [{"name": "ndots", "value": "2"}]},
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}], "hostUsers": False, "imagePullSecrets": [{"name": "pull"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}}]}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"a": "b"}}}],
    "extraContainers": [{"name": "proxy", "image": "registry.example/proxy:1"}], "extraInitContainers": [{"name": "first", "image": "registry.example/first:1"}],
    "networkPolicy": {"ingress": {"from": [{"namespaceSelector": {}}]}}, "podDisruptionBudget": {"minAvailable": "50%"},
    "commonLabels": {"team": "sre"}, "commonAnnotations": {"owner": "sre"}, "serviceAccount": {"annotations": {"role": "arn"}},
    "updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}, "schedulerName": "mine",
})}


def known(new):
    # A pod is only taken with its account there; `on-cluster` makes both.
    return [one for one in documents(new) if one["kind"] not in (*FOREIGN, "Pod")]


def kubectl(*arguments, given=None):
    return subprocess.run([os.environ["KUBECTL"], *arguments], input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@test
def kubeconform_takes_all_of_it_and_refuses_a_typo():
    swagger = json.loads(kubectl("get", "--raw", "/openapi/v2").stdout)
    wanted = set()
    for new in RENDERS.values():
        for one in documents(new):
            group, _, version = one["apiVersion"].rpartition("/")
            wanted.add((group, version, one["kind"]))
    with tempfile.TemporaryDirectory() as folder:
        schemas.of_server(swagger, wanted, folder)

        def wrong(rendered):
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(rendered)
                file.flush()
                done = subprocess.run(
                    [os.environ["KUBECONFORM"], "-strict", "-output", "json", "-summary", "-skip", ",".join(FOREIGN),
                     "-schema-location", f"{folder}/{schemas.TEMPLATE}", file.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            report = json.loads(done.stdout)
            bad = [f"{one['kind']}/{one['name']}: {one['msg'][:300]}" for one in report["resources"] if one["status"] not in ("statusValid", "statusSkipped")]
            assert report["summary"]["valid"] or bad, report["summary"]
            return bad

        for name, new in RENDERS.items():
            bad = wrong(text(new))
            assert not bad, f"{name}: {'; '.join(bad)}"
        assert wrong(text(PG).replace("terminationGracePeriodSeconds:", "terminationGracePeriodsSeconds:")), "a typo passes"


@test
def the_api_server_takes_all_of_it_strictly():
    for name, new in RENDERS.items():
        objects = "\n".join(json.dumps(one) for one in known(new))
        done = kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-", given=objects)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        # Pod Security tells what it would refuse of the workload's pods.
        assert "would violate PodSecurity" not in done.stderr or name == "every knob", f"{name}: {done.stderr}"


if __name__ == "__main__":
    run("chart, by an API server")
