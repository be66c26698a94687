"""Pages point only to what is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
MENTION = re.compile(r"`((?:gateway|tests|docs|benchmarks|changelog|requirements)/[\w./-]*|[\w-]+\.(?:md|toml))`")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def _tracked(*patterns: str) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


PAGES = _tracked("*.md")


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_to_files_and_headings_that_exist(page: str):
    text = BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
    broken = [link for link in LINK.findall(text) if ":" not in link and not _leads_somewhere(page, link)]
    assert broken == []


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_mentioned_exist(page: str):
    text = BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
    assert [name for name in MENTION.findall(text) if not _exists(page, name)] == []


def _leads_somewhere(page: str, link: str) -> bool:
    path, _, heading = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    if not target.exists():
        return False
    return not heading or heading in {_anchor(title) for title in HEADING.findall(target.read_text(encoding="utf-8"))}


def _exists(page: str, name: str) -> bool:
    return (ROOT / name).exists() or ((ROOT / page).parent / name).exists()


def _anchor(title: str) -> str:
    """Return what a heading is called in links, as GitHub writes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
