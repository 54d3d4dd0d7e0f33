"""A fault's row says the same whichever process met it."""

from __future__ import annotations

import io

from PIL import Image

from schemas.outcomes import Failure
from stages.ingest.source.files import check_whole
from stages.stage import failed
from tests.support import ROOT


def fault_of_a_text_file() -> Failure:
    try:
        Image.open(io.BytesIO(b"no picture"))
    except OSError as error:
        output = failed("scene", error)
    assert output.failure is not None
    return output.failure


def test_a_row_holds_no_address_of_memory() -> None:
    failure = fault_of_a_text_file()
    assert failure.message == "cannot identify image file <_io.BytesIO object>"
    assert failure.traceback is not None
    assert "<_io.BytesIO object>" in failure.traceback
    assert " at 0x" not in failure.traceback


def test_where_the_code_lies_is_left_out() -> None:
    """On a cluster it is a folder of the head's session: after another head the same fault had another row."""
    try:
        check_whole(3, 5, "a.jpg")
    except ConnectionError as error:
        output = failed("scene", error)
    assert output.failure is not None
    trace = str(output.failure.traceback)
    assert 'File "stages/ingest/source/files.py", line' in trace
    assert str(ROOT) not in trace
