# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what one file sets and another reads
# lib.sh: sourced by the parts of this folder, each of which is one story of an installation: PART BINARY IMAGE. It starts a
# cluster of its own with a real kubelet, with the images of E2E_IMAGES, and ends it; installs with helm, and asks the pods.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/tests/cluster/lib.sh"
. "$root/tests/kubelet-install/runs.sh"
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
  if [ "$status" != 0 ] && [ -n "${E2E_DIR:-}" ]; then
    k -n "$NS" get pods,events >&2 || true
    k -n "$NS" logs -l app.kubernetes.io/name=neuralops --tail=20 --prefix >&2 || true
    k -n "$SHOP" get orchestrations,gates,jobs,pods >&2 || true
    keep_logs "$E2E_DIR"
  fi
  ! declare -F clear_up >/dev/null || clear_up || true # what a part has made beside the cluster
  [ -z "${E2E_DIR:-}" ] || "$root/tests/cluster/ctl" "$E2E_DIR" down
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
