# shellcheck shell=bash
# shellcheck disable=SC2154 # set by lib.sh, which sources this
# runs.sh: people, accounts and signed Playbooks in the namespace `shop`; runs are asked for, approved, let go, and counted.

people() { # OBJECTS: alice asks, bob and carol approve, a key signs for the namespace, and the account of runs has the Role `runbook` of OBJECTS
  k -n "$SHOP" create serviceaccount runbook >/dev/null
  k -n "$SHOP" apply -f - >/dev/null <<<"$1"
  k -n "$SHOP" create rolebinding runbook --role=runbook --serviceaccount="$SHOP:runbook" >/dev/null
  k -n "$SHOP" create rolebinding alice --clusterrole=neuralops-engineer --user=alice >/dev/null
  n role runner runbook | k apply -f - >/dev/null
  n role approver oncall --user bob --user carol | k apply -f - >/dev/null
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/key.pem" 2>/dev/null
  openssl pkey -in "$work/key.pem" -pubout -out "$work/key.pub"
  "$BINARY" trust import key="$work/key.pub" --name "$SHOP" --namespace "$SHOP" | k apply -f - >/dev/null
}
signed() { # NAME: the Playbook from stdin, signed, and Ready
  cat >"$work/$1.yaml"
  "$BINARY" playbook sign -f "$work/$1.yaml" --key "$work/key.pem" --attach | k apply -f - >/dev/null
  k -n "$SHOP" wait --for=condition=Ready --timeout=60s "playbook/$1" >/dev/null
}
ask() { # PLAYBOOK NAME FLAGS...: asked for, and planned
  as alice run "$1" --name "$2" "${@:3}" >/dev/null
  as alice wait "$2" --for planned --timeout 60s >/dev/null
}
approve() { as "${2:-bob}" approve "$1" --yes -m 'a test' >/dev/null 2>"$work/said" || die "$(cat "$work/said")"; } # RUN [PERSON]
succeeds() { as alice wait "$1" --for outcome=Succeeded --timeout 3m >/dev/null; }
stage_of() { k -n "$SHOP" get orchestration "$1" -o 'jsonpath={.status.stage}'; }

gate_of() { k -n "$SHOP" get gate "$(k -n "$SHOP" get orchestration "$1" -o 'jsonpath={.status.gates[-1:].name}')" -o json; }

# A run of two effects, one of them a Job that goes on until somebody lets it go, or ends at once.
turn() { # makes the Playbook `turn`, and what its account may
  people 'apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: runbook}
rules:
- {apiGroups: [batch], resources: [jobs], verbs: [get, create]}
- {apiGroups: [""], resources: [pods], verbs: [list]}
- {apiGroups: [""], resources: [configmaps], verbs: [get, patch]}'
  signed turn <<Y
apiVersion: neuralops.io/v1alpha1
kind: Playbook
metadata: {name: turn, namespace: $SHOP}
spec:
  revision: 1
  serviceAccountName: runbook
  parameters:
    type: object
    required: [what]
    properties:
      what: {type: string, maxLength: 63}
      hold: {type: string, enum: ["yes", "no"], default: "no"}
  approval: [{rules: [{role: oncall, min: 1}]}]
  steps:
  - name: work
    opaque: Accepted
    timeout: 5m
    job:
      image: localhost/busybox:e2e
      command: [sh, -c, 'test "\$HOLD" = no && exit 0; trap "exit 0" USR1; while :; do sleep 1; done']
      env: [{name: HOLD, value: \$(params.hold)}]
  - name: note
    patch:
      target: {apiVersion: v1, kind: ConfigMap, name: \$(params.what)}
      type: Merge
      patch: {data: {state: after}}
  - name: noted
    wait:
      target: {apiVersion: v1, kind: ConfigMap, name: \$(params.what)}
      expression: object.data.state == 'after'
Y
}
ask_turn() { # NAME [hold [PLAYBOOK]]: of a ConfigMap of its own name
  k -n "$SHOP" create configmap "$1" --from-literal=state=before >/dev/null
  ask "${3:-turn}" "$1" --param "what=$1" --param "hold=$([ "${2:-}" = hold ] && echo yes || echo no)"
}
job_of() { k -n "$SHOP" get jobs -o json | jq -r --arg run "$1" '.items[].metadata | select(.ownerReferences[0].name == $run).name'; }
job_runs() { # RUN: and its container does
  local job
  job=$(job_of "$1")
  [ -n "$job" ] && [ "$(k -n "$SHOP" get pods -l "job-name=$job" -o 'jsonpath={.items[*].status.containerStatuses[*].ready}')" = true ]
}
let_go() { k -n "$SHOP" exec "job/$(job_of "$1")" -- kill -USR1 1; }
was_done_once() { # RUN: one Job, and one patch that was carried out, by the API server's own record
  local jobs patches
  jobs=$(job_of "$1" | grep -c .) || true
  patches=$(jq -r --arg what "$1" 'select(.stage == "ResponseComplete" and .verb == "patch" and .objectRef.resource == "configmaps"
    and .objectRef.name == $what and .responseStatus.code == 200 and (.requestURI | contains("dryRun") | not)).auditID' \
    "$E2E_DIR/log/audit.jsonl" | grep -c .) || true
  [ "$jobs $patches" = "1 1" ] || die "$1 made $jobs Jobs and $patches patches; it is to be one of each"
}
what_is() { # RUN: all but words and times of conditions
  k -n "$SHOP" get orchestration "$1" -o json | jq -S '.status | {stage, outcome, gates, plan: .plan.digest, steps: [.steps[] | del(.message)]}'
}
remember() { local run; for run; do what_is "$run" >"$work/$run.was"; done; }
same() { # RUN...: as remembered
  local run
  for run; do
    what_is "$run" >"$work/$run.is"
    cmp -s "$work/$run".{was,is} || { diff "$work/$run".{was,is} >&2 || true; die "$run is not what it was"; }
  done
}
at_work() { job_runs "$1" && [ "$(what_is "$1" | jq -r '.steps[0].state')" = Running ]; }
