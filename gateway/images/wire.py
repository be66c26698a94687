"""What a gateway and its workers tell each other: a line of JSON each way, paths instead of pictures."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway.images.spec import Limits, Made, Order, Point, Reason, Unfit, Variant, Watermark

MALFORMED: Final = (AttributeError, LookupError, TypeError, ValueError)


class Task(NamedTuple):
    """An order, and where its files are to lie."""

    order: Order
    folder: Path  # the worker makes it; who asks removes it
    seconds: float  # after which the worker ends itself, should nobody be there any more who ends it


def write_task(task: Task) -> bytes:
    """Return the line that asks for it, with whole paths: a worker is in no folder of ours."""
    order = task.order
    fields = {
        **order._asdict(),
        "source": str(order.source.absolute()),
        "variants": [_plain(variant) for variant in order.variants],
        "accept": list(order.accept),
        "watermarks": {name: str(path.absolute()) for name, path in order.watermarks.items()},
        "extract": list(order.extract),
    }
    return _line({"order": fields, "folder": str(task.folder.absolute()), "seconds": task.seconds})


def read_task(line: bytes) -> Task:
    """Read what is asked for; who asks is trusted."""
    task = json.loads(line)
    fields = task["order"]
    order = Order(
        **{
            **fields,
            "source": Path(fields["source"]),
            "variants": [_variant(variant) for variant in fields["variants"]],
            "limits": Limits(*fields["limits"]),
            "watermarks": {name: Path(path) for name, path in fields["watermarks"].items()},
        }
    )
    return Task(order, Path(task["folder"]), task["seconds"])


def write_made(made: Made) -> bytes:
    """Return the line that tells what was made."""
    return _line({**made._asdict(), "files": list(made.files)})


def write_unfit(unfit: Unfit) -> bytes:
    """Return the line that tells why nothing was made."""
    return _line({"reason": unfit.reason, "kind": unfit.kind})


def read_answer(line: bytes, task: Task) -> Made | Unfit:
    """Read what became of a task; where its files lie is reckoned, not believed. Raises: MALFORMED."""
    answer = json.loads(line)
    if "reason" in answer:
        return Unfit(Reason(answer["reason"]), str(answer["kind"]))
    answer["failures"] = {name: Reason(reason) for name, reason in answer["failures"].items()}
    made = set(answer["files"])
    answer["files"] = {
        variant.name: task.folder / str(number)
        for number, variant in enumerate(task.order.variants)
        if variant.name in made
    }
    return Made(**answer)


def _plain(variant: Variant) -> dict[str, Any]:
    mark = variant.watermark
    return {**variant._asdict(), "watermark": mark and mark._asdict()}


def _variant(fields: dict[str, Any]) -> Variant:
    mark = fields["watermark"]
    if mark:
        mark = Watermark(**{**mark, "position": Point(*mark["position"])})
    return Variant(**{**fields, "position": Point(*fields["position"]), "watermark": mark})


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
