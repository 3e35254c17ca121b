#!/bin/sh
# Does an exported folder say the same to transformers 4.57 as to the version forge runs on?
#
#     benchmarks/transformers_4_57.sh artifacts/export-KEY/hf
#
# Makes a throw-away environment with transformers 4.57.1 that borrows torch from $PYTHON's environment, runs the same
# ids and prompts through both in fp32 and prints a table. Exit status 1 when a logit, an id or a text differs.
# Needs a package index that pip can reach, about 30 MB and 20 seconds.
set -eu

folder=$(cd "${1:?usage: $0 EXPORTED_FOLDER}" && pwd)
python=${PYTHON:-python}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" -m venv "$scratch/old"
old=$scratch/old/bin/python
"$old" -m pip install --quiet --no-deps "transformers==4.57.1" "tokenizers>=0.22,<0.23" "huggingface_hub>=0.34,<1.0" \
    requests urllib3 idna certifi charset-normalizer
# Its own packages come first; what it lacks (torch, numpy, safetensors, ...) comes from the other environment.
"$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    >"$("$old" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_borrowed.pth"

cat >"$scratch/measure.py" <<'MEASURE'
import sys
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, result = sys.argv[1:]
transformers.utils.logging.disable_progress_bar()
model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
prompts = ["The licence", "§ 12(3)(b) of the Act, 1999 –", "日本 <|eos|> don't  do\n\nthat 🙂", ""]
source = torch.Generator().manual_seed(0)
length = min(256, model.config.max_position_embeddings)
batches = [tokenizer(prompt, return_tensors="pt") for prompt in prompts]
noise = [torch.randint(model.config.vocab_size, (1, length), generator=source) for _ in range(8)]
with torch.inference_mode():
    logits = [model(input_ids=ids).logits for ids in [batch["input_ids"] for batch in batches] + noise]
    texts = [tokenizer.decode(model.generate(**batch, max_new_tokens=16, do_sample=False)[0]) for batch in batches]
torch.save({
    "version": transformers.__version__,
    "ids": [batch["input_ids"].tolist() for batch in batches],
    "texts": texts,
    "logits": logits,
}, result)
MEASURE

cat >"$scratch/compare.py" <<'COMPARE'
import sys
import torch

old, new = (torch.load(path, weights_only=True) for path in sys.argv[1:])
pairs = list(zip(old["logits"], new["logits"], strict=True))
positions = sum(left.shape[1] for left, _ in pairs)
equal = sum(int((left == right).all(-1).sum()) for left, right in pairs)
difference = max(float((left - right).abs().max()) for left, right in pairs)
texts = sum(left == right for left, right in zip(old["texts"], new["texts"], strict=True))
print(f"| transformers {old['version']} against {new['version']} | fp32, CPU |")
print("|---|---|")
print(f"| token ids equal | {old['ids'] == new['ids']} |")
print(f"| positions with all logits bit-equal | {equal} of {positions} |")
print(f"| largest absolute logit difference | {difference:.3g} |")
print(f"| sum of absolute logits | {sum(float(a.abs().double().sum()) for a, _ in pairs):.4f} |")
print(f"| greedy texts equal | {texts} of {len(old['texts'])} |")
sys.exit(0 if old["ids"] == new["ids"] and old["texts"] == new["texts"] and equal == positions else 1)
COMPARE

export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 TRANSFORMERS_VERBOSITY=error TOKENIZERS_PARALLELISM=false
"$old" "$scratch/measure.py" "$folder" "$scratch/old.pt"
"$python" "$scratch/measure.py" "$folder" "$scratch/new.pt"
"$python" "$scratch/compare.py" "$scratch/old.pt" "$scratch/new.pt"
