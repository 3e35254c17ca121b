"""The command line that scores estimates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fit_estimates
from benchmarks.estimates import LEAVE_ONE_OUT_FILE, main, rate_report
from benchmarks.fit_estimates import fit
from benchmarks.peers import six_n
from benchmarks.predict import tokens_per_s_per_gpu
from benchmarks.rows import Row, parse_row
from forge.plan.efficiency import FITTED, constants
from forge.plan.outlook import TIME_ERROR_FRACTION
from tests.benchmarks.published import cells, write_rows


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def odd_file(tmp_path: Path) -> Path:
    return write_rows(
        tmp_path / "odd.csv",
        cells(),
        cells(source="other", measured_tokens_per_s_per_gpu="5000"),
        cells(source="other", measured_tokens_per_s_per_gpu=""),
        cells(source="third", tp="4"),
    )


def test_rows_has_the_keys_and_counts_what_it_cannot_use(
    odd_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run_json(capsys, "--rows", str(odd_file))
    assert report["rows"] == 2
    assert report["unusable"]["rows"] == 2
    assert {row["line"] for row in report["unusable"]["listed"]} == {4, 5}
    assert 0 <= report["median_abs_error"] <= report["p90_abs_error"]
    assert [line["source"] for line in report["sources"]] == ["lab", "other"]
    for line in report["sources"]:
        assert {"rows", "median_abs_error", "p90_abs_error", "worst"} <= set(line)


def test_fits_has_the_keys_and_needs_no_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(
        tmp_path / "fits.csv",
        cells(measured_tokens_per_s_per_gpu=""),
        cells(sharding="ddp", n_gpus="8", global_batch_seqs="64", micro_batch_per_gpu="8", act_ckpt="none"),
        cells(layers=""),
    )
    report = run_json(capsys, "--fits", str(path))
    assert (report["rows"], report["approved"]) == (2, 1)
    assert [answer["fits"] for answer in report["answers"]] == [True, False]
    assert report["unusable"]["rows"] == 1


def test_hybrid_sharding_needs_the_memory_of_its_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(
        tmp_path / "fits.csv", cells(), cells(sharding="hsdp"), cells(sharding="hsdp", n_gpus="8")
    )
    everywhere, hybrid, one_node = (
        answer["needed_bytes"] for answer in run_json(capsys, "--fits", str(path))["answers"]
    )
    assert everywhere < hybrid == one_node


def test_modules_of_their_own_keep_less_than_those_of_transformers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(
        tmp_path / "fits.csv", cells(act_ckpt="none"), cells(act_ckpt="none", framework="accelerate")
    )
    own, transformers = (
        answer["needed_bytes"] for answer in run_json(capsys, "--fits", str(path))["answers"]
    )
    assert own < transformers


def test_both_files_at_once(odd_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = run_json(capsys, "--rows", str(odd_file), "--fits", str(odd_file))
    assert {"median_abs_error", "approved"} <= set(report)


def test_tables_name_every_source_and_every_unused_row(
    odd_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--rows", str(odd_file)]) == 0
    text = capsys.readouterr().out
    for expected in ("lab", "other", "third", "tensor parallel over 4", "no measured tokens/s", "6 N at 40%"):
        assert expected in text
    assert main(["--fits", str(odd_file)]) == 0
    assert "fits" in capsys.readouterr().out


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rows", str(tmp_path / "none.csv")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_that_is_not_text_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "binary.csv"
    path.write_bytes(b"source\n\xff\xfe\x00\n")
    assert main(["--rows", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_without_usable_rows_scores_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "none.csv", cells(tp="8"))
    report = run_json(capsys, "--rows", str(path))
    assert (report["rows"], report["median_abs_error"], report["unusable"]["rows"]) == (0, None, 1)


def test_leaving_out_uses_the_constants_fitted_without_the_source(tmp_path: Path) -> None:
    left_out = json.loads(LEAVE_ONE_OUT_FILE.read_text())["constants"]
    path = write_rows(tmp_path / "rows.csv", cells(source="llm-foundry"), cells(source="not fitted"))
    report = rate_report(path, leave_one_out=True)
    lines = report["leave_one_source_out"]["sources"]
    assert [line["source"] for line in lines] == ["llm-foundry"]
    row = parse_row(2, cells(source="llm-foundry"))
    predicted = tokens_per_s_per_gpu(row, left_out["llm-foundry"])
    assert lines[0]["worst"]["predicted_tokens_per_s_per_gpu"] == pytest.approx(predicted, abs=0.01)


def test_the_band_around_a_plans_time_is_the_error_of_sources_left_out() -> None:
    measured = json.loads(LEAVE_ONE_OUT_FILE.read_text())["p90_abs_error"]
    assert measured <= TIME_ERROR_FRACTION["cuda"] < measured + 0.01


def test_constants_without_a_source_are_complete_and_in_their_bounds() -> None:
    for values in json.loads(LEAVE_ONE_OUT_FILE.read_text())["constants"].values():
        assert set(values) == set(FITTED)
        assert all(FITTED[name].low <= value <= FITTED[name].high for name, value in values.items())


def synthetic(values: dict[str, float]) -> list[Row]:
    """Return rows whose measurement is what the model says under other constants."""
    rows = []
    for size in ("1", "2", "8"):
        row = parse_row(2, cells(micro_batch_per_gpu=size, global_batch_seqs="", grad_accum="1"))
        rate = tokens_per_s_per_gpu(row, values)
        rows.append(
            parse_row(
                2,
                cells(
                    micro_batch_per_gpu=size,
                    global_batch_seqs="",
                    grad_accum="1",
                    measured_tokens_per_s_per_gpu=str(rate),
                ),
            )
        )
    return rows


def test_a_fit_moves_towards_what_rows_show_and_stays_in_bounds() -> None:
    expected = {name: constant.expected for name, constant in FITTED.items()}
    shown = {**expected, "matmul.hopper": 0.62}
    found = fit(synthetic(shown))
    assert found["matmul.hopper"] < expected["matmul.hopper"]
    assert all(FITTED[name].low <= value <= FITTED[name].high for name, value in found.items())
    assert found["matmul.volta"] == expected["matmul.volta"]


def test_a_fit_to_what_is_expected_moves_nothing() -> None:
    expected = {name: constant.expected for name, constant in FITTED.items()}
    assert fit(synthetic(expected)) == pytest.approx(expected)


def test_the_usual_rule() -> None:
    row = parse_row(2, cells())
    assert six_n(row) == pytest.approx(0.4 * 989e12 / (6 * (6.738e9 - 32000 * 4096)), rel=0.01)


def test_fp8_is_faster_where_the_chip_has_it() -> None:
    def rate(**changes: str) -> float:
        return tokens_per_s_per_gpu(parse_row(2, cells(**changes)), constants())

    assert rate(precision="fp8") > rate()
    assert rate(precision="fp8", hardware="a100-80gb") == rate(hardware="a100-80gb")


def test_a_slower_network_between_nodes_where_its_source_is_known() -> None:
    slow = parse_row(2, cells(source="nanotron"))
    assert slow.hardware.node_hop_s is not None
    assert tokens_per_s_per_gpu(slow) < tokens_per_s_per_gpu(parse_row(2, cells()))


def test_without_a_file_one_line_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "--rows: is missing: name a CSV file of measured runs with --rows or --fits\n"


def test_a_fit_without_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit_estimates.main([]) == 2
    assert fit_estimates.main([str(tmp_path / "none.csv")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "FILE.csv: is missing: name a CSV file of measured runs",
        f"{tmp_path / 'none.csv'}: no such file: name a CSV file of measured runs",
    ]
