"""What all tests share: tiny models, each built once per run when a test first needs it, and the order of the tests."""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import os
import pkgutil
import signal
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from scripts.testbed import models as families

# Before any test imports them: pytest says what the operands of a failed assertion were, in these modules too.
pytest.register_assert_rewrite("tests.support")

# On a busy machine, an example takes any time. `make test` tries the same examples each time, so that what it says of a
# change depends on the change alone. `make e2e` searches for others, many of them (--hypothesis-profile=search).
settings.register_profile("search", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("search"), max_examples=100, derandomize=True, database=None)
settings.load_profile("same")

# The models are tiny. Further threads, in each of many processes, would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that runs the tests in the background ignores Ctrl-C, and every program that a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test asks the real hub, whatever it configures. This port refuses connections.
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"

# No test needs the certificates of all authorities, which each process takes 65 ms to read. One is enough.
if "SSL_CERT_FILE" not in os.environ and (authorities := ssl.create_default_context().get_ca_certs(binary_form=True)):
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as certificate:
        certificate.write(ssl.DER_cert_to_PEM_cert(authorities[0]))
    os.environ["SSL_CERT_FILE"] = certificate.name
    atexit.register(os.unlink, certificate.name)

# What is imported and collected stays until the end. Searching it for garbage took a fifth of the time of collecting.
gc.disable()

SHARED = ("tests/e2e/chat_dialects", "tests/e2e/ui/playground", "tests/e2e/vision")

Models = Callable[[str], Path]
"""Returns the folder of a tiny model: `models("sd")` is made by `build_sd(folder)` in scripts/testbed/models."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that take longest first, so that the processes of a parallel run end at the same time."""
    folders = [Path(__file__).parent / name for name in ("e2e", "workers", "scripts", "gateway", "manager")]
    items.sort(key=lambda item: [not item.path.is_relative_to(folder) for folder in folders])


def pytest_collection_finish() -> None:
    """From here on, collect garbage, but do not search what is there already."""
    gc.freeze()
    gc.enable()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """A file's tests run in one process. So do those of a folder in `SHARED`, whose conftest has one server for all."""
    return SharedServerScheduling(config, log)


class SharedServerScheduling(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.partition("::")[0].rpartition("/")[0]  # a parameter may have slashes too
        return folder if folder in SHARED else super()._split_scope(nodeid)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Builds a model on first use. The processes of a parallel run share all models."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "models"
    shared.mkdir(exist_ok=True)

    def build(family: str) -> Path:
        folder, done = shared / family, shared / f"{family}.done"
        with (shared / f"{family}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be building the same model
            if not done.exists():
                folder.mkdir(exist_ok=True)
                _builder(family)(folder)
                done.touch()
        return folder

    return build


@pytest.fixture(scope="session")
def model_code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the copies that transformers makes of remote model code in a folder of this process."""
    from transformers import dynamic_module_utils

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path_factory.mktemp("model-code")))
        patch.syspath_prepend(dynamic_module_utils.HF_MODULES_CACHE)
        yield


def _builder(family: str) -> Callable[[Path], None]:
    for info in pkgutil.iter_modules(families.__path__):
        module = importlib.import_module(f"{families.__name__}.{info.name}")
        if builder := getattr(module, f"build_{family}", None):
            return builder
    raise LookupError(f"no build_{family} in scripts/testbed/models")
