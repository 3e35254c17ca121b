"""Whether a plan still says what is there: code, documents, weights and hardware may have changed since."""

from __future__ import annotations

from dataclasses import asdict, replace

from forge.plan.stages import plan_stages
from forge.plan.types import Plan, SourcePlan, plan_id

HARDWARE_KEYS = ("device", "gpu", "nodes", "processes_per_node", "threads_per_process")


def plan_drift(plan: Plan, now: Plan) -> list[str]:
    """Return what is no longer as the plan says, one line each: `where: then, now`. Empty where nothing is.

    Args:
        plan: the plan as it was reviewed.
        now: the plan that its spec compiles to now, here.
    """
    return [
        *_code(plan, now),
        *_sources("documents", plan.sources, now.sources),
        *_sources("weights", plan.initial_weights, now.initial_weights),
        *_hardware(plan, now),
        *_decisions(plan, now),
    ]


def accept_drift(plan: Plan, now: Plan) -> Plan:
    """Return `plan` with its decisions as they were reviewed, for the code, documents and weights there are now.

    Its stages get keys of their own, so that nothing made by other code or from other documents is taken for theirs.
    """
    stages = plan_stages(
        plan.spec,
        now.sources,
        now.initial_weights,
        plan.model,
        plan.layout,
        plan.schedule,
        plan.deepspeed,
    )
    accepted = replace(
        plan,
        forge_version=now.forge_version,
        sources=now.sources,
        initial_weights=now.initial_weights,
        stages=stages,
    )
    return replace(accepted, id=plan_id(accepted))


def _code(plan: Plan, now: Plan) -> list[str]:
    lines = []
    if plan.forge_version != now.forge_version:
        lines.append(f"code: forge {plan.forge_version} when the plan was made, {now.forge_version} now")
    current = {stage.name: stage for stage in now.stages}
    changed = {stage.name for stage in plan.stages if current[stage.name].key != stage.key}
    # A stage whose inputs and parameters are the same has another key only where its code is another.
    own = [
        stage.name
        for stage in plan.stages
        if stage.name in changed
        and not changed.intersection(stage.inputs)
        and current[stage.name].parameters == stage.parameters
    ]
    if own:
        lines.append(f"code: what makes {', '.join(own)} is not what it was when the plan was made")
    return lines


def _sources(what: str, before: tuple[SourcePlan, ...], now: tuple[SourcePlan, ...]) -> list[str]:
    then, current = ({source.path: source for source in each} for each in (before, now))
    lines = []
    for path in dict.fromkeys((*then, *current)):
        earlier, later = then.get(path), current.get(path)
        if earlier != later:
            lines.append(
                f"{what}: {path}: {_described(earlier)} when the plan was made, {_described(later)} now"
            )
    return lines


def _described(source: SourcePlan | None) -> str:
    if source is None:
        return "not at hand"
    files = "1 file" if source.files == 1 else f"{source.files:,} files"
    return f"{files} of {source.bytes:,} bytes ({source.sha256[:12] or 'unread'})"


def _hardware(plan: Plan, now: Plan) -> list[str]:
    lines = [
        f"hardware: {key} {getattr(plan.layout, key) or 'none'} when the plan was made, "
        f"{getattr(now.layout, key) or 'none'} now"
        for key in HARDWARE_KEYS
        if getattr(plan.layout, key) != getattr(now.layout, key)
    ]
    then, current = plan.estimates.available_memory_bytes, now.estimates.available_memory_bytes
    if then != current:
        lines.append(f"hardware: {then:,} bytes of device memory when the plan was made, {current:,} now")
    return lines


def _decisions(plan: Plan, now: Plan) -> list[str]:
    """Say what the compiler would decide differently now, where neither code nor hardware explains it."""
    then, current = asdict(plan.layout), asdict(now.layout)
    return [
        f"layout: {key} {then[key]} when the plan was made, {current[key]} now"
        for key in then
        if key not in HARDWARE_KEYS and key != "world_size" and then[key] != current[key]
    ]
