"""The Grafana dashboard that the chart ships: JSON that Grafana can show, whose every question the real promtool takes, about
metrics that the operator exports."""
import json
import os
import re
import subprocess
import tempfile

from alerts import promtool
from product import ROOT, described_metrics, read, wrong_with

DASHBOARD = "charts/neuralops/files/dashboards/neuralops.json"


def dashboard():
    return json.loads(read(DASHBOARD))


def questions():
    """Each expression with its panel, as Grafana would send it."""
    found = []
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            sent = target["expr"].replace("$__rate_interval", "5m").replace("$namespace", ".*")
            assert "$" not in sent, f"{panel['title']}: a variable that nothing fills in: {sent}"
            found.append((panel["title"], sent))
    return found


def test_grafana_can_show_it():
    document = dashboard()
    assert document["uid"] == "neuralops" and document["title"] and "id" not in document, "it needs a uid and a title, and no id of one Grafana"
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels), "two panels have one id"
    squares = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels for x in range(panel["gridPos"]["w"]) for y in range(panel["gridPos"]["h"])
    ]
    assert len(set(squares)) == len(squares), "panels lie upon each other"
    assert max(x for x, _ in squares) < 24, "a panel reaches beyond the 24 columns"
    for panel in panels:
        assert panel["title"] and panel["targets"], f"panel {panel['id']} has no title or asks nothing"
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}", f"{panel['title']} asks one Prometheus only"


def test_every_runbook_that_it_names_is_there():
    named = [name for panel in dashboard()["panels"] for names in re.findall(r"[Rr]unbooks?: ([a-z, -]+)", panel["description"]) for name in names.split(", ")]
    assert len(named) > 5, "it names hardly any runbook: is the text still read rightly?"
    missing = [name for name in named if not os.path.isfile(os.path.join(ROOT, f"docs/runbooks/{name}.md"))]
    assert not missing, f"no such runbook: {missing}"


def test_prometheus_takes_every_question():
    # JSON is YAML: each question as a rule of its own.
    rules = [{"record": f"question:{number}", "expr": sent} for number, (_, sent) in enumerate(questions())]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        done = subprocess.run([promtool(), "check", "rules", file.name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_asks_for_what_the_operator_exports():
    wrong = [f"{title}: {one}" for title, sent in questions() for one in wrong_with(sent.replace('namespace=~".*"', "").replace("{,", "{"))]
    assert not wrong, "\n".join(wrong)


def test_it_shows_what_people_are_woken_for():
    asked = " ".join(sent for _, sent in questions())
    for name in ("neuralops_leader", "neuralops_admission_guard_whole", "neuralops_audit_open", "neuralops_orchestrations_total"):
        assert name in described_metrics() and name in asked, f"{name} is not on the dashboard"
