"""Why a scene has no concepts. The class name lands in failures, so that reasons can be counted."""

from schemas.errors import SceneError


class NoConcept(SceneError):
    """Segment Anything proposed nothing, or nothing that looks like a concept."""
