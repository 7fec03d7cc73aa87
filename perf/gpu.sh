#!/usr/bin/env bash
# What this machine's GPU does of a picture's way, link by link, and which links are not here:
#   perf/gpu.sh            builds, measures, prints tables
#   perf/gpu.sh --build    only builds, into target/gpu-programs: for a machine without a compiler, which then runs the same
#                          script from a copy of this folder
# Ends with 0 if every link that is here does what it must: pictures within one of the exact result, NVDEC's as the software
# decoder's, nothing left behind after 10,000. A link that is not here is named and is no failure.
set -euo pipefail
cd "$(dirname "$0")/.."
programs=target/gpu-programs
build() {
  cargo build --release --locked -p punktfunk-gpu --example chain
  cargo build --release --locked -p punktfunk-nvdec --example card
  cargo build --release --locked -p punktfunk-host
  mkdir -p "$programs"
  cp target/release/examples/chain "$programs/chain"
  cp target/release/examples/card "$programs/nvdec"
  cp target/release/punktfunk-host "$programs/punktfunk-host"
}
[ "${1:-}" = --build ] && { build; exit; }
command -v cargo >/dev/null && build

status=0
part() {
  printf '\n== %s\n' "$1"
  shift
  "$@" || { printf '== FAILED (%d)\n' $?; status=1; }
}
part 'the card' bash -c 'nvidia-smi -L 2>/dev/null || echo "not here: nvidia-smi finds no NVIDIA card"'
part 'Vulkan: import, conversion, hand-over to CUDA' "$programs/chain" --check
part 'NVDEC on streams of ours' "$programs/nvdec"
printf '\n== every link, as the doctor sees it\n'
# It ends with 1 where it finds anything of this machine broken, which need not be the GPU.
found=$("$programs/punktfunk-host" doctor --json) || [ $? = 1 ] || { echo '== FAILED: the doctor did not begin'; status=1; }
printf '%s' "$found" | python3 -c 'import json, sys
links = "render-node gpu-driver vulkan dmabuf gpu-sharing cuda same-gpu nvenc nvenc-codecs nvdec encoder".split()
checks = {check["name"]: check for check in json.load(sys.stdin)["checks"]}
for name in links:
    check = checks.get(name, {"state": "not looked at", "found": "this doctor has no such link", "remedy": ""})
    print("  {:<13} {:<9} {}{}".format(name, check["state"], check["found"], "; " + check["remedy"] if check["remedy"] else ""))'
exit "$status"
