"""The configuration as the rooms take it."""

from fleetd.config import Config
from fleetd.daemon import retention, without_effect
from fleetd.engine.retention import RetentionOptions


def test_what_is_kept_how_long_is_what_the_configuration_says():
    """D12."""
    kept = {"tasks": "1s", "dead_letters": "2s", "events": "3s", "audits": "4s", "interval": "5s"}
    config = Config.model_validate({"retention": kept})
    assert retention(config) == RetentionOptions(1_000, 2_000, 3_000, 4_000, 5_000)


def test_without_a_configuration_the_rooms_own_defaults_hold():
    """D12."""
    assert retention(Config()) == RetentionOptions()


def test_settings_of_what_is_not_done_yet_are_named():
    """F8, R1: a setting that is silently ignored is worse than one that is unknown."""
    assert without_effect(Config()) == []
    given = {"alerts": {"url": "http://127.0.0.1/x"}, "router": {"providers_file": "providers.json"}}
    assert without_effect(Config.model_validate(given)) == ["router.providers_file", "alerts.url"]
