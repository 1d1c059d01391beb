#!/usr/bin/env python3
"""objects.py WANTED FOUND RECORD OUT: decide which of our manifests are applied.

WANTED: the manifests as JSON documents (kubectl create --dry-run=client -o json).
FOUND:  those of them that the cluster already has (kubectl get -f ... --ignore-not-found -o json).
RECORD: what earlier runs installed, one `kind/name [namespace]` a line; what this run adds is appended, before
        anything is applied, so that an interrupted install is undone as well.
OUT:    a folder for 1-namespaces.json, 2-crds.json, 3-rest.json: what is missing, and what the record says is ours.
An object that was there before us is in none of them: it is neither overwritten now nor deleted later.
"""
import json
import sys

PHASES = ("1-namespaces", "2-crds", "3-rest")


def documents(path):
    """Every object of a file that holds JSON documents one after the other, lists opened."""
    with open(path) as file:
        text = file.read()
    decoder, at = json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield from value["items"] if value["kind"] == "List" else [value]


def line(item):
    """`kind.group/name [namespace]`, which kubectl takes as it stands."""
    group = item["apiVersion"].rpartition("/")[0]
    kind = item["kind"].lower() + ("." + group if group else "")
    meta = item["metadata"]
    return f'{kind}/{meta["name"]} {meta.get("namespace", "")}'.rstrip()


def phase(item):
    return {"Namespace": 0, "CustomResourceDefinition": 1}.get(item["kind"], 2)


def main(wanted, found, record, out):
    there = {line(item) for item in documents(found)}
    with open(record) as file:
        ours = {entry.rstrip("\n") for entry in file}
    apply, untouched, fresh = ([], [], []), [], []
    seen = set()
    for item in documents(wanted):
        name = line(item)
        if name in seen:
            continue  # the first one stands: install adds a bare Namespace in case the manifests bring none
        seen.add(name)
        if name in there and name not in ours:
            untouched.append(name)
            continue
        if name not in ours:
            fresh.append(name)
            ours.add(name)
        apply[phase(item)].append(item)
    with open(record, "a") as file:
        file.writelines(name + "\n" for name in fresh)
    for label, items in zip(PHASES, apply):
        with open(f"{out}/{label}.json", "w") as file:
            # One document after the other, not a List: a List kubectl validates itself, by rules that are not the
            # API server's (it refuses the null that an optional enum of a CRD has to allow).
            file.writelines(json.dumps(item) + "\n" for item in items)
    print(f"{len(fresh)} new, {sum(map(len, apply)) - len(fresh)} of ours again, {len(untouched)} left untouched"
          + (": " + ", ".join(untouched) if untouched else ""))


if __name__ == "__main__":
    main(*sys.argv[1:])
