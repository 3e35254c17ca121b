"""How long forge's commands take to start, beside a bare Hydra application on the same machine.

    python benchmarks/startup.py [--repeats 7]

Prints CPU seconds (user and system, children included) and the ratio to the bare application, medians of the rounds.
CPU time, because a shared machine's wall time says more about its other users.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

APPLICATION = """
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    print(config.model.layers)

main()
"""
BARE = "bare Hydra application"
FORGE = "from forge.cli.main import main; main()"
PLAN = ["plan", "+recipe=legal_7b", "hardware=8xh100", "--json"]


def cpu_seconds(command: list[str], folder: Path) -> float:
    """Return the CPU time of `command` once."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "conf" / "model").mkdir(parents=True)
        (folder / "conf" / "config.yaml").write_text("defaults:\n  - model: small\n  - _self_\nseed: 1\n")
        (folder / "conf" / "model" / "small.yaml").write_text("layers: 2\nhidden_size: 64\n")
        (folder / "app.py").write_text(APPLICATION)
        python = sys.executable
        commands = {
            BARE: [python, "app.py", "hydra.run.dir=out"],
            "forge plan +recipe=legal_7b hardware=8xh100": [python, "-c", FORGE, *PLAN],
            "forge plan --why train.tokens": [python, "-c", FORGE, "plan", "--why", "train.tokens"],
            "import forge": [python, "-c", "import forge"],
            "python": [python, "-c", "pass"],
        }
        # In turn, so that a slow moment of the machine falls on all alike; the first round warms the file cache.
        rounds = [
            {name: cpu_seconds(command, folder) for name, command in commands.items()}
            for _ in range(repeats + 1)
        ][1:]
        print("| | CPU s | ratio to the bare application |\n|---|---|---|")
        for name in commands:
            used = statistics.median(one[name] for one in rounds)
            ratio = statistics.median(one[name] / one[BARE] for one in rounds)
            print(f"| `{name}` | {used:.3f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
