"""What is written for people holds: every relative link of every page leads somewhere, headings included; every reason, metric,
command and option that an operations page names exists; the troubleshooting guide shows what it claims to show."""
import functools
import os
import re
import subprocess

from product import ROOT, described_metrics, read, reasons, tracked

OPERATIONS = ["docs/guides/upgrade.md", "docs/guides/backup-and-restore.md", "docs/guides/air-gap.md", "docs/guides/gitops.md", "docs/guides/troubleshooting.md", "docs/trust/*.md", "docs/runbooks/*.md", "SECURITY.md"]
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2[ \t]*$", re.M | re.S)


def prose(path):
    """The page without what stands in fences, where nothing is a link or a heading."""
    return FENCE.sub("", read(path))


def anchors(path):
    """The headings' names as GitHub and most others make them; one that stands twice gets a number."""
    found = {}
    for title in re.findall(r"^#{1,6} +(.*?) *#*$", prose(path), re.M):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found[slug if slug not in found else f"{slug}-{found[slug]}"] = found.get(slug, 0) + 1
    return set(found)


def links(path):
    text = re.sub(r"`[^`\n]*`", "", prose(path))
    return re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", text) + re.findall(r"^\[[^\]]+\]: +(\S+)", text, re.M)


def operations_pages():
    return tracked(*OPERATIONS)


def test_every_link_leads_somewhere():
    pages, wrong, seen = tracked("*.md"), [], 0
    for page in pages:
        for link in links(page):
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            seen += 1
            place, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(page), place)) if place else page
            if target.startswith("..") or not os.path.exists(os.path.join(ROOT, target)):
                wrong.append(f"{page}: {link}: there is no {target}")
            elif anchor and target.endswith(".md") and anchor not in anchors(target):
                wrong.append(f"{page}: {link}: {target} has no heading of that name; it has {', '.join(sorted(anchors(target)))}")
    assert seen > 100, f"only {seen} links in {len(pages)} pages: are they still found?"
    assert not wrong, "\n".join(wrong)


def test_every_page_is_led_to_from_the_readme():
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not os.path.isfile(os.path.join(ROOT, page)):
            continue
        reached.add(page)
        for link in links(page):
            place = link.partition("#")[0]
            if place.endswith(".md") and ":" not in link:
                waiting.append(os.path.normpath(os.path.join(os.path.dirname(page), place)))
    lost = set(tracked("docs/**/*.md", "docs/*.md", "*.md")) - reached - set(tracked("tests/**", "docs/adr/**", "charts/**", "src/**"))
    assert not lost, f"no way leads there from README.md: {', '.join(sorted(lost))}"


def test_operations_pages_name_metrics_that_there_are():
    known, wrong = described_metrics(), []
    for page in operations_pages():
        for name in set(re.findall(r"\bneuralops_[a-z_]+[a-z]\b(?![_*(])", read(page))):
            if name not in known and not any(one.startswith(name) for one in known):
                wrong.append(f"{page}: there is no metric {name}")
    assert not wrong, "\n".join(wrong)


def test_troubleshooting_shows_each_symptom_and_names_reasons_that_there_are():
    page, wrong, rows, shown = "docs/guides/troubleshooting.md", [], 0, None
    for line in re.findall(r"^\| .* \|$", prose(page), re.M):
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if cells[0].startswith(("What you see", "---")):
            shown = None
            continue
        rows, shown = rows + 1, cells[1] or shown
        if not shown:
            wrong.append(f"nothing shows it: {line}")
        if not cells[3]:
            wrong.append(f"nothing is to be done: {line}")
        said = re.findall(r"`([A-Z][A-Za-z]+)`", cells[2].split(" as the outcome")[0] if "outcome" not in cells[2] else "")
        wrong += [f"there is no reason {one}" for one in said if one not in reasons()]
    assert rows > 40, f"only {rows} rows are found"
    assert not wrong, "\n".join(wrong)


def test_what_looks_like_a_reason_is_one():
    """Words in backticks like `TargetLocked` on operations pages: a reason, an outcome, a kind, a field's value or a role we name."""
    known = reasons() | set(re.findall(r"\b[A-Z][A-Za-z]+\b", read("docs/reference/kinds.md") + read("docs/guides/runs.md") + read("docs/guides/transparency-log.md")))
    known |= {name for name in re.findall(r"- alert: (\w+)", read("charts/neuralops/files/alerts/neuralops.yaml"))}
    foreign = {"Progressing", "Degraded", "Healthy", "Suspended", "RespectIgnoreDifferences", "NamesAccepted"}
    wrong = [
        f"{page}: there is no {word}"
        for page in operations_pages() for word in re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", prose(page)) if word not in known | foreign
    ]
    assert not wrong, "\n".join(wrong)


def test_what_asks_a_forwarded_port_waits_for_it_and_hears_why_not():
    wrong, seen = [], 0
    for page in tracked("docs/*.md", "docs/**/*.md", "README.md"):
        for fence in (match[0] for match in FENCE.finditer(read(page))):
            for line in fence.splitlines():
                if " port-forward " in line:
                    seen += 1
                    wrong += [] if re.search(r"& sleep [1-9]", line) else [f"{page}: what follows asks at once: {line.strip()}"]
                if re.search(r"curl .*localhost", line) and not re.search(r"curl -\w*S", line):
                    wrong.append(f"{page}: a refused connection is not seen: {line.strip()}")
    assert seen > 10, f"only {seen} ports are forwarded"
    assert not wrong, "\n".join(wrong)


def test_the_threat_model_names_tests_that_there_are():
    named = re.findall(r"`([a-z_/]+\.rs)::(\w+)`", read("docs/trust/threat-model.md"))
    assert len(named) > 40, f"only {len(named)} tests are named"
    wrong = [f"tests/{file} has no test {name}" for file, name in named if f"fn {name}(" not in (read(f"tests/{file}") if os.path.isfile(os.path.join(ROOT, "tests", file)) else "")]
    assert not wrong, "\n".join(wrong)


def binary():
    """The operator's own, as `make operations` builds it."""
    path = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "debug/neuralops")
    assert os.path.isfile(path), f"there is no {path}: run me by `make operations`, which builds it, or name its folder in CARGO_TARGET_DIR"
    return path


@functools.cache
def asked(*command):
    """What a command says of itself: the commands below it, and its options."""
    done = subprocess.run([binary(), *command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, f"neuralops {' '.join(command)} --help: {done.stderr}"
    below = re.search(r"^Commands:\n((?:  .*\n)+)", done.stdout, re.M)
    names = set(re.findall(r"^  ([a-z-]+)", below[1], re.M)) if below else set()
    return names, set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", done.stdout))


def wrong_with_command(line):
    """What a line like `audit list --code x | jq` asks of neuralops that it does not have."""
    # What stands in quotes or is another command's answer is a value.
    line = re.sub(r"\"\$\([^)]*\)\"|\$\([^)]*\)|'[^']*'|\"[^\"]*\"", "VALUE", line)
    words = re.split(r"[|;&)#]|\s->|2>", line)[0].replace("…", " ").split()
    command = []
    while words and words[0] in asked(*command)[0]:
        command.append(words.pop(0))
    below, options = asked(*command)
    if not command and not (words and words[0].startswith("-")):
        return f"there is no command {words[:1]}"
    if below and words and re.fullmatch(r"[a-z][a-z-]*", words[0]) and words[0] != "help":
        return f"neuralops {' '.join(command)} has no command {words[0]}"
    used = [re.match(r"--?[a-z][a-z-]*", word)[0] for word in words if re.match(r"--?[a-z]", word)]
    missing = [option for option in used if option not in options]
    return f"neuralops {' '.join(command)} has no option {', '.join(missing)}" if missing else None


def test_every_command_in_the_documents_is_one():
    wrong, seen = [], 0
    for page in tracked("docs/*.md", "docs/**/*.md", "README.md", "SECURITY.md", "CHANGELOG.md"):
        text = read(page).replace("\\\n", " ")
        fenced = "\n".join(match[0] for match in FENCE.finditer(text))
        lines = re.findall(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:.*[|(] ?)?neuralops ([a-z-].*)$", fenced, re.M) + re.findall(r"`neuralops ([a-z-][^`]*)`", prose(page))
        for line in lines:
            seen += 1
            if problem := wrong_with_command(line):
                wrong.append(f"{page}: `neuralops {line}`: {problem}")
    assert seen > 100, f"only {seen} commands are found"
    assert not wrong, "\n".join(wrong)
