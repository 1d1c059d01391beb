"""The alerts that the chart ships, asked of the real promtool: in a healthy scene none of them fires, and each of them has a
scene in which it does, together with those that belong to the same trouble and no other."""
import json
import os
import re
import subprocess
import tempfile

from product import ROOT, described_metrics, exported_metrics, read, tracked, wrong_with

RULES = "charts/neuralops/files/alerts/neuralops.yaml"
A, B = '{instance="a:8081",job="neuralops",namespace="neuralops-system"', '{instance="b:8081",job="neuralops",namespace="neuralops-system"'

# Two replicas, of which a leads; the counters have counted long ago what alerts are about, and nothing since.
HEALTHY = {
    f"neuralops_build_info{A},version=\"0.1.0\"}}": "1x200",
    f"neuralops_build_info{B},version=\"0.1.0\"}}": "1x200",
    f"neuralops_leader{A}}}": "1x200",
    f"neuralops_leader{B}}}": "0x200",
    f"neuralops_crds_missing{A}}}": "0x200",
    f"neuralops_admission_guard_whole{A}}}": "1x200",
    f"neuralops_admission_guard_whole{B}}}": "1x200",
    f"neuralops_votes_trusted_since_seconds{A}}}": "1700000000x200",
    f"neuralops_votes_trusted_since_seconds{B}}}": "0x200",
    f"neuralops_audit_open{A}}}": "1x200",
    f"neuralops_audit_open{B}}}": "0x200",
    f"neuralops_audit_refused{B},reason=\"AuditUnavailable\"}}": "1x200",
    f"neuralops_audit_leaves{A}}}": "1000+30x200",
    f"neuralops_audit_anchored_leaves{A}}}": "990+30x200",
    f"neuralops_audit_spool_bytes{A}}}": "0x200",
    f"neuralops_audit_unrecorded_stops_total{A}}}": "0x200",
    f"neuralops_audit_append_seconds_bucket{A},le=\"0.1\"}}": "0+60x200",
    f"neuralops_audit_append_seconds_bucket{A},le=\"10\"}}": "0+60x200",
    f"neuralops_audit_append_seconds_bucket{A},le=\"+Inf\"}}": "0+60x200",
    f"neuralops_objects_backing_off{A},controller=\"playbook\"}}": "0x200",
    f"neuralops_reconcile_errors_total{A},controller=\"gate\",reason=\"Forbidden\"}}": "3x200",
    f"neuralops_reconciliations_total{A},controller=\"gate\",outcome=\"settled\"}}": "0+10x200",
    f"neuralops_reconciliations_total{A},controller=\"gate\",outcome=\"panicked\"}}": "1x200",
    f"neuralops_reconciliations_total{A},controller=\"gate\",outcome=\"undecodable\"}}": "1x200",
    f"neuralops_verifications_total{A},reason=\"Verified\"}}": "0+1x200",
    f"neuralops_verifications_total{A},reason=\"UntrustedKey\"}}": "2x200",
    # Slips, which the Playbooks tell themselves.
    f"neuralops_verifications_total{A},reason=\"Unsigned\"}}": "0+1x200",
    f"neuralops_orchestrations_total{A},stage=\"Execute\",status=\"Succeeded\"}}": "0+2x200",
    f"neuralops_orchestrations_total{A},stage=\"Execute\",status=\"Failed\"}}": "9x200",
    f"neuralops_orchestrations_total{A},stage=\"Execute\",status=\"CompensationFailed\"}}": "1x200",
    f"neuralops_gate_wait_seconds_count{A},state=\"Expired\"}}": "7x200",
}

GUARD = {f"neuralops_admission_guard_whole{A}}}": "1x60 0x140", f"neuralops_admission_guard_whole{B}}}": "1x60 0x140"}
# What becomes different, seen two hours of half minutes later at the latest: minute 50 of a trouble that begins at minute 30.
SCENES = {
    "NeuralOpsAbsent": ({series: None for series in HEALTHY}, []),
    "NeuralOpsNoLeader": ({f"neuralops_leader{A}}}": "1x60 0x140"}, []),
    "NeuralOpsKindsMissing": ({f"neuralops_crds_missing{A}}}": "0x60 2x140"}, []),
    "NeuralOpsUnlisted": ({f"neuralops_unlisted{A},controller=\"orchestration\"}}": "0x60 1x140"}, []),
    "NeuralOpsRightsMissing": ({f"neuralops_reconcile_errors_total{A},controller=\"gate\",reason=\"Forbidden\"}}": "3x60 4+1x140"}, []),
    "NeuralOpsBackingOff": ({f"neuralops_objects_backing_off{A},controller=\"playbook\"}}": "0x60 4x140"}, []),
    # The first time ever, which no increase shows: the series was not there before.
    "NeuralOpsDefect": ({f"neuralops_reconciliations_total{A},controller=\"gate\",outcome=\"panicked\"}}": "_x80 1x120"}, []),
    "NeuralOpsGuardBroken": (GUARD, []),
    "NeuralOpsVotesNotTrusted": ({f"neuralops_votes_trusted_since_seconds{A}}}": "1700000000x60 0x140"}, []),
    "NeuralOpsUndecodable": ({f"neuralops_reconciliations_total{A},controller=\"gate\",outcome=\"undecodable\"}}": "1x80 2x120"}, []),
    "NeuralOpsPlaybookRefused": ({f"neuralops_verifications_total{A},reason=\"DigestMismatch\"}}": "_x80 1x120"}, []),
    "NeuralOpsAuditUnavailable": ({f"neuralops_audit_open{A}}}": "1x60 0x140", f"neuralops_audit_refused{A},reason=\"AuditUnavailable\"}}": "_x60 1x140"}, []),
    "NeuralOpsAuditRefused": ({f"neuralops_audit_open{A}}}": "1x60 0x140", f"neuralops_audit_refused{A},reason=\"RolledBack\"}}": "_x60 1x140"}, []),
    "NeuralOpsStopUnrecorded": ({f"neuralops_audit_unrecorded_stops_total{A}}}": "0x80 1x120"}, []),
    "NeuralOpsStopsWait": ({f"neuralops_audit_spool_bytes{A}}}": "0x60 512x140"}, []),
    "NeuralOpsAnchorStuck": ({f"neuralops_audit_anchored_leaves{A}}}": "990+30x60 2790x140"}, []),
    "NeuralOpsAuditSlow": ({f"neuralops_audit_append_seconds_bucket{A},le=\"0.1\"}}": "0+60x60 3600+50x140"}, []),
    "NeuralOpsCompensationFailed": ({f"neuralops_orchestrations_total{A},stage=\"Execute\",status=\"CompensationFailed\"}}": "_x80 1x120"}, []),
    "NeuralOpsRunsFail": ({f"neuralops_orchestrations_total{A},stage=\"Execute\",status=\"Failed\"}}": "9x60 9+1x140"}, []),
    "NeuralOpsGatesExpire": ({f"neuralops_gate_wait_seconds_count{A},state=\"Expired\"}}": "7x60 7+1x140"}, []),
}


def promtool():
    return subprocess.run([os.path.join(ROOT, "tests/prometheus"), "promtool"], check=True, capture_output=True, text=True).stdout.strip()


def alerts():
    """Each alert of the file: its name, and its own text."""
    blocks = re.split(r"^  - alert: ", read(RULES), flags=re.M)[1:]
    return {block.split("\n", 1)[0]: re.split(r"^- name:", block, flags=re.M)[0] for block in blocks}


def expression(block):
    return " ".join(re.split(r"^ {4}(?:for|labels):", block.split("    expr:", 1)[1], flags=re.M)[0].replace(">-", " ").split())


def page(name):
    return "docs/runbooks/" + re.sub(r"(?<!^)(?=[A-Z])", "-", name.removeprefix("NeuralOps")).lower() + ".md"


def firing(name):
    return [{"expr": f'count by (alertname) (ALERTS{{alertstate="firing"}})', "eval_time": "50m", "exp_samples": [
        {"labels": f'{{alertname="{one}"}}', "value": number} for one, number in name.items()]}]


def run_promtool(scenes):
    """Scenes as (series, what fires at minute 50), by the real promtool, on the file as it is shipped."""
    tests = [
        {"interval": "30s", "input_series": [{"series": s, "values": v} for s, v in series.items() if v is not None], "promql_expr_test": firing(fires)}
        for series, fires in scenes
    ]
    document = {"rule_files": [os.path.join(ROOT, RULES)], "evaluation_interval": "30s", "tests": tests}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(document, file)
        file.flush()
        return subprocess.run([promtool(), "test", "rules", file.name], capture_output=True, text=True)


def test_prometheus_takes_the_rules():
    done = subprocess.run([promtool(), "check", "rules", "--lint=all", "--lint-fatal", os.path.join(ROOT, RULES)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(alerts())} rules found" in done.stdout, f"this test reads another number of rules than promtool:\n{done.stdout}"


def test_none_fires_while_all_is_well():
    done = run_promtool([(HEALTHY, {})])
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_fires_in_its_scene_and_no_other_with_it():
    assert set(SCENES) == set(alerts()), f"alerts without a scene, or scenes without an alert: {set(SCENES) ^ set(alerts())}"
    for name, (changes, others) in SCENES.items():
        replicas = 2 if name == "NeuralOpsGuardBroken" else 1
        done = run_promtool([({**HEALTHY, **changes}, {name: replicas, **dict.fromkeys(others, 1)})])
        assert done.returncode == 0, f"{name}\n{done.stdout}{done.stderr}"


def test_each_asks_for_what_the_operator_exports():
    wrong = [f"{name}: {one}" for name, block in alerts().items() for one in wrong_with(expression(block))]
    assert not wrong, "\n".join(wrong)


def test_each_says_what_it_is_and_has_a_runbook():
    wrong = []
    for name, block in alerts().items():
        if not re.search(r"labels: \{severity: (critical|warning)\}", block):
            wrong.append(f"{name} has no severity")
        for field in ("summary", "description"):
            if not re.search(rf"^      {field}: \S", block, re.M):
                wrong.append(f"{name} has no {field}")
        if f"      runbook_url: {page(name)}\n" not in block:
            wrong.append(f"{name} does not name {page(name)}")
        elif not os.path.isfile(os.path.join(ROOT, page(name))):
            wrong.append(f"{page(name)} is not there")
        elif f"`{name}`" not in read(page(name)):
            wrong.append(f"{page(name)} does not name {name}")
    assert not wrong, "\n".join(wrong)


def test_the_guide_describes_exactly_the_metrics_that_are_exported():
    exported, described = exported_metrics(), set(described_metrics())
    assert len(exported) > 20, f"the sources register only {exported}: is it still read rightly?"
    assert exported == described, f"only exported: {exported - described}; only described: {described - exported}"
