"""The sections [web] and [webhooks] of the configuration, and what the rooms get of them."""

import pytest

from fleetd import mapping
from fleetd.bridges.comments import CommentOptions
from fleetd.config import Config, ConfigError, comment_token, load, webhook_secret
from fleetd.core import issue
from fleetd.web import deliveries
from fleetd.web.issues import IssueOptions
from fleetd.web.port import PortOptions
from fleetd.web.server import WebOptions


def refused(*assignments: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(assignments=assignments)
    (problem,) = caught.value.problems
    return problem


def test_the_port_is_off_by_default_and_its_rooms_have_the_same_defaults():
    """S4"""
    web = Config().web
    assert web.listen == ""
    assert PortOptions() == PortOptions(web.max_body_bytes, web.body_timeout)
    assert WebOptions("x") == WebOptions("x", web.max_connections)


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "fleet.example:8080"])
def test_beyond_this_machine_the_port_needs_leave(listen):
    """S4, S6: that of the other port is not enough."""
    problem = refused(f"web.listen={listen}", "rpc.insecure=true")
    assert problem.startswith(f"web.listen (flag --set): {listen} can be reached from other machines")
    assert problem.endswith("accept the risk with web.insecure = true")
    assert load(assignments=[f"web.listen={listen}", "web.insecure=true"]).config.web.listen == listen


@pytest.mark.parametrize(
    ("assignment", "should"),
    [
        ("web.listen=8080", "should be host:port"),
        ("webhooks.secret_env=a b", "should be the name of an environment variable"),
        ("webhooks.org=a b", "should be 1 to 128 letters"),
        ("webhooks.comment_url=git.example.com", "should be a URL"),
    ],
)
def test_bad_values_are_named(assignment, should):
    """S4, M6"""
    assert should in refused(assignment)


def test_a_secret_comes_from_a_file_or_a_variable_but_not_from_both(tmp_path):
    """M6: and is never repeated."""
    file = tmp_path / "secret"
    config = load(assignments=[f"webhooks.secret_file={file}"]).config
    with pytest.raises(ConfigError, match="cannot be read"):
        webhook_secret(config, {})
    for data in (b"", b"  \n", b"one\ntwo", b"\xff"):
        file.write_bytes(data)
        with pytest.raises(ConfigError, match="should hold one secret") as caught:
            webhook_secret(config, {})
        assert "two" not in str(caught.value)
    file.write_text("s3cret\n")
    assert webhook_secret(config, {}) == b"s3cret"
    named = load(assignments=["webhooks.secret_env=HOOK"]).config
    assert webhook_secret(named, {"HOOK": "other"}) == b"other"
    with pytest.raises(ConfigError, match="is not set in the environment"):
        webhook_secret(named, {})
    assert webhook_secret(Config(), {"HOOK": "other"}) == b""
    assert "without webhooks.secret_file" in refused(
        "webhooks.secret_env=HOOK", f"webhooks.secret_file={file}"
    )


def test_comments_need_a_token(tmp_path):
    """M6"""
    url = "webhooks.comment_url=https://git.example.com"
    assert "is required where comments are posted" in refused(url)
    file = tmp_path / "token"
    file.write_text("t0ken\n")
    config = load(assignments=[url, f"webhooks.comment_token_file={file}"]).config
    assert comment_token(config) == "t0ken"
    assert mapping.comment_options(config) == CommentOptions("https://git.example.com", "t0ken")
    assert mapping.comment_options(Config()) is None


def test_the_room_of_the_webhooks_gets_what_is_configured():
    """M6: without a secret there is none."""
    given = ["webhooks.secret_env=HOOK", "webhooks.org=tools", "webhooks.complete_on_merge=true"]
    config = load(assignments=given).config
    options = mapping.issue_options(config, {"HOOK": "s"})
    assert options == IssueOptions(b"s", issue.IssueRules("tools", complete_on_merge=True))
    assert mapping.issue_options(Config(), {}) is None


def test_what_an_issue_may_ask_for_is_what_a_submitter_may():
    """M6, S7: the rules know no limits of the API, so they hold copies."""
    from fleetd.api import limits, validate

    most = limits.Limits()
    assert (
        most.title,
        most.description,
        most.capabilities,
    ) == (issue.TITLE, issue.DESCRIPTION, issue.CAPABILITIES)
    assert issue.CAPABILITY.pattern == validate.CAPABILITY.pattern
    for owner in ("A-z_0.9", "x" * 100):
        assert deliveries.REPO.fullmatch(f"{owner}/x")
        assert validate.NAME.fullmatch(owner)
    assert limits.METADATA_VALUE >= issue.URL
    assert validate.WORD == issue.LONGEST_WORD
