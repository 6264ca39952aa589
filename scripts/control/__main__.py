"""`python -m scripts.control COMMAND`: start, stop, restart, status, logs, reload, install, uninstall and more."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from contract.config import OPEN_WARNING
from contract.startup_errors import explain
from scripts.control import background, container, status_report
from scripts.control.errors import ControlError
from scripts.control.installation import Installation
from scripts.control.services import InstalledServices


def start(installation: Installation) -> None:
    """Start Enginehouse, as services if they are installed, and wait until it is ready."""
    services = InstalledServices.find(installation)
    if services:
        services.start()
        installation.wait_until_ready()
        print(f"The services are running. Enginehouse is ready at {installation.url}/v1")
    elif background.start(installation):
        print(f"Enginehouse is ready at {installation.url}/v1 - logs are in {installation.manager.log.parent}")
    else:
        print(f"Enginehouse is already running at {installation.url}/v1")
    if installation.settings.is_open:
        print(OPEN_WARNING)


def stop(installation: Installation) -> None:
    """Stop Enginehouse."""
    services = InstalledServices.find(installation)
    if services:
        services.stop()
        print("The services are stopped. They start again with the machine, or with `make start`.")
    else:
        print("Enginehouse has stopped." if background.stop(installation) else "Enginehouse is not running.")


def restart(installation: Installation) -> None:
    """Stop and start."""
    stop(installation)
    start(installation)


def status(installation: Installation) -> None:
    """Show programs, memory, models and workers."""
    if InstalledServices.find(installation):
        print("installed as services")
    print("\n".join(status_report.status_lines(installation)))


def reload(installation: Installation) -> None:
    """Apply the changed configuration file."""
    changed = installation.reload()
    print(f"The configuration is reloaded. Changed: {', '.join(changed) or 'nothing'}")


def forget(installation: Installation) -> None:
    """Forget the measured memory of the model that MODEL names."""
    model = installation.environ.get("MODEL")
    if not model:
        raise ControlError("Name the model: make forget MODEL=ID")
    forgotten = installation.forget(model)
    print(f"The measured memory of {model} is forgotten." if forgotten else f"Nothing was measured of {model}.")


def install(installation: Installation) -> None:
    """Install Enginehouse as services that start with the machine."""
    InstalledServices.install(installation)
    installation.wait_until_ready()
    print(f"Installed. Enginehouse is ready at {installation.url}/v1 and starts with this machine.")


def uninstall(installation: Installation) -> None:
    """Remove the services; configuration, models and logs stay."""
    services = InstalledServices.find(installation)
    if services is None:
        print("No services are installed for this state folder.")
        return
    services.uninstall()
    print(f"Removed. Configuration, models and logs are still in {installation.home}")


def docker_up(installation: Installation) -> None:
    """Start the gateway in a container. The manager must be running and listen where containers reach it."""
    if installation.status() is None:
        listen = ",".join(["127.0.0.1", *filter(None, [container.bridge_address()])])
        command = f"MANAGER_LISTEN={listen} {sys.executable} -m manager"
        raise ControlError(f"The manager is not running. Start it where containers reach it: {command}")
    container.run_compose(["up", "--detach", "--build"], installation.home, installation.environ)
    installation.wait_until_ready()
    print(f"The gateway is running in a container. Enginehouse is ready at {installation.url}/v1")


def docker_down(installation: Installation) -> None:
    """Stop and remove the gateway's container."""
    container.run_compose(["down"], installation.home, installation.environ)


def logs(installation: Installation) -> None:
    """Follow all logs."""
    _follow([str(path) for path in sorted(installation.manager.log.parent.glob("*.log"))])


def logs_manager(installation: Installation) -> None:
    """Follow the manager's log."""
    _follow([str(installation.manager.log)])


def logs_gateway(installation: Installation) -> None:
    """Follow the gateway's log."""
    services = InstalledServices.find(installation)
    if services and not installation.gateway.log.exists():
        services.follow_gateway_log()
    _follow([str(installation.gateway.log)])


def logs_workers(installation: Installation) -> None:
    """Follow the logs of the current workers."""
    programs = {daemon.log for daemon in installation.daemons}
    _follow([str(path) for path in sorted(installation.manager.log.parent.glob("*.log")) if path not in programs])


COMMANDS: dict[str, Callable[[Installation], None]] = {
    command.__name__.replace("_", "-"): command
    for command in (
        start, stop, restart, status, reload, forget, install, uninstall, docker_up, docker_down,
        logs, logs_manager, logs_gateway, logs_workers,
    )
}  # fmt: skip


def _follow(paths: list[str]) -> None:
    if not paths:
        raise ControlError("There are no logs yet. `make start` starts Enginehouse.")
    os.execvp("tail", ["tail", "-n", "50", "-F", *paths])


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0, or 1 after an error message."""
    parser = argparse.ArgumentParser(prog="python -m scripts.control", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    try:
        COMMANDS[parser.parse_args(arguments).command](Installation())
    except ControlError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{explain(error)}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
