"""Pages of logs: in order without gaps, searched, and without reading large files whole."""

from __future__ import annotations

from pathlib import Path

from contract.logs import LogPage
from manager import log_pages
from manager.log_pages import MAX_LINE, MAX_SCAN, LogQuery, read_page


def write(home: Path, content: bytes, name: str = "m.log") -> None:
    (home / "logs").mkdir(exist_ok=True)
    (home / "logs" / name).write_bytes(content)


def texts(page: LogPage) -> list[str]:
    return [line.text for line in page.lines]


def all_pages(home: Path, **query: int | str) -> list[LogPage]:
    pages = [read_page(home, "m", LogQuery(**query))]  # type: ignore[arg-type]
    while pages[-1].before:
        assert len(pages) < 1000
        pages.append(read_page(home, "m", LogQuery(before=pages[-1].before, **query)))  # type: ignore[arg-type]
    return pages


def test_pages_have_every_line_once(tmp_path: Path) -> None:
    lines = [f"{number} {'x' * (number * 37 % 900)}" for number in range(1000)]
    write(tmp_path, "".join(line + "\n" for line in lines).encode() + b"being writ")
    pages = all_pages(tmp_path, count=77)
    assert [text for page in reversed(pages) for text in texts(page)] == lines
    positions = [line.position for page in reversed(pages) for line in page.lines]
    assert positions == sorted(positions)
    content = (tmp_path / "logs" / "m.log").read_bytes()
    assert content[positions[500] :].startswith(b"500 ")
    assert pages[0].end == content.rindex(b"\n") + 1


def test_search_looks_at_a_part_and_says_where_to_go_on(tmp_path: Path) -> None:
    filler = (b"y" * 99 + b"\n") * (MAX_SCAN // 50)
    write(tmp_path, b"An ERROR at the start\n" + filler + b"an error at the end\n")
    first = read_page(tmp_path, "m", LogQuery(search="Error"))
    assert texts(first) == ["an error at the end"]
    assert first.size - first.before <= MAX_SCAN + (1 << 16)
    found = [text for page in all_pages(tmp_path, search="Error") for text in texts(page)]
    assert found == ["an error at the end", "An ERROR at the start"]


def test_a_line_without_end_is_cut_and_passed(tmp_path: Path) -> None:
    write(tmp_path, b"first\n" + b"z" * (3 * MAX_SCAN) + b"\nlast\n")
    pages = all_pages(tmp_path)
    assert texts(pages[0])[-1] == "last"
    assert texts(pages[-1])[0] == "first"
    assert all(len(text) < MAX_LINE + 100 for page in pages for text in texts(page))


def test_what_is_no_text_stays_one_line(tmp_path: Path) -> None:
    write(tmp_path, b"\x1b]0;title\x07\xff\r10%\r20%\x0b\xe2\x80\xa8<script>\r\n")
    assert texts(read_page(tmp_path, "m", LogQuery())) == ["\x1b]0;title\x07\ufffd\r10%\r20%\x0b\u2028<script>"]


def test_missing_and_empty_logs_have_no_lines(tmp_path: Path) -> None:
    page = read_page(tmp_path, "m", LogQuery())
    assert (page.lines, page.before, page.has_older) == ([], 0, False)
    write(tmp_path, b"")
    assert read_page(tmp_path, "m", LogQuery(before=10**12)).lines == []


def test_rotated_files_are_older(tmp_path: Path) -> None:
    write(tmp_path, b"new\n")
    write(tmp_path, b"old\n", "m.log.1")
    assert read_page(tmp_path, "m", LogQuery()).has_older
    page = read_page(tmp_path, "m", LogQuery(older=1))
    assert (texts(page), page.has_older) == (["old"], False)


def test_lists_known_logs_only(tmp_path: Path) -> None:
    for name in ("manager.log", "ocr.log", "ocr.2.log", "ocr.log.1", "other.log", "standby-1.log", "org_m.log"):
        write(tmp_path, b"line\n", name)
    found = log_pages.files(tmp_path, ("manager", "gateway"), ["ocr", "org/m", "absent"])
    assert [(log.name, log.kind, log.older) for log in found] == [
        ("manager", "program", 0),
        ("ocr", "model", 1),
        ("ocr.2", "model", 0),
        ("org/m", "model", 0),
    ]
    assert log_pages.is_second(tmp_path, "ocr.2", ["ocr"])
    assert not log_pages.is_second(tmp_path, "ocr.3", ["ocr"])
    assert not log_pages.is_second(tmp_path, "other", ["ocr"])
