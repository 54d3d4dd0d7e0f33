"""`unscene plan` of a spec that compares methods: what each of its jobs would take, and all of them together."""

from __future__ import annotations

from pipeline.commands.asked import check_asked
from pipeline.commands.bill import bill, gpu_hours, gpu_time, not_counted
from pipeline.commands.opening import check_models_and_source
from pipeline.commands.paths import anchored
from pipeline.commands.survey import survey, work_left
from pipeline.protocol.jobs import method_spec, scenes_spec
from pipeline.storage.folder import Storage
from pipeline.wording import counted, flop_text, hours_text, size_text
from schemas.job import JobSpec


def estimate_protocol(spec: JobSpec) -> list[str]:
    """Lines for a person: the scenes, a line a method, the sum. What methods hand on is counted once.

    Raises SpecError for what `unscene evaluate` would refuse to start with.
    """
    spec = anchored(spec)
    jobs = {name: method_spec(spec, name) for name in spec.protocol.methods}
    for job in jobs.values():
        check_models_and_source(job)
    notes = dict.fromkeys(line for job in jobs.values() for line in check_asked(job))
    prepared = scenes_spec(spec)
    listed = survey(prepared, Storage(prepared.output))
    bills = {name: bill(job, Storage(job.output)) for name, job in jobs.items()}
    works = {name: work_left(job, Storage(job.output), listed) for name, job in jobs.items()}
    prior = max((cost.prior for name, cost in bills.items() if works[name].left), default=0.0)
    lines, total, stored = [*listed.lines, next(iter(bills.values())).counted_with()], prior, 0.0
    for name, cost in bills.items():
        work = works[name]
        tflop = work.left * cost.learn + work.undrawn * cost.draw
        total += tflop
        stored += work.left * cost.handle_bytes + work.undrawn * cost.variation_bytes
        to_do = counted(max(work.left, work.undrawn), "scene")
        lines.append(f"{name}: {to_do} to do, {flop_text(tflop)}, {hours_text(gpu_hours(tflop))}")
    lines.append(
        f"{counted(len(jobs), 'method')}: {flop_text(total)} {not_counted(next(iter(jobs.values())))}"
        + (f"; {flop_text(prior)} of it for the prior set, drawn once" if prior else "")
    )
    lines.append(gpu_time(total))
    lines.append(f"storage to come: handles and variations of all methods ~{size_text(stored)}")
    return [*lines, *notes, "nothing was written"]
