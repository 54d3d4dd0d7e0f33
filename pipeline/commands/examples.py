"""What stands under "Examples" in the help of every command."""

from __future__ import annotations

_EXAMPLES = {
    "init": [
        "unscene init photos",
        "unscene init s3://my-bucket/night --gpu --out s3://my-bucket/out",
        "unscene init photos --masks photos/instances.json --to night.yaml",
        "unscene init --example demo",
    ],
    "check": ["unscene check my-job.yaml", "unscene check demo --set models.base=/models/sd21"],
    "run": [
        "unscene run demo",
        "unscene run my-job.yaml --limit 2 --until segment",
        "unscene run my-job.yaml --set extract.phase1.steps=100 --set output=out/fewer",
    ],
    "evaluate": ["unscene evaluate protocol", "unscene evaluate protocol --only break_a_scene"],
    "study": [
        "unscene study out/protocol --into studies/first --questions 20",
        "unscene study out/protocol --only break_a_scene --only ti_m",
        "unscene study out/protocol --analyse answers/*.csv",
        "unscene study out/rank-4 out/rank-16 --into studies/ranks",
    ],
    "plan": [
        "unscene plan demo",
        "unscene plan my-job.yaml --limit 100",
        "unscene plan demo --probe",
        "unscene plan demo --json",
    ],
    "status": ["unscene status out/demo", "unscene status demo", "unscene status out/demo --json"],
    "scenes": [
        "unscene scenes out/demo",
        "unscene scenes out/demo --find scene-03",
        "unscene scenes demo --find apple --json",
    ],
    "retry": ["unscene retry out/demo"],
    "withdraw": ["unscene withdraw out/demo --scene scene-03", "unscene withdraw out/demo --scene f635 --undo"],
    "export": ["unscene export out/demo --scene scene-03 --to handles", "unscene export out/demo --all --to handles"],
    "dataset": [
        "unscene dataset out/demo --to coco --into sets/demo",
        "unscene dataset out/demo --to parquet --into sets/a --scenes none",
        "unscene dataset out/demo --to webdataset --into s3://bucket/set",
        "unscene dataset out/demo --to yolo --into sets/b --classes words.yaml",
    ],
    "report": ["unscene report out/demo", "unscene report my-job.yaml"],
    "jobs": ["unscene jobs", "unscene jobs demo > my-job.yaml"],
    "fields": ["unscene fields", "unscene fields extract", "unscene fields generate.subsets"],
    "submit": ["unscene submit night.yaml --address http://127.0.0.1:8265 --wait"],
}


def examples(command: str) -> str:
    """The epilog of a command's help. An empty line between two lines, or they would be set as one paragraph."""
    return "\n\n".join(["Examples:", *_EXAMPLES[command]])
