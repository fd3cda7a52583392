#!/usr/bin/env bash
# Pretrain on the GPUs of this machine: launch/local.sh NUM_GPUS RECIPE RUN [key=value ...]
#
# TERM, USR1 and Ctrl-C become a STOP file in the run folder: every rank saves together and the exit
# code is 85. The deepspeed process itself must not get them, it would die and leave its ranks
# training. A second signal ends the run without that checkpoint.
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 NUM_GPUS RECIPE RUN [key=value ...]" >&2
    exit 2
fi
num_gpus=$1 recipe=$2 run=$3
shift 3

requests=0
child=
request_stop() {
    requests=$((requests + 1))
    if ((requests > 1)) && [[ -n $child ]]; then
        kill -TERM -- "-$child" 2>/dev/null || true
    fi
}
trap request_stop TERM INT USR1

export HF_HUB_OFFLINE=1
# A process group of its own: Ctrl-C in the terminal reaches this script alone.
setsid deepspeed --num_gpus "$num_gpus" --master_port $((10000 + $$ % 20000)) \
    --module camembert_bio pretrain "$recipe" "output=$run" "$@" &
child=$!

while kill -0 "$child" 2>/dev/null; do
    # Again each second: a run that is starting removes the STOP of an earlier one.
    if ((requests > 0)) && [[ -f $run/run.json ]]; then
        touch "$run/STOP"
    fi
    sleep 1
done
code=0
wait "$child" || code=$?
rm -f "$run/STOP"
exit "$code"
