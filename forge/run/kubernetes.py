"""Kubernetes: the manifests that carry out a plan, a JobSet and the ConfigMap in which the plan travels.

The first pod runs forge, which reaches the others by ssh as it reaches any machine. All mount one volume where the
command was given. A pod that is moved elsewhere is no failure; whatever else ends the run starts it again from its
newest checkpoint, unless the plan itself is wrong (exit status 2 or 3), which ends it for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from forge.errors import SpecError
from forge.plan.types import Plan, plan_to_json
from forge.run.needs import cpus, memory_gib, notice_s

MAX_RESTARTS = 3
MAX_NAME = 40
"""Pods have 63 characters for their name, of which the JobSet and its jobs add some."""

PLAN_FOLDER = "/etc/forge"
KEY_FOLDER = "/etc/forge-ssh"

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """What a cluster wants to know beside the plan."""

    image: str
    volume_claim: str
    namespace: str | None = None
    ssh_secret: str | None = None


def kubernetes_manifests(
    plan: Plan, options: KubernetesOptions, workdir: Path, output_dir: Path
) -> list[Manifest]:
    """Return the manifests of one plan: a ConfigMap and a JobSet (jobset.x-k8s.io/v1alpha2).

    Args:
        plan: what to carry out.
        options: what the cluster wants to know.
        workdir: where the volume is mounted; relative paths of the plan start from there.
        output_dir: where runs/ and artifacts/ are, in `workdir`.

    Raises:
        SpecError: the plan has several machines and no key by which they reach each other.
    """
    name = f"{plan.name.replace('_', '-')[: MAX_NAME - 13].rstrip('-')}-{plan.id}"
    files = {"plan.json": plan_to_json(plan)}
    command = ["forge-run", f"plan={PLAN_FOLDER}/plan.json", f"output_dir={output_dir}"]
    jobs = []
    if plan.layout.nodes > 1:
        if options.ssh_secret is None:
            raise SpecError(
                f"launch.ssh_secret: hardware={plan.layout.hardware} has {plan.layout.nodes} machines, which reach "
                "each other by ssh: name a secret of type kubernetes.io/ssh-auth"
            )
        files["machines"] = "".join(
            f"{host} slots={plan.layout.processes_per_node}\n" for host in _hosts(name, plan)
        )
        shell = (
            f"ssh -i {KEY_FOLDER}/ssh-privatekey -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        )
        command += [f"hostfile={PLAN_FOLDER}/machines", f"remote_shell={shell}"]
        jobs.append(
            _job("workers", plan.layout.nodes - 1, ["bash", "-c", _SSHD], plan, options, name, workdir)
        )
    jobs.append(_job("head", 1, command, plan, options, name, workdir))
    if len(jobs) > 1:
        jobs[1]["dependsOn"] = [{"name": "workers", "status": "Ready"}]
    metadata = {"name": name} | ({"namespace": options.namespace} if options.namespace else {})
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": files},
        {
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": metadata,
            "spec": {
                "network": {"enableDNSHostnames": True, "subdomain": name},
                "successPolicy": {"operator": "All", "targetReplicatedJobs": ["head"]},
                "failurePolicy": {
                    "maxRestarts": MAX_RESTARTS,
                    "rules": [
                        {
                            "name": "wrong_plan",
                            "action": "FailJobSet",
                            "onJobFailureReasons": ["PodFailurePolicy"],
                        }
                    ],
                },
                "replicatedJobs": jobs,
            },
        },
    ]


def manifest_text(manifests: list[Manifest]) -> str:
    """Return manifests as `kubectl apply -f` reads them."""
    return yaml.safe_dump_all(manifests, sort_keys=False, allow_unicode=True, width=1000)


_SSHD = (
    "mkdir -p /run/sshd ~/.ssh && chmod 700 ~/.ssh && ssh-keygen -A && "
    f"ssh-keygen -y -f {KEY_FOLDER}/ssh-privatekey > ~/.ssh/authorized_keys && exec /usr/sbin/sshd -D -e"
)
"""A server that lets in whoever has the key that this pod has too."""


def _hosts(name: str, plan: Plan) -> list[str]:
    """Return the names under which pods find each other, <jobset>-<job>-<index>-<pod>.<subdomain>; forge's first."""
    return [
        f"{name}-head-0-0.{name}",
        *(f"{name}-workers-0-{pod}.{name}" for pod in range(plan.layout.nodes - 1)),
    ]


def _job(
    job: str,
    pods: int,
    command: list[str],
    plan: Plan,
    options: KubernetesOptions,
    name: str,
    workdir: Path,
) -> dict[str, Any]:
    return {
        "name": job,
        "replicas": 1,
        "template": {
            "spec": {
                "parallelism": pods,
                "completions": pods,
                "completionMode": "Indexed",
                "backoffLimit": 0,
                "podFailurePolicy": {
                    "rules": [
                        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
                        {
                            "action": "FailJob",
                            "onExitCodes": {"containerName": "forge", "operator": "In", "values": [2, 3]},
                        },
                    ]
                },
                "template": {"spec": _pod(job, command, plan, options, name, workdir)},
            }
        },
    }


def _pod(
    job: str, command: list[str], plan: Plan, options: KubernetesOptions, name: str, workdir: Path
) -> dict[str, Any]:
    layout = plan.layout
    limits: dict[str, str] = {"memory": f"{memory_gib(plan)}Gi"}
    if layout.device == "cuda":
        vendor = "amd.com" if layout.gpu.startswith("mi") else "nvidia.com"
        limits[f"{vendor}/gpu"] = str(layout.processes_per_node)
    volumes: list[dict[str, Any]] = [
        {"name": "work", "persistentVolumeClaim": {"claimName": options.volume_claim}},
        {"name": "plan", "configMap": {"name": name}},
        # Processes of a machine pass batches and gradients through it; a container has 64 MiB by itself.
        {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "work", "mountPath": str(workdir)},
        {"name": "plan", "mountPath": PLAN_FOLDER, "readOnly": True},
        {"name": "shared-memory", "mountPath": "/dev/shm"},
    ]
    container: dict[str, Any] = {
        "name": "forge",
        "image": options.image,
        "command": command,
        "workingDir": str(workdir),
        "resources": {"requests": {"cpu": str(cpus(plan))}, "limits": limits},
        "volumeMounts": mounts,
    }
    if layout.nodes > 1:
        volumes.append({"name": "key", "secret": {"secretName": options.ssh_secret, "defaultMode": 0o400}})
        mounts.append({"name": "key", "mountPath": KEY_FOLDER, "readOnly": True})
    if job == "workers":
        container["ports"] = [{"containerPort": 22}]
        container["readinessProbe"] = {"tcpSocket": {"port": 22}, "periodSeconds": 5}
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": notice_s(plan),
        "containers": [container],
        "volumes": volumes,
    }
