"""Where a model is and which one it is: the same steps for every field, and errors that name the field."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from schemas.errors import SpecError
from stages.models import hub as hub_module
from stages.models import place
from stages.models.place import INDEX, ModelField, bundled, locate, model_file, model_revision, read_json
from stages.transient import comes_of_network_failure
from tests.support import ROOT

FIELDS: list[ModelField] = ["models.base", "models.sam", "models.clip", "models.identity"]
ON_THE_HUB = [field for field in FIELDS if field in INDEX]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "89abcdef0123456789abcdef0123456789abcdef"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub's cache with two commits of owner/model in it, and no network."""
    model = tmp_path / "hub" / "models--owner--model"
    for commit, revision in ((COMMIT, "main"), (OTHER, "v2")):
        (model / "snapshots" / commit).mkdir(parents=True)
        for file in ("config.json", "model_index.json"):
            (model / "snapshots" / commit / file).write_text(json.dumps({"revision": revision}))
        (model / "refs").mkdir(exist_ok=True)
        (model / "refs" / revision).write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("field", FIELDS)
def test_the_seedling_is_there_for_every_field(field: ModelField, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Path(locate("seedling", field)).parent == ROOT / "models" / "seedling"
    assert model_revision("seedling", field) == model_revision(bundled("seedling", field), field)
    monkeypatch.setattr(place, "BUNDLED", ROOT / "nowhere")
    with pytest.raises(SpecError, match=f"{field}: the seedling is not there .*reinstall Unscene"):
        model_revision("seedling", field)


@pytest.mark.parametrize("field", FIELDS)
def test_a_revision_is_of_the_files_wherever_they_lie(field: ModelField, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "unet").mkdir(parents=True)
        (folder / "unet" / "config.json").write_text("{}")
    assert model_revision(str(one), field) == model_revision(str(two), field)
    (two / "README.md").write_text("what is said of a model is not the model")
    assert model_revision(str(one), field) == model_revision(str(two), field)
    (two / "unet" / "config.json").write_text('{"layers": 2}')
    assert model_revision(str(one), field) != model_revision(str(two), field)


@pytest.mark.parametrize("field", ON_THE_HUB)
@pytest.mark.usefixtures("hub")
def test_a_revision_on_the_hub_is_its_commit(field: ModelField) -> None:
    assert locate("owner/model", field) == "owner/model"
    assert model_revision("owner/model", field) == f"owner/model@{COMMIT}"
    assert model_revision("owner/model", field, "v2") == f"owner/model@{OTHER}"
    assert read_json("owner/model", "config.json", field, "v2") == {"revision": "v2"}


@pytest.mark.parametrize("field", ON_THE_HUB)
@pytest.mark.usefixtures("hub")
def test_what_is_nowhere_is_one_sentence_with_the_field_and_the_remedy(field: ModelField, tmp_path: Path) -> None:
    absent = str(tmp_path / "no" / "such" / "folder")
    (tmp_path / "config.json").write_text("no JSON")
    for ask, sentence in (
        (lambda: model_revision(absent, field), f"{field}: there is no directory {absent}; give a"),
        (
            lambda: model_file("owner/other", INDEX[field], field),
            f"{field}: owner/other is no directory here, and .* did ",
        ),
        (
            lambda: model_revision("owner/model", field, "v3"),
            r"Hugging Face Hub \(\w+: .+\); check the name.*, or give a",
        ),
        (lambda: read_json(str(tmp_path), "config.json", field), f"{field}: cannot read config.json of {tmp_path} "),
        (lambda: read_json(str(tmp_path), "absent.json", field), f"{field}: cannot read absent.json of {tmp_path} "),
    ):
        with pytest.raises(SpecError, match=sentence) as caught:
            ask()
        assert str(caught.value).endswith("or `seedling`")
        assert "\n" not in str(caught.value)


def test_a_sam_is_a_file_a_folder_or_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sam.pth").write_bytes(b"weights")
    assert locate("~/sam.pth", "models.sam") == str(tmp_path / "sam.pth")
    assert model_revision("~/sam.pth", "models.sam").startswith("sha256:")
    url = "https://bucket.example/sam_vit_b.pth"
    assert locate(url, "models.sam") == model_revision(url, "models.sam") == url
    # Of what is no file here the Hub is not asked: nothing that `load_sam` takes is there.
    with pytest.raises(
        SpecError, match=r"^models\.sam: owner/sam: no such file or folder; check the path or give a URL"
    ):
        model_revision("owner/sam", "models.sam")


@pytest.mark.parametrize("field", FIELDS)
def test_a_misspelt_seedling_is_told_at_once(
    field: ModelField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", None)  # not asked
    for name in ("sedling", "Seedling", "seedlings"):
        with pytest.raises(SpecError, match=rf"^{field}: .*{name}.*; did you mean `seedling`\?$"):
            model_revision(name, field)
    (tmp_path / "models" / "sd-2-1").mkdir(parents=True)
    for name in ("models/sd-2.1", f"{tmp_path}/modells/sd-2-1", "./models/SD-2-1"):
        if field == "models.sam" or not place.HUB_ID.fullmatch(name):
            with pytest.raises(SpecError, match=rf"^{field}: .*{name}.*; did you mean `\S*models/sd-2-1`\?$"):
                model_revision(name, field)


@pytest.mark.parametrize("field", ON_THE_HUB)
@pytest.mark.parametrize("name", ["stable-diffusion-v1-5", "./sd", "../sd", "a b/c", "owner/name/more", "C:\\models"])
def test_what_is_no_path_and_no_id_is_refused_without_the_network(
    field: ModelField, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", None)
    with pytest.raises(SpecError) as caught:
        model_revision(name, field)
    assert str(caught.value).startswith(f"{field}: there is no directory {name}; give a")


def test_a_kind_of_sam_is_told_with_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, file in (
        ("vit_h", "sam_vit_h_4b8939.pth"),
        ("sam_vit_b.pth", "sam_vit_b_01ec64.pth"),
        ("facebook/sam-vit-large", "sam_vit_l_0b3195.pth"),
    ):
        with pytest.raises(SpecError, match=rf"check the path or give a URL, such as https://\S+/{file}$"):
            locate(name, "models.sam")


@pytest.mark.parametrize("field", ON_THE_HUB)
def test_a_hub_that_does_not_answer_is_asked_once_and_quietly(
    field: ModelField, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = []
    monkeypatch.setattr(hub_module, "_TRIED", {})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    ask = huggingface_hub.get_session().send

    def send(request: Any, **settings: Any) -> Any:
        asked.append(str(request.url))
        return ask(request, **settings)

    monkeypatch.setattr(huggingface_hub.get_session(), "send", send)
    for _ in range(2):
        with pytest.raises(
            SpecError, match=r"Hugging Face Hub \(ConnectError: .* at http://127.0.0.1:9, and it was not"
        ) as refused:
            model_revision("owner/model", field)
        assert comes_of_network_failure(refused.value), "a worker on a node without a network is not the job's fault"
    assert len(asked) == 1
    assert capfd.readouterr() == ("", "")
    commit = tmp_path / "models--owner--model" / "snapshots" / COMMIT
    commit.mkdir(parents=True)
    (commit / INDEX[field]).write_text("{}")
    (tmp_path / "models--owner--model" / "refs").mkdir()
    (tmp_path / "models--owner--model" / "refs" / "main").write_text(COMMIT)
    assert model_revision("owner/model", field) == f"owner/model@{COMMIT}", "what was downloaded before counts"


def test_the_driver_asks_without_torch() -> None:
    code = (
        "import sys; from stages.models.check import check_models; from stages.models.place import model_revision; "
        "from schemas.job import JobSpec; "
        "check_models(JobSpec(source={'uri': '/pictures'}, output='/out', evaluate={'enabled': True})); "
        "model_revision('seedling', 'models.identity'); "
        "sys.exit(' '.join({'torch', 'transformers', 'diffusers'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
