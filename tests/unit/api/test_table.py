"""The method table."""

import pytest

from fleetd.api.table import SERVICES, Admission, Role
from fleetd.errors import InvalidArgument, Unavailable

STREAMS = {"Claim", "WatchEvents", "WatchTask"}


def test_every_method_of_the_protos_has_a_line(port):
    """S1."""
    named = {method.name for service in SERVICES.values() for method in service.methods}
    assert set(port.methods) == named


def test_every_unary_method_is_served(port):
    """S1."""
    assert {name for name, method in port.methods.items() if method.serve is None} == STREAMS
    assert {m.name for m in port.methods.values() if m.server_streaming} == STREAMS


def test_every_method_says_who_may_call_it_and_how_much_it_may_send(port):
    """S6, S7."""
    for method in port.methods.values():
        assert method.roles
        assert method.roles <= set(Role)
        assert 0 < method.size_limit <= 8 << 20


def test_draining_refuses_new_work_and_nothing_else(port):
    """T5: results that agents still hold must get in."""
    refused = {name for name, method in port.methods.items() if method.admission is Admission.SERVING}
    assert refused == {"SubmitTask", "SubmitTasks", "ClaimTasks"}
    for name, method in port.methods.items():
        method.admit("SERVING")
        if name in refused:
            with pytest.raises(Unavailable) as caught:
                method.admit("DRAINING")
            assert caught.value.reason == "DRAINING"
        else:
            method.admit("DRAINING")


def test_a_starting_daemon_answers_for_its_status_only(port):
    """D7."""
    for name in ("GetTask", "SubmitTask", "ListAgents"):
        with pytest.raises(Unavailable, match="starting"):
            port.methods[name].admit("STARTING")
    port.methods["GetStatus"].admit("STARTING")


def test_a_request_that_is_too_large_or_no_message_is_refused(port):
    """S7, S3."""
    method = port.methods["GetTask"]
    with pytest.raises(InvalidArgument) as caught:
        method.read(b"x" * (method.size_limit + 1))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"
    for data in (b"\xff\xff", b"\x0a\x02\xff\xfe"):
        with pytest.raises(InvalidArgument, match=r"fleet\.v1\.GetTaskRequest"):
            method.read(data)


def test_the_largest_legal_task_fits_into_its_message(port):
    """S7: the limits of fields, not that of the message, are what a submitter meets."""
    method = port.methods["SubmitTask"]
    wide = "\N{GRINNING FACE}"
    request = method.request(
        title=wide * 500,
        description=wide * 65_536,
        input={"data": b"x" * (1 << 20)},
        metadata={f"{n:0128}": wide * 4_096 for n in range(64)},
        labels={f"{n:0128}": wide * 256 for n in range(64)},
    )
    method.read(request.SerializeToString())
