"""The program of the hosts in the demo: paints a poster in steps, in one process for each, and goes on where an earlier run of the task stopped."""

import json
import os
import sys
import time

STEPS = 10
# Slow enough to be stopped in the middle.
STEP_SECONDS = 0.2

text = sys.stdin.buffer.read().decode()
begun = int(os.environ.get("FLEETD_CHECKPOINT", "0"))
for step in range(begun + 1, STEPS + 1):
    time.sleep(STEP_SECONDS)
    print(json.dumps({"progress": 100 * step // STEPS, "message": f"layer {step}"}), flush=True)
    print(json.dumps({"checkpoint": str(step), "step_id": f"layer-{step}"}), flush=True)
print(json.dumps({"result": {"text": text, "host": os.environ["HOST"], "layers_before": begun}}))
