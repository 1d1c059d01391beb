"""What Flux, Helm 4 and others see of our objects: the real kstatus, on the same statuses as the health checks for Argo CD."""
import json
import os
import subprocess

from argocd import FOR_PEOPLE, condition, made, run, table, waits
from product import ROOT


def kstatus(kind, objects):
    program = subprocess.run([os.path.join(ROOT, "tests/sigstore/build"), "kstatus"], check=True, capture_output=True, text=True).stdout.strip()
    whole = [{"apiVersion": "neuralops.io/v1alpha1", "kind": kind, **one} for one in objects]
    done = subprocess.run([program], input=json.dumps(whole), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def expect(kind, cases):
    said = kstatus(kind, [one for _, one, _ in cases])
    assert len(said) == len(cases), said
    wrong = [f"{name}: {word}, not {wanted}" for (name, _, wanted), word in zip(cases, said) if word != wanted]
    assert not wrong, "\n".join(wrong)


def test_a_run_that_waits_is_in_progress_whatever_for():
    assert FOR_PEOPLE <= waits()
    expect("Orchestration", [(reason, run("Unknown", reason), "InProgress") for reason in sorted(waits())])


def test_a_run_that_ended_is_current_or_failed_as_its_ready_says():
    words = {"True": "Current", "False": "Failed"}
    expect("Orchestration", [(f"{row[0]} {row[1]}", run(row[1], "Any", stage="Done"), words[row[1]]) for row in table("docs/guides/runs.md", "How it ends")])


def test_a_change_that_nobody_has_looked_at_is_in_progress():
    expect("Orchestration", [("a change", run("True", "Succeeded", generation=2), "InProgress")])
    expect("Playbook", [("a change", run("True", "Verified", generation=2), "InProgress"), ("refused", run("False", "Unsigned"), "Failed")])
    expect("TrustPolicy", [("good", run("True", "Valid"), "Current"), ("lacks a key", run("False", "UntrustedKey"), "Failed")])


def test_an_open_gate_is_in_progress_and_any_end_is_current():
    expect("Gate", [
        ("the status that the kind gives it", made(state="Open", observed=-1), "InProgress"),
        ("votes are missing", made([condition("Ready", "False", "AwaitingApproval"), condition("Reconciling", "True", "AwaitingApproval")], state="Open"), "InProgress"),
        *((state, made([condition("Ready", "True", state)], state=state), "Current") for state in ("Approved", "Rejected", "Expired", "Superseded", "Cancelled")),
    ])


def test_what_the_operator_has_not_seen_is_taken_for_finished():
    """kstatus knows nothing of a kind without a status, and the guide says so. A Gate has one from its first moment."""
    expect("Orchestration", [("no status", made(observed=None), "Current")])
    expect("Playbook", [("no status", made(observed=None), "Current")])
