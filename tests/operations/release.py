"""The release, as far as it can be shown without a network: a copy of this tree, as it stands, is committed, built, published to
a registry on this machine and verified, with the real cosign, crane and helm, by a key that is made here, and as a workflow whose
identity a private Sigstore vouches for. The binary is a small program of the machine's: what is in the image is asked elsewhere.
And the SBOM, the provenance and the workflow by themselves."""
import atexit
import base64
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile

from product import ROOT, read, tracked

BINARY = "/usr/bin/true"
WORK = tempfile.mkdtemp(prefix="neuralops-release.")
atexit.register(shutil.rmtree, WORK, ignore_errors=True)


def run(*command, fails=False, **options):
    """What a command prints; with `fails`, what it says when it fails, as it should."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    said = f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    assert (done.returncode != 0) == fails, f"{'did not fail' if fails else 'failed'}: {said}"
    return done.stderr if fails else done.stdout.strip()


@functools.cache
def program(name):
    return run(os.path.join(ROOT, "tests/sigstore/build"), name)


@functools.cache
def tree():
    """This tree in a repository of its own, so that what is not committed here is tested too."""
    folder = os.path.join(WORK, "tree")
    for name in tracked():
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        shutil.copy2(os.path.join(ROOT, name), os.path.join(folder, name), follow_symlinks=False)
    dated = {**os.environ, "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z"}
    run("git", "init", "-q", folder)
    run("git", "-C", folder, "add", "-A")
    run("git", "-C", folder, "-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false", "commit", "-q", "-m", "test", env=dated)
    return folder


def release(*arguments, folder=None, fails=False, **more):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "NEURALOPS_COSIGN", "NEURALOPS_CRANE", "NEURALOPS_HELM"))}
    return run(os.path.join(folder or tree(), "image/release"), *arguments, fails=fails, env={**environment, "COSIGN_PASSWORD": "test", **more})


@functools.cache
def built():
    out = os.path.join(WORK, "out")
    release("build", out, "--binary", BINARY)
    return out


@functools.cache
def registry():
    server = subprocess.Popen([program("registry"), "-address", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    atexit.register(server.kill)
    return server.stdout.readline().strip()


@functools.cache
def key(name):
    folder = os.path.join(WORK, name)
    os.makedirs(folder)
    run(program("cosign"), "generate-key-pair", cwd=folder, env={**os.environ, "COSIGN_PASSWORD": "test", "HOME": folder})
    return os.path.join(folder, "cosign.key"), os.path.join(folder, "cosign.pub")


@functools.cache
def published():
    image, chart = release("publish", built(), f"{registry()}/team", "--key", key("ours")[0]).splitlines()
    return image, chart


def sbom():
    return json.loads(run("cat", *(os.path.join(built(), name) for name in os.listdir(built()) if name.endswith(".cdx.json"))))


def test_the_sbom_is_cyclonedx_and_whole():
    bom = sbom()
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1), "the head is not CycloneDX 1.6"
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"]), bom["serialNumber"]
    assert bom["metadata"]["timestamp"] == "2026-01-02T03:04:05Z", "the time is not the commit's"
    image, components = bom["metadata"]["component"], bom["components"]
    assert image["type"] == "container" and image["hashes"][0]["content"] == read_out("digest").removeprefix("sha256:"), "it is not about this image"
    references = [image["bom-ref"], *(one["bom-ref"] for one in components)]
    assert len(set(references)) == len(references), "two components have one name"
    wrong = []
    for one in components:
        wrong += [f"{one.get('bom-ref')}: no {field}" for field in ("type", "name", "version", "purl", "scope") if not one.get(field)]
        if one["purl"].startswith("pkg:cargo/") and one["name"] != "neuralops":
            wrong += [f"{one['bom-ref']}: no {field}" for field in ("hashes", "licenses") if not one.get(field)]
            wrong += [f"{one['bom-ref']}: {each['expression']} is no SPDX expression" for each in one.get("licenses", []) if "/" in each["expression"]]
    for edge in bom["dependencies"]:
        wrong += [f"{edge['ref']} leads to {one}, which is not there" for one in [edge["ref"], *edge["dependsOn"]] if one not in references]
    reached, waiting = set(), [image["bom-ref"]]
    edges = {edge["ref"]: edge["dependsOn"] for edge in bom["dependencies"]}
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            waiting += edges[one]
    wrong += [f"nothing needs {one}" for one in references if one not in reached]
    assert not wrong, "\n".join(wrong[:20])


def read_out(name):
    with open(os.path.join(built(), name), encoding="utf-8") as file:
        return file.read().strip()


def test_the_sbom_holds_what_is_linked_and_nothing_of_the_tests():
    bom = sbom()
    required = {one["name"] for one in bom["components"] if one["scope"] == "required"}
    assert {"neuralops", "kube", "rustls", "sqlx", "aws-lc-sys", "libsqlite3-sys", "libc6", "ca-certificates"} <= required, "something that is in the image is not in it"
    excluded = {one["name"] for one in bom["components"] if one["scope"] == "excluded"}
    assert {"serde_derive", "syn", "cc"} <= excluded, "what only took part in building is not told apart"
    text = read("Cargo.toml")
    only_tests = set(re.findall(r"^([a-z0-9_-]+) = ", text.split("[dev-dependencies]")[1].split("\n[")[0], re.M)) - set(re.findall(r"^([a-z0-9_-]+) = ", text.split("\n[dependencies]")[1].split("\n[")[0], re.M))
    assert only_tests and not only_tests & {one["name"] for one in bom["components"]}, f"of the tests: {only_tests}"


def test_two_builds_are_the_same():
    clone, out = os.path.join(WORK, "clone"), os.path.join(WORK, "out-again")
    run("git", "clone", "-q", tree(), clone)
    release("build", out, "--binary", BINARY, folder=clone)
    names = sorted(os.listdir(built()))
    assert names == sorted(os.listdir(out)) and len(names) == 5, f"other files: {names}"
    for name in names:
        run("cmp", os.path.join(built(), name), os.path.join(out, name))


def test_what_is_not_committed_is_not_released():
    clone = os.path.join(WORK, "dirty")
    run("git", "clone", "-q", tree(), clone)
    with open(os.path.join(clone, "Cargo.toml"), "a", encoding="utf-8") as file:
        file.write("\n")
    said = release("build", os.path.join(WORK, "none"), "--binary", BINARY, folder=clone, fails=True)
    assert "what is built is not what is committed" in said and "Cargo.toml" in said, said
    assert not os.path.exists(os.path.join(WORK, "none")), "something is left of what was refused"


def test_image_and_chart_are_signed_and_verify():
    image, chart = published()
    assert image == f"{registry()}/team/neuralops@{read_out('digest')}", image
    release("verify", image, "--key", key("ours")[1])
    release("verify", chart, "--key", key("ours")[1])


def test_the_chart_names_the_image_by_its_digest():
    _, chart = published()
    folder = os.path.join(WORK, "chart")
    version = re.search(r'^version = "(.*)"', read("Cargo.toml"), re.M)[1]
    run(program("helm"), "pull", f"oci://{chart.split('@')[0]}", "--version", version, "--plain-http", "--untar", "--untardir", folder)
    with open(os.path.join(folder, "neuralops/values.yaml"), encoding="utf-8") as file:
        values = file.read()
    block = re.search(r"^image:\n(?:  .*\n|\n)+", values, re.M)[0]
    for field, value in (("registry", registry()), ("repository", "team/neuralops"), ("digest", read_out("digest"))):
        assert f'  {field}: "{value}"\n' in block, block


def test_another_key_a_tag_and_a_lie_do_not_verify():
    image, chart = published()
    assert "signature of" in release("verify", image, "--key", key("theirs")[1], fails=True)
    assert "signature of" in release("verify", chart, "--key", key("theirs")[1], fails=True)
    assert "a tag can be moved" in release("verify", f"{image.split('@')[0]}:0.1.0", "--key", key("ours")[1], fails=True)
    assert "signature of" in release("verify", image, "--identity", "https://github.com/example/neuralops", "--issuer", "https://token.actions.githubusercontent.com", fails=True)


def test_a_signature_alone_is_not_enough():
    image, _ = published()
    bare = f"{registry()}/bare/neuralops"
    run(program("crane"), "copy", image, f"{bare}:1")
    reference = f"{bare}@{image.split('@')[1]}"
    offline = ("--yes", "--key", key("ours")[0], "--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry")
    run(program("cosign"), "sign", *offline, reference, env={**os.environ, "COSIGN_PASSWORD": "test"})
    assert "cyclonedx of" in release("verify", reference, "--key", key("ours")[1], fails=True)
    bom = next(os.path.join(built(), name) for name in os.listdir(built()) if name.endswith(".cdx.json"))
    run(program("cosign"), "attest", *offline, "--type", "cyclonedx", "--predicate", bom, reference, env={**os.environ, "COSIGN_PASSWORD": "test"})
    assert "slsaprovenance1 of" in release("verify", reference, "--key", key("ours")[1], fails=True)


def test_what_a_workflow_signs_verifies_as_that_workflow_with_all_services_gone():
    bed, until = os.path.join(WORK, "sigstore"), str(os.getpid())
    said = run(os.path.join(ROOT, "tests/sigstore/up"), "--until", until, bed)
    try:
        issuer = dict(re.findall(r"^export (\w+)=(.*)$", said, re.M))["SIGNING_BED_ISSUERS"] + "/workflow"
        token = run(
            os.path.join(ROOT, "tests/sigstore/token"), bed, "workflow", "sub=repo:shop/neuralops:ref:refs/tags/v0.1.0", "repository=shop/neuralops",
            "job_workflow_ref=shop/neuralops/.github/workflows/release.yml@refs/tags/v0.1.0", "ref=refs/tags/v0.1.0", "event_name=push", "workflow=release",
            "sha=8f3c1d0a5b7e49f2a6d4c8b1e0f793a2d5c6b4e8")
        root = os.path.join(WORK, "trusted_root.json")
        shutil.copy2(os.path.join(bed, "trusted_root.json"), root)
        # What GitHub and the public Sigstore are to the workflow, these are to the test: nothing else differs.
        cosign = os.path.join(WORK, "cosign-of-a-workflow")
        with open(cosign, "w", encoding="utf-8") as file:
            file.write(f"""#!/bin/sh
command=$1
shift
case $command in
  sign | attest) exec {program("cosign")} "$command" --identity-token {token} --signing-config {bed}/signing_config.json --trusted-root {root} "$@" ;;
  *) exec {program("cosign")} "$command" --trusted-root {root} "$@" ;;
esac
""")
        os.chmod(cosign, 0o700)
        image, chart = release("publish", built(), f"{registry()}/keyless", NEURALOPS_COSIGN=cosign).splitlines()
    finally:
        run(os.path.join(ROOT, "tests/sigstore/down"), bed)
    subject = "https://github.com/shop/neuralops/.github/workflows/release.yml@refs/tags/v0.1.0"
    for reference in (image, chart):
        release("verify", reference, "--identity", subject, "--issuer", issuer, NEURALOPS_COSIGN=cosign)
        for other in ((subject.replace("v0.1.0", "v0.1.1"), issuer), (subject, issuer.replace("/workflow", "/mail"))):
            assert "signature of" in release("verify", reference, "--identity", other[0], "--issuer", other[1], fails=True, NEURALOPS_COSIGN=cosign)


def test_what_is_carried_into_another_registry_by_disk_verifies_there():
    server = subprocess.Popen([program("registry"), "-address", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    atexit.register(server.kill)
    inside = server.stdout.readline().strip()
    for number, reference in enumerate(published()):
        name, digest = reference.split("/", 1)[1].split("@")
        disk = f"{os.path.join(WORK, f'carried-{number}')}:1"
        run(program("oras"), "copy", "-r", "--from-plain-http", reference, "--to-oci-layout", disk)
        run(program("oras"), "copy", "-r", "--from-oci-layout", disk, "--to-plain-http", f"{inside}/{name}:1")
        release("verify", f"{inside}/{name}@{digest}", "--key", key("ours")[1])
    server.kill()


def test_what_was_altered_after_the_build_is_not_published():
    out = os.path.join(WORK, "altered")
    shutil.copytree(built(), out)
    with open(os.path.join(out, "provenance.json"), "a", encoding="utf-8") as file:
        file.write("\n")
    said = release("publish", out, f"{registry()}/altered", "--key", key("ours")[0], fails=True)
    assert "is not what was built" in said, said


def test_the_attested_sbom_and_provenance_are_those_that_were_built():
    image, _ = published()
    for kind, name, predicate_type in (("cyclonedx", "neuralops-0.1.0.cdx.json", "https://cyclonedx.org/bom"), ("slsaprovenance1", "provenance.json", "https://slsa.dev/provenance/v1")):
        said = run(program("cosign"), "verify-attestation", "--key", key("ours")[1], "--insecure-ignore-tlog=true", "--allow-http-registry", "--type", kind, image)
        envelope = json.loads(said.splitlines()[0])
        statement = json.loads(base64.b64decode(envelope["payload"]))
        assert statement["predicateType"] == predicate_type, statement["predicateType"]
        assert statement["subject"][0]["digest"]["sha256"] == read_out("digest").removeprefix("sha256:"), "the statement is about another image"
        assert statement["predicate"] == json.loads(read_out(name)), f"{name} is not what was attested"


def test_the_provenance_names_commit_workflow_and_run():
    commit = run("git", "-C", tree(), "rev-parse", "HEAD")
    here = json.loads(read_out("provenance.json"))
    assert here["buildDefinition"]["resolvedDependencies"][0]["digest"] == {"gitCommit": commit}, here
    there = json.loads(run(os.path.join(tree(), "image/provenance"), env={
        **os.environ, "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "example/neuralops", "GITHUB_REF": "refs/tags/v0.1.0",
        "GITHUB_WORKFLOW_REF": "example/neuralops/.github/workflows/release.yml@refs/tags/v0.1.0", "GITHUB_EVENT_NAME": "push", "GITHUB_RUN_ID": "7",
        "GITHUB_RUN_ATTEMPT": "1", "RUNNER_ENVIRONMENT": "github-hosted",
    }))
    assert there["buildDefinition"]["externalParameters"]["workflow"] == {
        "repository": "https://github.com/example/neuralops", "ref": "refs/tags/v0.1.0", "path": ".github/workflows/release.yml"}, there
    assert there["buildDefinition"]["resolvedDependencies"][0] == {"uri": "git+https://github.com/example/neuralops@refs/tags/v0.1.0", "digest": {"gitCommit": commit}}, there
    assert there["runDetails"]["builder"]["id"] == "https://github.com/actions/runner/github-hosted", there
    assert there["runDetails"]["metadata"]["invocationId"].endswith("/actions/runs/7/attempts/1"), there


def test_workflows_pin_actions_and_give_no_right_by_default():
    wrong = []
    for path in tracked(".github/workflows/*"):
        text = read(path)
        wrong += [f"{path}: {use} is not pinned by a commit" for use in re.findall(r"uses: +(\S+)", text) if not re.search(r"@[0-9a-f]{40}$", use)]
        top = re.search(r"^permissions:(.*(?:\n +.*)*)", text, re.M)
        if not top or "write" in top[1]:
            wrong.append(f"{path}: the workflow itself has to have no right to write")
        for job in re.split(r"(?m)^  (?=\w[\w-]*:\n)", text):
            if "id-token: write" in job and re.search(r"release build|cargo|make ", job):
                wrong.append(f"{path}: what compiles dependencies may not sign; job {job.split(':')[0]}")
        # A text that somebody else chose never becomes a part of a command.
        for block in re.findall(r"run: (\|(?:\n {8,}.*)+|.*)", text):
            wrong += [f"{path}: {one} stands in a command; give it by env" for one in re.findall(r"\$\{\{.*?\}\}", block)]
        for script in re.findall(r"(?<![\w/])((?:image|tests|charts)/[\w./-]+)", re.sub(r"(?m)#.*$", "", text)):
            if not os.path.exists(os.path.join(ROOT, script)):
                wrong.append(f"{path}: there is no {script}")
    assert not wrong, "\n".join(wrong)


def test_actionlint_takes_the_workflows():
    # With its own rules alone: what a machine has of shellcheck and pyflakes differs.
    run(program("actionlint"), "-no-color", "-shellcheck=", "-pyflakes=", *(os.path.join(ROOT, path) for path in tracked(".github/workflows/*.yml")))
