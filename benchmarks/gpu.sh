#!/bin/sh
# The GPU check: the tests marked `cuda`, then seconds, images/s, share of peak and memory of the paper's models.
# At most six minutes on one H100 or H200; it needs no network.
#
#     benchmarks/gpu.sh                      # writes build/gpu/gpu.json and tables/benchmarks/gpu.*
#     WHEELS=folder benchmarks/gpu.sh        # where packages are missing: installs wheels from a folder first
#     benchmarks/gpu.sh --toy                # a rehearsal at toy size on any machine
#
# Wheels for another machine come from `pip download --no-deps -d folder NAME ...`.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
if [ -n "${WHEELS:-}" ]; then
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --upgrade --target build/gpu/site "$WHEELS"/*.whl
    export PYTHONPATH="$PWD/build/gpu/site${PYTHONPATH:+:$PYTHONPATH}"
fi
exec "$PYTHON" -m benchmarks.gpu "$@"
