#!/usr/bin/env bash
# From photographs, high-rate clips and RIFE's public weights to the weights of ALANetPlus.
#
#   recipes/alanet-plus.sh PHOTOGRAPHS CLIPS RIFE_MODULE RIFE_WEIGHTS OUT [--processes N] [--smoke]
#
#   PHOTOGRAPHS   folder of sharp photographs; a tenth of them is held out for validation
#   CLIPS         folder of high-rate videos, or of videos whose frames count as 240 a second
#   RIFE_MODULE   ifnet.py of RIFE 4.25, which is run: trust it. RIFE_WEIGHTS: its flownet.pkl
#   OUT           new folder for the datasets, the runs and the weights; the same command resumes
#   --processes N training processes, 2 by default: one a CPU core, or one a GPU
#   --smoke       two steps a run and a few small scenes, on any machine, to see that all steps work
#   ALANET=CMD    the command line to use, "python -m alanet" by default
set -euo pipefail

usage() { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 5 ] || usage
photographs=$1 clips=$2 module=$3 weights=$4 out=$5 processes=2 smoke=
shift 5
while [ $# -gt 0 ]; do
    case $1 in
        --processes) processes=${2:?--processes needs a number}; shift ;;
        --smoke) smoke=1 ;;
        *) usage ;;
    esac
    shift
done

here=$(cd -- "$(dirname "${BASH_SOURCE[0]}")" && pwd)
alanet=${ALANET:-python -m alanet}
launch="torchrun --nproc-per-node $processes -m alanet"
[ "$processes" != 1 ] || launch=$alanet
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
scenes=(--scenes 3000 --size 160x160 --displacement 32 --seed 11)
held=(--scenes 64 --size 192x192 --displacement 48 --seed 1 --held-out)
build=() train=() start=("$weights")
if [ -n "$smoke" ]; then
    scenes=(--scenes 4 --size 64x64 --displacement 8 --workers 1)
    held=(--scenes 2 --size 64x64 --displacement 8 --held-out --workers 1)
    build=(--size 96x64 --shortest 48)
    train=(--steps 2 --stages 0:64:1 --set held_out_clips=2)
    start=(--untrained)
fi

mkdir -p "$out"
$alanet data scenes "$photographs" -o "$out/scenes" "${scenes[@]}"
$alanet data scenes "$photographs" -o "$out/held-out" "${held[@]}"
$alanet data build "$clips" -o "$out/filmed" --assume-rate 240 --keep-aspect --test 0 ${build[@]+"${build[@]}"} ||
    [ $? = 3 ] # some videos cannot be read; they are named
$alanet data motion "$out/filmed" --rife-module "$module" --rife-weights "$weights"
python=${alanet%% *}
"$python" "$here/alanet-plus/start.py" "${start[@]}" "$out/start.safetensors"

before=$out/start.safetensors
for run in 01-flow 02-exposure 03-decoder; do
    $launch train --config "$here/alanet-plus/$run.toml" --dataset "$out/scenes" --set "extra_data=\"$out/filmed\"" \
        --set "held_out=\"$out/held-out\"" --init "$before" -o "$out/$run" --threads 1 ${train[@]+"${train[@]}"}
    before=$out/$run/last.safetensors
done
$alanet train ship "$out/03-decoder" -o "$out/alanet-plus.safetensors" --overwrite
