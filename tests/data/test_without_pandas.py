import subprocess
import sys

ARROW = "import pyarrow as pa; pa.array([1]); print('pandas' in sys.modules)"
"""Arrow looks for pandas here."""


def said(code: str) -> list[str]:
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_arrow_finds_no_pandas_and_all_else_does() -> None:
    hidden = "import sys; from forge.data.without_pandas import hide_pandas_from_arrow as hide; hide(); "
    assert said(f"import sys; {ARROW}") == ["True"]
    assert said(hidden + ARROW) == ["False"]
    other = "exec(compile('import pandas', 'other.py', 'exec'), {'__name__': 'transformers'}); "
    assert said(hidden + ARROW + "; " + other + "print('pandas' in sys.modules)") == ["False", "True"]
    found = (
        "exec(compile('import importlib.util as u; print(u.find_spec(\"pandas\").name)', 'o.py', 'exec'), "
    )
    assert said(hidden + found + "{'__name__': 'transformers.utils'})") == ["pandas"]


def test_a_worker_has_none() -> None:
    assert said(
        f"import sys; from forge.data.without_pandas import shut_out_pandas; shut_out_pandas(); {ARROW}"
    ) == ["False"]
