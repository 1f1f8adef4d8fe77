#!/bin/sh
# Train on a CPU that others use too: lowest priority, and memory that is kept rather than
# returned to the system after each step.
#   pretraining/launch.sh pretraining/configs/NAME.toml OUT [options of pretraining.train]
set -eu
config=$1
out=$2
shift 2
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=268435456
export THP_MEM_ALLOC_ENABLE=1 OMP_WAIT_POLICY=PASSIVE
exec nice -n 19 "${PYTHON:-python}" -m pretraining.train --config "$config" --out "$out" "$@"
