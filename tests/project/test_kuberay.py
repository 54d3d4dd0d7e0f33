"""jobs/kuberay: what KubeRay would refuse or leave hanging, as far as it can be told without a cluster."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from fnmatch import translate
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml
from ray.scripts.scripts import cli as ray_cli
from typer.testing import CliRunner

from pipeline.cli import app
from schemas.spec_file import load_spec
from tests.project.test_no_machine_paths import tracked
from tests.project.test_ray_cluster import SECRETS
from tests.support import ROOT

FOLDER = ROOT / "jobs" / "kuberay"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
KINDS = {"rayjob.yaml": "RayJob", "raycronjob.yaml": "RayCronJob"}


def job(file: str) -> dict[str, Any]:
    """The spec of the RayJob that a manifest makes."""
    found = yaml.safe_load((FOLDER / file).read_text())
    assert (found["apiVersion"], found["kind"]) == ("ray.io/v1", KINDS[file])
    return dict(found["spec"].get("jobTemplate", found["spec"]))


def pods(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every pod that it starts: submitter, head, and each group of workers."""
    cluster = spec["rayClusterSpec"]
    found = {"submitter": spec["submitterPodTemplate"]["spec"], "head": cluster["headGroupSpec"]["template"]["spec"]}
    return found | {group["groupName"]: group["template"]["spec"] for group in cluster["workerGroupSpecs"]}


JOB = job("rayjob.yaml")
HEAD = JOB["rayClusterSpec"]["headGroupSpec"]


def test_a_night_is_the_same_whether_it_is_started_by_hand_or_by_the_clock() -> None:
    assert job("raycronjob.yaml") == JOB
    nightly = yaml.safe_load((FOLDER / "raycronjob.yaml").read_text())
    assert len(nightly["spec"]["schedule"].split()) == 5
    assert nightly["spec"]["timeZone"]
    assert len(nightly["metadata"]["name"]) <= 36, "KubeRay's limit, as it appends the minute"


def test_image_and_versions_agree_with_the_project() -> None:
    images = {container["image"] for pod in pods(JOB).values() for container in pod["containers"]}
    assert images == {f"unscene:{PROJECT['version']}"}
    assert f"-t REGISTRY/unscene:{PROJECT['version']} ." in DOCKERFILE
    ray_pin = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert ray_pin is not None
    assert JOB["rayClusterSpec"]["rayVersion"] == ray_pin[1]


def test_the_image_is_built_on_one_public_python_and_runs_as_nobody_special() -> None:
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert len(bases) == 1, "what is built in one image has to run in the other"
    assert re.fullmatch(r"python:3\.(\d+)-slim-\w+", base := bases.pop()), "no registry's host"
    assert int(base.split(".")[1].split("-")[0]) >= int(PROJECT["requires-python"].removeprefix(">=3."))
    assert "-c constraints.txt" in DOCKERFILE
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert user is not None
    for name, pod in pods(JOB).items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] == int(user[1]) > 0, name
        assert all(not container["securityContext"]["allowPrivilegeEscalation"] for container in pod["containers"])


def test_what_the_dockerfile_copies_and_sets_is_there() -> None:
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from).*$", DOCKERFILE, re.MULTILINE)]
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists(), name
    home = re.search(r"\bHOME=(/\S+)", DOCKERFILE, re.MULTILINE)
    assert home is not None
    for name, pod in pods(JOB).items():
        if name != "submitter":  # weights lie below the home folder's .cache
            mounts = [mount for container in pod["containers"] for mount in container["volumeMounts"]]
            assert f"{home[1]}/.cache" in {mount["mountPath"] for mount in mounts}, name
            assert {mount["name"] for mount in mounts} == {volume["name"] for volume in pod["volumes"]}, name
    extras = re.search(r"'\.\[([\w,]+)\]'", DOCKERFILE)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(PROJECT["optional-dependencies"])


def test_its_entrypoint_is_a_command_that_exists_on_a_spec_that_is_mounted() -> None:
    program, verb, spec, *options = shlex.split(JOB["entrypoint"])
    assert program in PROJECT["scripts"]
    told = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert told.exit_code == 0
    known = re.sub(r"\x1b\[[0-9;]*m", "", told.output)
    assert all(word in known for word in options if word.startswith("--"))
    sets = [after for word, after in pairwise(options) if word == "--set"]
    assert load_spec(ROOT / "jobs" / "demo.yaml", sets).cluster.address == "auto"
    (container,) = HEAD["template"]["spec"]["containers"]
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "spec")
    (volume,) = (volume for volume in HEAD["template"]["spec"]["volumes"] if volume["name"] == "spec")
    path = PurePosixPath(spec)
    assert str(path.parent) == mount["mountPath"]
    made = f"kubectl create configmap {volume['configMap']['name']} --from-file={path.name}="
    assert made in (FOLDER / "rayjob.yaml").read_text(), "the command that makes it, with the name it has there"


def test_the_driver_hears_of_the_pods_end_and_has_time_to_pack() -> None:
    (container,) = HEAD["template"]["spec"]["containers"]
    program, *words, address, job_id = container["lifecycle"]["preStop"]["exec"]["command"]
    assert (program, words, address) == ("ray", ["job", "stop", "--address"], "http://127.0.0.1:8265")
    assert job_id == JOB["jobId"]
    assert "stop" in ray_cli.commands["job"].commands
    stop_s = int(yaml.safe_load(JOB["runtimeEnvYAML"])["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"])
    assert 60 <= stop_s < HEAD["template"]["spec"]["terminationGracePeriodSeconds"]


def test_the_head_drives_and_the_workers_come_and_go_with_the_work() -> None:
    cluster = JOB["rayClusterSpec"]
    assert (HEAD["rayStartParams"]["num-cpus"], HEAD["rayStartParams"]["num-gpus"]) == ("0", "0")
    assert cluster["enableInTreeAutoscaling"]
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    assert all(
        (group["minReplicas"], group["replicas"]) == (0, 0) < (group["maxReplicas"],) for group in groups.values()
    )
    have = [
        (float(limits["cpu"]), float(limits.get("nvidia.com/gpu", 0)))
        for group in groups.values()
        for limits in [group["template"]["spec"]["containers"][0]["resources"]["limits"]]
    ]
    asked = load_spec(ROOT / "jobs" / "overnight.yaml").cluster
    for stage in ("ingest", "segment", "extract", "generate", "evaluate"):
        pool = getattr(asked, stage)
        assert any(pool.cpus <= cpus and float(pool.gpus if pool.gpus != "auto" else 0) <= gpus for cpus, gpus in have)


def test_attempts_follow_on_each_other_and_leave_nothing_running() -> None:
    assert JOB["backoffLimit"] >= 1
    assert JOB["submitterConfig"]["backoffLimit"] >= 1
    assert JOB["shutdownAfterJobFinishes"]
    assert JOB["ttlSecondsAfterFinished"] > 0
    assert "deletionStrategy" not in JOB, "KubeRay refuses it beside shutdownAfterJobFinishes"
    assert {pod["restartPolicy"] for pod in pods(JOB).values()} == {"Never"}, "what KubeRay's autoscaler v2 wants"
    assert JOB["rayClusterSpec"]["autoscalerOptions"]["version"] == "v2"


def test_tokens_and_credentials_come_from_secrets_only() -> None:
    assert JOB["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    for pod in pods(JOB).values():
        for container in pod["containers"]:
            assert not container.get("env"), "a value in the file"
            assert all(set(source) == {"secretRef"} for source in container.get("envFrom", []))
    for file in FOLDER.iterdir():
        for pattern in SECRETS:
            assert not (found := re.search(pattern, file.read_text())), f"{file.name}: {found}"


def ignored(path: str) -> bool:
    """What .dockerignore says of a file, by Docker's rules: the last line that names it or a folder above it counts."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = re.compile(translate(line.removeprefix("!").rstrip("/").removeprefix("**/")))
            parts = PurePosixPath(path).parts
            if line.removeprefix("!").startswith("**/"):
                hit = any(pattern.match(part) for part in parts)
            else:
                depth = line.rstrip("/").count("/") + 1
                hit = bool(pattern.match("/".join(parts[:depth])))
            out = not line.startswith("!") if hit else out
    return out


def test_the_image_gets_the_package_with_all_that_ships_and_not_what_lies_beside_it() -> None:
    files = [str(file.relative_to(ROOT)) for file in tracked()]
    sent = {file for file in files if not ignored(file)}
    built = {"pyproject.toml", "setup.py", "constraints.txt", "README.md", "LICENSE", "NOTICE"}
    assert built <= sent
    ships = re.compile(r"(schemas|stages|pipeline|unscene|demo|models/seedling)/|models/NOTICE$|jobs/[^/]+\.yaml$")
    assert sent == built | {file for file in files if ships.match(file)}


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".aws/credentials",
        "token",
        "key.pem",
        "out/demo/run.json",
        ".git/config",
        "jobs/kuberay/credentials.env",
    ],
)
def test_no_secret_that_lies_in_the_checkout_gets_into_the_image(path: str) -> None:
    assert ignored(path)


def test_what_the_image_is_built_with_is_valid_shell() -> None:
    """The lines of RUN, joined as Docker joins them."""
    for command in re.findall(r"^RUN (.*)$", DOCKERFILE.replace("\\\n", ""), re.MULTILINE):
        subprocess.run(["bash", "-n", "-c", command], check=True)
