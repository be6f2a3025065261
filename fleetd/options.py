"""
The sections of the configuration, with units, defaults and bounds. How values get here is told in fleetd.config, what kinds of them there are in
fleetd.option_types.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fleetd.option_types import (
    KIB,
    MIB,
    SECOND,
    Address,
    Count,
    Directory,
    DirectoryName,
    Duration,
    FileName,
    Grace,
    OptionalAddress,
    OrgName,
    Ratio,
    RolloutName,
    Size,
    Template,
    VariableName,
    WebAddress,
    Whole,
)


class Section(BaseModel):
    """Values of one table of the file; frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Data(Section):
    dir: Directory = Field(
        default=Path("var"), description="Directory of the database and its lock; made when missing."
    )


class Rpc(Section):
    listen: Address = Field(
        default="127.0.0.1:50051", description="host:port, [IPv6]:port or unix:PATH; port 0 takes a free one."
    )
    insecure: bool = Field(
        default=False,
        description="Listen where other machines can connect, though nothing proves who they are.",
    )
    max_message_bytes: Size = Field(
        default=8 * MIB, ge=64 * KIB, description="The largest message either way; holds a batch of inputs."
    )


class Web(Section):
    listen: OptionalAddress = Field(
        default="", description="Address of the side HTTP port, such as 127.0.0.1:8080; empty = off."
    )
    insecure: bool = Field(
        default=False,
        description="Listen where other machines can connect, though nothing proves who they are.",
    )
    max_body_bytes: Size = Field(
        default=8 * MIB, ge=64 * KIB, description="The largest body of a request; most methods allow less."
    )
    body_timeout: Duration = Field(default=30 * SECOND, description="For a body to arrive.")
    max_connections: Count = Field(
        default=1_000, description="Connections at once; callers beyond them get 503."
    )


class Webhooks(Section):
    secret_file: FileName = Field(
        default="",
        description="File that holds the secret Forgejo or Gitea signs deliveries with; none = no webhooks.",
    )
    secret_env: VariableName = Field(
        default="", description="Environment variable that holds this secret; instead of secret_file."
    )
    org: OrgName = Field(
        default="", description="Org of tasks made from issues; empty = the owner of the repository."
    )
    complete_on_merge: bool = Field(
        default=False, description="Complete an issue's task when a pull request that closes it is merged."
    )
    comment_url: WebAddress = Field(
        default="",
        description="Address of the Forgejo whose issues get the result of their task as a comment; empty = none.",
    )
    comment_token_file: FileName = Field(
        default="", description="File that holds the access token comments are posted with."
    )


class Engine(Section):
    queue_limit: Count = Field(
        default=10_000,
        description="Commands waiting for the writer; beyond it callers get RESOURCE_EXHAUSTED.",
    )
    batch_limit: Count = Field(default=1_000, description="Commands of one transaction.")


class Agents(Section):
    heartbeat_min: Duration = Field(
        default=10 * SECOND, description="The shortest interval an agent is told to keep."
    )
    heartbeat_max: Duration = Field(
        default=60 * SECOND, description="The longest one, however large the fleet."
    )
    agents_per_second: Count = Field(
        default=500, description="Heartbeats a second to spread a large fleet to."
    )
    missed_heartbeats: Count = Field(
        default=3, description="Missed in a row until an agent is lost; its lease lives as long."
    )
    error_after_failures: Count = Field(
        default=5, description="Failures of its own in a row until an agent gets no work."
    )
    error_trial_after: Duration = Field(
        default=60 * SECOND, description="Until such an agent gets one task on trial."
    )
    outbox_limit: Count = Field(
        default=10_000,
        description="Acknowledgements one agent may leave unread; beyond it its stream is ended.",
    )


class Tasks(Section):
    offer_timeout: Duration = Field(
        default=5 * SECOND, description="For accepting an offer before it goes back to the queue."
    )
    stop_grace: Grace = Field(
        default=30 * SECOND, description="From an order to stop until the lease ends without confirmation."
    )
    default_timeout: Duration = Field(
        default=300 * SECOND, description="Run timeout on an agent where a task sets none."
    )
    host_timeout: Duration = Field(
        default=3_600 * SECOND, description="Run timeout on a host where a task sets none."
    )
    max_attempts: Count = Field(
        default=3, description="Runs of a task before it goes to the dead letters, where it sets none."
    )
    retry_initial: Grace = Field(default=1 * SECOND, description="Delay before the second attempt.")
    retry_multiplier: float = Field(default=2.0, ge=1, description="Growth of the delay with each attempt.")
    retry_max: Grace = Field(default=60 * SECOND, description="The longest delay.")
    retry_jitter: Ratio = Field(
        default=0.2, description="Share of a delay that is left to chance: 0.2 means plus or minus 20 %."
    )
    input_max_bytes: Size = Field(default=1 * MIB, description="The largest input, checkpoint or output.")
    batch_max: Count = Field(default=1_000, description="Tasks in one SubmitTasks.")
    labels_max: Count = Field(default=64, description="Labels of one task.")
    tags_max: Count = Field(default=64, description="Tags of one task.")
    title_max_chars: Count = Field(default=500, description="Characters of a title.")
    description_max_chars: Count = Field(default=65_536, description="Characters of a description.")


class Queue(Section):
    ageing: Duration = Field(
        default=600 * SECOND, description="Wait after which a task's priority counts one step higher."
    )
    max_pending: Count = Field(
        default=1_000_000, description="Waiting tasks of one org, where no rule says otherwise."
    )


class DeadLetters(Section):
    replay_limit: Count = Field(default=3, description="Replays of one dead letter.")
    auto_replay: bool = Field(
        default=False, description="Replay dead letters whose last error may pass by itself."
    )
    auto_replay_after: Duration = Field(
        default=300 * SECOND, description="Wait before the first such replay; doubled with each."
    )
    auto_replay_max: Duration = Field(default=3_600 * SECOND, description="The longest such wait.")


class Router(Section):
    providers_file: FileName = Field(
        default="",
        description="JSON file of providers and their instances; empty = none. Read again on SIGHUP.",
    )
    failover_file: FileName = Field(
        default="", description="JSON file of the failover list; empty = none. Read again on SIGHUP."
    )
    plan_max_age: Duration = Field(
        default=60 * SECOND, description="Age beyond which a plan is made anew instead of verified."
    )
    fallbacks: Whole = Field(
        default=2, le=10, description="Fallbacks of a plan that asks for no number, 0 to 10."
    )
    plans_kept: Count = Field(default=10_000, description="Plans of standalone routes that are remembered.")
    plans_for: Duration = Field(default=3_600 * SECOND, description="How long each of them is.")
    ladder_jitter: Ratio = Field(
        default=0.2, description="Share left to chance of the 1, 2, 4 s before a retry on the same instance."
    )
    breaker_strikes: Count = Field(default=3, description="Failures in a row that open a breaker.")
    breaker_open_for: Duration = Field(
        default=300 * SECOND, description="How long an open breaker lets nothing through."
    )
    breaker_auth_open_for: Duration = Field(
        default=1_800 * SECOND, description="The same after refused credentials or an unpaid bill."
    )
    breaker_window: Duration = Field(
        default=60 * SECOND, description="Calls of this time count for the ratio of failures."
    )
    breaker_min_calls: Count = Field(default=10, description="Calls in it before the ratio says anything.")
    breaker_ratio: Ratio = Field(
        default=0.5, description="Share of failed calls above which a breaker opens too."
    )
    breaker_per_attempt: bool = Field(
        default=False, description="Count every failed try as a strike, not only the one that ends a call."
    )
    probe_lease: Duration = Field(
        default=60 * SECOND, description="For the one call through a half-open breaker to report."
    )
    blocked_look: Count = Field(
        default=1_000, description="Blocked tasks looked at in one go when an instance or breaker changes."
    )


class Probes(Section):
    interval: Duration = Field(default=10 * SECOND, description="Between two probes of one instance.")
    jitter: Ratio = Field(
        default=0.2, description="Share of the interval left to chance: 0.2 means plus or minus 20 %."
    )
    timeout: Duration = Field(default=1_500, description="For one probe.")
    concurrency: Count = Field(default=64, le=1_000, description="Probes at once, 1000 at most.")
    failures_to_error: Count = Field(default=2, description="In a row, until an instance is in ERROR.")
    slow: Duration = Field(
        default=1 * SECOND,
        description="Mean latency above which an instance is DEGRADED, until it falls below 80 % of this.",
    )
    ewma: Ratio = Field(
        default=0.3, gt=0, description="Weight of a new latency in the mean: above 0, at most 1."
    )


class Hosts(Section):
    file: FileName = Field(
        default="",
        description="JSON file of hosts, on which the daemon runs tasks itself; empty = none. Read again on SIGHUP.",
    )
    check_every: Duration = Field(default=30 * SECOND, description="Between two checks of one host.")
    failures_to_offline: Count = Field(
        default=2, description="Checks in a row that fail, until a host is OFFLINE."
    )
    grace: Grace = Field(default=10 * SECOND, description="Between TERM and KILL for a run that shall end.")
    markers: DirectoryName = Field(
        default=".fleetd/runs",
        description="Directory on the host that tells what runs there; a relative one lies below the home, for localhost below data.dir.",
    )


class Modes(Section):
    prefer: Literal["host", "agent", "least_loaded"] = Field(
        default="host",
        description="Who gets a task that a free host and a waiting agent could both take: host, agent or least_loaded.",
    )
    undecided_for: Grace = Field(
        default=30 * SECOND,
        description="How long a task whose mode nobody named waits for a host before it is left to agents; 0s = not at all.",
    )


class Rollouts(Section):
    file: FileName = Field(
        default="",
        description="TOML file of rollouts, [[rollouts]] tables; empty = none. Read again on SIGHUP.",
    )
    chat: RolloutName = Field(
        default="chat", description="Name of the rollout that /api/v1/runtime/* shows and changes."
    )


class Alerts(Section):
    url: WebAddress = Field(default="", description="Where alerts are posted; empty = nowhere.")
    url_file: FileName = Field(
        default="", description="File that holds this address, where it has a secret in it; instead of url."
    )
    template: Template = Field(
        default='{"text": "fleetd: {kind} {name} {state} ({reason}) at {time}"}',
        description="The body; {kind} {name} {state} {reason} {time} are replaced. See docs/alerts.md.",
    )
    content_type: Literal["application/json", "text/plain"] = Field(
        default="application/json", description="application/json, whose values are escaped, or text/plain."
    )
    dead_letters_above: Whole = Field(
        default=0, description="More dead letters than this are an alert; 0 = never."
    )
    timeout: Duration = Field(default=5 * SECOND, description="For one attempt.")
    attempts: Count = Field(default=6, description="In all, with a growing wait between them.")
    queue: Count = Field(
        default=1_000, description="Alerts that may wait; when there are more the oldest leave."
    )


class Retention(Section):
    tasks: Grace = Field(
        default=7 * 86_400 * SECOND,
        description="For finished tasks with their results; 0s keeps them for ever.",
    )
    dead_letters: Grace = Field(
        default=30 * 86_400 * SECOND, description="For dead letters; 0s keeps them for ever."
    )
    events: Grace = Field(default=7 * 86_400 * SECOND, description="For the event log; 0s keeps it for ever.")
    audits: Grace = Field(
        default=365 * 86_400 * SECOND, description="For the audit log; 0s keeps it for ever."
    )
    interval: Duration = Field(default=60 * SECOND, description="Between two looks at what may leave.")


class Drain(Section):
    deadline: Grace = Field(
        default=30 * SECOND, description="For agents to finish their work when the daemon stops."
    )
    grace: Grace = Field(default=2 * SECOND, description="For the calls still under way after that.")


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is written: debug, info, warning or error."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else JSON lines; always to stderr."
    )


class Config(Section):
    """Everything that can be set. The daemon maps it to the options its rooms declare."""

    data: Data = Data()
    rpc: Rpc = Rpc()
    web: Web = Web()
    webhooks: Webhooks = Webhooks()
    engine: Engine = Engine()
    agents: Agents = Agents()
    tasks: Tasks = Tasks()
    queue: Queue = Queue()
    dead_letters: DeadLetters = DeadLetters()
    router: Router = Router()
    probes: Probes = Probes()
    hosts: Hosts = Hosts()
    modes: Modes = Modes()
    rollouts: Rollouts = Rollouts()
    alerts: Alerts = Alerts()
    retention: Retention = Retention()
    drain: Drain = Drain()
    log: Log = Log()
