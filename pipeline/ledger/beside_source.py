"""What is written of an OUTPUT lies beside the pictures of its job, and never among them."""

from __future__ import annotations

from pipeline.ledger.run_record import recorded_spec
from pipeline.storage.folder import Storage
from schemas.errors import CommandError
from stages.ingest.source.ours import lies_in


def check_beside_source(option: str, folder: str, output: Storage) -> None:
    """Raises CommandError where a folder to write to lies in the source of the job: its next run would come upon what
    is written there. option: that names the folder.

    Raises OutputError when there is no job.
    """
    source = recorded_spec(output).source
    if source.handles is not None:
        source = recorded_spec(Storage(source.handles)).source
    if source.uri is not None and lies_in(folder, source.uri):
        raise CommandError(
            f"{option} {folder}: it lies in the job's source.uri ({source.uri}), where the next run would come upon "
            "what is written; name a folder beside it"
        )
