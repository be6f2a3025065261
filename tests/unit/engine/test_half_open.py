"""The one probe of a half-open breaker: F3b, F3c."""

from fleetd.core.breaker import BreakerKind
from fleetd.engine.half_open import Probes

NOW = 1_700_000_000_000
KEY = (BreakerKind.INSTANCE, "a:1")


def test_one_probe_is_let_through_however_many_ask():
    """F3b."""
    probes = Probes()
    tokens = [probes.take(KEY, NOW, 60_000) for _ in range(10)]
    assert sum(token is not None for token in tokens) == 1
    assert probes.busy(KEY, NOW + 59_999)


def test_a_probe_that_never_reports_gives_way():
    """F3c."""
    probes = Probes()
    lost = probes.take(KEY, NOW, 60_000)
    assert probes.take(KEY, NOW + 59_999, 60_000) is None
    token = probes.take(KEY, NOW + 60_000, 60_000)
    assert token is not None
    probes.give_back(KEY, lost)
    assert probes.busy(KEY, NOW + 60_000)
    probes.give_back(KEY, token)
    assert not probes.busy(KEY, NOW + 60_000)
