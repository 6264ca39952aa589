"""Measured footprints are kept; before the first measurement they are estimated from the model's files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.config import ModelSpec
from manager.memory.device import GIB
from manager.memory.footprints import DEFAULT_GUESS, LOOKUP_INTERVAL, MIB, Footprints
from manager.models.weights import find, hub_cache, locate, size

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def spec(source: str = "", **settings: Any) -> ModelSpec:
    return ModelSpec(id="m", engine="fake", source=source, **settings)


def put(path: Path, bytes_: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * bytes_)
    return path


@pytest.fixture
def footprints(tmp_path: Path) -> Footprints:
    return Footprints(tmp_path / "state" / "footprints.json", {"HF_HOME": str(tmp_path / "hf")})


def download(tmp_path: Path, name: str = "org/model", commit: str = COMMIT, ref: str = "main") -> Path:
    """A snapshot in the hub's own layout: blobs, links to them, and a ref."""
    folder = tmp_path / "hf" / "hub" / ("models--" + name.replace("/", "--"))
    blob = put(folder / "blobs" / f"blob-{commit[:4]}", 5000)
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blob)
    (snapshot / "model-unfinished.safetensors").symlink_to(folder / "blobs" / "not-there-yet")
    put(folder / "refs" / ref).write_text(commit)
    return snapshot


class TestLearning:
    def test_the_highest_value_is_kept_over_restarts(self, footprints: Footprints, tmp_path: Path) -> None:
        assert footprints.learned("k") is None
        assert [footprints.learn("k", size) for size in (5 * MIB, 3 * MIB, 5 * MIB, 9 * MIB)] == [
            True,
            False,
            False,
            True,
        ]
        again = Footprints(tmp_path / "state" / "footprints.json")
        assert again.learned("k") == 9 * MIB
        assert os.listdir(tmp_path / "state") == ["footprints.json"]

    @settings(max_examples=25)
    @given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=8))
    def test_it_is_never_below_a_measured_value(
        self, tmp_path_factory: pytest.TempPathFactory, seen: list[int]
    ) -> None:
        footprints = Footprints(tmp_path_factory.mktemp("state") / "f.json")
        for value in seen:
            footprints.learn("k", value)
        learned = footprints.learned("k")
        assert learned is not None
        assert max(seen) <= learned < max(seen) + MIB

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", '{"bytes": 3}', '{"bytes": {"k": "much"}}', '{"bytes": {"k": -1}}', "\0\xff"]
    )
    def test_a_corrupt_file_is_set_aside_with_a_warning(
        self, text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "footprints.json"
        path.write_bytes(text.encode("latin-1"))
        footprints = Footprints(path)
        assert footprints.learned("k") is None
        (aside,) = tmp_path.glob("*.corrupt-*")
        assert aside.read_bytes() == text.encode("latin-1")
        assert aside.name in caplog.text
        assert footprints.learn("k", MIB)
        assert json.loads(path.read_text())["bytes"] == {"k": MIB}

    def test_a_failed_save_costs_only_a_warning(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        put(tmp_path / "file")
        footprints = Footprints(tmp_path / "file" / "footprints.json")
        assert footprints.learn("k", MIB)
        assert footprints.learned("k") == MIB
        assert "could not be saved" in caplog.text


class TestKey:
    def test_it_differs_where_memory_differs(self, footprints: Footprints) -> None:
        keys = {
            footprints.key(spec("org/a"), "float16", "A100"),
            footprints.key(spec("org/b"), "float16", "A100"),
            footprints.key(spec("org/a", revision="v2"), "float16", "A100"),
            footprints.key(spec("org/a"), "float32", "A100"),
            footprints.key(spec("org/a"), "float16", "H200"),
            footprints.key(spec("org/a", options={"quantization": "int4"}), "float16", "A100"),
            footprints.key(spec("org/a", options={"load_in_8bit": True}), "float16", "A100"),
            footprints.key(ModelSpec(id="m", engine="other", source="org/a"), "float16", "A100"),
            footprints.key(spec(options={"cmd": "serve a"}), "float16", "A100"),
            footprints.key(spec(options={"cmd": "serve b"}), "float16", "A100"),
        }
        assert len(keys) == 10

    def test_it_ignores_names_and_serving_options(self, footprints: Footprints) -> None:
        renamed = ModelSpec(id="renamed", engine="fake", source="org/a", replicas=2, memory_gb=3, options={"window": 5})
        assert footprints.key(renamed, "float16", "A100") == footprints.key(spec("org/a"), "float16", "A100")

    def test_a_hub_model_is_identified_by_its_commit(self, tmp_path: Path) -> None:
        now = [0.0]
        footprints = Footprints(tmp_path / "f.json", {"HF_HOME": str(tmp_path / "hf")}, lambda: now[0])
        assert "org/model@main" in footprints.key(spec("org/model"), "float16", "A100")
        download(tmp_path)
        now[0] += LOOKUP_INTERVAL
        assert f"org/model@{COMMIT}" in footprints.key(spec("org/model"), "float16", "A100")

    def test_a_local_model_is_identified_by_its_files(self, tmp_path: Path) -> None:
        file = put(tmp_path / "model" / "model.safetensors")
        before = find(spec(str(tmp_path / "model"))).version
        assert find(spec(str(tmp_path / "model"))).version == before
        os.utime(file, ns=(1, 1))
        assert find(spec(str(tmp_path / "model"))).version != before


class TestGuess:
    def test_the_entrys_own_figure_comes_first(self, footprints: Footprints, tmp_path: Path) -> None:
        put(tmp_path / "model.gguf")
        assert footprints.guess(spec(str(tmp_path / "model.gguf"), memory_gb=1.5)) == 3 * GIB // 2

    def test_then_the_weights_and_a_fifth(self, footprints: Footprints, tmp_path: Path) -> None:
        put(tmp_path / "model" / "model.safetensors", 10_000)
        assert footprints.guess(spec(str(tmp_path / "model"))) == 12_000
        download(tmp_path)
        assert footprints.guess(spec("org/model")) == 6_000

    @pytest.mark.parametrize("source", ["", "org/never-downloaded", "package:no_such_package/x", "package:"])
    def test_then_a_small_default(self, source: str, footprints: Footprints) -> None:
        assert footprints.guess(spec(source)) == DEFAULT_GUESS


class TestWeights:
    @pytest.mark.parametrize(
        ("files", "counted"),
        [
            ({"model.safetensors": 7, "model.bin": 8}, 7),
            ({"model.safetensors": 7, "pytorch_model.bin": 8, "training_args.bin": 1}, 7),
            ({"model-00001-of-00002.safetensors": 7, "model-00002-of-00002.safetensors": 8}, 15),
            ({"model.fp16.safetensors": 4, "model.safetensors": 8}, 8),
            ({"unet/model.bin": 5, "vae/model.safetensors": 3, "vae/model.bin": 3, "model_index.json": 9}, 8),
            ({"model.safetensors": 7, "onnx/model.onnx": 7, "2_Dense/model.safetensors": 1}, 8),
            ({"det.onnx": 2, "rec.onnx": 3}, 5),
            ({"q4.gguf": 4}, 4),
            ({"weights.npz": 6, ".cache/model.npz": 6, "readme.md": 6}, 6),
            ({"model.ckpt": 1, "model.pt": 2, "model.pth": 3}, 2),
            ({"config.json": 1}, 0),
        ],
    )
    def test_each_tensor_counts_once(self, files: dict[str, int], counted: int, tmp_path: Path) -> None:
        for name, bytes_ in files.items():
            put(tmp_path / name, bytes_)
        assert size(tmp_path) == counted

    def test_a_shard_stands_for_its_set(self, tmp_path: Path) -> None:
        first = put(tmp_path / "q8-00001-of-00002.gguf", 3)
        put(tmp_path / "q8-00002-of-00002.gguf", 4)
        put(tmp_path / "q4.gguf", 5)
        assert (size(first), size(tmp_path / "q4.gguf")) == (7, 5)

    def test_a_circle_of_folders_ends(self, tmp_path: Path) -> None:
        put(tmp_path / "model.npz", 5)
        (tmp_path / "again").symlink_to(tmp_path)
        assert size(tmp_path) % 5 == 0

    def test_the_requested_revision_is_found(self, tmp_path: Path) -> None:
        environ = {"HF_HOME": str(tmp_path / "hf")}
        main, old = download(tmp_path), download(tmp_path, commit="f" * 40, ref="v1")
        assert locate(spec("org/model"), environ) == main
        assert locate(spec("org/model", revision="v1"), environ) == old
        assert locate(spec("org/model", revision="f" * 40), environ) == old
        assert locate(spec("org/model", revision="v3"), environ) is None

    def test_an_entrys_environment_may_move_the_cache(self, tmp_path: Path) -> None:
        snapshot = download(tmp_path)
        own = spec("org/model", env={"HF_HOME": str(tmp_path / "hf")})
        assert locate(own, {"HF_HOME": str(tmp_path / "empty")}) == snapshot

    def test_the_cache_follows_its_variables(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        environ = {"ENGINEHOUSE_HOME": str(tmp_path / "data")}
        assert hub_cache(environ) == tmp_path / "data" / "models" / "hub"
        (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
        assert hub_cache(environ) == tmp_path / ".cache" / "huggingface" / "hub"
        assert hub_cache({"HF_HOME": "/hf"}) == Path("/hf/hub")
        assert hub_cache({"HF_HOME": "/hf", "HF_HUB_CACHE": "/elsewhere"}) == Path("/elsewhere")

    def test_a_package_is_found_without_importing_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path / "weights_inside" / "tiny" / "model.safetensors", 50)
        (tmp_path / "weights_inside" / "__init__.py").write_text("raise RuntimeError('imported')")
        monkeypatch.syspath_prepend(tmp_path)
        for source in ("package:weights_inside/tiny", "package:weights_inside.tiny", "package:weights_inside"):
            assert find(spec(source)).size == 50
        assert locate(spec("package:weights_inside/missing")) is None
