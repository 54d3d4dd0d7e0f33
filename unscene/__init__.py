"""Unscene from Python: what a job has made, opened for a notebook.

    import unscene

    out = unscene.open("out/demo")          # OUTPUT of a job, finished or at work: a folder, as any fsspec URL
    scene = out.scene("scene-03")           # by file name, or by the beginning of its id; out.scenes() lists all
    scene.picture                           # PIL; scene.masks: bool [concepts, side, side]; scene.words
    scene.handles                           # rows of the table: token, word, losses; scene.embeddings: float32
    scene.variations[0].picture             # and .prompt, .keep, .row, .scores, .mask, .instances

    pipe = out.pipeline()                   # the job's base in diffusers, or a pipeline of your own
    tokens = scene.load_into(pipe)          # its handles and factors: ["<asset0>", "<asset1>"]
    pipe(f"a photo of {tokens[0]} at the beach").images[0]

Everything is read when it is asked for, from what is committed. torch is imported by `pipeline` and `load_into` alone.
A mistake is a `schemas.errors.JobError`, one sentence, as on the command line.
"""

from schemas.shipped import version
from unscene.output import Output
from unscene.output import open as open  # by its full name only: `import *` leaves the built-in one alone
from unscene.scene import Scene
from unscene.variation import Instance, Variation

__version__ = version()

__all__ = ["Instance", "Output", "Scene", "Variation"]
