"""What the product says of itself, read from where it says it: metrics, the words of their labels, reasons, commands. Tests
hold alerts, dashboards and documents against it."""
import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def tracked(*patterns):
    """The files of the tree that stand in it or are about to, and are there."""
    command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted({name for name in names if name and os.path.isfile(os.path.join(ROOT, name))})


def exported_metrics():
    """The names that src/adapters/metrics registers, with the prefix that all of them get."""
    made = re.compile(r'(?:Opts::new|IntCounter::new|IntGauge::new|gauges?|counters)\(\s*"([a-z_]+)"')
    sources = ["src/adapters/metrics.rs", *(path for path in tracked("src/adapters/metrics/*.rs"))]
    return {"neuralops_" + name for path in sources for name in made.findall(read(path).split("#[cfg(test)]")[0])}


def described_metrics():
    """The names and labels in the table of the guide."""
    table = read("docs/guides/configuration.md").split("## Metrics")[1]
    found = {}
    for names, labels in re.findall(r"^\| ((?:`neuralops_[a-z_]+`(?:, )?)+) \| (.*?) \|", table, re.M):
        for name in re.findall(r"`(neuralops_[a-z_]+)`", names):
            found[name] = set(re.findall(r"`([a-z_]+)`", labels))
    return found


def reasons():
    return set(re.findall(r"^\| `([A-Za-z]+)` \|", read("docs/reference/reasons.md"), re.M))


def label_words(label):
    """The closed list that a label's values come from; None where the values are somebody else's."""
    if label in ("reason", "state"):
        return reasons()
    if label == "outcome":
        line = next(line for line in read("docs/guides/configuration.md").splitlines() if line.startswith("`outcome` is one of"))
        return set(re.findall(r"`([a-z]+)`", line.split(".")[0])) - {"outcome"}
    if label == "status":
        return set(re.findall(r'Self::[A-Za-z]+ => "([A-Za-z]+)"', read("src/domain/stage.rs"))) | reasons()
    if label == "stage":
        return set(re.findall(r'Self::[A-Za-z]+(?:\(_\))? => "([A-Za-z]+)"', read("src/domain/stage.rs")))
    if label == "controller":
        return {
            name for path in tracked("src/controllers/*/mod.rs") for name in re.findall(r"const NAME: &'static str = \"([a-z]+)\"", read(path))
        }
    return None


def wrong_with(expression):
    """What an expression asks for that the operator does not export, each in a sentence."""
    metrics, wrong = described_metrics(), []
    for name in set(re.findall(r"\bneuralops_[a-z_]+", expression)):
        if name not in metrics and re.sub(r"_(bucket|sum|count)$", "", name) not in metrics:
            wrong.append(f"there is no metric {name}")
    for name, matchers in re.findall(r"\b(neuralops_[a-z_]+)\{([^}]*)\}", expression):
        known = metrics.get(name) or metrics.get(re.sub(r"_(bucket|sum|count)$", "", name)) or set()
        for label, values in re.findall(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', matchers):
            if label not in known and not values.startswith("$"):
                wrong.append(f"{name} has no label {label}")
            words = label_words(label)
            if words is not None and not values.startswith("$"):
                wrong += [f"{label} of {name} is never {value}" for value in values.split("|") if value not in words]
    return wrong
