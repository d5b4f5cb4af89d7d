# SPDX-License-Identifier: Apache-2.0
"""`deny` beneath an allowed folder while the host goes on using the folder: covers go with their names, Landlock stays."""

import os
import tempfile
from pathlib import Path

import pytest
import shells
import support
from ffi import LauterError, Policy
from shells import Shell

CLOSED = "Permission denied"


@pytest.fixture
def folder(outside_tmp):
    """A folder that is not below the worker's own /tmp, with something secret in it."""
    (outside_tmp / "secret").write_text("a secret")
    (outside_tmp / "open").write_text("open")
    (outside_tmp / "inner").mkdir()
    (outside_tmp / "inner" / "file").write_text("within")
    yield outside_tmp


def replace(path: Path, text: str) -> None:
    """As an editor saves: a new file, renamed over the old one."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    os.rename(new, path)


@pytest.mark.parametrize("word", ["read", "write"])
def test_a_file_renamed_over_a_denied_name_is_denied(host, folder, word):
    shell = Shell(host, Policy("notebook", (word, folder), ("deny", folder / "secret")))
    assert shell.run(f"cat {folder}/open") == "open"
    assert CLOSED in shell.run(f"cat {folder}/secret")
    replace(folder / "secret", "the next secret")
    # The cover is gone: size and all can be seen. What is left is Landlock.
    assert shell.run(f"stat -c %s {folder}/secret") == "15"
    assert CLOSED in shell.run(f"cat {folder}/secret")
    refusal = {"read": "Read-only file system", "write": CLOSED}[word]
    assert refusal in shell.run(f"echo x >> {folder}/secret")
    # By its path alone, which Landlock looks at from Linux 6.2 on; before, the filter refuses it.
    by_path = f"python3 -c 'import os, sys; os.truncate(sys.argv[1], 0)' {folder}"
    assert any(why in (said := shell.run(f"{by_path}/secret")) for why in (refusal, "not permitted")), said
    said = shell.run(f"{by_path}/inner/file")
    if word == "write" and support.landlock_abi() >= 3:
        assert (said, (folder / "inner" / "file").read_text()) == ("", "")
        (folder / "inner" / "file").write_text("within")
    else:  # the price
        assert any(why in said for why in (refusal, "not permitted")), said
    assert (folder / "secret").read_text() == "the next secret"
    assert shell.run(f"cat {folder}/open {folder}/inner/file") == "openwithin"


def test_with_a_cover_alone_it_can_be_read(host, folder):
    """The twin: what Landlock is for. A writable folder whose user has said that a cover will do."""
    words = ("write", folder), ("deny", folder / "secret"), ("allow-missing", "deny")
    shell = Shell(host, Policy("notebook", *words))
    assert CLOSED in shell.run(f"cat {folder}/secret")
    replace(folder / "secret", "the next secret")
    assert shell.run(f"cat {folder}/secret") == "the next secret"
    # And this is what it is given up for.
    assert shell.run(f"echo new > {folder}/new; cat {folder}/new") == "new"
    assert shell.end().missing.split() == shells.missing("deny")


def test_a_folder_put_in_the_place_of_a_denied_one_is_denied(host, folder):
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "beside").write_text("beside")
    (folder / "a" / "b" / "key").write_text("key")
    (folder / "other").mkdir()
    (folder / "other" / "key").write_text("other key")
    shell = Shell(host, Policy("notebook", ("read", folder), ("deny", folder / "a" / "b")))
    assert shell.run(f"cat {folder}/a/beside {folder}/other/key") == "besideother key"
    assert CLOSED in shell.run(f"cat {folder}/a/b/key")
    (folder / "a" / "b").rename(folder / "moved")
    # The cover went with the folder.
    assert CLOSED in shell.run(f"cat {folder}/moved/key")
    (folder / "new").mkdir()
    (folder / "new" / "key").write_text("new key")
    (folder / "new").rename(folder / "a" / "b")
    assert shell.run(f"ls {folder}/a/b") == "key", "names are no secret"
    assert CLOSED in shell.run(f"cat {folder}/a/b/key")
    # A whole folder on the way, exchanged for another.
    (folder / "a").rename(folder / "a.old")
    (folder / "a.new" / "b").mkdir(parents=True)
    (folder / "a.new" / "b" / "key").write_text("newest key")
    (folder / "a.new").rename(folder / "a")
    assert CLOSED in shell.run(f"cat {folder}/a/b/key")
    assert shell.run(f"cat {folder}/other/key") == "other key"


def test_a_readable_folder_within_a_denied_one_is_kept(host, folder):
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "key").write_text("key")
    (folder / "a" / "b" / "file").write_text("allowed")
    words = ("read", folder), ("deny", folder / "a"), ("read", folder / "a" / "b")
    shell = Shell(host, Policy("notebook", *words))
    assert shell.run(f"cat {folder}/a/b/file") == "allowed"
    assert "No such file" in shell.run(f"cat {folder}/a/key")


def test_beside_a_denied_file_what_is_there_can_be_written_and_nothing_made(host, folder):
    shell = Shell(host, Policy("notebook", ("write", folder), ("deny", folder / "secret")))
    assert shell.run(f"echo more >> {folder}/open; cat {folder}/open") == "openmore"
    assert shell.run(f"echo new > {folder}/inner/new; cat {folder}/inner/new") == "new"
    assert CLOSED in shell.run(f"echo new > {folder}/new")
    assert CLOSED in shell.run(f"rm {folder}/open")
    assert CLOSED in shell.run(f"mv {folder}/inner/new {folder}/new")
    assert sorted(f.name for f in folder.iterdir()) == ["inner", "open", "secret"]


def test_the_same_file_under_another_name_beside_it_is_denied(host, folder):
    (folder / "twin").hardlink_to(folder / "secret")
    (folder / "link").symlink_to("secret")
    shell = Shell(host, Policy("notebook", ("read", folder)))
    assert shell.run(f"cat {folder}/twin") == "a secret"
    shell = Shell(host, Policy("notebook", ("read", folder), ("deny", folder / "secret")))
    assert CLOSED in shell.run(f"cat {folder}/twin")
    assert CLOSED in shell.run(f"cat {folder}/link")


def test_a_name_that_unicode_calls_the_same_is_another_file(host, folder):
    composed, decomposed = folder / "caf\u00e9", folder / "cafe\u0301"
    composed.write_text("composed")
    decomposed.write_text("decomposed")
    for denied, beside in ((composed, decomposed), (decomposed, composed)):
        shell = Shell(host, Policy("notebook", ("read", folder), ("deny", denied)))
        assert CLOSED in shell.run(f"cat {denied}")
        assert shell.run(f"cat {beside}") == beside.read_text()


def test_a_link_beside_a_denied_file_leads_where_it_may(host, folder):
    (folder / "link").symlink_to("inner/file")
    shell = Shell(host, Policy("notebook", ("read", folder), ("deny", folder / "secret")))
    assert shell.run(f"cat {folder}/link") == "within"


def test_a_denied_path_of_the_system_leaves_the_rest(host):
    denied = "/usr/share/doc"
    if not os.path.isdir(denied):
        denied = "/usr/share/misc"
    shell = Shell(host, Policy("notebook"))
    assert shell.run(f"ls {denied} | head -n 1")
    shell = Shell(host, Policy("notebook", ("deny", denied)))
    assert CLOSED in shell.run(f"ls {denied}")
    assert shell.run("python3 -c 'import json; print(1)'; ls /usr/share | head -n 1 | wc -l") == "1\n1"


def test_what_cannot_be_kept_is_an_error_that_names_it(host, bench):
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name) / "secret"
        path.write_text("a secret")
        words = ("read", name), ("deny", path)
        with pytest.raises(LauterError) as caught:
            Shell(host, Policy("notebook", *words))
        assert str(path) in caught.value.message and "--allow-missing deny" in caught.value.message
        shell = Shell(host, Policy("notebook", *words, ("allow-missing", "deny")))
        assert CLOSED in shell.run(f"cat {path}")
        assert shell.end().missing.split() == shells.missing("deny")


def test_a_denied_path_beside_thousands_is_an_error(host, folder):
    for number in range(4097):
        (folder / "inner" / f"{number}").touch()
    with pytest.raises(LauterError) as caught:
        Shell(host, Policy("notebook", ("read", folder), ("deny", folder / "inner" / "file")))
    assert "4096" in caught.value.message
    # As a whole, it is one.
    shell = Shell(host, Policy("notebook", ("read", folder), ("deny", folder / "inner")))
    assert shell.run(f"cat {folder}/open") == "open"
