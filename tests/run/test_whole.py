"""Whole runs, as a user starts them: again, killed in every stage, without a network, and what comes out of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from forge.data.loading import TokenShard
from forge.data.megatron import import_megatron
from forge.plan.stages import STAGES
from tests.run.small import command, forge_run, outcome, write_documents

pytestmark = pytest.mark.slow

# forge-run, killed as by `kill -9` when a stage has come so far.
KILLED = """
import os, signal, sys
from forge.run import run
stage, steps = sys.argv[1], float(sys.argv[2])
advance = run._Recorder.advance
def killing(recorder, amount=1.0):
    advance(recorder, amount)
    if recorder._stage == stage and recorder._done >= steps:
        os.kill(os.getpid(), signal.SIGKILL)
run._Recorder.advance = killing
sys.argv[1:] = sys.argv[3:]
from forge.cli.main import main
main()
"""

# Plain transformers, no forge: what a user of the exported folder does.
ELSEWHERE = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))
text = tokenizer.decode(model.generate(**tokenizer("ba ce", return_tensors="pt"), max_new_tokens=8)[0])
assert "forge" not in sys.modules
print(repr(text))
"""


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_documents(tmp_path_factory.mktemp("documents"))


@pytest.fixture(scope="module")
def undisturbed(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output_dir = tmp_path_factory.mktemp("undisturbed")
    finished = forge_run(documents, output_dir)
    assert finished.returncode == 0, finished.stderr
    assert "bits per byte" in finished.stdout
    assert "predicted beside measured" in finished.stdout
    assert "from transformers import" in finished.stdout
    return output_dir


def test_the_same_command_again_is_done_and_touches_nothing(documents: Path, undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()}
    again = forge_run(documents, undisturbed)
    assert again.returncode == 0
    assert "done before, nothing to do" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*") if path.is_file()} == before


def test_another_learning_rate_reuses_the_data(documents: Path, undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed / "artifacts", tmp_path / "artifacts")
    before = {path.name for path in (tmp_path / "artifacts").iterdir()}
    words = command(documents, tmp_path, "train.learning_rate=2e-3")[3:]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "train", "1", *words], capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (run,) = (tmp_path / "runs").iterdir()
    told = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    reached = [event["stage"] for event in told if event["event"] == "stage_start"]
    assert reached == ["train"]
    made = {path.name for path in (tmp_path / "artifacts").iterdir()} - before
    assert {name.lstrip(".").removeprefix("tmp-").split("-")[0] for name in made} == {"train"}


@pytest.mark.soak
def test_killed_in_every_stage_it_ends_the_same(documents: Path, undisturbed: Path, tmp_path: Path) -> None:
    for stage in STAGES:
        steps = "15" if stage == "train" else "1"
        words = command(documents, tmp_path)[3:]
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, stage, steps, *words], capture_output=True, text=True
        )
        assert killed.returncode == -signal.SIGKILL, (stage, killed.stderr)
        assert not list((tmp_path / "artifacts").glob(f"{stage}-*"))
        assert (tmp_path / "artifacts").glob(f".tmp-{stage}-*")
    finished = forge_run(documents, tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert outcome(tmp_path) == outcome(undisturbed)
    assert not [path.name for path in (tmp_path / "artifacts").iterdir() if path.name.startswith(".tmp")]


def test_every_document_is_accounted_for(documents: Path, undisturbed: Path) -> None:
    artifacts = {path.name.split("-")[0]: path for path in (undisturbed / "artifacts").iterdir()}
    lake = parquet.read_table(artifacts["lake"] / "lake.parquet").to_pylist()
    unread = parquet.read_table(artifacts["lake"] / "set_aside.parquet").to_pylist()
    files = {str(path.relative_to(documents)) for path in documents.rglob("*") if path.is_file()}
    assert {row["path"] for row in lake} | {row["path"] for row in unread} == files
    assert [(row["path"], row["reason"]) for row in unread] == [("broken.txt", "binary")]
    corpus = parquet.read_table(artifacts["corpus"] / "corpus.parquet").to_pylist()
    aside = parquet.read_table(artifacts["corpus"] / "set_aside.parquet").to_pylist()
    assert sorted(row["document_id"] for row in corpus + aside) == sorted(row["document_id"] for row in lake)
    assert [(row["path"], row["reason"]) for row in aside] == [("003.txt", "near duplicate")]


def test_the_exported_folder_writes_text_without_forge(undisturbed: Path) -> None:
    (export,) = (undisturbed / "artifacts").glob("export-*")
    shown = subprocess.run(
        [sys.executable, "-P", "-c", ELSEWHERE, str(export / "hf")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.startswith("'<|bos|>ba ce")


def export(run: Path, formats: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "forge.cli.main", "export", str(run), "--to", formats]
    return subprocess.run(words, capture_output=True, text=True)


def test_its_tokens_go_to_other_trainers(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed, tmp_path / "out", symlinks=True)
    (run,) = (tmp_path / "out" / "runs").iterdir()
    done = export(run, "megatron")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "out" / "artifacts").glob("megatron-*")
    assert done.stdout == f"tokens: {folder}\n"
    (tokens,) = (tmp_path / "out" / "artifacts").glob("tokens-*")
    for split in ("train", "held_out"):
        ids, lengths = import_megatron(folder / split)
        shard = TokenShard.open(tokens, split)
        assert ids.tolist() == shard.tokens[:].tolist()
        assert lengths.sum() == len(shard)
    assert (folder / "tokenizer.json").is_file()
    assert not list((tmp_path / "out" / "artifacts").glob(".tmp-megatron*"))


def test_a_finished_run_becomes_a_file_that_llama_cpp_serves(undisturbed: Path, tmp_path: Path) -> None:
    output_dir = shutil.copytree(undisturbed, tmp_path / "copy", symlinks=True)
    (run,) = (output_dir / "runs").iterdir()
    done = export(run, "gguf,ollama")
    assert done.returncode == 0, done.stderr
    assert "GGUF within" in done.stdout
    assert "greedy choices equal" in done.stderr
    line = next(line for line in done.stdout.splitlines() if "llama-server -m " in line)
    served = Path(line.split()[-1])
    assert served.name == "model-q8_0.gguf"
    assert served.is_file()
    assert (served.parent / "Modelfile").is_file()
    again = export(run, "gguf,ollama")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert again.stderr == ""


def test_a_training_that_goes_on_is_exported_from_its_newest_checkpoint(
    undisturbed: Path, tmp_path: Path
) -> None:
    output_dir = shutil.copytree(undisturbed, tmp_path / "copy", symlinks=True)
    (train,) = (output_dir / "artifacts").glob("train-*")
    shutil.rmtree(train)
    (run,) = (output_dir / "runs").iterdir()
    newest = max((run / "checkpoints").iterdir())
    next(newest.glob("*.safetensors")).write_bytes(b"")
    done = export(run, "hf")
    assert done.returncode == 0, done.stderr
    assert f"checkpoint {newest.name} is not used: " in done.stderr
    (folder,) = {path for path in (output_dir / "artifacts").glob("export-*")} - {
        output_dir / "artifacts" / path.name for path in (undisturbed / "artifacts").glob("export-*")
    }
    result = json.loads((folder / "export.json").read_text())
    assert result["steps"] < 40
    assert f"in {result['steps']} steps" in (folder / "hf" / "README.md").read_text()
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["hf"]
    shutil.rmtree(run / "checkpoints")
    nothing = export(run, "hf,gguf")
    assert (nothing.returncode, len(nothing.stderr.splitlines())) == (4, 1)
    assert "has no whole checkpoint" in nothing.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "nowhere: is no folder of a run (it has no plan.json): name one below runs/"),
        (["nowhere", "--to", "onnx"], "command line: --to: 'onnx' is not one of hf, gguf, ollama, megatron"),
        (["nowhere", "--to", "hf,hf"], "command line: --to: names hf twice: name it once"),
    ],
)
def test_an_export_of_nothing_is_one_line(words: list[str], says: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "forge.cli.main", "export", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr.strip()) == (2, says)


def test_no_network_is_used(documents: Path, undisturbed: Path, tmp_path: Path) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--net", "--"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets no user make a network namespace")
    up = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    finished = subprocess.run([*alone, *up, *command(documents, tmp_path)], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert outcome(tmp_path) == outcome(undisturbed)


@pytest.mark.soak
def test_a_sweep_runs_each_point(documents: Path, undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed / "artifacts", tmp_path / "artifacts")
    swept = forge_run(documents, tmp_path, "train.steps=1,2", "-m")
    assert swept.returncode == 0, swept.stderr
    runs = [json.loads((path / "summary.json").read_text()) for path in (tmp_path / "runs").iterdir()]
    assert sorted(run["training"]["steps"] for run in runs) == [1, 2]


def test_a_bad_point_of_a_sweep_starts_nothing(documents: Path, tmp_path: Path) -> None:
    swept = forge_run(documents, tmp_path, "-m", "train.steps=1,0")
    assert swept.returncode == 2
    assert swept.stderr == "command line: train.steps: 0 steps is below the least allowed, 1\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("unshare") is None, reason="needs a small disk")
def test_a_full_disk_is_one_line_and_loses_nothing(
    documents: Path, undisturbed: Path, tmp_path: Path
) -> None:
    own = ["unshare", "--user", "--map-root-user", "--mount", "--"]
    if subprocess.run([*own, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], capture_output=True).returncode:
        pytest.skip("this machine lets no user mount a small disk")
    script = 'mount -t tmpfs -o size=60k tmpfs "$1" && shift && exec "$@"'
    full = subprocess.run(
        [*own, "sh", "-c", script, "sh", str(tmp_path), *command(documents, tmp_path)],
        capture_output=True,
        text=True,
    )
    assert full.returncode == 4
    (line,) = [line for line in full.stderr.splitlines() if "cannot be written" in line]
    assert "(No space left on device): free some space; the same command goes on" in line
    assert "Traceback" not in full.stderr
