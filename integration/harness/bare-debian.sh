#!/bin/sh
# bare-debian.sh DEBOOTSTRAP SUITE DIRECTORY PACKAGE.deb BUNDLE: a bare Debian in DIRECTORY, and PACKAGE's whole life there.
# In a mount namespace of its own, whose mounts go with it.
set -eu
[ -d "$3" ] || "$1" --variant=minbase "$2" "$3" http://deb.debian.org/debian >/dev/null
root=$3
cp /etc/resolv.conf "$root/etc/"
cp "$4" "$root/pyrunc.deb"
cp -a "$5" "$root/hello"
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
for device in null zero full random urandom tty; do
    [ -e "$root/dev/$device" ] || touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -p "$root/dev/pts" && mount -t devpts devpts "$root/dev/pts"
cat >"$root/life" <<'LIFE'
set -eu
export DEBIAN_FRONTEND=noninteractive
list() {
    find / -xdev \( -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/log -o -path /var/cache -o -path /run -o -path /tmp \) -prune \
        -o -print | sort
}
apt-get update -q >/dev/null
# What it needs first, so that what is left by them is not taken for its own.
# With whatever documents are: images of Debian for containers leave them out.
rm -f /etc/dpkg/dpkg.cfg.d/*
apt-get install -qy --no-install-recommends man-db bash-completion $(dpkg-deb -f /pyrunc.deb Depends | sed 's/,//g; s/([^)]*)//g; s/:any//g') >/tmp/log 2>&1
list >/tmp/before
apt-get install -qy --no-install-recommends /pyrunc.deb >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }

[ "$(head -c 4 /usr/sbin/pyrunc | tail -c 3)" = ELF ]
first=$(sha256sum </usr/sbin/pyrunc)
pyrunc --version | grep '^commit: [0-9a-f]\{40\}$'
pyrunc run --bundle /hello hello | grep 'hello from a container'
[ -n "$(ls /run/pyrunc/.seccomp)" ] # its profile is compiled, by libseccomp's own bindings
pyrunc --debug state absent 2>&1 | grep 'container does not exist'
man --where pyrunc-run | grep '/pyrunc-run.8'
[ -s /usr/share/doc/pyrunc/README.md.gz ]
bash -c '. /usr/share/bash-completion/bash_completion; __load_completion pyrunc 2>/dev/null || _comp_load pyrunc; complete -p pyrunc'
[ -n "$(ls /usr/lib/pyrunc/pyrunc/__pycache__/create.*.image)" ] # for users who cannot make it

# An update below a container that runs, as an engine has it.
mkdir /tmp/waiting && cp -a /hello/rootfs /tmp/waiting/
sed 's#"/hello"#"sleep", "1000"#' /hello/config.json >/tmp/waiting/config.json
pyrunc --log /tmp/log create --bundle /tmp/waiting waiting </dev/null >/dev/null 2>&1 || { cat /tmp/log; exit 1; }
pyrunc start waiting
apt-get install -qy --reinstall /pyrunc.deb >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
[ "$first" != "$(sha256sum </usr/sbin/pyrunc)" ] # another dump, with another seed
pyrunc state waiting | grep '"status": "running"'
pyrunc exec waiting echo still here | grep 'still here'
pyrunc delete --force waiting

apt-get purge -qy pyrunc >/tmp/log 2>&1
list >/tmp/after
diff /tmp/before /tmp/after
[ ! -e /run/pyrunc ]
LIFE
exec chroot "$root" sh /life
