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


def test_a_process_that_loads_arrow_has_none_until_it_asks() -> None:
    load = "import sys; from forge.data.without_pandas import load_arrow; load_arrow()"
    column = "pa.chunked_array([pa.array([1, 2])])"
    assert said(f"{load}; {ARROW}; {column}.to_numpy(); print('pandas' in sys.modules)") == ["False"] * 2
    asked = f"import pandas as pd; print(len(pa.table({{'a': {column}}}).to_pandas()), len(pa.array(pd.Series([1]))))"
    assert said(f"{load}; import pyarrow as pa; {asked}") == ["2", "1"]
