"""What the page consists of: small, complete, from this server alone, and libraries as they were bundled."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.ui.page_files import FOLDER, Edition, PageFiles
from scripts.ui_libraries.__main__ import INDEX, VENDOR

MAX_BYTES = 600_000
OURS = [path for path in FOLDER.rglob("*.js") if not path.is_relative_to(VENDOR)]


def test_whole_page_is_under_600_kb_compressed() -> None:
    edition = Edition(FOLDER)
    sizes = {name: len(file.compressed) for name, file in edition.files.items() if name.endswith((".js", ".css"))}
    assert sum(sizes.values()) + len(edition.index.compressed) < MAX_BYTES, sizes


def test_libraries_are_as_bundled() -> None:
    listed = {name: library["sha256"] for name, library in json.loads((VENDOR / INDEX).read_text()).items()}
    present = {path.name: path for path in VENDOR.iterdir() if path.suffix in {".js", ".css"}}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in present.items()} == listed


def test_every_library_has_its_licence() -> None:
    packages = {
        package for library in json.loads((VENDOR / INDEX).read_text()).values() for package in library["packages"]
    }
    licensed = {path.name.partition("-LICENSE")[0] for path in VENDOR.glob("*.txt")}
    assert licensed == packages


def test_every_import_is_a_file_of_the_page() -> None:
    for path in OURS:
        targets = re.findall(r"""(?:from|import|import\()\s*["']([^"'$]+)["']""", path.read_text())
        missing = [target for target in targets if not target.startswith(".") or not (path.parent / target).is_file()]
        assert not missing, path


def test_modules_at_start_leave_out_views_and_large_libraries() -> None:
    modules = Edition(FOLDER).modules_at_start()
    assert {"app.js", "lib/view.js", "components/app.js", "vendor/preact.js"} <= set(modules)
    assert not [name for name in modules if name.startswith("views/") or name in {"vendor/three.js", "vendor/uplot.js"}]


def test_styles_of_a_view_change_no_other_view() -> None:
    """Styles stay when a view was left, so a class belongs to one view or to the page."""
    users: dict[str, str] = {}
    for path in sorted(FOLDER.glob("*/**/*.css")):
        if path.is_relative_to(VENDOR):
            continue
        owner = str(path.relative_to(FOLDER)) if "views" in path.parts else "the page"
        for name in set(re.findall(r"^ *\.([\w-]+)", path.read_text(), re.MULTILINE)):
            assert users.setdefault(name, owner) == owner, f".{name}"


def test_markup_is_inserted_in_one_place_only() -> None:
    """Text from outside is text: markup is inserted in one place only, after DOMPurify."""
    inserting = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|\beval\(|new Function")
    users = {str(path.relative_to(FOLDER)) for path in OURS if inserting.search(path.read_text())}
    assert users <= {"lib/markdown.js"}


@pytest.mark.skipif(not shutil.which("node"), reason="node checks the syntax, and is not on this machine")
def test_modules_are_valid() -> None:
    # One process for all: each start of Node takes 50 ms.
    check = "const {Script, SourceTextModule} = require('vm'); for (const path of process.argv.slice(1)) "
    check += "new SourceTextModule(require('fs').readFileSync(path, 'utf8'), {identifier: path});"
    command = ["node", "--no-warnings", "--experimental-vm-modules", "-e", check, *map(str, OURS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(name="page")
def _page(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    (tmp_path / "index.html").write_text('<!-- preloads --><script src="{assets}/app.js"></script>')
    (tmp_path / "app.js").write_text('import { a } from "./lib/a.js";\n')
    (tmp_path / "lib" / "a.js").write_text("export const a = 1;\n")
    (tmp_path / "lib" / "a.js.swp").write_text("an editor's")
    return tmp_path


def test_addresses_have_the_version_in_them(page: Path) -> None:
    edition = Edition(page)
    assert f'src="ui/{edition.version}/app.js"' in edition.index.content.decode()
    assert f'<link rel="modulepreload" href="ui/{edition.version}/lib/a.js">' in edition.index.content.decode()
    assert set(edition.files) == {"app.js", "lib/a.js"}


def test_changed_file_makes_a_new_version(page: Path) -> None:
    files = PageFiles(page)
    first = files.current()
    assert files.current() is first
    (page / "lib" / "a.js").write_text("export const a = 23;\n")
    second = files.current()
    assert second.version != first.version
    assert files.find(first.version, "app.js") is None
    assert files.find(second.version, "app.js") is second.files["app.js"]
