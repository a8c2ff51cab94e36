#!/bin/sh
# Installs the foreign programs that tests need: tshark from the distribution, and a Python environment with scapy,
# grpcio and cryptography under target/, to talk to; strace, by which tests/netns makes disks slow. Does nothing
# for what is there already.
#
# usage: install-peers.sh [tshark] [python] [strace]        (all without arguments)
# exit status: 0 if everything asked for is there now, 1 otherwise, with the reason on standard error
set -u
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
venv=$target/interop-venv
mkdir -p "$target"
[ $# -eq 0 ] && set -- tshark python strace

# One installation at a time: tests run side by side.
exec 9>"$target/interop-install.lock"
flock 9

fail() {
    echo "install-peers: $1" >&2
    exit 1
}

apt_install() {
    command -v apt-get >/dev/null || fail "no apt-get here: install $* yourself"
    [ "$(id -u)" -eq 0 ] || fail "not root: install $* yourself"
    if [ ! -e "$target/interop-apt-updated" ]; then
        apt-get update -qq >/dev/null 2>&1 || fail "apt-get update failed"
        touch "$target/interop-apt-updated"
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 ||
        fail "apt-get install $* failed"
}

have_python() {
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -c '
import cryptography, grpc, grpc_reflection, scapy
assert tuple(map(int, scapy.__version__.split(".")[:2])) >= (2, 8), scapy.__version__' 2>/dev/null
}

for peer in "$@"; do
    case $peer in
    tshark)
        command -v tshark >/dev/null || apt_install tshark
        ;;
    strace)
        command -v strace >/dev/null || apt_install strace
        ;;
    python)
        if ! have_python; then
            command -v python3 >/dev/null || apt_install python3
            python3 -m venv "$venv" 2>/dev/null || {
                apt_install python3-venv
                python3 -m venv "$venv" || fail "python3 -m venv failed"
            }
            "$venv/bin/pip" install -q 'scapy>=2.8.0' grpcio grpcio-reflection cryptography >/dev/null 2>&1 ||
                fail "pip install failed"
            have_python || fail "the Python packages are there but do not load"
        fi
        ;;
    *) fail "unknown peer $peer" ;;
    esac
done
