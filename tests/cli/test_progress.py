"""What a terminal shows of long work."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr

import pytest

from deepcams.cli.progress import Bars, Rate, one_bar


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """All that was ever shown, without colours and bars."""
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[━╸╺]", "", self.getvalue())
        return [
            " ".join(line.split())
            for line in re.split(r"[\r\n]+", text)
            if line.strip()
        ]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return Screen()


def test_each_step_has_its_line(screen: Screen) -> None:
    with redirect_stderr(screen), Bars("{task.fields[unit]}, left") as bars:
        bars.tell("reading headers", 3, 3, unit="files")
        bars.tell("preparing", 1, 4, unit="h")
    first, second = screen.lines()[-2:]
    assert re.fullmatch(r"reading headers 3/3 files, left 0:00:0\d", first)
    assert re.fullmatch(r"preparing 1/4 h, left -:--:--", second)


def test_a_rate_is_shown_once_it_is_known(screen: Screen) -> None:
    with redirect_stderr(screen), Bars("h", Rate("h/s"), "left") as bars:
        bars.tell("downscaling", 20, 40)  # these were there already: no speed
        bars._progress.refresh()
        assert screen.lines()[-1] == "downscaling 20/40 h left -:--:--"
        for done in (21, 22, 23):
            bars.tell("downscaling", done, 40)
    assert re.fullmatch(
        r"downscaling 23/40 h [\d.]+ h/s left [\d:]+", screen.lines()[-1]
    )


def test_a_step_alone_takes_the_line_of_the_one_before(screen: Screen) -> None:
    with redirect_stderr(screen), Bars(alone=True) as bars:
        bars.tell("fetch cams", 1, 2)
        bars.tell("evaluate", 0, 0)
        bars._progress.refresh()
        shown = screen.lines()
    assert shown[-1].startswith("evaluate 0/?")
    assert screen.lines()[-1].startswith("evaluate")
    assert not any(
        line.startswith("fetch cams") for line in screen.lines()[len(shown) :]
    )


def test_words_may_change_while_the_line_stays(screen: Screen) -> None:
    with (
        redirect_stderr(screen),
        Bars(count="{task.fields[told]}", elapsed=True) as bars,
    ):
        bars.tell("fetch", 0, None, words="fetching", told="0")
        bars.tell("fetch", 2, None, words="writing 2019.parquet", told="2")
    assert re.fullmatch(r"writing 2019.parquet 2 0:00:0\d", screen.lines()[-1])


def test_a_single_step_is_there_before_anything_is_done(screen: Screen) -> None:
    with redirect_stderr(screen), one_bar("scoring", "blocks") as tell:
        pass
    assert screen.lines()[0].startswith("scoring 0/? blocks")
    with redirect_stderr(screen), one_bar("scoring", "blocks") as tell:
        tell(7, 9)
    assert screen.lines()[-1].startswith("scoring 7/9 blocks")


@pytest.mark.parametrize("hidden", [True, False])
def test_nothing_is_shown_where_it_is_hidden_or_no_terminal(
    hidden: bool, screen: Screen
) -> None:
    there = screen if hidden else io.StringIO()
    with redirect_stderr(there), Bars("h", Rate("h/s"), hidden=hidden) as bars:
        bars.tell("downscaling", 1, 2)
    assert there.getvalue() == ""
