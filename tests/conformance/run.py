"""Run the public S3 conformance tests (a checkout of ceph/s3-tests) against the gateway, and hold what was reached.

`make s3-tests SUITE=dir` fails if a test of tests/conformance/passing-BACKEND.txt does not pass any more, or one that
passes on a disk does not pass in front of another backend and limits-BACKEND.txt gives no reason. What passes and is
not on the list is told; with --update the list and docs/conformance.md are written anew.
"""

import argparse
import configparser
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import click

from tests.behind import KINDS, behind
from tests.conformance.replicated import MODES, replicated
from tests.gateway_process import GatewayProcess, running

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VENV = ROOT / ".clients" / "s3-tests"
DISK = "local"  # what passes in front of it is what is asked of the others
FILES = ("test_s3.py", "test_headers.py")
ALONE = ("test_list_buckets_paginated",)  # looks at every bucket of the account
ACCOUNTS = {"s3 main": "main", "s3 alt": "alt", "s3 tenant": "tenant"}
ACCOUNTS |= {"iam": "main", "iam root": "main", "iam alt root": "alt"}  # read at the start, whichever tests run


@dataclass(frozen=True)
class Verdict:
    """How one test ended: passed, failed, error (in its set-up or clean-up) or skipped."""

    outcome: str
    areas: tuple[str, ...]
    why: str = ""


def main() -> int:
    options = _options()
    python = options.python or _environment(options.suite)
    published = HERE / f"passing-{options.backend}.txt"
    listed = _names(published) if published.exists() else set()
    wanted = _wanted(options, listed)
    with tempfile.TemporaryDirectory(prefix="s3-tests-") as name, _gateway(options.backend, Path(name)) as gateway:
        verdicts = Suite(options, python, Path(name), gateway).run(wanted)
    passed = {name for name, verdict in verdicts.items() if verdict.outcome == "passed"}
    excused = {test for tests in limits(options.backend).values() for test in tests}
    asked = (wanted or listed) - excused
    lost, won = sorted((asked & set(verdicts) if options.keyword else asked) - passed), sorted(passed - listed)
    _tell(verdicts, lost, won)
    if options.update:
        _publish(published, options, verdicts)
    return 1 if (lost and not options.update) or not verdicts else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make s3-tests SUITE=dir", description=__doc__)
    parser.add_argument("suite", type=Path, help="a checkout of ceph/s3-tests")
    parser.add_argument("--backend", choices=[*KINDS, *MODES], default=DISK)
    parser.add_argument("--listed", action="store_true", help="run only what has to pass")
    parser.add_argument("--only", type=Path, help="run only the tests of this file, one a line, which have to pass")
    parser.add_argument("--update", action="store_true", help="write the list and the page anew")
    parser.add_argument("--python", type=Path, help="an interpreter that has what the suite needs (default: make one)")
    parser.add_argument("-k", dest="keyword", default="", help="pytest's -k")
    parser.add_argument("--processes", default="2", help="tests run side by side")
    parser.add_argument("--timeout", type=int, default=60, help="seconds a test may take")
    options = parser.parse_args()
    if not (options.suite / "s3tests" / "functional").is_dir():
        parser.error(f"{options.suite} is no checkout of ceph/s3-tests")
    if options.update and (options.listed or options.only or options.keyword):
        parser.error("--update needs all tests to be run")
    options.suite = options.suite.resolve()
    return options


def limits(backend: str) -> Mapping[str, Sequence[str]]:
    """Return the tests that cannot pass in front of this backend, by what the storage itself lacks."""
    file = HERE / f"limits-{backend}.txt"
    found: dict[str, list[str]] = {}
    for line in file.read_text().splitlines() if file.exists() else ():
        if line.startswith("# "):
            tests = found.setdefault(line.removeprefix("# "), [])
        elif line:
            tests.append(line)
    return found


def _names(file: Path) -> set[str]:
    return set(file.read_text().split())


def _wanted(options: argparse.Namespace, listed: set[str]) -> set[str] | None:
    """Return what is to be run: in front of a disk everything, elsewhere what passes there."""
    if options.listed:
        return listed
    if options.only:
        return _names(options.only)
    return None if options.backend == DISK else _names(HERE / f"passing-{DISK}.txt")


def _environment(suite: Path) -> Path:
    """Make the environment that the suite's own requirements ask for, once."""
    python, stamp = VENV / "bin" / "python", VENV / "made-from"
    requirements = suite / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        needed = ["-r", requirements, "pytest-timeout", "pytest-xdist"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *needed], check=True)
        stamp.write_text(requirements.read_text())
    return python


@contextmanager
def _gateway(backend: str, folder: Path) -> Iterator[GatewayProcess]:
    """Start the gateway that is tested, and what it stands in front of."""
    if backend in MODES:
        with replicated(backend, folder, _config({})) as gateway:
            yield gateway
        return
    with (
        behind(backend, folder) as storage,
        running(GatewayProcess(folder, extra=_config(storage.settings))) as gateway,
    ):
        yield gateway


def _config(backend: Mapping[str, Any]) -> dict[str, Any]:
    keys = [
        {
            "access_key": f"{name.upper()}KEY",
            "secret_key": f"{name}-secret",
            "owner": {"id": f"{name}-user-id", "display_name": f"{name}-user"},
            "allow": ["*"],
        }
        for name in dict.fromkeys(ACCOUNTS.values())
    ]
    buckets = {"*": {"backend": "tested", "acls": "canned"}}
    return {"keys": keys, "backends": {"tested": dict(backend)}, "buckets": buckets}


class Suite:
    """The checkout, and the gateway that it is turned on."""

    def __init__(self, options: argparse.Namespace, python: Path, folder: Path, gateway: GatewayProcess) -> None:
        self._options, self._python, self._folder, self._gateway = options, python, folder, gateway

    def run(self, wanted: set[str] | None) -> dict[str, Verdict]:
        """Run all tests or the wanted ones; those that cannot bear company first, while there are no buckets."""
        self._write_config()
        alone = set(ALONE) if wanted is None else set(ALONE) & wanted
        verdicts = self._pass("alone", alone, (), "0") if alone else {}
        return verdicts | self._pass("all", wanted, ALONE, self._options.processes)

    def _write_config(self) -> None:
        config = configparser.RawConfigParser()
        config["DEFAULT"] = {"host": "127.0.0.1", "port": str(self._gateway.port), "is_secure": "False"}
        config["fixtures"] = {"bucket prefix": "test-{random}-"}
        for section, name in ACCOUNTS.items():
            config[section] = {
                "access_key": f"{name.upper()}KEY",
                "secret_key": f"{name}-secret",
                "user_id": f"{name}-user-id",
                "display_name": f"{name}-user",
                "email": f"{name}@example.invalid",
                "tenant": name,
            }
        with (self._folder / "s3tests.conf").open("w") as file:
            config.write(file)

    def _pass(
        self, name: str, wanted: set[str] | None, unwanted: tuple[str, ...], processes: str
    ) -> dict[str, Verdict]:
        report = self._folder / f"{name}.xml"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")} | {
            "S3TEST_CONF": str(self._folder / "s3tests.conf"),
            "PYTHONPATH": os.pathsep.join([str(HERE), str(self._options.suite)]),
            "UNWANTED": " ".join(unwanted),
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        if wanted is not None:
            (self._folder / "wanted").write_text("\n".join(sorted(wanted)))
            environment["WANTED"] = str(self._folder / "wanted")
        command = [
            self._python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "isolation",
            "-p",
            "no:cacheprovider",
            "--tb=line",
            "-Wignore",
        ]
        command += ["-n", processes, f"--timeout={self._options.timeout}", f"--junitxml={report}"]
        command += ["-k", self._options.keyword] if self._options.keyword else []
        command += [f"s3tests/functional/{file}" for file in FILES]
        subprocess.run(command, cwd=self._options.suite, env=environment, check=False)
        return _verdicts(report)


def _verdicts(report: Path) -> dict[str, Verdict]:
    """Read pytest's report; a test that failed and could not be cleaned up either stands there twice."""
    verdicts: dict[str, Verdict] = {}
    for case in ET.parse(report).iter("testcase") if report.exists() else ():
        areas = next((tag.get("value", "") for tag in case.iter("property") if tag.get("name") == "areas"), "")
        outcome = next((tag for tag in case if tag.tag in {"failure", "error", "skipped"}), None)
        name = case.get("name", "")
        if name in verdicts and outcome is None:
            continue
        word = {"failure": "failed"}.get(outcome.tag, outcome.tag) if outcome is not None else "passed"
        why = outcome.get("message", "") if outcome is not None else ""
        verdicts[name] = Verdict(word, tuple(areas.split()), " ".join(why.split())[:200])
    return verdicts


def _tell(verdicts: Mapping[str, Verdict], lost: list[str], won: list[str]) -> None:
    counts = Counter(verdict.outcome for verdict in verdicts.values())
    click.echo("\n" + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    for name in won:
        click.echo(f"  passes now, not on the list yet: {name}")
    for name in lost:
        click.echo(f"  HAS TO PASS: {name}: {verdicts[name].why if name in verdicts else 'was not run'}")


def _publish(published: Path, options: argparse.Namespace, verdicts: Mapping[str, Verdict]) -> None:
    passed = {name for name, verdict in verdicts.items() if verdict.outcome == "passed"}
    published.write_text("".join(f"{name}\n" for name in sorted(passed)))
    page = ROOT / "docs" / "conformance.md"
    begin, end = f"<!-- {options.backend}: written by make s3-tests -->", f"<!-- end of {options.backend} -->"
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    written = [_table(options, verdicts), *_reasons(limits(options.backend))]
    page.write_text("".join([before, begin, "\n", *written, end, after]))


def _reasons(limits: Mapping[str, Sequence[str]]) -> list[str]:
    """Write what passes on a disk and cannot pass here."""
    if not limits:
        return []
    lines = [f"| {reason} | {' '.join(f'`{test}`' for test in tests)} |" for reason, tests in limits.items()]
    return ["\n".join(["", "| what the storage lacks | tests that pass on a disk |", "| --- | --- |", *lines, ""])]


def _table(options: argparse.Namespace, verdicts: Mapping[str, Verdict]) -> str:
    commit = subprocess.run(
        ["git", "log", "-1", "--format=%h of %cs"], cwd=options.suite, capture_output=True, text=True, check=True
    ).stdout.strip()
    run, passed = Counter[str](), Counter[str]()
    for verdict in verdicts.values():
        for area in verdict.areas or ("plain",):
            run[area] += verdict.outcome != "skipped"
            passed[area] += verdict.outcome == "passed"
    total = sum(verdict.outcome != "skipped" for verdict in verdicts.values())
    reached = sum(verdict.outcome == "passed" for verdict in verdicts.values())
    rows = [f"| {area} | {passed[area]} | {run[area]} |" for area in sorted(run) if run[area]]
    asked = "" if options.backend == DISK else " that pass on a disk"
    head = [
        f"Suite at {commit}: **{reached} of {total}**{asked} pass.",
        "",
        "| area | pass | run |",
        "| --- | --- | --- |",
    ]
    return "\n".join([*head, *rows, ""])


if __name__ == "__main__":
    sys.exit(main())
