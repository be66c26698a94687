"""The examination of a backend: one thing after another, none of them for long, and nothing is left behind."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.doctor import disk
from gateway.doctor.common import BASIC, FURTHER, PATIENCE, Probe, objects, outcome
from gateway.doctor.findings import Diagnosis, Result, explain
from gateway.doctor.ground import Ground, cleared
from gateway.errors import NoSuchBucket, NotImplementedByGateway, S3Error
from gateway.storage import Backend, ListQuery

CLOUDS: Final = frozenset({"gcs", "r2", "s3"})  # where a bucket that is not there is somebody's mistake


@dataclass(frozen=True, slots=True)
class Patient:
    """A backend of the configuration: how to open it, and which buckets of it may be written to, or only read.

    With each bucket to be written to stands what keys must begin with there, "" for nothing.
    """

    name: str
    type: str
    opening: Callable[[], AbstractAsyncContextManager[Backend]]
    path: Path | None = None  # of a local disk
    written: Mapping[str, str] = field(default_factory=dict)
    read: Sequence[str] = ()


async def examine(patients: Sequence[Patient]) -> Sequence[Diagnosis]:
    """Examine all of them at once. Cancelled, it clears away what was done first."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_examine(patient)) for patient in patients]
    return [task.result() for task in tasks]


def as_json(diagnoses: Sequence[Diagnosis]) -> dict[str, Any]:
    """Return what was found out, for programs."""
    return {
        "healthy": not any(diagnosis.problems for diagnosis in diagnoses),
        "problems": [problem for diagnosis in diagnoses for problem in diagnosis.problems],
        "backends": {
            diagnosis.backend: {
                "type": diagnosis.type,
                "bucket": diagnosis.bucket or None,
                "buckets": diagnosis.bucket_count,
                "checks": {
                    each.name: {"result": each.result.value, "reason": each.reason, "problem": each.problem}
                    for each in diagnosis.findings
                },
            }
            for diagnosis in diagnoses
        },
    }


async def _examine(patient: Patient) -> Diagnosis:
    diagnosis = Diagnosis(patient.name, patient.type)
    try:
        async with patient.opening() as backend:
            if patient.path:
                await asyncio.to_thread(disk.examine, patient.path, diagnosis)
            if await _reached(patient, backend, diagnosis):
                await _tried(patient, backend, diagnosis)
    except (OSError, S3Error, ValueError) as error:
        diagnosis.add("cannot be opened", Result.NO, str(error), problem=True)
    return diagnosis


async def _reached(patient: Patient, backend: Backend, diagnosis: Diagnosis) -> bool:
    """Say whether the storage answers: to a listing of its buckets, else about a bucket that is named."""
    try:
        async with asyncio.timeout(PATIENCE):
            diagnosis.bucket_count = len(await backend.list_buckets())
    except (S3Error, TimeoutError) as error:
        named = [*patient.written, *patient.read]
        if not named or not await _answers(backend, named[0]):
            reason = explain(error)
            if patient.type in CLOUDS and "look at " not in reason:
                reason = f"{getattr(backend, 'url', '')}: {reason}; look at endpoint".lstrip(": ")
            diagnosis.add("reached", Result.NO, reason, problem=True)
            return False
        diagnosis.add("reached", Result.YES, "buckets cannot be listed: " + explain(error))
        return True
    diagnosis.add("reached", Result.YES)
    return True


async def _answers(backend: Backend, bucket: str) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await backend.head_bucket(bucket)
    except NoSuchBucket:
        return True
    except (S3Error, TimeoutError):
        return False
    return True


async def _tried(patient: Patient, backend: Backend, diagnosis: Diagnosis) -> None:
    found = [bucket for bucket in patient.written if await _is_there(patient, backend, bucket, diagnosis)]
    for bucket in patient.read:
        if await _is_there(patient, backend, bucket, diagnosis):
            await _note(diagnosis, f"listing of {bucket}", backend.list_objects(bucket, ListQuery(limit=1)))
    if not found:
        reason = "none that may be written to is there" if patient.written or patient.read else "none is named"
        diagnosis.add("tried in a bucket", Result.UNTRIED, f"{reason} in the configuration: nothing was written")
        return
    diagnosis.bucket = found[0]
    ground = Ground(backend, found[0], patient.written[found[0]])
    try:
        async with cleared(ground):
            await _all(ground, diagnosis)
    except (S3Error, TimeoutError) as error:
        reason = f"{found[0]}/{ground.prefix} could not be removed: {explain(error)}"
        diagnosis.add("clearing away", Result.NO, reason, problem=True)


async def _is_there(patient: Patient, backend: Backend, bucket: str, diagnosis: Diagnosis) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await backend.head_bucket(bucket)
    except NoSuchBucket:
        problem = patient.type in CLOUDS
        diagnosis.add(f"bucket {bucket}", Result.NO, "it is not there; a client may create it", problem=problem)
        return False
    except (S3Error, TimeoutError) as error:
        diagnosis.add(f"bucket {bucket}", Result.NO, explain(error), problem=True)
        return False
    diagnosis.add(f"bucket {bucket}", Result.YES)
    return True


async def _all(ground: Ground, diagnosis: Diagnosis) -> None:
    for name, probe in BASIC.items():
        if not await _note(diagnosis, name, probe(ground)) and probe is objects:
            break  # nothing else of it can be done either
    else:
        if not hasattr(ground.backend, "spoken"):
            for name, probe in FURTHER.items():
                await _further(name, probe, ground, diagnosis)
    if known := getattr(ground.backend, "spoken", None):
        from gateway.doctor.spoken import Server, compare  # noqa: PLC0415  such a backend has loaded its libraries

        client, dialect = known
        await compare(Server(client, dialect, ground), diagnosis)


async def _note(diagnosis: Diagnosis, name: str, call: Awaitable[object]) -> bool:
    reason = await outcome(call)
    diagnosis.add(name, Result.NO if reason else Result.YES, reason, problem=bool(reason))
    return not reason


async def _further(name: str, probe: Probe, ground: Ground, diagnosis: Diagnosis) -> None:
    """Try what a storage may lack, which the gateway refuses then."""
    lacks = False

    async def unless_refused() -> None:
        nonlocal lacks
        try:
            await probe(ground)
        except NotImplementedByGateway:
            lacks = True

    reason = await outcome(unless_refused())
    result = Result.NO if lacks or reason else Result.YES
    diagnosis.add(name, result, "refused with 501" if lacks else reason, problem=bool(reason))
