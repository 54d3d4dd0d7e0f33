"""A fault's row says the same whichever process met it."""

from __future__ import annotations

import io

from PIL import Image

from schemas.outcomes import Failure
from stages.stage import failed


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
