"""docs/operations.md says of every operation of S3 whether it is served, as the table does."""

import gzip
import json
import re
from pathlib import Path

import botocore

from gateway.operations.demands import REFUSED
from gateway.operations.table import SUPPORTED

PAGE = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()
MODEL = json.loads(
    gzip.decompress((Path(botocore.__file__).parent / "data/s3/2006-03-01/service-2.json.gz").read_bytes())
)
ROWS = re.findall(r"^\| ([A-Za-z0-9]+) \| (yes|partly|refused) \|(.*)\|$", PAGE, re.MULTILINE)


def test_the_page_lists_every_operation_of_s3_once():
    names = [name for name, _, _ in ROWS]
    assert len(names) == len(set(names))
    assert set(names) == set(MODEL["operations"]) | {"PostObject"}


def test_the_page_says_of_each_operation_what_the_table_says():
    assert {name for name, served, _ in ROWS if served != "refused"} == {row.name for row in SUPPORTED}


def test_what_is_served_partly_says_what_is_missing():
    assert all(remarks.strip() for _, served, remarks in ROWS if served == "partly")


def test_the_page_lists_the_headers_that_are_refused():
    assert set(re.findall(r"^\| `(x-amz-[a-z0-9-]+)` \|", PAGE, re.MULTILINE)) == set(REFUSED)
