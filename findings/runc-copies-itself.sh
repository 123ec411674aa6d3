#!/bin/sh
# runc 1.5.1 keeps a container from writing to runc's own file by an overlay mount of it, and where that is refused by a copy of the
# whole program in memory, without a word. It is refused where runc's file already is on two layers of overlay, as below kind, in a
# container in a container, or on some CI machines. Then each `create`, `run` and `exec` copies some 13 MB first:
#   1. the waiting init of a created container is /memfd:runc_cloned... instead of /runc;
#   2. its private memory is 9 MiB and more instead of 2 to 4;
#   3. exec takes about twice as long (13 to 25 ms when this was seen), so measurements of runc differ by that from machine to machine.
# Seen on Linux 6.18, x86-64, Go 1.26. Needs root and Go; fails if 1 or 2 is otherwise. 3 is printed only.
set -eu
[ "$(id -u)" = 0 ] || { echo "needs root: it makes containers" >&2; exit 2; }
if [ -z "${FINDING_UNSHARED:-}" ]; then
    FINDING_UNSHARED=1 exec unshare --mount --propagation private sh "$0"
fi
work=$(mktemp -d)
trap 'umount "$work/two" "$work/one" 2>/dev/null; chmod -R u+w "$work"; rm -rf "$work"' EXIT
export GOBIN="$work/bin" GOFLAGS=-modcacherw
go install github.com/opencontainers/runc@v1.5.1
mkdir -p "$work/bundle/rootfs/proc" "$work/src" "$work/empty" "$work/one" "$work/two"
cat >"$work/src/main.go" <<'GO'
package main

import (
	"os"
	"time"
)

func main() {
	if len(os.Args) == 1 {
		time.Sleep(time.Hour)
	}
}
GO
sync # or what has just been written counts as dirty memory of whoever maps it
(cd "$work/src" && CGO_ENABLED=0 go build -o "$work/bundle/rootfs/sleep" main.go)
cd "$work/bundle"
"$work/bin/runc" spec
python3 - <<'PY'
import json
config = json.load(open("config.json"))
config["process"].update(args=["/sleep"], terminal=False)
config["mounts"] = [m for m in config["mounts"] if m["destination"] == "/proc"]
config["linux"].pop("resources", None)
json.dump(config, open("config.json", "w"))
PY
mount -t overlay overlay -o "lowerdir=$work/bin:$work/empty" "$work/one"
mount -t overlay overlay -o "lowerdir=$work/one:$work/empty" "$work/two"

# Print what the waiting init of a container made by program $1 is, its private memory in KiB, and the median of 11 execs in ms.
look() {
    name="copies-$$-$2"
    "$1" --root "$work/state" create --pid-file "$work/pid" "$name" </dev/null >/dev/null 2>&1
    pid=$(cat "$work/pid")
    program=$(readlink "/proc/$pid/exe")
    private=$(awk '/^Private_Dirty/ { print $2 }' "/proc/$pid/smaps_rollup")
    "$1" --root "$work/state" start "$name"
    took=$(for _ in 1 2 3 4 5 6 7 8 9 10 11; do
        began=$(date +%s%N)
        "$1" --root "$work/state" exec "$name" /sleep no </dev/null
        echo $((($(date +%s%N) - began) / 1000000))
    done | sort -n | sed -n 6p)
    "$1" --root "$work/state" delete --force "$name"
    echo "$program $private KiB, exec $took ms"
}

plain=$(look "$work/bin/runc" plain)
nested=$(look "$work/two/runc" nested)
echo "runc in a directory:              $plain"
echo "runc on two layers of overlay:    $nested"
case $plain in /runc*) ;; *) echo "CHANGED: no overlay, or an overlay is refused here" >&2; exit 1 ;; esac
case $nested in /memfd:runc_cloned*) ;; *) echo "CHANGED: no copy in memory" >&2; exit 1 ;; esac
small=$(echo "$plain" | sed 's/ KiB.*//; s/.* //')
large=$(echo "$nested" | sed 's/ KiB.*//; s/.* //')
[ "$large" -gt $((small * 2)) ] || { echo "CHANGED: $small and $large KiB of private memory" >&2; exit 1; }
echo "as described: runc 1.5.1 copies itself for each container and exec where its file is on two layers of overlay"
