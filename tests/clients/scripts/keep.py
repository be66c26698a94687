"""Keep one promise of a script: `python keep.py with_boto3 keys_of_any_script_round_trip`."""

import asyncio
import importlib
import inspect
import sys

script, promise = sys.argv[1:]
kept = getattr(importlib.import_module(script), promise)()
if inspect.iscoroutine(kept):
    asyncio.run(kept)
