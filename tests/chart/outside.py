"""outside.py: what programs that are not ours say about the chart and the samples: checkov about the security of what is
rendered, kubeconform about samples and examples against schemas made from crds/. `run` calls it."""
import json
import os
import subprocess
import tempfile

import yaml

import schemas
from bed import ALL, PG, Loader, equal, files, merged, read, run, test, text

SKIPS = "tests/chart/checkov.skips"


def findings(folder):
    """(check, resource, name) of everything that checkov complains about."""
    done = subprocess.run(
        [os.environ["CHECKOV"], "--directory", folder, "--framework", "kubernetes", "--compact", "--quiet", "--skip-download", "--output", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.stdout.strip(), done.stderr[-500:]
    report = json.loads(done.stdout)
    summary = report["summary"]
    assert summary["passed"] > 100 and summary["parsing_errors"] == 0, f"checkov looked at too little: {summary}"
    return {(one["check_id"], one["resource"]): one["check_name"] for one in report["results"]["failed_checks"]}


@test
def checkov_finds_nothing_that_is_not_explained():
    explained = {}
    for line in read(SKIPS).splitlines():
        if line.strip() and not line.startswith("#"):
            check, resource, reason = line.split(None, 2)
            explained[check, resource] = reason
    with tempfile.TemporaryDirectory() as folder:
        for name, new in (("sqlite", ALL), ("postgres", merged(ALL, PG))):
            with open(f"{folder}/{name}.yaml", "w") as file:
                file.write(text(new))
        found = findings(folder)
    wrong = [f"{check} about {resource}: {name}" for (check, resource), name in found.items() if (check, resource) not in explained]
    wrong += [f"{SKIPS}: {' '.join(entry)} explains nothing any more; delete the line" for entry in explained if entry not in found]
    assert not wrong, "; ".join(wrong)


def kubeconform(folder, objects):
    """What it says about objects that schemas of the folder are for; nothing is fetched."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump_all(objects, file)
        file.flush()
        done = subprocess.run(
            [os.environ["KUBECONFORM"], "-strict", "-output", "json", "-summary", "-schema-location", f"{folder}/{schemas.TEMPLATE}", file.name],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    report = json.loads(done.stdout)
    return [f"{one['kind']}/{one['name']}: {one['msg']}" for one in report["resources"] if one["status"] != "statusValid"], report["summary"]


def ours(objects):
    return [one for one in objects if one and one["apiVersion"].startswith("neuralops.io/")]


@test
def kubeconform_takes_every_sample_and_refuses_a_typo():
    samples = []
    for folder, _, names in os.walk("config/samples"):
        for name in sorted(names):
            if name.endswith(".yaml"):
                samples += ours(yaml.load_all(read(os.path.join(folder, name)), Loader))
    chart = yaml.safe_load(read("charts/neuralops/Chart.yaml"))
    samples += ours(yaml.load(chart["annotations"]["artifacthub.io/crdsExamples"], Loader))
    assert len(samples) > 25, len(samples)
    with tempfile.TemporaryDirectory() as folder:
        for name in files("crds"):
            schemas.of_kind(yaml.safe_load(read(f"crds/{name}")), folder)
        wrong, summary = kubeconform(folder, samples)
        assert not wrong and summary["valid"] == len(samples), wrong
        typo = json.loads(json.dumps(next(one for one in samples if one["kind"] == "Orchestration")))
        typo["spec"]["playbook"] = "x"
        wrong, _ = kubeconform(folder, [typo])
        equal(len(wrong), 1, "a typo")


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    run("chart, by programs that are not ours")
