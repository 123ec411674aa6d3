# Shared by script/demo and script/test; sourced, from the top of the checkout.
PYTHON=${PYRUNC_PYTHON:-/usr/bin/python3}
# What a venv, and the building of the native program in it, need; and libseccomp itself.
RUN_PACKAGES="python3-venv python3-dev gcc libc6-dev libseccomp2"
# The engines that are run with pyrunc in runc's place.
ENGINE_PACKAGES="containerd docker.io podman conmon netavark aardvark-dns catatonit uidmap tini containernetworking-plugins buildah iptables"
# The yardsticks, what tests look with (a browser for the page of `plan --html`), and the virtual machine.
TEST_PACKAGES="$RUN_PACKAGES binutils cppcheck runc crun busybox-static criu strace iproute2 procps util-linux mandoc zsh fish \
qemu-system-x86 linux-image-amd64 kmod e2fsprogs systemd-sysv dbus apparmor secilc chromium $ENGINE_PACKAGES"

need_root() {
    [ "$(id -u)" = 0 ] || { echo "$1: containers need root here: run it with sudo" >&2; exit 1; }
}

need_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    echo "== installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    { apt-get update -q && apt-get install -qy --no-install-recommends $missing; } >"$log" 2>&1 </dev/null || {
        cat "$log" >&2
        echo "could not install:$missing" >&2
        exit 1
    }
    rm -f "$log"
}

# A venv in .venv with this checkout installed in it; made anew when the checkout has changed.
make_venv() {
    [ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
    stamp=$(find runtime spec native script/*.py script/*.sh script/completion setup.py pyproject.toml -type f \
        ! -path '*/__pycache__/*' ! -path '*.egg-info/*' \
        -exec stat -c '%n %Y %s' {} + | sort | sha256sum)
    if [ "$stamp" != "$(cat .venv/stamp 2>/dev/null)" ]; then
        echo "== installing pyrunc into .venv"
        rm -rf build
        log=$(mktemp)
        .venv/bin/pip install --disable-pip-version-check . >"$log" 2>&1 </dev/null || { cat "$log" >&2; exit 1; }
        rm -f "$log"
        echo "$stamp" >.venv/stamp
    fi
}
