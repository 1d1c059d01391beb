# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what one file sets, up and the other files read
# node.sh: sourced by up (node_check, node_start) and ctl (node_sweep, node_unmark): a real node on this host, as root.
# Debian's containerd and runc, our kubelet and kube-proxy.

BRIDGE=e2e0
NODE_MARK=/run/neuralops-e2e-node # whose node this machine carries: kube-proxy's tables and the bridge exist once

node_check() { # says before anything is started what would make it fail in the middle
  local other
  [ "$(uname -s)" = Linux ] || die "E2E_PODS=kubelet needs Linux"
  [ "$(id -u)" = 0 ] || die "E2E_PODS=kubelet runs a kubelet on this host and must be root; run it with sudo -E, or take E2E_PODS=kwok"
  need "${KUBELET_TOOLS[@]}"
  ! grep -qsx kubelet /proc/[0-9]*/comm || other=$(readlink "$NODE_MARK") ||
    die "a kubelet already runs on this machine, and a second one would take its sockets and cgroups; take E2E_PODS=kwok"
  ! ldd "$(command -v busybox)" >/dev/null 2>&1 ||
    die "$(command -v busybox) is dynamically linked and would not run in the test image: apt-get install busybox-static"
  [ "${#D}" -le 80 ] || die "the folder's name is too long for a Unix socket under it (${#D} > 80 characters): $D"
  if other=$(readlink "$NODE_MARK") && [ -n "$(live "$other" kubelet || live "$other" containerd)" ]; then
    die "this machine already carries the node of $other, and it can carry one; end it with: tests/cluster/ctl $other down"
  fi
  ln -sfn "$D" "$NODE_MARK"
}

node_unmark() { [ "$(readlink "$NODE_MARK")" != "$D" ] || rm -f "$NODE_MARK"; }

node_start() {
  N=$D/node
  mkdir -p "$N"/{net.d,kubelet,podlogs,img}
  node_network
  node_containerd
  node_images
  node_kubelet
  node_proxy
  await_node kubelet node1
}

node_network() {
  ip link show "$BRIDGE" >/dev/null 2>&1 || ip link add "$BRIDGE" type bridge
  ip addr flush dev "$BRIDGE" # an earlier cluster may have used another E2E_NODE_IP
  ip addr add "$IP/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  cat >"$N/net.d/10-e2e.conflist" <<X
{"cniVersion": "1.0.0", "name": "e2e", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$N/ipam", "ranges": [[{"subnet": "${IP%.*}.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
X
}

node_containerd() { # restrict_oom_score_adj: else runc dies with "can't get final child's PID" without CAP_SYS_RESOURCE
  local tries
  cat >"$N/containerd.toml" <<X
version = 2
root = "$N/root"
state = "$N/state"
[grpc]
  address = "$N/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:e2e"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$N/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
X
  run containerd "$(command -v containerd)" --config "$N/containerd.toml"
  for ((tries = 0; tries < WAIT * 10; tries++)); do
    live "$D" containerd >/dev/null || give_up containerd "ended while it was starting"
    if ctr -a "$N/c.sock" version >/dev/null 2>&1; then return 0; fi
    sleep .1
  done
  give_up containerd "did not answer on $N/c.sock within $WAIT s"
}

node_images() { # two made on the spot, so no registry is needed, and those of E2E_IMAGES
  local applets digest image images pause
  mapfile -t applets < <(busybox --list | grep -vx busybox | sed 's#.*#bin/&@busybox#')
  # shellcheck disable=SC2016 # $! is for the shell in the image
  pause='trap \"exit 0\" TERM INT; while :; do /bin/busybox sleep 3600 & wait $!; done'
  "$here/../../image/mkimage" "$N/img/busybox.tar" localhost/busybox:e2e '{"Env": ["PATH=/bin"], "Cmd": ["sh"], "User": "65534"}' \
    bin/ tmp/ etc/ "bin/busybox=$(command -v busybox)" "${applets[@]}"
  "$here/../../image/mkimage" "$N/img/pause.tar" localhost/pause:e2e "{\"Cmd\": [\"/bin/busybox\", \"sh\", \"-c\", \"$pause\"]}" \
    bin/ "bin/busybox=$(command -v busybox)"
  read -ra images <<<"${E2E_IMAGES:-}"
  for image in "$N"/img/*.tar "${images[@]}"; do
    ctr -a "$N/c.sock" -n k8s.io image import "$image" >/dev/null ||
      die "containerd did not take the image $image (E2E_IMAGES lists OCI or docker archives with a name in them; see image/mkimage)"
  done
  # By their digests too: who names an image so means no other, and asks no registry for what is here.
  while read -r image digest; do
    ctr -a "$N/c.sock" -n k8s.io image tag --force "$image" "${image%:*}@$digest" >/dev/null ||
      die "containerd did not take the name of $image by its digest"
  done < <(ctr -a "$N/c.sock" -n k8s.io image ls | awk 'NR > 1 && $1 !~ /@|^sha256:/ {print $1, $3}')
}

node_kubelet() { # failCgroupV1: hosts with cgroup v1 or both; no eviction, because the disk's state is not what is tested
  local port health
  next_port
  # shellcheck disable=SC2153 # PORT is what next_port sets
  port=$PORT
  next_port
  health=$PORT
  cat >"$N/kubelet.json" <<X
{"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
 "failCgroupV1": false, "cgroupDriver": "cgroupfs", "containerRuntimeEndpoint": "unix://$N/c.sock",
 "address": "$IP", "port": $port, "healthzPort": $health, "readOnlyPort": 0,
 "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": false},
                    "x509": {"clientCAFile": "$D/pki/ca.crt"}},
 "authorization": {"mode": "AlwaysAllow"},
 "resolvConf": "/etc/resolv.conf", "podLogsDir": "$N/podlogs", "volumePluginDir": "$N/plugins",
 "oomScoreAdj": 0, "maxOpenFiles": 16384, "failSwapOn": false, "makeIPTablesUtilChains": false,
 "serializeImagePulls": false, "localStorageCapacityIsolation": false, "imageGCHighThresholdPercent": 100,
 "nodeStatusUpdateFrequency": "5s",
 "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"}}
X
  run kubelet "$B/kubelet" --config="$N/kubelet.json" --kubeconfig="$D/kc/node" --root-dir="$N/kubelet" \
    --cert-dir="$N/kubelet/pki" --hostname-override=node1 --node-ip="$IP"
  await kubelet "http://127.0.0.1:$health/healthz"
}

node_proxy() {
  local health metrics
  next_port
  health=$PORT
  next_port
  metrics=$PORT
  cat >"$N/proxy.json" <<X
{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
 "hostnameOverride": "node1", "clusterCIDR": "${IP%.*}.0/24", "clientConnection": {"kubeconfig": "$D/kc/proxy"},
 "conntrack": {"maxPerCore": 0, "min": 0},
 "healthzBindAddress": "127.0.0.1:$health", "metricsBindAddress": "127.0.0.1:$metrics"}
X
  run kube-proxy "$B/kube-proxy" --config="$N/proxy.json"
}

# --- the end: a kubelet that stops leaves its pods running, with their mounts, networks, rules and cgroups

node_sweep() { # needs containerd, which ctl has started again if a test killed it
  local ctr=(ctr -a "$D/node/c.sock" -n k8s.io) id tries containers network path family
  for ((tries = 0; tries < 50; tries++)); do
    if "${ctr[@]}" version >/dev/null 2>&1; then break; fi
    sleep .1
  done
  mapfile -t containers < <("${ctr[@]}" containers ls -q 2>/dev/null)
  for id in "${containers[@]}"; do "${ctr[@]}" tasks kill -s KILL "$id" || true; done >/dev/null 2>&1
  for ((tries = 0; tries < 50; tries++)); do
    [[ $("${ctr[@]}" tasks ls 2>/dev/null) == *RUNNING* ]] || break
    sleep .1
  done
  for id in "${containers[@]}"; do
    network=$("${ctr[@]}" containers info "$id" 2>/dev/null |
      jq -r '.Spec.linux.namespaces[] | select(.type == "network").path // empty') || network=''
    "${ctr[@]}" tasks rm "$id" >/dev/null 2>&1 || true
    "${ctr[@]}" containers rm "$id" >/dev/null 2>&1 || true
    [ -z "$network" ] || node_unplug "$id" "$network"
  done
  for path in "${unplugged[@]}"; do # the containers of one pod name the same one
    ! umount "$path" 2>/dev/null || rm -f "$path"
  done
  for family in ip ip6; do nft delete table $family kube-proxy 2>/dev/null || true; done
  node_sweep_host
}

unplugged=() # the network namespaces of our pods

node_unplug() { # CONTAINER NAMESPACE: undo the CNI plugins; while the namespace is there, or they forget the masquerading
  local plugin
  unplugged+=("$2")
  for plugin in portmap bridge; do
    jq -c --arg type $plugin '. as $all | .plugins[] | select(.type == $type) + {name: $all.name, cniVersion: $all.cniVersion}' \
      "$D/node/net.d/10-e2e.conflist" |
      CNI_COMMAND=DEL CNI_CONTAINERID=$1 CNI_NETNS=$2 CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni "/usr/lib/cni/$plugin" \
        >>"$D/log/unplug.log" 2>&1 || true # only a sandbox has anything to undo
  done
  rm -f "/var/lib/cni/results/e2e-$1-eth0" "/var/lib/cni/results/cni-loopback-$1-lo"
}

node_sweep_host() { # what a kubelet writes outside its own folder, whatever it is told
  local link
  for link in /var/log/containers/*.log; do
    [[ $(readlink "$link") != "$D"/* ]] || rm -f "$link"
  done
  rm -f /var/lib/kubelet/device-plugins/kubelet.sock
  rmdir /var/lib/kubelet/device-plugins /var/lib/kubelet 2>/dev/null || true
  find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
}
