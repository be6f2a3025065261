"""The Router's files, read together."""

import json
from pathlib import Path

import pytest

from fleetd import router_files
from fleetd.core.catalogue import Catalogue, Problem
from fleetd.core.instance import Instance, InstanceState
from fleetd.router_files import Unusable, load

DATA = Path(__file__).parents[1] / "data"


def written(file: Path, value: object) -> str:
    file.write_text(json.dumps(value))
    return str(file)


def test_without_files_there_are_no_instances():
    assert load("", "") == Catalogue()


def test_both_files_make_one_catalogue_in_which_the_failover_list_comes_last(tmp_path):
    """R1, F1: an entry named like an instance replaces it."""
    providers = written(
        tmp_path / "providers.json",
        {
            "providers": [
                {
                    "provider_id": "p",
                    "instances": [{"id": "a", "ctx": 8192, "state": "STOPPED"}, {"id": "b"}, 5],
                }
            ]
        },
    )
    failover = written(
        tmp_path / "failover.json",
        [{"name": "p:a", "priority": 1}, {"name": "p", "priority": 2}, {"name": "p:bb"}],
    )
    found = load(providers, failover)
    assert [(each.id, each.priority, each.ctx, each.failover) for each in found.instances] == [
        ("p:a", 1, 8_192, True),
        ("p:b", 100, 0, False),
        ("p", 2, 0, True),
    ]
    assert found.states == {"p:a": InstanceState.STOPPED}
    assert found.problems == (
        Problem(f"{providers}: p[2]", "must be an object, not 5"),
        Problem(
            f"{failover}: p:bb",
            "name: is no instance, provider or model of the catalogue; the nearest is p:b",
        ),
    )


def test_names_of_the_failover_list_may_mean_what_came_another_way(tmp_path):
    """F1: instances from RPCs and imports are known too."""
    failover = written(tmp_path / "failover.json", [{"name": "openai"}, {"name": "gpt-5"}, {"name": "gpt-6"}])
    found = load("", failover, [Instance("openai:gpt-5", "openai")])
    assert [each.id for each in found.instances] == ["openai", "gpt-5"]
    assert [problem.name for problem in found.problems] == [f"{failover}: gpt-6"]


def test_a_real_catalogue_loads(tmp_path):
    found = load(str(DATA / "providers.json"), "")
    assert len(found.instances) + len(found.problems) == 46


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"providers": [', "must be JSON: Expecting value in line 1, column 16"),
        (b"", "must be JSON: Expecting value in line 1, column 1"),
        (b"[]", 'must be an object with a list: {"providers": [...]}'),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_and_no_empty_catalogue(tmp_path, content, said):
    """R1: half a file at a reload must not remove every instance."""
    file = tmp_path / "providers.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Unusable) as caught:
        load(str(file), "")
    assert str(caught.value) == f"{file}: {said}"


def test_a_directory_a_bad_name_and_a_file_of_another_form_are_errors_too(tmp_path):
    with pytest.raises(Unusable, match="cannot be read: Is a directory"):
        load("", str(tmp_path))
    with pytest.raises(Unusable, match="cannot be read: embedded null byte"):
        load("a\x00b", "")
    with pytest.raises(Unusable, match="must be a list"):
        load("", str(DATA / "providers.json"))


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path, monkeypatch):
    """S7."""
    monkeypatch.setattr(router_files, "LARGEST", 100)
    with pytest.raises(Unusable, match="must have at most 100 bytes"):
        load(str(DATA / "providers.json"), "")
