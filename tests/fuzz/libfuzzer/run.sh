#!/bin/sh
# Builds the fuzz targets with coverage feedback on the stable toolchain and runs one, or each in turn.
#
# usage: run.sh SECONDS [TARGET...]
# New inputs go to target/fuzz/NAME, not to the corpus in git: copy over what is worth keeping (README.md).
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../../.." && pwd)
seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
command -v c++ >/dev/null || { echo "run.sh: a C++ compiler is needed for libFuzzer" >&2; exit 1; }

pass='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4'
pass="$pass -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
pass="$pass -Cllvm-args=-sanitizer-coverage-trace-compares"
host=$(rustc -vV | sed -n 's/^host: //p')
CARGO_TARGET_DIR=$root/target/libfuzzer RUSTFLAGS="--cfg fuzzing $pass" \
    cargo build --release --target "$host" --manifest-path "$here/Cargo.toml"

[ $# -gt 0 ] || set -- $(ls "$here/../corpus")
for name in "$@"; do
    new=$root/target/fuzz/$name
    mkdir -p "$new"
    echo "== $name, $seconds s"
    TARGET=$name "$root/target/libfuzzer/$host/release/libfuzzer" -max_total_time="$seconds" -max_len=4200 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="$new/" "$new" "$here/../corpus/$name"
done
