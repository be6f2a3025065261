"""How the configuration becomes the options that the rooms declare."""

from __future__ import annotations

from collections.abc import Mapping

from fleetd import chat_environment
from fleetd.api.limits import Limits
from fleetd.bridges.comments import CommentOptions
from fleetd.bridges.webhook import WebhookOptions
from fleetd.config import Config, ConfigError, alert_address, comment_token, webhook_secret
from fleetd.core.breaker import BreakerRules
from fleetd.core.issue import IssueRules
from fleetd.core.modes import Prefer
from fleetd.core.probing import ProbeRules
from fleetd.core.rollout import Rollout
from fleetd.core.settings import RouterRules, Rules
from fleetd.core.task import RetryPolicy
from fleetd.engine.engine_options import EngineOptions
from fleetd.engine.retention import RetentionOptions
from fleetd.engine.route_ring import RouterOptions
from fleetd.probes.prober import ProbeOptions
from fleetd.web.issues import IssueOptions


def rules(config: Config) -> Rules:
    """Return the rules' numbers from the configuration."""
    tasks, agents = config.tasks, config.agents
    return Rules(
        offer_timeout=tasks.offer_timeout,
        stop_grace=tasks.stop_grace,
        default_timeout=tasks.default_timeout,
        host_timeout=tasks.host_timeout,
        retry=retry_policy(config),
        heartbeat_min=agents.heartbeat_min,
        heartbeat_max=agents.heartbeat_max,
        agents_per_second=agents.agents_per_second,
        missed_heartbeats=agents.missed_heartbeats,
        error_after_failures=agents.error_after_failures,
        error_trial_after=agents.error_trial_after,
        ageing=config.queue.ageing,
        max_pending=config.queue.max_pending,
        replay_limit=config.dead_letters.replay_limit,
        auto_replay=config.dead_letters.auto_replay,
        auto_replay_after=config.dead_letters.auto_replay_after,
        auto_replay_max=config.dead_letters.auto_replay_max,
        router=router_rules(config),
        prefer=Prefer(config.modes.prefer),
        undecided_for=config.modes.undecided_for,
    )


def router_rules(config: Config) -> RouterRules:
    """Return the numbers of the Router from the configuration."""
    router = config.router
    return RouterRules(
        plan_max_age=router.plan_max_age,
        fallbacks=router.fallbacks,
        ladder_jitter=router.ladder_jitter,
        blocked_look=router.blocked_look,
        breakers=breaker_rules(config),
    )


def retry_policy(config: Config) -> RetryPolicy:
    """Return the policy of tasks that name none."""
    tasks = config.tasks
    return RetryPolicy(tasks.retry_initial, tasks.retry_multiplier, tasks.retry_max, tasks.retry_jitter)


def engine_options(config: Config) -> EngineOptions:
    """Return the engine's limits from the configuration."""
    return EngineOptions(
        queue_limit=config.engine.queue_limit,
        batch_limit=config.engine.batch_limit,
        outbox_limit=config.agents.outbox_limit,
        router=RouterOptions(config.router.plans_kept, config.router.plans_for),
    )


def retention(config: Config) -> RetentionOptions:
    """Return how long rows are kept from the configuration."""
    kept = config.retention
    return RetentionOptions(
        tasks=kept.tasks,
        dead_letters=kept.dead_letters,
        events=kept.events,
        audits=kept.audits,
        interval=kept.interval,
    )


def breaker_rules(config: Config) -> BreakerRules:
    """Return when breakers open from the configuration."""
    router = config.router
    return BreakerRules(
        strikes=router.breaker_strikes,
        open_for=router.breaker_open_for,
        auth_open_for=router.breaker_auth_open_for,
        window=router.breaker_window,
        window_calls=router.breaker_min_calls,
        window_ratio=router.breaker_ratio,
        probe_lease=router.probe_lease,
        per_attempt=router.breaker_per_attempt,
    )


def probe_options(config: Config) -> ProbeOptions:
    """Return how instances are probed from the configuration."""
    probes = config.probes
    rules = ProbeRules(failures_to_error=probes.failures_to_error, slow=probes.slow, weight=probes.ewma)
    return ProbeOptions(probes.interval, probes.jitter, probes.timeout, probes.concurrency, rules)


def webhook_options(config: Config) -> WebhookOptions | None:
    """Return where alerts go from the configuration; None when nowhere. Raises ConfigError."""
    alerts = config.alerts
    url = alert_address(config)
    if not url:
        return None
    return WebhookOptions(
        url=url,
        template=alerts.template,
        content_type=alerts.content_type,
        dead_letters_above=alerts.dead_letters_above,
        timeout=alerts.timeout,
        attempts=alerts.attempts,
        queue=alerts.queue,
    )


def issue_options(config: Config, environ: Mapping[str, str]) -> IssueOptions | None:
    """Return how deliveries of issues are taken from the configuration; None when nothing could prove who sends them. Raises ConfigError."""
    secret = webhook_secret(config, environ)
    hooks = config.webhooks
    return IssueOptions(secret, IssueRules(hooks.org, hooks.complete_on_merge)) if secret else None


def comment_options(config: Config) -> CommentOptions | None:
    """Return where results are posted as comments from the configuration; None when nowhere. Raises ConfigError."""
    token = comment_token(config)
    return CommentOptions(config.webhooks.comment_url, token) if token else None


def limits(config: Config) -> Limits:
    """Return the limits of requests from the configuration."""
    tasks = config.tasks
    return Limits(
        input=tasks.input_max_bytes,
        message=config.rpc.max_message_bytes,
        title=tasks.title_max_chars,
        description=tasks.description_max_chars,
        batch=tasks.batch_max,
        tags=tasks.tags_max,
        labels=tasks.labels_max,
        default_max_attempts=tasks.max_attempts,
        retry=retry_policy(config),
    )


def chat_rollout(environ: Mapping[str, str]) -> Rollout | None:
    """Return the rollout that the environment defines, None when it defines none. Raises ConfigError."""
    found = chat_environment.read(environ)
    if found.problems:
        raise ConfigError(found.problems)
    return found.rollout
