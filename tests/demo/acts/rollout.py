"""
A new way to answer takes over half of the sessions, and shadows the other half; it breaks, the daemon falls back by itself, tries again when it is mended,
and comes back. What the new one does is watched while it does it.
"""

from __future__ import annotations

import re
from collections import Counter

from scene import Order, Scene

from fleet.v1.task_pb2 import TaskStatus

OLD, NEW = "direct_llm", "runtime_orchestrator"
ROLLOUT = {
    "name": "chat",
    "old_mode": {"name": OLD, "required_capabilities": [OLD]},
    "new_mode": {"name": NEW, "required_capabilities": [NEW]},
    "percent": 50,
    "bucket_by": "ROLLOUT_BUCKET_SESSION",
    "shadow_percent": 100,
    # Seconds instead of minutes, so that one can look on.
    "fallback": {"error_rate": 0.2, "min_samples": 4, "dwell": "1s", "trial_percent": 50, "trial_for": "10s"},
    "targets": {"error_rate": 0.05},
}
SESSIONS = 20
WAIT_SECONDS = 15.0
KINDS = ["plan_step", "skill_call", "skill_result", "plan_step", "message", "done"]


async def play(scene: Scene) -> None:
    client, stage = scene.client, scene.stage
    for mode in (OLD, NEW):
        await stage.start_chatter(mode)
    await client.put_rollout(ROLLOUT)
    scene.orders.append(Order("PutRollout", "chat", ""))
    scene.did("PutRollout", f"chat: half of the sessions move from {OLD} to {NEW}, the others are shadowed")

    tasks = await _ask(scene, SESSIONS)
    shares = Counter(task.rollout.mode for task in tasks)
    right = shares[OLD] > 0 and shares[NEW] > 0 and all(_well(task) for task in tasks)
    text = f"{len(tasks)} answers, {shares[OLD]} by {OLD}, {shares[NEW]} by {NEW}"
    scene.saw("WaitTasks", text, "" if right else "both modes were expected to answer")

    one = next(task for task in tasks if task.rollout.mode == NEW)
    await scene.fleetctl("tasks", "stream", one.id)
    told = [event.WhichOneof("data") async for event in client.watch_task(one.id)]
    scene.saw("WatchTask", " ".join(told), "" if told == KINDS else f"{' '.join(KINDS)} expected")

    pairs = [pair async for pair in client.comparisons("chat") if pair.HasField("finished_at")]
    same = sum(pair.output == 1 and pair.same_status for pair in pairs)
    problem = "" if pairs and same == len(pairs) else "equal results were expected"
    scene.saw("ListComparisons", f"{len(pairs)} shadows, {same} with the same result", problem)

    stage.broken.touch()
    scene.did("break", f"{NEW}: every run fails with 503")
    failed = await _ask(scene, SESSIONS)
    fallen = await scene.happened("ROLLOUT_FALLBACK_ON")
    lost = [task for task in failed if not _well(task)]
    right = bool(lost) and all(task.rollout.mode == NEW for task in lost)
    scene.saw(
        "ROLLOUT_FALLBACK_ON", fallen.payload["reason"], "" if right else f"only {NEW} was expected to fail"
    )
    tasks = await _ask(scene, SESSIONS // 2)
    causes = {task.rollout.mode for task in tasks if not task.rollout.trial}
    problem = "" if causes == {OLD} else f"all were expected in {OLD}"
    scene.saw("SubmitTask", f"from now on everything but trials is done by {OLD}", problem)

    stage.broken.unlink()
    scene.did("mend", NEW)
    async for _ in _until_back(scene):
        await _ask(scene, SESSIONS // 2)
    scene.saw("fallback off", "a trial went well, and nobody had to do anything")
    tasks = await _ask(scene, SESSIONS)
    again = Counter(task.rollout.mode for task in tasks)
    problem = "" if again == shares else f"the same sessions as before were expected: {dict(shares)}"
    scene.saw(
        "WaitTasks", f"{again[OLD]} by {OLD}, {again[NEW]} by {NEW}: the same sessions as before", problem
    )

    shown = await scene.fleetctl("rollouts", "metrics", "chat")
    scene.saw("fleetctl rollouts", "both modes side by side", "" if re.search(NEW, shown) else "no figures")
    state = await client.force_fallback("chat", reason="it is Friday", duration=60)
    scene.ordered("ForceFallback", "chat", f"everything by {OLD} for a minute", "it is Friday")
    decision = await client.decide_mode("chat", session_id="s-0")
    scene.saw(
        "DecideMode", decision.reason, "" if state.fallback and decision.mode == OLD else f"{OLD} expected"
    )
    await client.reset_fallback("chat", reason="we dare")
    scene.ordered("ResetFallback", "chat", "as before", "we dare")


async def _ask(scene: Scene, count: int) -> list:
    """Submit questions of so many sessions, and return their tasks when they have ended."""
    questions = [
        await scene.client.submit(f"question {n}", input=f"question {n}", rollout="chat", session_id=f"s-{n}", max_attempts=1)
        for n in range(count)
    ]  # fmt: skip
    ended = await scene.client.wait_many([task.id for task in questions], timeout=WAIT_SECONDS)
    return list(ended.tasks)


async def _until_back(scene: Scene):
    """Yield until the rollout is back to normal; more questions are asked meanwhile, for a trial needs some."""
    while True:
        found = await scene.client.get_rollout("chat")
        if not found.fallback.fallback:
            return
        yield found


def _well(task) -> bool:
    return task.status == TaskStatus.TASK_STATUS_COMPLETED
