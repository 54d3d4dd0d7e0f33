"""ray_cluster.yaml: what `ray up` would refuse, and what nobody should run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.support import ROOT

FILE = ROOT / "ray_cluster.yaml"
SECRETS = (
    r"AKIA[0-9A-Z]{16}",
    r"hf_[A-Za-z0-9]{20,}",
    r"-----BEGIN",
    r"(?i)(secret|password|api_?key)\s*[:=]\s*\S",
    r"\b[0-9a-f]{32,}\b",
    r"[A-Za-z0-9+/]{40,}={0,2}(?![\w/.-])",
    r"(?i)AUTH_TOKEN\s*=\s*\S",
)


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    """The configuration as `ray up` completes it with Ray's defaults for AWS."""
    return prepare_config(yaml.safe_load(FILE.read_text()))


def test_it_fits_the_schema_that_ray_ships(cluster: dict[str, Any]) -> None:
    validate_config(cluster)
    with pytest.raises(Exception, match="head_node_typo"):
        validate_config({**cluster, "head_node_typo": "head"})


def test_nothing_comes_from_rays_own_defaults(cluster: dict[str, Any]) -> None:
    """Ray fills in what is missing: an image too old for torch, a dashboard on every interface, a wheel of its own."""
    assert all("ImageId" in kind["node_config"] for kind in cluster["available_node_types"].values())
    text = yaml.safe_dump(cluster)
    assert "0.0.0.0" not in text
    assert "ray-wheels" not in text
    assert "anaconda" not in text


def test_the_dashboard_listens_on_loopback_only(cluster: dict[str, Any]) -> None:
    starts = [command for command in cluster["head_start_ray_commands"] if "ray start" in command]
    assert len(starts) == 1
    assert re.findall(r"--dashboard-host[= ](\S+)", starts[0]) == ["127.0.0.1"]


def test_every_ray_process_starts_with_token_authentication(cluster: dict[str, Any]) -> None:
    written = [command for command in cluster["setup_commands"] if "RAY_AUTH_MODE=token" in command]
    assert len(written) == 1
    environment = written[0].rpartition("> ")[2].strip()
    for command in [*cluster["head_start_ray_commands"], *cluster["worker_start_ray_commands"]]:
        assert command.startswith(f". {environment} &&"), "RAY_AUTH_MODE has to be set before ray starts"
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token", "the token comes from the user's machine"
    assert any("chmod 600 ~/.ray/auth_token" in command for command in cluster["setup_commands"])


def test_workers_are_spot_gpus_that_start_from_none(cluster: dict[str, Any]) -> None:
    kinds = dict(cluster["available_node_types"])
    head = kinds.pop(cluster["head_node_type"])
    assert "InstanceMarketOptions" not in head["node_config"], "a preempted head ends the run"
    assert head["max_workers"] == 0
    assert kinds
    for kind in kinds.values():
        assert kind["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
        assert kind["resources"]["GPU"] >= 1
        assert (kind["min_workers"], kind["max_workers"]) == (0, 8)
    assert cluster["max_workers"] == 8


def test_what_is_mounted_is_there_and_enough_to_install(cluster: dict[str, Any]) -> None:
    mounts = {remote: local for remote, local in cluster["file_mounts"].items() if not local.startswith("~")}
    for remote, local in mounts.items():
        assert (ROOT / local).exists(), local
        assert remote == f"~/unscene/{local}"
    packages = re.search(r"^packages = (\[.*\])", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert packages is not None
    assert {name.split(".")[0] for name in yaml.safe_load(packages[1])} <= set(mounts.values())
    install = next(command for command in cluster["setup_commands"] if "pip install" in command)
    assert "-c constraints.txt" in install
    for command in cluster["worker_start_ray_commands"]:
        for script in re.findall(r"~/unscene/(\S+\.sh)", command):
            assert (ROOT / script).is_file()


def test_no_secret_is_in_it() -> None:
    text = FILE.read_text()
    for pattern in SECRETS:
        assert not (found := re.search(pattern, text)), found


@pytest.mark.parametrize(
    "leak",
    [
        "aws_access_key_id: AKIAIOSFODNN7EXAMPLE",
        "- export RAY_AUTH_TOKEN=abc",
        "password: hunter2",
        "key: wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYabcdef",
        "- huggingface-cli login hf_abcdefghijklmnopqrstuvwxyz",
    ],
)
def test_a_secret_would_be_found(leak: str) -> None:
    assert any(re.search(pattern, f"{FILE.read_text()}\n{leak}\n") for pattern in SECRETS)
