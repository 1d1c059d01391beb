# shellcheck shell=bash
# proc.sh: sourced; which process of a cluster lives. A pid alone may have been given to somebody else in the meantime,
# so DIR/run/NAME.pid holds the start time beside it, and nothing is ever signalled by name.

born() { # PID: when it started, in clock ticks since boot; nothing for a zombie or if there is none
  local stat fields
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
  read -ra fields <<<"${stat##*) }" # the program's name before it may hold spaces and brackets
  case ${fields[0]} in Z | X) return 0 ;; esac
  echo "${fields[19]}"
}

live() { # DIR NAME: its pid; fails when it does not run
  local pid since=
  [ -e "$1/run/$2.pid" ] || return 1
  read -r pid since <"$1/run/$2.pid" || return 1
  [ -n "$since" ] && [ "$(born "$pid")" = "$since" ] && echo "$pid"
}

components() { # DIR: the names of what was started there, whether it lives or not, one a line
  local file
  for file in "$1"/run/*.cmd; do
    [ ! -e "$file" ] || basename "$file" .cmd
  done
}

live_components() { # DIR
  local name
  for name in $(components "$1"); do
    ! live "$1" "$name" >/dev/null || echo "$name"
  done
}

down_components() { # DIR
  local name
  for name in $(components "$1"); do
    live "$1" "$name" >/dev/null || echo "$name"
  done
}
