"""
What an issue or a pull request of Forgejo or Gitea means for tasks (spec M6): the decision, without the form in which the forge tells it.

An issue with labels `agent:*` is a task; its name is `forgejo:<owner>/<repo>#<number>`, kept as the task's external_ref.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fleetd.core import runs
from fleetd.core.event import EventType
from fleetd.core.interventions import Cancel, Update
from fleetd.core.ledger import Delivered, Edge, Keys, Ledger
from fleetd.core.submission import Submission, Submit, Taken
from fleetd.core.task import WAITING, Order, Priority, Spec, Status, Task
from fleetd.errors import FleetError, Unavailable

AGENT = "agent:"
PRIORITY = "priority:"
CAPABILITY = re.compile(r"[A-Za-z0-9._\-/]+(:[A-Za-z0-9._\-/]+)*")
LONGEST_WORD = 128
TITLE, DESCRIPTION, URL = 500, 65_536, 1_000
"""Characters that are kept; what is longer ends with an ellipsis, for nobody is there to mend it."""
CAPABILITIES = 64
UNLABELLED = "the issue has no agent label any more"
"""Why a task was cancelled that comes back when it is labelled again."""
CLOSES = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+#(\d{1,9})\b", re.IGNORECASE)
BRANCH = re.compile(r"(?:^|[/_-])issue-(\d{1,9})(?!\d)", re.IGNORECASE)
MOST_ISSUES = 10
"""Issues of one pull request that are looked for."""


@dataclass(frozen=True, slots=True)
class IssueRules:
    """`org` of tasks from issues, "" = the owner of the repository; `complete_on_merge`: see Pull."""

    org: str = ""
    complete_on_merge: bool = False


class Place(NamedTuple):
    """Where it happened: `source` is forgejo or gitea, `repo` is owner/name, of which the owner may be the name of an org."""

    source: str
    repo: str

    @property
    def owner(self) -> str:
        return self.repo.partition("/")[0]

    def ref(self, number: int) -> str:
        """Return the external_ref of an issue's task."""
        return f"{self.source}:{self.repo}#{number}"

    def org(self, rules: IssueRules) -> str:
        """Return the org of the tasks."""
        return rules.org or self.owner


class Outcome(NamedTuple):
    """Answer of both commands: the task, if there is one, and why nothing changed ("" when something did)."""

    task_id: str = ""
    ignored: str = ""


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue as it is after what happened. `action`: opened, labels, edited, closed or reopened."""

    action: str
    place: Place
    number: int
    title: str
    body: str
    labels: tuple[str, ...]
    url: str
    open: bool = True

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the labels agent:* ask for; labels that name no capability are left out."""
        words = (label[len(AGENT) :].strip() for label in self.labels if label.startswith(AGENT))
        good = (word for word in words if len(word) <= LONGEST_WORD and CAPABILITY.fullmatch(word))
        return tuple(dict.fromkeys(good))[:CAPABILITIES]

    @property
    def priority(self) -> Priority:
        """The highest one that a label priority:* names, else MEDIUM."""
        names = (
            label[len(PRIORITY) :].strip().upper() for label in self.labels if label.startswith(PRIORITY)
        )
        return max(
            (Priority[name] for name in names if name in Priority.__members__), default=Priority.MEDIUM
        )


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request; `state` is what happened to it: opened, merged or closed (without a merge)."""

    place: Place
    number: int
    title: str
    body: str
    branch: str
    url: str
    state: str

    @property
    def issues(self) -> tuple[int, ...]:
        """Numbers of the issues it names: "closes #7" or "fixes #7" in its text, or issue-7 in the name of its branch."""
        found = [int(number) for number in CLOSES.findall(f"{self.title}\n{self.body}")]
        found += [int(number) for number in BRANCH.findall(self.branch)]
        return tuple(dict.fromkeys(found))[:MOST_ISSUES]


@dataclass(frozen=True, slots=True)
class TakeIssue:
    """
    Do what an issue asks for, once for each delivery. Answer: Outcome.

    `delivery` is the forge's id of it, `digest` that of its body, `new_id` of the task if one is made; `newest` names the newest task of
    the issue, finished or not, "" when there is none.
    """

    issue: Issue
    rules: IssueRules
    delivery: str
    digest: str
    new_id: str
    newest: str = ""

    def keys(self) -> Keys:
        org, place = self.issue.place.org(self.rules), self.issue.place
        return Keys(
            task_ids=(self.newest,) if self.newest else (),
            idempotency=((org, self._key),),
            external_refs=((org, place.ref(self.issue.number)),),
            deliveries=_names(place, self.delivery, self.digest),
        )

    def more(self, ledger: Ledger) -> Keys | None:
        org = self.issue.place.org(self.rules)
        known = (self._open(ledger), ledger.task_by_key(org, self._key))
        ids = tuple(dict.fromkeys(task.id for task in known if task is not None))
        return Keys(specs=ids) if ids else None

    def apply(self, ledger: Ledger) -> Outcome:
        return _once(
            ledger, _names(self.issue.place, self.delivery, self.digest), lambda: self._decide(ledger)
        )

    @property
    def _key(self) -> str:
        return f"{self.issue.place.source}:{self.digest}"

    def _open(self, ledger: Ledger) -> Task | None:
        place = self.issue.place
        return ledger.task_by_ref(place.org(self.rules), place.ref(self.issue.number))

    def _decide(self, ledger: Ledger) -> Outcome:
        task, action = self._open(ledger), self.issue.action
        if task is None:
            return self._without(ledger)
        if action == "reopened" and task.order is Order.CANCEL:
            raise Unavailable("TASK_STOPPING", f"task {task.id} is still being stopped; deliver again", 5_000)
        if action == "closed":
            return self._cancel(ledger, task, f"issue #{self.issue.number} was closed")
        if action == "labels":
            return self._relabel(ledger, task)
        if action == "edited":
            return self._edit(ledger, task)
        return Outcome(task.id, "the issue has a task already")

    def _without(self, ledger: Ledger) -> Outcome:
        """Decide about an issue that has no unfinished task."""
        issue = self.issue
        last = ledger.task(self.newest) if self.newest else None
        known = last.id if last is not None else ""
        if issue.action in ("closed", "edited"):
            return Outcome(known, "the issue has no unfinished task")
        if not issue.open:
            return Outcome(known, "the issue is closed")
        if not issue.capabilities:
            return Outcome(known, "no label agent:* names a capability")
        if last is None:
            return self._submit(ledger, "")
        unlabelled = last.status is Status.CANCELLED and last.error_message == UNLABELLED
        if issue.action == "reopened" or (issue.action == "labels" and unlabelled):
            return self._submit(ledger, last.id)
        return Outcome(known, f"the issue had a task, which is {last.status.name}")

    def _submit(self, ledger: Ledger, parent: str) -> Outcome:
        issue, place = self.issue, self.issue.place
        spec = Spec(
            title=_short(issue.title, TITLE) or place.ref(issue.number),
            description=_short(issue.body, DESCRIPTION),
            metadata={"repo": place.repo, "issue": str(issue.number), "url": _short(issue.url, URL)},
            required_capabilities=issue.capabilities,
        )
        item = Submission(
            self.new_id,
            place.org(self.rules),
            spec,
            priority=issue.priority,
            parent_task_id=parent,
            external_ref=place.ref(issue.number),
            idempotency_key=self._key,
            body_hash=self.digest.encode(),
        )
        answer: Taken | FleetError = Submit((item,)).apply(ledger)[0]
        if isinstance(answer, FleetError):
            raise answer
        task = answer.task
        if parent and not answer.duplicate:
            ledger.changes.edges.append(
                Edge(task.seq, "reopened_from", parent, ledger.now, f"issue #{issue.number} {issue.action}")
            )
        return Outcome(task.id, "taken before" if answer.duplicate else "")

    def _relabel(self, ledger: Ledger, task: Task) -> Outcome:
        issue = self.issue
        if not issue.capabilities:
            if task.status is Status.RUNNING:
                return Outcome(task.id, "the task runs and goes on, though no agent label is left")
            if task.status is Status.ASSIGNED and task.order is Order.NONE:
                # Nobody began: handed back it ends now, and for the reason that lets a label bring it back.
                runs.release(ledger, task, UNLABELLED, tell=True)
            return self._cancel(ledger, task, UNLABELLED)
        spec = ledger.specs[task.seq]
        same = task.priority is issue.priority and set(spec.required_capabilities) == set(issue.capabilities)
        if same:
            return Outcome(task.id, "neither capabilities nor priority changed")
        changes = {"required_capabilities": issue.capabilities, "priority": issue.priority}
        return self._update(ledger, task, changes)

    def _edit(self, ledger: Ledger, task: Task) -> Outcome:
        changes = {
            "title": _short(self.issue.title, TITLE) or self.issue.place.ref(self.issue.number),
            "description": _short(self.issue.body, DESCRIPTION),
        }
        return self._update(ledger, task, changes)

    def _update(self, ledger: Ledger, task: Task, changes: Mapping[str, object]) -> Outcome:
        if task.status not in WAITING:
            return Outcome(task.id, f"the task is {task.status.name}: it changes only while it waits")
        Update(task.id, changes).apply(ledger)
        return Outcome(task.id)

    def _cancel(self, ledger: Ledger, task: Task, reason: str) -> Outcome:
        answer = Cancel((task.id,), reason).apply(ledger)[0]
        if isinstance(answer, FleetError):
            raise answer
        return Outcome(task.id)


@dataclass(frozen=True, slots=True)
class TakePull:
    """
    Note at the first of its issues that has a task what became of a pull request. Answer: Outcome.

    A merge also ends the task when the rules say so: a run that is under way completes, and a task nobody has begun is cancelled, for
    PENDING never goes to COMPLETED (T2). `newest` are the newest tasks of the issues, in their order.
    """

    pull: Pull
    rules: IssueRules
    delivery: str
    digest: str
    newest: tuple[str, ...] = ()

    def keys(self) -> Keys:
        names = _names(self.pull.place, self.delivery, self.digest)
        return Keys(task_ids=self.newest, deliveries=names)

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> Outcome:
        names = _names(self.pull.place, self.delivery, self.digest)
        return _once(ledger, names, lambda: self._decide(ledger))

    def _decide(self, ledger: Ledger) -> Outcome:
        tasks = (ledger.task(task_id) for task_id in self.newest)
        task = next((task for task in tasks if task is not None), None)
        if task is None:
            return Outcome("", "the pull request names no issue that has a task")
        self._note(ledger, task)
        return Outcome(task.id)

    def _note(self, ledger: Ledger, task: Task) -> None:
        pull = self.pull
        url = _short(pull.url, URL)
        ledger.touch(task)
        ledger.event(
            task,
            EventType.TASK_UPDATED,
            {"fields": [], "pull_request": pull.number, "url": url, "state": pull.state},
        )
        ledger.changes.edges.append(
            Edge(task.seq, "pull_request", task.id, ledger.now, f"#{pull.number} {pull.state} {url}")
        )
        if pull.state != "merged" or not self.rules.complete_on_merge:
            return
        if task.live:
            runs.complete(ledger, task, None, (), tell=True)
        elif task.status in WAITING:
            Cancel((task.id,), f"pull request #{pull.number} was merged").apply(ledger)


def _names(place: Place, delivery: str, digest: str) -> tuple[tuple[str, str], ...]:
    """Return what a delivery is known by: the forge's id of it, which is not signed and new when somebody sends it again, and the digest of its body."""
    return tuple((place.source, name) for name in dict.fromkeys((delivery, digest)))


def _once(ledger: Ledger, names: tuple[tuple[str, str], ...], decide: Callable[[], Outcome]) -> Outcome:
    """Decide about a delivery, or return what was decided when it came for the first time."""
    before = next((ledger.deliveries[name] for name in names if name in ledger.deliveries), None)
    if before is not None:
        return Outcome(before.task_id, before.ignored)
    outcome = decide()
    for source, name in names:
        ledger.deliver(Delivered(source, name, *outcome, ledger.now))
    return outcome


def _short(text: str, limit: int) -> str:
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
