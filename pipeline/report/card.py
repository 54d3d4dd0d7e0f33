"""README.md of an OUTPUT: the card by which `load_dataset(OUTPUT, "variations")` of Hugging Face's datasets reads its
tables, here or on the Hub. A configuration has the Parquet of one table and no tar, since datasets mixes no kinds of
file under one card.
"""

from __future__ import annotations

import hashlib
import json
import re

from pipeline.ledger.committed import Committed
from pipeline.ledger.rounds import FAILURES
from pipeline.stage_kinds import STAGE_OF
from pipeline.storage.folder import Storage

NAME = "README.md"
MARK = "<!-- Written by unscene with the report. A README.md without this line is left as it is. -->"
_DEFAULT, _ACCOUNT = "variations", "account"
_MADE_BY = STAGE_OF | {"failures": FAILURES}
_OF_A_SHARD = re.compile(r"-\d{6}\.parquet$")
_MEANING = {
    "scenes": "one row a source file",
    "concepts": "one row a concept of a scene, with its mask as COCO RLE",
    "handles": "one row a handle, with its embedding",
    "variations": "one row a picture that was drawn",
    "scores": "one row a picture: what it is worth",
    "failures": "one row a scene that failed, with its stage and reason",
    "account": "one line a file, mask and annotation: what became of it",
}


def write_card(storage: Storage) -> bool:
    """Writes the card, of the tables that are there now; False where a README.md lies there that is not ours, or there
    is no table. A table of no rows is left out: datasets takes it for a mistake."""
    if (card := _made(storage)) is None or foreign_card(storage):
        return False
    storage.write(NAME, card)
    return True


def is_card_old(storage: Storage) -> bool:
    """Whether the tables are others than the card tells of, as after a run that made nothing and wrote an account."""
    if (card := _made(storage)) is None or foreign_card(storage):
        return False
    return not storage.exists(NAME) or storage.read(NAME) != card


def _made(storage: Storage) -> bytes | None:
    """The card of the tables that are there now; None where there is none."""
    committed = Committed(storage, list(_MADE_BY.values()))
    tables = [table for table, stage in _MADE_BY.items() if committed.rows(stage)]
    tables += [_ACCOUNT] if storage.names(_ACCOUNT) else []
    if not tables:
        return None
    return _card({table: _contents(committed, table) for table in tables}).encode()


def _contents(committed: Committed, table: str) -> str:
    """Changes whenever the table may have: datasets keeps what it has read of a local folder by the folder's name and
    the card alone, and serves that of another OUTPUT of the name, or of this one before it grew."""
    stage = _MADE_BY.get(table, FAILURES)  # an account is committed with the failures
    rows = committed.table(stage).select(["shard", "round", "finished_at", "rows"]).to_pydict()
    found = hashlib.sha256(json.dumps([committed.storage.url, rows]).encode())
    if table == _ACCOUNT:  # and two files beside those of the shards, which are written anew
        names = (name for name in sorted(committed.storage.names(table)) if not _OF_A_SHARD.search(name))
        for name in names:
            found.update(committed.storage.read(f"{table}/{name}"))
    return found.hexdigest()[:16]


def foreign_card(storage: Storage) -> bool:
    """Whether the OUTPUT has a README.md without the mark of ours; a folder of that name is none of ours either."""
    try:
        return MARK.encode() not in storage.read(NAME)
    except FileNotFoundError:
        return False
    except IsADirectoryError:
        return True


def foreign_text(storage: Storage) -> str:
    """What a person is told of a README.md that we did not write, or that was edited, emptied or cut short since."""
    return (
        f"{storage.url_of(NAME)}: not, or no longer, a card of Unscene's, as the line by which that is known is not in "
        "it; it was left as it is, and load_dataset reads what it says; move it away, and `unscene report` writes one "
        "for the tables"
    )


def _card(tables: dict[str, str]) -> str:
    """tables: name -> what stands for its contents."""
    default = _DEFAULT if _DEFAULT in tables else next(iter(tables))
    configs = "\n".join(
        f"- config_name: {table}\n"
        + ("  default: true\n" if table == default else "")
        + f"  description: contents {contents}\n"
        + f"  data_files:\n  - split: train\n    path: {table}/*.parquet"
        for table, contents in tables.items()
    )
    rows = "\n".join(f"| `{table}` | {_MEANING[table]} |" for table in tables)
    return f"""---
configs:
{configs}
---
{MARK}

# Output of Unscene

Scenes taken apart into handles, and pictures drawn of these (Break-A-Scene, arXiv 2305.16311).

| Configuration | Rows |
|---|---|
{rows}

```python
from datasets import load_dataset

{default} = load_dataset(".", "{default}", split="train")  # or the path of this folder
print({default}.column_names, len({default}))
```

Pictures lie in the tars beside the tables; `file` of a row names the member. `report/index.html` shows them.
"""
