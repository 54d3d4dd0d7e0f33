"""`unscene submit`: the same job on a cluster, through Ray's Jobs API.

The spec is checked here, before anything is sent. What is sent is the code (`sent_code`) and the spec file; the
cluster's head then runs `unscene run` on it. The job belongs to the cluster: it goes on when this process ends.

Whoever sees the dashboard reads a job's command line, so no credential stands on it: a `--set` with one goes into the
spec that is sent.
"""

from __future__ import annotations

import json
import logging
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.commands.follow import Followed, unknown_token
from pipeline.commands.paths import local_paths
from pipeline.scheduling.sent_code import link_code
from schemas.errors import ClusterError, CommandError
from schemas.overrides import apply
from schemas.secrets import masked, masked_address, masked_setting
from schemas.shipped import is_job, job_text
from schemas.spec_file import load_spec
from schemas.yaml_text import parse, read_text

SPEC_FOLDER = "submitted"
_POLL_S = 1.0
_STARTING_S = 60.0
_DRIVER = {
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",  # the driver names its own working_dir too (`cluster.connected`)
    "RAY_JOB_STOP_WAIT_TIME_S": "60",  # `ray job stop`: time to pack what is whole
}
AGAIN = "UNSCENE_AGAIN"
"""Holds, in a driver that was submitted, the command that goes on with its job."""


def submit_job(spec_path: Path, overrides: list[str], address: str, wait: bool, say: Callable[[str], None]) -> int:
    """Submits the job; with `wait` also follows its log to its end. Returns the exit code for the command line.

    address: URL of the cluster's dashboard. Raises JobError: the spec is wrong, or nothing answers at the address.
    """
    spec = load_spec(spec_path, overrides)
    local = local_paths(spec)
    for name, path in local.items():
        say(
            f"warning: {name} is a local path ({path}): it is read and written on the cluster's own nodes. Right if "
            "all of them see it under this name (NFS, or a cluster on this machine); otherwise use a bucket"
        )
    secret = [override for override in overrides if masked_setting(override) != override]
    sets = [override for override in overrides if override not in secret]
    sets += [f"{name}={path}" for name, path in local.items()]
    if secret:
        say(f"sent inside the spec, as a job's command line is read by many: {', '.join(map(_name, secret))}")
    if spec.cluster.address is None:
        sets.append("cluster.address=auto")
    command = "evaluate" if "protocol" in spec.model_fields_set else "run"
    client = _client(address)
    with tempfile.TemporaryDirectory(prefix="unscene-submit-") as folder:
        entrypoint = _entrypoint(_stage(Path(folder), spec_path, secret), sets, command)
        job_id = _submit(client, entrypoint, folder, spec.output, again(spec_path, overrides, address))
    where = f"--address {address} {job_id}"
    say(f"submitted {job_id}: {spec_path} -> {spec.output}")
    say(f"  follow:   ray job logs --follow {where}")
    say(f"  stop:     ray job stop {where}")
    say(f"  progress: unscene status {shlex.quote(str(local.get('output', spec.output)))}")
    return Followed(client, job_id, address, say).exit_code() if wait else 0


def _name(override: str) -> str:
    return override.partition("=")[0].strip()


def _stage(folder: Path, spec_path: Path, within: Sequence[str] = ()) -> str:
    """Fills `folder` with links to the code and a copy of the spec; returns the spec's path within it.

    within: overrides that are written into the copy, which is JSON then, and so still YAML.
    """
    link_code(folder)
    (folder / SPEC_FOLDER).mkdir()
    data = job_text(spec_path).encode() if is_job(spec_path) else spec_path.read_bytes()
    if within:
        _, tree = parse(job_text(spec_path) if is_job(spec_path) else read_text(spec_path), str(spec_path))
        for override in within:
            apply(tree, override)
        data = json.dumps(tree, indent=1).encode()
    (folder / SPEC_FOLDER / spec_path.name).write_bytes(data)
    return f"{SPEC_FOLDER}/{spec_path.name}"


def _entrypoint(spec_name: str, sets: list[str], command: str = "run") -> str:
    words = ["python", "-m", "pipeline", command, spec_name]
    for item in sets:
        words += ["--set", item]
    return shlex.join(words)


def again(spec_path: Path, overrides: list[str], address: str) -> str:
    """The command as it was typed, but for `--wait` and what is secret: typed once more, it goes on."""
    words = ["unscene", "submit", str(spec_path), "--address", masked_address(address)]
    for item in overrides:
        words += ["--set", masked_setting(item)]
    return shlex.join(words)


def _client(address: str) -> Any:
    """A client of the Jobs API. Raises CommandError when the address is no URL, ClusterError when nothing answers
    there, or it wants a token."""
    if not address.startswith(("http://", "https://")):
        raise CommandError(
            f"--address {address}: give the URL of the cluster's dashboard, such as http://127.0.0.1:8265 "
            "(`ray dashboard ray_cluster.yaml` brings it there)"
        )
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray").setLevel(logging.WARNING)  # it tells of every ignore file that it reads
    try:
        return JobSubmissionClient(address)
    except AuthenticationError:
        raise unknown_token(address) from None
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"--address {address}: no Ray dashboard answers there ({_first_line(error)}); is the cluster "
            "up, and its port forwarded (`ray dashboard ray_cluster.yaml`)?"
        ) from None


def _submit(client: Any, entrypoint: str, folder: str, output: str, again: str) -> str:
    runtime_env = {"working_dir": folder, "env_vars": {**_DRIVER, AGAIN: again}}
    metadata = {"output": masked(output)}
    give_up = time.monotonic() + _STARTING_S
    while True:
        try:
            return str(client.submit_job(entrypoint=entrypoint, runtime_env=runtime_env, metadata=metadata))
        except (OSError, RuntimeError, ValueError) as error:
            if "No available agent" not in str(error) or time.monotonic() > give_up:  # a head that is still starting
                raise ClusterError(f"the cluster did not take the job ({_first_line(error)})") from None
            time.sleep(_POLL_S)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
