# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what one file sets and another reads
# lib.sh: sourced by the parts of this folder, each of which is one story of an installation: PART BINARY IMAGE. It starts a
# cluster of its own with a real kubelet, with the images of E2E_IMAGES, and ends it; sets up people, accounts and a signed
# Playbook in the namespace `shop`; and asks what helm, pods and runs say.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/tests/cluster/lib.sh"
[ $# = 2 ] || { echo "usage: ${0##*/} BINARY IMAGE@sha256:..." >&2; exit 64; }
BINARY=$1 IMAGE=$2 NS=neuralops-system SHOP=shop CHART=$root/charts/neuralops PART=${0##*/}

begin() { # sets work, disk, HELM3, HELM4; a cluster with the empty namespaces of the operator and of the runs
  local built lines namespace
  built=$("$root/tests/sigstore/build" helm helm4)
  { read -r HELM3; read -r HELM4; } <<<"$built"
  work=$(mktemp -d)
  trap finish EXIT
  lines=$(E2E_PODS=kubelet "$root/tests/cluster/up")
  eval "$lines"
  without_proxy
  require_cluster
  export HELM_CACHE_HOME=$work/cache HELM_CONFIG_HOME=$work/config HELM_DATA_HOME=$work/data
  disk=$E2E_DIR/disk
  for namespace in "$NS" "$SHOP"; do
    k create namespace "$namespace" >/dev/null
    k label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted >/dev/null
  done
}

finish() {
  local status=$?
  trap '' INT TERM
  if [ -n "${E2E_DIR:-}" ]; then
    if [ "$status" != 0 ]; then
      k -n "$NS" get pods,events >&2 || true
      k -n "$NS" logs -l app.kubernetes.io/name=neuralops --tail=20 --prefix >&2 || true
      k -n "$SHOP" get orchestrations,gates,jobs,pods >&2 || true
      keep_logs "$E2E_DIR"
    fi
    ! declare -F clear_up >/dev/null || clear_up || true
    "$root/tests/cluster/ctl" "$E2E_DIR" down
  fi
  rm -rf "$work"
  exit "$status"
}

n() { "$BINARY" "$@" -n "$SHOP"; }
as() { local person=$1; shift; n "$@" --kubeconfig "$E2E_DIR/kc/$person"; }
ok() { echo "ok   installed on a kubelet, $PART: $*"; }
until_true() { # WHAT COMMAND...: within a minute, or `patience` seconds
  local until=$(($(now_ms) + ${patience:-60} * 1000))
  while [ "$(now_ms)" -lt "$until" ]; do
    if "${@:2}" >"$work/said" 2>&1; then return 0; fi
    sleep .2
  done
  die "$1 is not so after ${patience:-60} s: $(tail -n 3 "$work/said")"
}

# --- the release and its pods

image_values() { # IMAGE@DIGEST: the values that name it, for `values`
  local reference=${1#*/}
  printf '%s\n' --set "image.registry=${1%%/*}" --set "image.repository=${reference%@*}" --set "image.digest=${1#*@}"
}
release() { "$1" "$2" neuralops "$CHART" -n "$NS" --timeout 90s --wait "${values[@]}" "${@:3}"; } # HELM install|upgrade FLAGS...
make_disk() { # what the claim of the embedded store is bound to
  install -d -o 65532 -g 65532 -m 700 "$disk"
  k apply -f - >/dev/null <<Y
{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": {"capacity": {"storage": "2Gi"},
 "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "$disk"}}}
Y
}
operator_pod() { k -n "$NS" get pods -l app.kubernetes.io/name=neuralops --field-selector status.phase=Running -o "jsonpath={.items[0]$1}"; }
is_ready() { [ "$(operator_pod '.status.containerStatuses[0].ready')" = true ]; }
pods() { k -n "$NS" get pods -l app.kubernetes.io/name=neuralops -o 'jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}'; }
leader() { # the pod that leads; its name is the front part of who holds the Lease
  local holder pod
  holder=$(k -n "$NS" get lease neuralops-controller -o 'jsonpath={.spec.holderIdentity}')
  for pod in $(pods); do [[ $holder != "$pod"_* ]] || echo "$pod"; done
}
scheme=http reader=() # how the port is spoken to, and with whose token
metrics_of() { curl -fsS --noproxy '*' -m 2 "${reader[@]}" "$scheme://$(k -n "$NS" get pod "$1" -o 'jsonpath={.status.podIP}'):8081/metrics"; } # POD
trusts_votes() { # what was written within seconds of the guard's making does not count
  local since
  since=$(metrics_of "$(leader)" | sed -n 's/^neuralops_votes_trusted_since_seconds //p')
  [ -n "$since" ] && [ "$since" != 0 ] && [ "$(date +%s)" -gt $((${since%.*} + 6)) ]
}
pid_of() { # POD: its process on this machine
  local container
  container=$(k -n "$NS" get pod "$1" -o 'jsonpath={.status.containerStatuses[0].containerID}')
  ctr -a "$E2E_DIR/node/c.sock" -n k8s.io tasks ls | awk -v id="${container#containerd://}" '$1 == id {print $2}'
}
memory_of() { # POD: resident, and of it what is not pages of its program
  awk '/^VmRSS/ {all = $2} /^RssAnon/ {own = $2} END {printf "%d MiB (%d)", all / 1024, own / 1024}' "/proc/$(pid_of "$1")/status"
}
no_restart() { # nobody was killed, for memory or else
  local counts
  counts=$(k -n "$NS" get pods -l app.kubernetes.io/name=neuralops -o 'jsonpath={.items[*].status.containerStatuses[*].restartCount}')
  [[ $counts =~ ^[0\ ]+$ ]] || die "pods were restarted ($counts times)"
}

# --- runs

people() { # alice asks, bob approves, and a key that signs for the namespace; RULES are those of the runs' account
  k -n "$SHOP" create serviceaccount runbook >/dev/null
  k -n "$SHOP" apply -f - >/dev/null <<<"$1"
  k -n "$SHOP" create rolebinding runbook --role=runbook --serviceaccount="$SHOP:runbook" >/dev/null
  k -n "$SHOP" create rolebinding alice --clusterrole=neuralops-engineer --user=alice >/dev/null
  n role runner runbook | k apply -f - >/dev/null
  n role approver oncall --user bob | k apply -f - >/dev/null
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
approve() { as bob approve "$1" --yes -m 'a test' >/dev/null 2>"$work/said" || die "$(cat "$work/said")"; }
succeeds() { as alice wait "$1" --for outcome=Succeeded --timeout 3m >/dev/null; }
stage_of() { k -n "$SHOP" get orchestration "$1" -o 'jsonpath={.status.stage}'; }

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
ask_turn() { # NAME [hold]: of a ConfigMap of its own name
  k -n "$SHOP" create configmap "$1" --from-literal=state=before >/dev/null
  ask turn "$1" --param "what=$1" --param "hold=$([ "${2:-}" = hold ] && echo yes || echo no)"
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
