#!/usr/bin/env bash
# What a GPU makes of it, in at most eight minutes, without a network: a training step of one and of eight coils and
# inference against reference practice, in float32 and bfloat16, with peak memory; and loading against computing.
#
#     benchmarks/device.sh [cuda|cpu] [SIZE] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
device=${1:-cuda} size=${2:-320} rounds=${3:-20}
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
python -c "
import torch
print(torch.__version__, torch.cuda.get_device_name() if '$device' == 'cuda' else 'cpu')"
for precision in float32 bfloat16; do
  timeout 180 python benchmarks/training_step.py \
    --device "$device" --size "$size" --precision "$precision" --rounds "$rounds"
  echo
done
python -m unimri.cli simulate 0 --output "$work/raw" \
  --settings '{"anatomy": "knee", "patients": 3, "series": 2, "slices": 16, "matrix_sizes": ['"$size"']}'
python -m unimri.cli prepare knee "$work/raw" 0 --output "$work/data" --settings \
  '{"reader": {"format": "fastmri-dicom"}, "fit": "crop", "preparation": {"image_size": '"$size"', "crop": '"$size"'}}'
timeout 60 python benchmarks/reading.py "$work/data"
