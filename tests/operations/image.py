"""The image: what it holds, down to the last file, what it is run as, that the same input gives the same bytes, what its labels and its
SBOM say, that a registry gives it back, and that the Dockerfile makes the same one, for which it is built with a program that is
not ours. The binary is the debug build, and where its bytes do not matter a small program; the release build is made twice by
`make reproducible`."""
import functools
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile

from product import ROOT, read
from release import WORK, program, registry, run, tree

NAME = "org.opencontainers.image."
LABELS = {f"{NAME}{label}" for label in ("title", "description", "version", "licenses", "revision", "created")}
LIBRARIES = re.compile(r"lib(64)?/([\w-]+/)?(libc\.so\.6|libm\.so\.6|libgcc_s\.so\.1|ld-linux-[\w-]+\.so\.\d)")


def binary():
    path = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "debug/neuralops")
    assert os.path.isfile(path), f"there is no {path}: run me by `make operations`, which builds it, or name its folder in CARGO_TARGET_DIR"
    return path


def version():
    return re.search(r'^version = "(.*)"$', read("Cargo.toml"), re.M)[1]


def folder(name):
    path = os.path.join(WORK, "image", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def image(name, program=None, source=None, **options):
    """Builds an image and gives (digest, archive)."""
    archive = folder(f"{name}.tar")
    reference = run(os.path.join(source or tree(), "image/build"), program or binary(), archive, **options)
    assert re.fullmatch(r"localhost/neuralops@sha256:[0-9a-f]{64}", reference), reference
    return reference.split("@")[1], archive


@functools.cache
def ours():
    return image("ours")


def read_layout(get, digest):
    """(configuration, members of the layer with their bytes) of an image, by what `get` gives for a digest."""
    def blob(name):
        data = get(name)
        assert hashlib.sha256(data).hexdigest() == name.removeprefix("sha256:"), f"the bytes under {name} are others"
        return data

    manifest = json.loads(blob(digest))
    (layer,) = manifest["layers"]
    with tarfile.open(fileobj=io.BytesIO(blob(layer["digest"]))) as files:
        members = [(member, files.extractfile(member).read() if member.isreg() else b"") for member in files.getmembers()]
    return json.loads(blob(manifest["config"]["digest"]))["config"], members


def from_archive(archive, digest):
    with tarfile.open(archive) as outer:
        return read_layout(lambda name: outer.extractfile("blobs/" + name.replace(":", "/")).read(), digest)


@functools.cache
def held():
    digest, archive = ours()
    return from_archive(archive, digest)


def test_it_holds_these_files_and_no_other():
    _, members = held()
    names = [member.name for member, _ in members]
    assert len(set(names)) == len(names), f"a name twice: {names}"
    own = {"usr/local/bin/neuralops", "etc/passwd", "etc/group", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt", "tmp"}
    libraries = {name for name in names if LIBRARIES.fullmatch(name)}
    assert set(names) == own | libraries and len(libraries) >= 3, f"unknown or missing: {set(names) ^ own ^ libraries}"
    wrong = []
    for member, data in members:
        kind = "folder" if member.isdir() else "file" if member.isreg() else "something else"
        program = member.name == "usr/local/bin/neuralops" or member.name in libraries
        if kind != ("folder" if member.name == "tmp" else "file"):
            wrong.append(f"{member.name} is {kind}")
        if member.mode not in ((0o755, 0o644) if program else (0o1777,) if member.name == "tmp" else (0o644,)):
            wrong.append(f"{member.name} has mode {member.mode:o}")
        if (member.uid, member.gid, member.mtime, member.pax_headers) != (0, 0, 0, {}):
            wrong.append(f"{member.name} tells of an owner or a time")
        if not program and (data.startswith(b"#!") or data.startswith(b"\x7fELF")):
            wrong.append(f"{member.name} is a program")
    assert not wrong, "\n".join(wrong)


def test_it_runs_with_its_own_libraries_alone():
    place = folder("unpacked")
    run(os.path.join(ROOT, "image/archive"), "unpack", ours()[1], place)
    loader = next(os.path.join(place, member.name) for member, _ in held()[1] if "/ld-linux-" in member.name)
    libraries = ":".join(sorted({os.path.dirname(os.path.join(place, member.name)) for member, _ in held()[1] if LIBRARIES.fullmatch(member.name)}))
    own = (loader, "--inhibit-cache", "--library-path", libraries)
    resolved = re.findall(r"=> (\S+)", run(*own, "--list", os.path.join(place, "usr/local/bin/neuralops")))
    assert resolved and all(path.startswith(place) for path in resolved), f"a library is not in the image: {resolved}"
    assert run(*own, os.path.join(place, "usr/local/bin/neuralops"), "--version", env={}).startswith("neuralops "), "it does not run"


def test_certificates_are_those_of_the_package_and_not_those_of_this_machine():
    bundle = next(data for member, data in held()[1] if member.name.endswith("ca-certificates.crt")).decode()
    names = [name for name in run("dpkg-query", "--listfiles", "ca-certificates").split() if name.startswith("/usr/share/ca-certificates/") and name.endswith(".crt")]
    wanted = "".join(open(name, encoding="ascii").read() for name in sorted(names))
    assert bundle == wanted and bundle.count("BEGIN CERTIFICATE") == len(names) > 100, "the bundle is not the package's"


def test_it_is_run_as_nobody_and_from_nowhere_else():
    config = dict(held()[0])
    labels = config.pop("Labels")
    assert config == {"Entrypoint": ["/usr/local/bin/neuralops"], "Env": ["PATH=/usr/local/bin"], "User": "65532:65532", "WorkingDir": "/"}, config
    assert set(labels) == LABELS, labels


def test_labels_are_of_the_commit_and_never_of_the_clock():
    labels = held()[0]["Labels"]
    manifest = read("Cargo.toml")
    for label, field in (("title", "name"), ("description", "description"), ("version", "version"), ("licenses", "license")):
        assert labels[NAME + label] == re.search(rf'^{field} = "(.*)"$', manifest, re.M)[1], labels
    assert labels[f"{NAME}revision"] == run("git", "-C", tree(), "rev-parse", "HEAD"), labels
    assert labels[f"{NAME}created"] == "2026-01-02T03:04:05Z", labels

    def said(place, **more):
        return json.loads(run(os.path.join(place, "image/labels"), env={**os.environ, **more}))

    assert said(tree(), SOURCE_DATE_EPOCH="86400")[f"{NAME}created"] == "1970-01-02T00:00:00Z"
    assert "no number of seconds" in run(os.path.join(tree(), "image/labels"), fails=True, env={**os.environ, "SOURCE_DATE_EPOCH": "today"})
    other = folder("changed")
    run("git", "clone", "-q", tree(), other)
    with open(os.path.join(other, "Cargo.toml"), encoding="utf-8") as file:
        changed = file.read().replace("[package]\n", '[package]\nrepository = "https://example.org/neuralops"\n')
    with open(os.path.join(other, "Cargo.toml"), "w", encoding="utf-8") as file:
        file.write(changed)
    assert said(other)[f"{NAME}revision"].endswith("-dirty") and said(other)[f"{NAME}source"] == "https://example.org/neuralops", said(other)
    # In a folder of somebody's repository, unpacked: that one's commit is not ours.
    inside = os.path.join(other, "unpacked")
    shutil.copytree(tree(), inside, ignore=shutil.ignore_patterns(".git"))
    assert set(said(inside)) == LABELS - {f"{NAME}revision", f"{NAME}created"}, said(inside)


def test_the_same_binary_and_commit_give_the_same_bytes_anywhere_at_any_time():
    place = folder("of/another/name")
    run("git", "clone", "-q", tree(), place)
    copy = folder("copied/binary")
    shutil.copyfile(binary(), copy)
    os.chmod(copy, 0o700)
    os.utime(copy, (0, 0))
    digest, archive = image("again", program=copy, source=place, umask=0o077, env={**os.environ, "TZ": "Pacific/Kiritimati", "TMPDIR": os.path.dirname(copy)})
    assert digest == ours()[0], "another digest"
    run("cmp", archive, ours()[1])
    # What differs is seen: another label is another image.
    assert image("later", env={**os.environ, "SOURCE_DATE_EPOCH": "86400"})[0] != digest, "the digest does not cover the labels"


def test_a_registry_gives_back_by_digest_what_was_pushed():
    digest, archive = ours()
    layout, back = folder("pushed"), folder("pulled")
    with tarfile.open(archive) as outer:
        outer.extractall(layout)
    place = f"{registry()}/made/neuralops"
    run(program("crane"), "push", layout, f"{place}:1")
    assert run(program("crane"), "digest", f"{place}:1") == digest, "the registry has another digest"
    run(program("crane"), "pull", "--format", "oci", f"{place}@{digest}", back)

    def blob(name):
        with open(os.path.join(back, "blobs", name.replace(":", "/")), "rb") as file:
            return file.read()

    config, members = read_layout(blob, digest)
    assert (config, [data for _, data in members]) == (held()[0], [data for _, data in held()[1]]), "what came back is not what was pushed"


def test_what_is_too_large_is_named():
    archive = ours()[1]
    size = run(os.path.join(ROOT, "image/archive"), "size", archive, "1000")
    assert re.fullmatch(rf"{ours()[0]} [\d.]+ MB", size), size
    said = run(os.path.join(ROOT, "image/archive"), "size", archive, "2", fails=True)
    assert "and 2 MB is the limit; the largest: /usr/local/bin/neuralops " in said and "/libc.so.6 " in said, said
    # Whoever makes an image asks: a program with the limit's number of bytes in it is refused.
    heavy, ballast = folder("heavy"), folder("ballast")
    with open(ballast, "wb") as file:
        file.truncate(60_000_000)
    run("objcopy", "--add-section", f".ballast={ballast}", "/usr/bin/true", heavy)
    said = run(os.path.join(ROOT, "image/make"), folder("refused"), "--binary", heavy, fails=True)
    assert "60 MB is the limit; the largest: /usr/local/bin/neuralops 60." in said, said


@functools.cache
def made():
    out = folder("made")
    said = run(os.path.join(tree(), "image/make"), out, "--binary", "/usr/bin/true")
    return out, said


def test_make_says_reference_and_size_and_writes_three_files():
    out, said = made()
    names = sorted(os.listdir(out))
    assert names == ["digest", f"neuralops-{version()}.cdx.json", f"neuralops-{version()}.oci.tar"], names
    with open(os.path.join(out, "digest"), encoding="ascii") as file:
        assert re.fullmatch(rf"localhost/neuralops@{file.read().strip()} [\d.]+ MB", said), said


def test_the_sbom_agrees_with_the_files_and_with_the_lock():
    out, _ = made()
    with open(os.path.join(out, f"neuralops-{version()}.cdx.json"), encoding="utf-8") as file:
        bom = json.load(file)
    with open(os.path.join(out, "digest"), encoding="ascii") as file:
        digest = file.read().strip()
    assert bom["metadata"]["component"]["hashes"][0]["content"] == digest.removeprefix("sha256:"), "it is about another image"
    _, members = from_archive(os.path.join(out, f"neuralops-{version()}.oci.tar"), digest)
    files = {f"/{member.name}": hashlib.sha256(data).hexdigest() for member, data in members if member.isreg()}
    told = {one["name"]: (one["hashes"][0]["content"], component) for component in bom["components"] for one in component.get("components", [])}
    assert files == {name: content for name, (content, _) in told.items()}, "other files than in the image"
    for name, (_, component) in told.items():
        if component["purl"].startswith("pkg:deb/") and not name.endswith("/ca-certificates.crt"):
            owned = {os.path.basename(path) for path in run("dpkg-query", "--listfiles", component["name"]).splitlines()}
            assert os.path.basename(name) in owned, f"{component['name']} has no {name}"
        elif component["purl"].startswith("pkg:cargo/"):
            assert component["name"] == "neuralops", f"{name} is said to come from {component['name']}"
    blocks = [dict(re.findall(r'^(name|version|checksum) = "(.*)"$', block, re.M)) for block in read("Cargo.lock").split("[[package]]\n")[1:]]
    locked = {(block["name"], block["version"]): block.get("checksum") for block in blocks}
    crates = {(one["name"], one["version"]): one for one in bom["components"] if one["purl"].startswith("pkg:cargo/")}
    for crate, one in crates.items():
        assert crate in locked, f"{crate} is not in Cargo.lock"
        assert one.get("hashes", [{}])[0].get("content") == locked[crate], f"{crate} has another sum in Cargo.lock"
    # Cargo's own answer to what is built, asked in another way.
    lines = run("cargo", "tree", "--locked", "--edges", "normal,build", "--prefix", "none", cwd=tree()).splitlines()
    needed = {(line.split()[0], line.split()[1].removeprefix("v")) for line in lines if line}
    assert needed and needed <= set(crates), f"built and not told: {needed - set(crates)}"


def dockerfile():
    """[(INSTRUCTION, rest)] with continued lines joined and comments gone."""
    text = re.sub(r"(?m)^#.*\n", "", read("Dockerfile")).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def test_the_dockerfile_names_the_compiler_by_version_and_digest_and_adds_nothing():
    lines = dockerfile()
    channel = re.search(r'^channel = "(.*)"$', read("rust-toolchain.toml"), re.M)[1]
    assert re.fullmatch(rf"RUST=rust:{re.escape(channel)}-bookworm@sha256:[0-9a-f]{{64}}", lines[0][1]), lines[0]
    assert ("ENV", f"RUSTUP_TOOLCHAIN={channel}") in lines, "the compiler that the base has is not the one that is asked for"
    starts = [number for number, line in enumerate(lines) if line[0] == "FROM"]
    assert [lines[start][1] for start in starts] == ["${RUST} AS build", "scratch"], "not two stages, or the last has a base"
    last = lines[starts[1]:]
    assert {name for name, _ in last} <= {"FROM", "ARG", "LABEL", "COPY", "ENV", "USER", "WORKDIR", "ENTRYPOINT"}, last
    assert [rest for name, rest in last if name == "COPY"] == ["--from=build /image/ /"], last
    assert ("ARG", f"VERSION={version()}") in last, f"it is not of version {version()}"


def test_checkov_finds_nothing_in_the_dockerfile():
    # CKV_DOCKER_2, no health check: the kubelet asks /healthz and /readyz, and in the image there is nothing that could ask.
    # CKV_DOCKER_7, no version of the base: it does not follow the variable, the test before this one does.
    said = run(os.path.join(ROOT, "tests/chart/checkov"), "--file", os.path.join(ROOT, "Dockerfile"), "--framework", "dockerfile", "--compact", "--quiet",
               "--skip-download", "--skip-check", "CKV_DOCKER_2,CKV_DOCKER_7", "--output", "json")
    summary = json.loads(said)
    summary = summary.get("summary", summary)
    assert summary["failed"] == 0 and summary["parsing_errors"] == 0 and summary["passed"] > 3, said


def test_an_engine_builds_the_same_image_from_the_dockerfile():
    if os.getuid() != 0:
        run(os.path.join(ROOT, "tests/skip"), "operations::image::an_engine_builds_the_same_image_from_the_dockerfile", "only root may build without a daemon")
        return
    small, out = "/usr/bin/true", folder("engine")
    digest, archive = image("small", program=small)
    config, members = from_archive(archive, digest)
    engine = os.path.join(ROOT, "tests/operations/engine")
    assert "REVISION" in run(engine, small, folder("refused-by-engine"), fails=True), "it is built without a commit"
    run(engine, small, out, *(f"{name.upper()}={config['Labels'][NAME + name]}" for name in ("revision", "created")))

    def blob(name):
        with open(os.path.join(out, "blobs", name.replace(":", "/")), "rb") as file:
            return file.read()

    with open(os.path.join(out, "index.json"), encoding="utf-8") as file:
        theirs, found = read_layout(blob, json.load(file)["manifests"][0]["digest"])
    assert theirs == config, f"it is run as something else: {theirs}"

    def listed(members):
        return {member.name: (member.type, member.mode & 0o7777, member.uid, member.gid, hashlib.sha256(data).hexdigest()) for member, data in members}

    found, wanted = listed(found), listed(members)
    above = {"/".join(name.split("/")[:depth]) for name in wanted for depth in range(1, name.count("/") + 1)}
    others = {name: (found.get(name), one) for name, one in wanted.items() if found.get(name) != one}
    assert not others, f"of the engine, and ours: {others}"
    assert set(found) - set(wanted) == above, f"more than these folders: {set(found) - set(wanted) - above}"
    assert all(found[name][1:4] == (0o755, 0, 0) for name in above), "a folder is not root's alone"
