"""The health checks for Argo CD, run by Lua 5.1 with the libraries that Argo CD gives them (base and table), on statuses as the
guide and the contract's table of conditions have them; and the ConfigMap that carries them, which is made of the same files."""
import json
import os
import re
import subprocess
import tempfile

from product import ROOT, read, reasons

FOLDER = "config/argocd"
KINDS = {"Orchestration": "orchestration", "Gate": "gate", "Playbook": "ready", "TrustPolicy": "ready"}
SNIPPET = f"{FOLDER}/argocd-cm.yaml"


def check(kind):
    """The check of the kind as Argo CD runs it: its file, after the head that all of them have."""
    return read(f"{FOLDER}/head.lua") + read(f"{FOLDER}/{KINDS[kind]}.lua")


# What Argo CD's interpreter has is left; no string, io, os or math, and no methods on strings either.
HARNESS = """
local keep = {}
for _, name in ipairs({"assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring", "type", "unpack", "table"}) do
  keep[name] = _G[name]
end
local write, format, load = io.write, string.format, loadfile
getmetatable("").__index = nil
local check = assert(load(arg[1]))
for _, one in ipairs(objects) do
  keep.obj = one
  setfenv(check, keep)
  local said = check()
  write(format("%s\\t%s\\n", said.status, said.message))
end
"""


def as_lua(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{as_lua(key)}] = {as_lua(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(as_lua, value)) + "}"
    return "nil" if value is None else json.dumps(value)


def health(kind, objects):
    """What the check of the kind says of each object: (status, message)."""
    lua = subprocess.run([os.path.join(ROOT, "tests/operations/lua")], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        harness, tried = os.path.join(folder, "harness.lua"), os.path.join(folder, "check.lua")
        for path, text in ((harness, f"objects = {as_lua(objects)}\n{HARNESS}"), (tried, check(kind))):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([lua, harness, tried], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = [tuple(line.split("\t")) for line in done.stdout.splitlines()]
    assert len(said) == len(objects), done.stdout
    return said


def condition(kind, status, reason, message="words for people"):
    return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}


def made(conditions=None, generation=1, observed=1, **status):
    body = {**status, **({"conditions": conditions} if conditions is not None else {}), **({"observedGeneration": observed} if observed is not None else {})}
    return {"metadata": {"name": "one", "generation": generation}, "spec": {}, **({"status": body} if body else {})}


def run(ready, reason, **more):
    besides = {"Unknown": [condition("Reconciling", "True", reason)], "False": [condition("Stalled", "True", reason)], "True": []}[ready]
    return made([condition("Ready", ready, reason), *besides], **more)


def expect(kind, cases):
    said = health(kind, [one for _, one, _ in cases])
    wrong = [f"{name}: {status} ({message}), not {wanted}" for (name, _, wanted), (status, message) in zip(cases, said) if status != wanted]
    assert not wrong, "\n".join(wrong)


def table(page, heading):
    """The rows of the first table under a heading, without its head."""
    section = read(page).split(f"## {heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\|\n)+", section, re.M)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


# Everything else that a run waits for comes by itself, or is for whoever runs the cluster.
FOR_PEOPLE = {"NoPlaybook", "AwaitingApproval", "AutoNotAllowed", "AwaitingRelease", "Suspended", "Frozen"}


def waits():
    """Every reason that the guide names for a run that waits."""
    found = {reason for row in table("docs/guides/runs.md", "What it waits for") for reason in re.findall(r"`([A-Za-z]+)`", row[0])}
    assert FOR_PEOPLE <= found and len(found) > 20, f"the guide's table is not read rightly: {found}"
    return found


def test_a_run_that_waits_for_people_is_suspended_and_any_other_goes_on():
    expect("Orchestration", [(reason, run("Unknown", reason, stage="Approve"), "Suspended" if reason in FOR_PEOPLE else "Progressing") for reason in sorted(waits())])


def test_a_run_that_ended_is_what_its_ready_says():
    rows = table("docs/guides/runs.md", "How it ends")
    words = {"True": "Healthy", "False": "Degraded"}
    outcomes = [(re.findall(r"`(\w+)`", row[0])[0], row[1]) for row in rows]
    assert len(outcomes) >= 10, f"the guide's table is not read rightly: {outcomes}"
    expect("Orchestration", [(f"{outcome} {ready}", run(ready, outcome, stage="Done", outcome=outcome), words[ready]) for outcome, ready in outcomes])


def test_a_run_that_nobody_has_looked_at_is_progressing():
    expect("Orchestration", [
        ("no status", made(observed=None), "Progressing"),
        ("a change after it was done", run("True", "Succeeded", generation=2), "Progressing"),
        ("a change while people are asked", run("Unknown", "AwaitingApproval", generation=2), "Progressing"),
        ("failed, and then changed", run("False", "StepFailed", generation=2), "Degraded"),
    ])
    _, message = health("Orchestration", [run("Unknown", "AwaitingApproval")])[0]
    assert message == "AwaitingApproval: words for people", message


def test_only_an_approved_gate_lets_the_next_wave_go():
    settled = [condition("Ready", "True", "Approved")]
    expect("Gate", [
        ("the status that the kind gives it", made(state="Open", observed=-1), "Suspended"),
        ("no status", made(observed=None), "Suspended"),
        ("votes are missing", made([condition("Ready", "False", "AwaitingApproval"), condition("Reconciling", "True", "AwaitingApproval")], state="Open"), "Suspended"),
        ("Approved", made(settled, state="Approved"), "Healthy"),
        *((state, made([condition("Ready", "True", state)], state=state), "Degraded") for state in ("Rejected", "Expired", "Superseded", "Cancelled")),
    ])


def test_a_playbook_is_healthy_if_it_may_run():
    expect("Playbook", [
        ("no status", made(observed=None), "Progressing"),
        ("verified", run("True", "Verified"), "Healthy"),
        ("another version", run("True", "Verified", generation=2), "Progressing"),
        ("refused", run("False", "Unsigned"), "Degraded"),
        ("suspended", made([condition("Ready", "False", "Suspended")]), "Suspended"),
        ("the log is closed", run("Unknown", "AuditUnavailable"), "Progressing"),
    ])


def test_a_policy_that_lacks_something_is_degraded():
    expect("TrustPolicy", [
        ("no status", made(observed=None), "Progressing"),
        ("good", run("True", "Valid"), "Healthy"),
        ("another version", run("True", "Valid", generation=2), "Progressing"),
        ("its root has ended", run("False", "TrustRootInvalid"), "Degraded"),
        ("the API server is away", run("Unknown", "ApiServerUnavailable"), "Progressing"),
    ])


def test_the_checks_name_reasons_that_there_are():
    named = {word for kind in KINDS for word in re.findall(r"\b([A-Z][a-zA-Z]+) = true|reason == \"(\w+)\"", check(kind)) for word in word if word}
    assert named >= FOR_PEOPLE and named <= reasons(), f"no such reasons: {named - reasons()}"


def snippet():
    lines = [
        "# Health checks for Argo CD, to be merged into its ConfigMap argocd-cm; docs/guides/gitops.md says what they tell.",
        "# Made of the .lua files beside it by `make generate`.",
        "apiVersion: v1", "kind: ConfigMap", "metadata: {name: argocd-cm, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}}", "data:",
    ]
    for kind in KINDS:
        lines += [f"  resource.customizations.health.neuralops.io_{kind}: |", *(f"    {line}".rstrip() for line in check(kind).splitlines())]
    return "\n".join(lines) + "\n"


def test_the_config_map_carries_the_checks():
    assert read(SNIPPET) == snippet(), f"{SNIPPET} differs from the .lua files: run `make generate`"


def generate():
    with open(os.path.join(ROOT, SNIPPET), "w", encoding="utf-8") as file:
        file.write(snippet())
