"""Manifests: of the form that Kubernetes takes, and asking for what the plan needs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from forge.engine.hosts import read_cluster
from forge.errors import SpecError
from forge.plan.types import load_plan
from forge.run.kubernetes import KubernetesOptions, kubernetes_manifests, manifest_text
from forge.run.needs import notice_s
from tests.plan.specs import compiled

SCHEMA = Draft202012Validator(json.loads((Path(__file__).parent / "jobset.schema.json").read_text()))
OPTIONS = KubernetesOptions("registry/forge:1", "documents", ssh_secret="key")
WORK = Path("/work")

MANY = ("+recipe=legal_7b", "hardware=16xh100")


def manifests(*overrides: str, options: KubernetesOptions = OPTIONS) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ConfigMap and JobSet as kubectl reads them."""
    text = manifest_text(kubernetes_manifests(compiled(*overrides), options, WORK, WORK / "out"))
    config_map, jobset = yaml.safe_load_all(text)
    return config_map, jobset


def pods(jobset: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        job["name"]: job["template"]["spec"]["template"]["spec"] for job in jobset["spec"]["replicatedJobs"]
    }


@pytest.mark.parametrize(
    "overrides",
    [
        MANY,
        ("+recipe=legal_7b", "hardware=8xh100"),
        ("+recipe=legal_tiny", "hardware=cpu"),
        ("+recipe=legal_7b", "hardware=64xh100", f"name={'long_' * 12}"),
    ],
)
def test_a_manifest_is_of_the_form_that_kubernetes_takes(overrides: tuple[str, ...]) -> None:
    config_map, jobset = manifests(*overrides)
    SCHEMA.validate(jobset)
    assert (config_map["apiVersion"], config_map["kind"]) == ("v1", "ConfigMap")
    assert set(config_map) == {"apiVersion", "kind", "metadata", "data"}
    assert all(isinstance(text, str) for text in config_map["data"].values())
    name = jobset["metadata"]["name"]
    nodes = compiled(*overrides).layout.nodes
    assert len(f"{name}-workers-0-{nodes}-xxxxx") <= 63


def left_out(asked: Any, read: Any, place: str = "") -> list[str]:
    """Return the places of what is asked and was not read; what is read beside it are defaults."""
    if isinstance(asked, dict) and isinstance(read, dict):
        return [each for key in asked for each in left_out(asked[key], read.get(key), f"{place}.{key}")]
    if isinstance(asked, list) and isinstance(read, list) and len(asked) == len(read):
        return [
            each
            for number, pair in enumerate(zip(asked, read, strict=True))
            for each in left_out(*pair, f"{place}[{number}]")
        ]
    return [] if asked == read and type(asked) is type(read) else [place]


@pytest.mark.parametrize("overrides", [MANY, ("+recipe=legal_tiny", "hardware=cpu")])
def test_kubernetes_own_definitions_know_every_key_down_to_the_containers(overrides: tuple[str, ...]) -> None:
    """Types generated from the API of Kubernetes and JobSet: an unknown key is not read, a wrong type is refused."""
    models = "kubeflow_trainer_api.models"
    jobsets = pytest.importorskip(f"{models}.jobset_v1alpha2_job_set").JobsetV1alpha2JobSet
    config_maps = pytest.importorskip(f"{models}.io_k8s_api_core_v1_config_map").IoK8sApiCoreV1ConfigMap
    config_map, jobset = manifests(*overrides)
    assert left_out(config_map, config_maps.from_dict(config_map).to_dict()) == []
    assert left_out(jobset, jobsets.from_dict(jobset).to_dict()) == []
    (container,) = pods(jobset)["head"]["containers"]
    container["volumeMount"] = []
    container["resources"]["limit"] = {}
    assert [place.rpartition(".")[2] for place in left_out(jobset, jobsets.from_dict(jobset).to_dict())] == [
        "limit",
        "volumeMount",
    ]
    container["command"] = "forge-run"
    with pytest.raises(ValueError, match="command"):
        jobsets.from_dict(jobset)


@pytest.mark.parametrize("misspelt", ["replicatedJob", "succesPolicy"])
def test_the_schema_finds_a_misspelt_key(misspelt: str) -> None:
    _, jobset = manifests(*MANY)
    jobset["spec"][misspelt] = []
    assert list(SCHEMA.iter_errors(jobset))


def test_the_plan_travels_in_the_manifest(tmp_path: Path) -> None:
    config_map, jobset = manifests(*MANY)
    file = tmp_path / "plan.json"
    file.write_text(config_map["data"]["plan.json"], encoding="utf-8")
    assert load_plan(file) == compiled(*MANY)
    head = pods(jobset)["head"]
    (mount,) = [each for each in head["containers"][0]["volumeMounts"] if each["name"] == "plan"]
    assert f"plan={mount['mountPath']}/plan.json" in head["containers"][0]["command"]
    assert {"name": "plan", "configMap": {"name": config_map["metadata"]["name"]}} in head["volumes"]


def test_every_pod_asks_for_what_the_plan_needs() -> None:
    plan = compiled(*MANY)
    _, jobset = manifests(*MANY)
    for pod in pods(jobset).values():
        (container,) = pod["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
        assert container["workingDir"] == "/work"
        assert {"name": "work", "mountPath": "/work"} in container["volumeMounts"]
        assert pod["terminationGracePeriodSeconds"] == notice_s(plan)
        assert {mount["name"] for mount in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    _, alone = manifests("+recipe=legal_tiny", "hardware=cpu")
    assert not [key for key in pods(alone)["head"]["containers"][0]["resources"]["limits"] if "gpu" in key]


def test_machines_find_and_reach_each_other(tmp_path: Path) -> None:
    config_map, jobset = manifests(*MANY)
    name = jobset["metadata"]["name"]
    hostfile = tmp_path / "machines"
    hostfile.write_text(config_map["data"]["machines"])
    head = pods(jobset)["head"]["containers"][0]
    said = dict(word.partition("=")[::2] for word in head["command"][1:])
    cluster = read_cluster(hostfile, said["remote_shell"])
    # <jobset>-<job>-<job index>-<pod index>.<subdomain>, forge's own pod first.
    subdomain = jobset["spec"]["network"]["subdomain"]
    assert [host.name for host in cluster.hosts] == [
        f"{name}-head-0-0.{subdomain}",
        f"{name}-workers-0-0.{subdomain}",
    ]
    assert {host.slots for host in cluster.hosts} == {8}
    assert cluster.remote_shell[:3] == ("ssh", "-i", "/etc/forge-ssh/ssh-privatekey")
    workers = pods(jobset)["workers"]["containers"][0]
    subprocess.run(["bash", "-n", "-c", workers["command"][2]], check=True)
    assert jobset["spec"]["replicatedJobs"][1]["dependsOn"] == [{"name": "workers", "status": "Ready"}]
    assert jobset["spec"]["successPolicy"]["targetReplicatedJobs"] == ["head"]


def test_one_machine_needs_no_key() -> None:
    options = KubernetesOptions("registry/forge:1", "documents", "law")
    config_map, jobset = manifests("+recipe=legal_7b", "hardware=8xh100", options=options)
    assert list(pods(jobset)) == ["head"]
    assert config_map["metadata"]["namespace"] == jobset["metadata"]["namespace"] == "law"
    with pytest.raises(SpecError, match=r"launch.ssh_secret: hardware=16xh100 has 2 machines"):
        manifests(*MANY, options=options)
