"""A long job in small steps: one digest over many files, saved after each, so that another agent can go on where this one ends."""

import hashlib
import json
import sys
import time
from pathlib import Path

# Slow enough to be watched, and to be killed half way.
STEP_SECONDS = 0.15


def step(before: str, path: str) -> str:
    """The digest after one more file."""
    content = hashlib.sha256(Path(path).read_bytes())
    return hashlib.sha256(before.encode() + content.digest()).hexdigest()


def run(task: dict, files: list[str]) -> dict:
    """Digest the files that no earlier run has."""
    saved = json.loads(task["checkpoint"]["text"]) if "checkpoint" in task else {"done": 0, "digest": ""}
    digest, skipped = saved["digest"], saved["done"]
    for number, path in enumerate(files[skipped:], skipped + 1):
        digest = step(digest, path)
        time.sleep(STEP_SECONDS)
        say(
            progress=100 * number // len(files),
            message=f"{number} of {len(files)}: {path}",
            checkpoint=json.dumps({"done": number, "digest": digest}),
            step_id=path,
        )
    return {"digest": digest, "files": len(files), "skipped": skipped}


def say(**event: object) -> None:
    """One event for fleet-agent, at once."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()
