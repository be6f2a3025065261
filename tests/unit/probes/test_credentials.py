"""Whether a credential is there."""

import pytest

from fleetd.probes.credentials import is_present


@pytest.mark.parametrize(
    ("credential", "present"),
    [("", True), ("env:KEY", True), ("env:EMPTY", False), ("env:NONE", False), ("file:{}/key", True), ("file:{}/empty", False), ("file:{}/none", False),
     ("file:\x00", False), ("vault:key", False)],
)  # fmt: skip
def test_a_credential_is_a_variable_or_a_file_with_something_in_it(credential, present, tmp_path):
    """R1: missing → not eligible; an empty one is as good as missing."""
    (tmp_path / "key").write_text("secret")
    (tmp_path / "empty").write_text("")
    assert is_present(credential.format(tmp_path), {"KEY": "secret", "EMPTY": ""}) is present
