#!/bin/sh
# runc 1.5.1, mount option tmpcopyup (a tmpfs that begins with what the image has in that directory):
#   1. a fifo in the directory fails the container: "lchown ...: no such file or directory", where the image only has a fifo;
#   2. two names of one file (hard links) become two files, so a layer that shares files takes more memory than it has bytes.
# Seen on Linux 6.18, x86-64, Go 1.26. Needs root, Go and a C compiler; fails if runc does otherwise.
set -eu
[ "$(id -u)" = 0 ] || { echo "needs root: it makes containers" >&2; exit 2; }
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
export GOBIN="$work/bin" GOFLAGS=-modcacherw
go install github.com/opencontainers/runc@v1.5.1
mkdir -p "$work/bundle/rootfs/proc" "$work/bundle/rootfs/data" "$work/src"
cat >"$work/src/main.go" <<'GO'
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	for _, name := range []string{"one", "two"} {
		var st syscall.Stat_t
		if err := syscall.Stat("/data/"+name, &st); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(name, "links:", st.Nlink)
	}
}
GO
(cd "$work/src" && CGO_ENABLED=0 go build -o "$work/bundle/rootfs/look" main.go)
echo content >"$work/bundle/rootfs/data/one"
ln "$work/bundle/rootfs/data/one" "$work/bundle/rootfs/data/two"
cd "$work/bundle"
"$work/bin/runc" spec
python3 - <<'PY'
import json
config = json.load(open("config.json"))
config["process"].update(args=["/look"], terminal=False)
config["mounts"] = [m for m in config["mounts"] if m["destination"] == "/proc"]
config["mounts"].append({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]})
config["root"]["readonly"] = False
config["linux"].pop("resources", None)
json.dump(config, open("config.json", "w"))
PY
said=$("$work/bin/runc" --root "$work/state" run "links-$$" </dev/null)
echo "$said"
[ "$said" = "one links: 1
two links: 1" ] || { echo "CHANGED: hard links were 2 in the image" >&2; exit 1; }
mkfifo "$work/bundle/rootfs/data/fifo"
if said=$("$work/bin/runc" --root "$work/state" run "fifo-$$" </dev/null 2>&1); then
    echo "CHANGED: a fifo is copied: $said" >&2
    exit 1
fi
echo "$said"
case $said in *tmpcopyup*"no such file or directory"*) ;; *) echo "CHANGED: another error" >&2; exit 1 ;; esac
echo "as described: runc 1.5.1 fails on a fifo, and splits hard links"
