# shellcheck shell=bash
# shellcheck disable=SC2154 # set by lib.sh and who sources it
# jobs.sh: sourced after lib.sh; the Jobs of docs/guides/backup-and-restore.md, as they stand there, and the claims they need.

make_claim() { # NAME: a disk of this node, bound
  install -d -o 65532 -g 65532 -m 700 "$E2E_DIR/$1"
  k apply -f - >/dev/null <<Y
{"apiVersion": "v1", "kind": "List", "items": [
 {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "$1"}, "spec": {"capacity": {"storage": "2Gi"},
  "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "$E2E_DIR/$1"},
  "claimRef": {"namespace": "$NS", "name": "$1"}}},
 {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "$1", "namespace": "$NS"}, "spec": {
  "accessModes": ["ReadWriteOnce"], "volumeName": "$1", "storageClassName": "", "resources": {"requests": {"storage": "2Gi"}}}}]}
Y
}
guides_job() { # NAME IMAGE CLAIM VKEY [ARGUMENT]: from the guide, with these in it, and waited for
  awk -v name="$1" '/^```yaml$/ {text = ""; code = 1; next} /^```$/ {if (code && index(text, "name: " name ",")) printf "%s", text; code = 0} code {text = text $0 "\n"}' \
    "$root/docs/guides/backup-and-restore.md" |
    sed -e 's/ *#.*//; s/: NODE$/: node1/' -e "s#: IMAGE\$#: $2#; s#\(DATA\|NEW\)-CLAIM#$3#; s#BACKUP-CLAIM#backup#; s#, VKEY#, \"$4\"#" \
      -e "s#--anchor-from-cluster\]#--anchor-from-cluster${5:+, $5}]#" >"$work/job.yaml"
  [ -s "$work/job.yaml" ] || die "the guide has no Job $1"
  k apply -f "$work/job.yaml" >/dev/null
  until_true "the Job $1 has ended" job_ended "$1"
  [ "$(k -n "$NS" get job "$1" -o 'jsonpath={.status.succeeded}')" = 1 ] || { k -n "$NS" logs "job/$1" >&2; die "the Job $1 of the guide failed"; }
}
job_ended() { [ -n "$(k -n "$NS" get job "$1" -o 'jsonpath={.status.conditions[?(@.status=="True")].type}')" ]; }
