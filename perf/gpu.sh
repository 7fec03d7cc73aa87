#!/usr/bin/env bash
# What this machine's GPU does of a picture's way, link by link, and which links are not here:
#   perf/gpu.sh [WORD…]      builds, measures, prints tables; the words go to the measuring program (--software, --leak N…)
#   perf/gpu.sh --build      only builds, into target/gpu-programs: for a machine without a compiler, which then runs the
#                            same script from a copy of this folder
#   perf/gpu.sh --stand-ins [WORD…]
#                            the same on lavapipe with the tests' stand-ins for NVIDIA's libraries: shows what the script
#                            itself does, on a machine without a GPU, and nothing of a card
# Ends with 0 if every link that is here does what it must: pixels within one of the exact result, and at CUDA's end the
# bytes that Vulkan wrote; nothing left behind after 10,000 pictures; no wait of the host's for the hand-over; no byte of a
# dmabuf copied by the CPU; on an H100 or H200 the targets of time; NVDEC's pictures as the software decoder's. A link that
# is here and does not work is a failure; one that is not here is named and is none.
set -euo pipefail
cd "$(dirname "$0")/.."
programs=target/gpu-programs profile=release built=target/release
# Times on stand-ins are nobody's, so that the build that tests use will do.
[ "${1:-}" = --stand-ins ] && programs=target/gpu-programs-dev profile=dev built=target/debug
make() { cargo build --profile "$profile" --locked "$@"; }
build() {
  make -p punktfunk-gpu --example chain
  make -p punktfunk-nvdec --example card
  make -p punktfunk-host
  mkdir -p "$programs"
  cp "$built/examples/chain" "$programs/chain"
  cp "$built/examples/card" "$programs/nvdec"
  cp "$built/punktfunk-host" "$programs/punktfunk-host"
}
stand_ins() {
  make -p stand-in-nvdec -p stand-in-nvenc
  make -p punktfunk-gpu --example stand_ins
  "$built/examples/stand_ins" "$programs/stand-ins" >"$programs/stand-ins.sh"
  . "$programs/stand-ins.sh"
  printf '== on stand-ins: nothing here is about a card\n'
}
[ "${1:-}" = --build ] && { build; exit; }
if command -v cargo >/dev/null; then
  build
elif [ ! -x "$programs/chain" ]; then
  printf 'no cargo here, and no %s: run perf/gpu.sh --build where there is one, and copy that folder here\n' "$programs" >&2
  exit 2
fi
[ "${1:-}" = --stand-ins ] && { shift; stand_ins; set -- --software "$@"; }

status=0
part() {
  printf '\n== %s\n' "$1"
  shift
  "$@" || { printf '== FAILED (%d)\n' $?; status=1; }
}
part 'the card' bash -c 'nvidia-smi -L 2>/dev/null || echo "not here: nvidia-smi finds no NVIDIA card"'
part 'Vulkan: import, conversion, hand-over to CUDA' "$programs/chain" --check "$@"
part 'NVDEC on streams of ours' "$programs/nvdec"
printf '\n== every link, as the doctor sees it\n'
links() {
  command -v python3 >/dev/null || { printf '%s\n' "$1"; return; }
  printf '%s' "$1" | python3 -c 'import json, sys
links = "render-node gpu-driver vulkan dmabuf gpu-sharing cuda same-gpu nvenc nvenc-codecs nvdec encoder".split()
checks = {check["name"]: check for check in json.load(sys.stdin)["checks"]}
for name in links:
    check = checks.get(name, {"state": "not looked at", "found": "this doctor has no such link", "remedy": ""})
    print("  {:<13} {:<9} {}{}".format(name, check["state"], check["found"], "; " + check["remedy"] if check["remedy"] else ""))'
}
# It ends with 1 where it finds anything of this machine broken, which need not be the GPU.
if found=$("$programs/punktfunk-host" doctor --json) || [ $? = 1 ]; then
  links "$found"
else
  printf '== FAILED: the doctor did not begin\n'
  status=1
fi
exit "$status"
