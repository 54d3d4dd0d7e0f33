"""Why a file is not a scene: one class a reason. The class name lands in failures, so that reasons can be counted."""

from schemas.errors import SceneError


class FileUnreadable(SceneError):
    """The bytes could not be fetched: gone, forbidden, or the storage failed."""


class FileChanged(SceneError):
    """The bytes are no longer those whose hash the plan recorded."""


class FileTooLarge(SceneError):
    """More bytes than `ingest.max_bytes`."""


class FileEmpty(SceneError):
    """Zero bytes."""


class NotAPicture(SceneError):
    """No decoder that we allow knows this file."""


class PictureTooLarge(SceneError):
    """More pixels than `ingest.max_pixels`, or than its bytes can hold, by the header alone."""


class PictureTooSmall(SceneError):
    """A side shorter than `ingest.min_side`."""


class PictureBroken(SceneError):
    """The header is a picture's, the pixels cannot be decoded."""


class MaskUnreadable(SceneError):
    """A given mask cannot be decoded."""


class MaskMisfit(SceneError):
    """A given mask has another shape than its picture."""


class MasksAmbiguous(SceneError):
    """Masks are there, but it is not clear that they belong to this picture."""


class MasksEmpty(SceneError):
    """Masks are there, but none shows anything inside the square."""
