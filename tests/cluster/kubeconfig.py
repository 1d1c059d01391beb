#!/usr/bin/env python3
"""kubeconfig.py [--token] [--as NAME] [--groups A,B] [--namespace NS]: derive a kubeconfig from the admin's.

Standard input: the admin's kubeconfig as JSON (kubectl config view --raw --minify --flatten -o json).
--token: take the token from E2E_TOKEN in the environment instead of the admin's credential (an argument would show in ps).
--as: keep the credential but act as somebody else, where the cluster's users are not ours to make.
"""
import argparse
import json
import os
import sys

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--token", action="store_true")
parser.add_argument("--as", dest="user")
parser.add_argument("--groups", default="")
parser.add_argument("--namespace")
wanted = parser.parse_args()

config = json.load(sys.stdin)
user = config["users"][0]["user"]
context = config["contexts"][0]["context"]
if wanted.token:
    user = {"token": os.environ["E2E_TOKEN"]}
if wanted.user:
    user["as"] = wanted.user
    # Without a group of its own an impersonated user gets none, not even this one, which discovery needs.
    user["as-groups"] = [group for group in wanted.groups.split(",") if group] + ["system:authenticated"]
if wanted.namespace:
    context["namespace"] = wanted.namespace
config["users"][0]["user"] = user
json.dump(config, sys.stdout, indent=1)
