# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what one file sets, up and the other files read
# components.sh: sourced by up, which sets here, D, B, IP and PODS. Ports, and how each program is started and awaited.

WAIT=${E2E_WAIT:-120} # seconds for one component; a loaded CI machine is ten times slower than a quiet one

# --- ports: sixteen numbers at a time from 20000-29999, which is below the kernel's own range and the NodePorts.
# The counter goes round under a lock, so two clusters that start at the same moment never try the same number.

PORT=0 port_next=0 port_end=0

take_block() {
  local file=$NEURALOPS_CACHE/ports last=
  exec 8>"$file.lock"
  flock 8
  [ ! -e "$file" ] || read -r last <"$file" || true
  [[ $last =~ ^[0-9]{1,3}$ ]] || last=$((RANDOM % 625)) # caches of different users start at different places
  last=$(((last + 1) % 625))
  echo "$last" >"$file"
  exec 8>&-
  port_next=$((20000 + last * 16)) port_end=$((20016 + last * 16))
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; } # PORT

next_port() { # sets PORT
  while :; do
    [ "$port_next" -lt "$port_end" ] || take_block
    PORT=$port_next
    port_next=$((port_next + 1))
    listening "$PORT" || return 0
  done
}

# --- start and await

run() { "$here/ctl" "$D" run "$@"; } # NAME COMMAND...

give_up() { # NAME WHAT: with the end of its log, which nearly always names the reason
  local log=$D/log/$1.log
  say "the last lines of $1:"
  tail -n 15 "$log" 2>/dev/null | cut -c1-300 | sed 's/^/    /' >&2
  if grep -q 'address already in use' "$log" 2>/dev/null; then
    die "$1 $2: another program took its port in the meantime; run up again, it takes the next ones"
  fi
  die "$1 $2"
}

await() { # NAME CURL-ARGUMENTS...: until the request succeeds and the component still lives
  local name=$1 until=$((SECONDS + WAIT))
  shift
  while [ "$SECONDS" -lt "$until" ]; do
    live "$D" "$name" >/dev/null || give_up "$name" "ended while it was starting"
    if curl -fsS --noproxy '*' -m 2 -o /dev/null "$@" 2>/dev/null; then return 0; fi
    sleep .1
  done
  give_up "$name" "did not become ready within $WAIT s (E2E_WAIT); asked for: ${*: -1}"
}

start_etcd() {
  local client peer
  next_port
  client=http://127.0.0.1:$PORT
  next_port
  peer=http://127.0.0.1:$PORT
  ETCD=$client
  # Without fsync it is safe against kill -9, not against a power cut, and three times as fast.
  run etcd "$B/etcd" --data-dir="$D/etcd" --unsafe-no-fsync --log-level=warn --quota-backend-bytes=4294967296 \
    --listen-client-urls="$client" --advertise-client-urls="$client" \
    --listen-peer-urls="$peer" --initial-advertise-peer-urls="$peer" --initial-cluster="default=$peer"
  await etcd "$client/health"
}

start_apiserver() {
  local p=$D/pki listen=127.0.0.1 endpoints=none kubelet=() extra
  cat >"$p/audit.json" <<'X'
{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}
X
  if [ "$PODS" = kubelet ]; then # pods come in over the bridge, and find the Service `kubernetes`
    listen=0.0.0.0 endpoints=lease
    # By address, or `kubectl logs` and `exec` look the node's name up in the DNS.
    kubelet=(--kubelet-client-certificate="$p/kubelet-client.crt" --kubelet-client-key="$p/kubelet-client.key"
      --kubelet-preferred-address-types=InternalIP)
  fi
  read -ra extra <<<"${E2E_APISERVER_FLAGS:-}" # last, so that they win
  # A token lives as long as was asked: the default stretches an hour to a year, and renewal would never be tested.
  # The audit log is one file whatever its size: tests count requests in it.
  run kube-apiserver "$B/kube-apiserver" --etcd-servers="$ETCD" \
    --secure-port="${SERVER##*:}" --bind-address=$listen --advertise-address="$IP" --endpoint-reconciler-type=$endpoints \
    --tls-cert-file="$p/apiserver.crt" --tls-private-key-file="$p/apiserver.key" \
    --client-ca-file="$p/ca.crt" --token-auth-file="$p/tokens.csv" --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction --allow-privileged=true --service-cluster-ip-range=10.96.0.0/16 \
    --service-account-issuer=https://kubernetes.default.svc --service-account-extend-token-expiration=false \
    --service-account-signing-key-file="$p/sa.key" --service-account-key-file="$p/sa.pub" \
    --enable-aggregator-routing=true --profiling=false \
    --audit-policy-file="$p/audit.json" --audit-log-path="$D/log/audit.jsonl" --audit-log-maxsize=100000 \
    "${kubelet[@]}" "${extra[@]}"
  await kube-apiserver --cacert "$p/ca.crt" "$SERVER/readyz"
}

as_admin() { # prints curl's arguments for the admin, one a line
  printf '%s\n' --cacert "$D/pki/ca.crt" --cert "$D/pki/admin.crt" --key "$D/pki/admin.key"
}

controller() { # NAME KUBECONFIG FLAGS...: what controller-manager and scheduler have in common
  local name=$1 kc=$D/kc/$2
  next_port
  run "$name" "$B/$name" --kubeconfig="$kc" --authentication-kubeconfig="$kc" --authorization-kubeconfig="$kc" \
    --bind-address=127.0.0.1 --secure-port="$PORT" --leader-elect=false "${@:3}"
  await "$name" -k "https://127.0.0.1:$PORT/healthz"
}

start_controller_manager() {
  local p=$D/pki admin object
  mapfile -t admin < <(as_admin)
  controller kube-controller-manager kcm --use-service-account-credentials=true --root-ca-file="$p/ca.crt" \
    --service-account-private-key-file="$p/sa.key" --cluster-signing-cert-file="$p/ca.crt" \
    --cluster-signing-key-file="$p/ca.key" --kube-api-qps=200 --kube-api-burst=400 --profiling=false
  # Healthy comes before useful: without these two no Pod is admitted.
  for object in serviceaccounts/default configmaps/kube-root-ca.crt; do
    await kube-controller-manager "${admin[@]}" "$SERVER/api/v1/namespaces/default/$object"
  done
}

start_scheduler() { controller kube-scheduler scheduler; }

start_kwok() { # one simulated node; which stages there are decides what its pods can do
  local admin stage
  mapfile -t admin < <(as_admin)
  for stage in node/fast/node-initialize node/heartbeat-with-lease/node-heartbeat-with-lease \
    pod/fast/pod-ready pod/fast/pod-delete pod/general/pod-complete pod/chaos/pod-container-running-failed; do
    echo ---
    cat "$B/stage/$stage.yaml"
  done >"$D/stages.yaml"
  next_port
  run kwok "$B/kwok" --kubeconfig="$D/kc/admin" --config="$D/stages.yaml" --manage-nodes-with-label-selector=type=kwok \
    --node-lease-duration-seconds=40 --server-address="127.0.0.1:$PORT"
  await kwok "http://127.0.0.1:$PORT/healthz"
  curl -fsS --noproxy '*' -o /dev/null "${admin[@]}" -H 'Content-Type: application/json' "$SERVER/api/v1/nodes" -d @- <<'X'
{"apiVersion": "v1", "kind": "Node",
 "metadata": {"name": "kwok-0", "labels": {"type": "kwok", "kubernetes.io/os": "linux", "kubernetes.io/hostname": "kwok-0"}},
 "status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "1000"},
            "capacity": {"cpu": "64", "memory": "256Gi", "pods": "1000"}}}
X
  await_node kwok kwok-0
}

await_node() { # COMPONENT NODE: until it exists (a kubelet is healthy before it has registered) and its Ready condition is true
  local condition
  for condition in create condition=Ready; do
    "$B/kubectl" --kubeconfig="$D/kc/admin" --cache-dir="$D/cache" wait --for="$condition" "node/$2" --timeout="${WAIT}s" \
      >/dev/null 2>"$D/log/node-wait.log" || give_up "$1" "made no Ready node $2: $(tail -n 1 "$D/log/node-wait.log")"
  done
}
