# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is for those who source it
# lib.sh: sourced by the scripts of this folder, which set root. Processes, ports and waiting are those of tests/cluster.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
here=$root/../cluster
. "$here/lib.sh"
. "$here/proc.sh"
. "$here/components.sh"

say() { printf 'sigstore: %s\n' "$*" >&2; }
die() { printf 'sigstore: error: %s\n' "$*" >&2; exit 1; }

# What most tests need; the two of the older generation are only built where they are asked for.
USUAL=(cosign crane registry idp portbridge trillianmem ctfe tsa rekor2 fulcio)
OLDER=(rekor1 cosign2)

make_folder() { # DIR: sets D; only a folder that was made here, or was empty, is ever removed
  [ ! -e "$1" ] || [ -z "$(ls -A "$1")" ] || die "$1 is not empty: give a new folder (tests/sigstore/down $1 ends and removes one)"
  mkdir -p "$1"
  chmod 700 "$1"
  D=$(cd "$1" && pwd -P)
  touch "$D/.made"
  mkdir -p "$D/run" "$D/log"
}

await_file() { # NAME FILE: until the component has written it
  local until=$((SECONDS + WAIT))
  while [ "$SECONDS" -lt "$until" ]; do
    [ ! -s "$2" ] || return 0
    live "$D" "$1" >/dev/null || give_up "$1" "ended while it was starting"
    sleep .05
  done
  give_up "$1" "did not become ready within $WAIT s (E2E_WAIT)"
}

end_with() { # PID: everything in D ends when that process does, however it ends
  # shellcheck disable=SC2016 # the inner shell's own
  run watch bash -c 'tail --pid="$1" -f /dev/null & tail=$!; trap "kill $tail; exit" TERM; wait $tail; setsid -f "$2" "$3"' \
    watch "$1" "$root/down" "$D"
}

write_root() { # FILE [authority=WINDOW] [log=WINDOW] [ctlog=WINDOW] [tsa=WINDOW]: a trusted root of the Sigstore in D
  # A window is what cosign says about it, such as start-time=...,end-time=...; absent: since it was started.
  local file=$1 part authority log ctlog tsa
  shift
  authority=start-time=$START log=$authority ctlog=$authority tsa=$authority
  for part; do printf -v "${part%%=*}" %s "${part#*=}"; done
  "$BED_COSIGN" trusted-root create --out "$file" --fulcio "url=$FULCIO,certificate-chain=$D/pki/fulcio.pem,$authority" \
    --rekor "url=$REKOR2,public-key=$D/pki/rekor2.pub,origin=127.0.0.1,$log" \
    ${REKOR1:+--rekor "url=$REKOR1,public-key=$D/pki/rekor1.pub,$log"} \
    --ctfe "url=$CT/test,public-key=$D/pki/ctlog.pub,$ctlog" --tsa "url=$TSA,certificate-chain=$D/pki/tsa.pem,$tsa"
}

emit() { printf 'export %s=%q\n' "$1" "$2" >>"$D/env"; }
