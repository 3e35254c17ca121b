from __future__ import annotations

import json
from pathlib import Path

from forge.cli.doctor_view import verdict
from forge.engine.checkup.finding import advice, fault, good
from tests.cli.test_main import forge


def test_this_machine_is_examined_and_nothing_is_left(tmp_path: Path) -> None:
    examined = forge("doctor", "--json", cwd=tmp_path)
    findings = {finding["what"]: finding for finding in json.loads(examined.stdout)}
    assert {"Python", "packages", "host", "GPUs", "compilers", "open files", "disk", "loopback"} <= set(
        findings
    )
    assert findings["Python"]["state"] == "good"
    assert findings["loopback"]["state"] == "good"
    assert examined.stderr == ""
    assert examined.returncode == any(finding["state"] == "fault" for finding in findings.values())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_line() -> None:
    refused = forge("doctor", "/nowhere")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "command line: /nowhere: is no folder: name the one where runs are to be kept\n"
    )


def test_the_verdict_is_that_of_the_worst() -> None:
    fine, hint, bad = good("a", "b"), advice("a", "b", "c"), fault("a", "b", "c")
    assert verdict([fine]) == "runs work here"
    assert verdict([fine, hint]) == "runs work here; 1 piece of advice"
    assert verdict([fine, hint, bad]) == "a run would fail here: 1 fault"
