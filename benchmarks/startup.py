"""How long forge's commands take to start, beside a bare Hydra application on the same machine.

    python benchmarks/startup.py [--repeats 7]

Prints CPU seconds (user and system, best of the repeats, children included) and the ratio to the bare application.
CPU time, because a shared machine's wall time says more about its other users.
"""

from __future__ import annotations

import argparse
import resource
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
FORGE = "from forge.cli.main import main; main()"
PLAN = ["plan", "+recipe=legal_7b", "hardware=8xh100", "--json"]


def cpu_seconds(command: list[str], folder: Path, repeats: int) -> float:
    """Return the least CPU time of `command` over `repeats` runs, after one that warms the file cache."""
    best = float("inf")
    for attempt in range(repeats + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if attempt:
            best = min(best, used)
    return best


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
            "bare Hydra application": [python, "app.py", "hydra.run.dir=out"],
            "forge plan +recipe=legal_7b hardware=8xh100": [python, "-c", FORGE, *PLAN],
            "forge plan --why train.tokens": [python, "-c", FORGE, "plan", "--why", "train.tokens"],
            "import forge": [python, "-c", "import forge"],
            "python": [python, "-c", "pass"],
        }
        bare = cpu_seconds(commands["bare Hydra application"], folder, repeats)
        print("| | CPU s | ratio to the bare application |\n|---|---|---|")
        for name, command in commands.items():
            used = cpu_seconds(command, folder, repeats)
            print(f"| `{name}` | {used:.3f} | {used / bare:.2f} |")


if __name__ == "__main__":
    main()
