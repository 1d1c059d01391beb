# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what one file sets, up and the other files read
# adopt.sh: sourced by up for E2E_USE_EXISTING=1. Somebody else's cluster: looked at, never started, stopped or wiped.

adopt() {
  [ -n "${KUBECONFIG:-}" ] ||
    die "E2E_USE_EXISTING=1 but KUBECONFIG is not set: name the cluster to use, e.g. KUBECONFIG=~/.kube/config"
  find_kubectl
  # The current context is copied: switching contexts later must not turn the tests to another cluster.
  "$KUBECTL" config view --raw --minify --flatten -o json >"$D/kc/admin" 2>"$D/log/adopt.log" ||
    die "no current context in KUBECONFIG=$KUBECONFIG: $(tail -n 1 "$D/log/adopt.log")"
  chmod 600 "$D/kc/admin"
  KUBECONFIG=$D/kc/admin E2E_DIR=$D
  SERVER=$(k config view -o 'jsonpath={.clusters[0].cluster.server}')
  k get --raw /version --request-timeout=15s >"$D/version.json" 2>"$D/log/adopt.log" ||
    die "the cluster at $SERVER does not answer: $(tail -n 1 "$D/log/adopt.log")"
  say "adopting $SERVER (E2E_USE_EXISTING=1): it is not started, stopped or wiped"
  HAVE='' B=$(cd "$(dirname "$KUBECTL")" && pwd) PODS=real
  ! k -n default get serviceaccount default >/dev/null 2>&1 || HAVE+=" kcm"
  [ -z "$(k get nodes -o name 2>/dev/null)" ] || HAVE+=" scheduler"
  adopt_users
}

adopt_users() { # its users are not ours to make, so the admin acts as them; a test of bearer tokens needs a cluster of ours
  local user
  k auth can-i impersonate users >/dev/null 2>&1 && k auth can-i impersonate groups >/dev/null 2>&1 || return 0
  for user in $USERS; do
    python3 "$here/kubeconfig.py" --as "${user%%:*}" --groups "${user#*:}" <"$D/kc/admin" >"$D/kc/${user%%:*}"
    chmod 600 "$D/kc/${user%%:*}"
  done
  HAVE+=" users"
}
