# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what one file sets, up and the other files read
# pki.sh: sourced by up, which sets D, IP and PODS. Keys, certificates, users, kubeconfigs.

EC=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)

make_ca() {
  openssl req -x509 "${EC[@]}" -days 30 -subj /CN=e2e-ca -keyout "$D/pki/ca.key" -out "$D/pki/ca.crt" 2>/dev/null
}

leaf() { # NAME SUBJECT USAGE [NAMES]: a leaf of the CA; rustls refuses a CA as a server's certificate
  local at=$D/pki/$1 extensions
  extensions=$(printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n' "$3")
  [ -z "${4:-}" ] || extensions+=$'\n'"subjectAltName=$4"
  openssl req "${EC[@]}" -subj "$2" -keyout "$at.key" -out "$at.csr" 2>/dev/null
  openssl x509 -req -in "$at.csr" -CA "$D/pki/ca.crt" -CAkey "$D/pki/ca.key" -CAcreateserial -days 30 \
    -out "$at.crt" -extfile <(echo "$extensions") 2>/dev/null
}

client() { leaf "$1" "$2" clientAuth; } # NAME SUBJECT

make_keys() {
  local names
  names=$(printf 'DNS:%s,' localhost kubernetes kubernetes.default{,.svc,.svc.cluster.local})IP:127.0.0.1,IP:10.96.0.1
  [ "$IP" = 127.0.0.1 ] || names+=,IP:$IP
  make_ca
  leaf apiserver /CN=kube-apiserver serverAuth "$names"
  client admin /O=system:masters/CN=e2e-admin # for set-up only: it passes every check, so nothing may be tested as admin
  client kcm /CN=system:kube-controller-manager
  client scheduler /CN=system:kube-scheduler
  if [ "$PODS" = kubelet ]; then
    client proxy /CN=system:kube-proxy
    client node /O=system:nodes/CN=system:node:node1
    client kubelet-client /O=system:masters/CN=apiserver-kubelet-client
  fi
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$D/pki/sa.key" 2>/dev/null
  openssl pkey -in "$D/pki/sa.key" -pubout -out "$D/pki/sa.pub"
  chmod 600 "$D"/pki/*.key
}

check_users() { # a name becomes a file in kc/, so it must not be a component's
  local user name
  for user in $USERS; do
    name=${user%%:*}
    [[ $user == *:* && $name =~ ^[a-z0-9][-a-z0-9._@]*$ ]] ||
      die "E2E_USERS: '$user' is not NAME:GROUP[,GROUP...] (lower-case name; 'mallory:' is somebody without a group)"
    case $name in
      admin | kcm | scheduler | proxy | node | operator) die "E2E_USERS: the name $name is taken by the cluster itself" ;;
    esac
  done
}

write_tokens() { # people come with bearer tokens, which the API server knows from a file; they have no rights of their own
  local user groups
  for user in $USERS; do
    groups=${user#*:}
    echo "$(openssl rand -hex 16),${user%%:*},${user%%:*}${groups:+,\"$groups\"}"
  done >"$D/pki/tokens.csv"
  chmod 600 "$D/pki/tokens.csv"
}

kubeconfig() { # NAME USER-JSON: write kc/NAME (JSON is YAML, so every client reads it)
  cat >"$D/kc/$1" <<X
{"apiVersion": "v1", "kind": "Config", "current-context": "e2e",
 "clusters": [{"name": "e2e", "cluster": {"server": "$SERVER", "certificate-authority-data": "$(base64 -w0 <"$D/pki/ca.crt")"}}],
 "users": [{"name": "u", "user": $2}],
 "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "u", "namespace": "default"}}]}
X
  chmod 600 "$D/kc/$1"
}

write_kubeconfigs() {
  local name token user
  for name in admin kcm scheduler proxy node; do
    [ -e "$D/pki/$name.crt" ] || continue
    kubeconfig "$name" "{\"client-certificate-data\": \"$(base64 -w0 <"$D/pki/$name.crt")\",
      \"client-key-data\": \"$(base64 -w0 <"$D/pki/$name.key")\"}"
  done
  while IFS=, read -r token user _; do
    kubeconfig "$user" "{\"token\": \"$token\"}"
  done <"$D/pki/tokens.csv"
}
