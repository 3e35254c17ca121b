import subprocess
import sys

ARROW = "import pyarrow as pa; pa.array([1]); print('pandas' in sys.modules)"
"""Arrow looks for pandas here."""


def said(code: str) -> list[str]:
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_a_worker_has_none() -> None:
    assert said(f"import sys; {ARROW}") == ["True"]
    assert said(
        f"import sys; from forge.data.without_pandas import shut_out_pandas; shut_out_pandas(); {ARROW}"
    ) == ["False"]
