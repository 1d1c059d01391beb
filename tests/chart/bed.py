"""bed.py: what the tests of the chart share: rendering with the real helm, finding things in what it renders, and counting.
The programs come from the environment, which `run` sets: HELM, HELM4, KUBECONFORM, NEURALOPS."""
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHART = os.path.join(ROOT, "charts", "neuralops")
# The oldest Kubernetes that the chart is for; without it helm believes in one that no chart of today is for.
KUBE = "1.33.0"
RELEASE, NAMESPACE = "r", "ops"
DIGEST = "sha256:" + "a" * 64
PG = {"store": {"postgres": {"existingSecret": "database"}}}
# Everything that is off by default, on.
ALL = {
    "image": {"digest": DIGEST}, "runnerAccounts": {"shop": ["runbook-shop"]},
    "metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}},
}


class Refused(Exception):
    """helm rendered nothing; the text is what it said."""


def read(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


def files(folder):
    return sorted(name for name in os.listdir(os.path.join(ROOT, folder)) if name.endswith(".yaml") and name != "kustomization.yaml")


def set_at(path, value):
    """{"a": {"b": value}} of "a.b"; a "|" stands for a dot that is part of a key."""
    for part in reversed(path.split(".")):
        value = {part.replace("|", "."): value}
    return value


def merged(*values):
    """Deep, the later ones win."""
    result = {}
    for one in values:
        for key, value in one.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def rendered(chart, *more, values=None, helm=None, release=RELEASE, namespace=NAMESPACE):
    """What helm prints of a chart, which may be another one than ours, with flags besides."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        done = subprocess.run(
            [helm or os.environ["HELM"], "template", release, chart, "--kube-version", KUBE, "--namespace", namespace, "--values", file.name, *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


@functools.lru_cache(maxsize=None)
def _text(helm, values, release, namespace):
    return rendered(CHART, values=json.loads(values), helm=helm, release=release, namespace=namespace)


def text(values=None, helm=None, release=RELEASE, namespace=NAMESPACE):
    """What helm prints."""
    return _text(helm or os.environ["HELM"], json.dumps(values or {}, sort_keys=True), release, namespace)


def notes(values=None):
    """What helm tells whoever installs. `helm template` leaves that out, so it is rendered as an object of a copy of the chart."""
    with tempfile.TemporaryDirectory() as folder:
        chart = shutil.copytree(CHART, f"{folder}/chart")
        with open(f"{chart}/templates/notes.yaml", "w") as file:
            file.write('{{ define "notes" }}' + read("charts/neuralops/templates/NOTES.txt") + "{{ end }}\n"
                       'kind: Notes\ntext: {{ include "notes" . | toJson }}\n')
        return yaml.safe_load(rendered(chart, "--show-only", "templates/notes.yaml", values=values))["text"]


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Refuses two entries of one name, which PyYAML lets pass and the API server does not."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"twice in one map: {', '.join(sorted(twice))}{node.start_mark}")
        return super().construct_mapping(node, deep)


# A time is a text to the API server.
Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)
Loader.add_constructor("tag:yaml.org,2002:map", lambda loader, node: loader.construct_mapping(node, deep=True))


@functools.lru_cache(maxsize=None)
def parsed(rendered):
    return [document for document in yaml.load_all(rendered, Loader) if document]


def documents(values=None, **more):
    return parsed(text(values, **more))


def find(rendered, kind, name=None, namespace=None):
    """The objects of a kind, or the one of a name."""
    found = [one for one in rendered if one["kind"] == kind and (namespace is None or one["metadata"].get("namespace") == namespace)]
    if name is None:
        return found
    named = [one for one in found if one["metadata"]["name"] == name]
    return named[0] if len(named) == 1 else None


def get(value, path, default=None):
    """The value at "spec.template.spec", with numbers for places in lists; "|" is a dot within a key."""
    for part in path.split(".") if path else []:
        part = part.replace("|", ".")
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            return default
    return value


TESTS = []


def test(function):
    """Makes a function a test; its name and words are what is reported."""
    TESTS.append(function)
    return function


def equal(found, expected, what=""):
    if isinstance(found, set) and isinstance(expected, set):
        assert found == expected, f"{what}{': ' if what else ''}only in the one: {sorted(found - expected)}; only in the other: {sorted(expected - found)}"
    assert found == expected, f"{what}{': ' if what else ''}{found!r} is not {expected!r}"


def run(title):
    """Runs all tests; one line each, as tests/report counts them."""
    failed = 0
    for one in TESTS:
        name = one.__name__.replace("_", " ")
        try:
            one()
            print(f"ok   chart: {name}", flush=True)
        except Exception as error:  # a test fails by any exception
            failed += 1
            print(f"FAIL chart: {name}: {type(error).__name__}: {error}", flush=True)
    print(f"{title}: {len(TESTS) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
