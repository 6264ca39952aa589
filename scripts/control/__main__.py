"""`python -m scripts.control COMMAND`: start, stop, restart, status, logs, reload, install, uninstall and more."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from scripts.control import background, container, report
from scripts.control.installed import Installed
from scripts.control.site import Site
from scripts.control.trouble import Trouble


def start(site: Site) -> None:
    """Start the house, as a service where it is installed as one, and wait until it is ready."""
    installed = Installed.find(site)
    if installed:
        installed.start()
        site.wait_until_ready()
        print(f"The services run. Clients find the house at {site.url}/v1")
    elif background.start(site):
        print(f"The house is ready at {site.url}/v1 - logs are in {site.manager.log.parent}")
    else:
        print(f"The house runs already, at {site.url}/v1")


def stop(site: Site) -> None:
    """Stop the house."""
    installed = Installed.find(site)
    if installed:
        installed.stop()
        print("The services are stopped, until the machine starts again or you do.")
    else:
        print("The house is closed." if background.stop(site) else "The house does not run.")


def restart(site: Site) -> None:
    """Stop and start."""
    stop(site)
    start(site)


def status(site: Site) -> None:
    """Show programs, memory, models and workers."""
    if Installed.find(site):
        print("installed as services")
    print("\n".join(report.lines(site)))


def reload(site: Site) -> None:
    """Have the manager read the configuration again."""
    changed = site.reload()
    print(f"The configuration is taken on; changed: {', '.join(changed) or 'nothing'}")


def install(site: Site) -> None:
    """Install the house as services that start with the machine."""
    Installed.install(site)
    site.wait_until_ready()
    print(f"Installed. Clients find the house at {site.url}/v1, also after the next start of this machine.")


def uninstall(site: Site) -> None:
    """Remove the services; configuration, models and logs stay."""
    installed = Installed.find(site)
    if installed is None:
        print("Nothing is installed for this house.")
        return
    installed.uninstall()
    print(f"Removed. Configuration, models and logs are still there: {site.home}")


def docker_up(site: Site) -> None:
    """Start the gateway in a container; the manager must run already and listen where containers reach it."""
    if site.status() is None:
        listen = ",".join(["127.0.0.1", *filter(None, [container.bridge_address()])])
        how = f"MANAGER_LISTEN={listen} {sys.executable} -m manager"
        raise Trouble(f"the manager does not run. Start it where containers reach it: {how}")
    container.run(["up", "--detach", "--build"], site.home, site.environ)
    site.wait_until_ready()
    print(f"The gateway runs in a container. Clients find the house at {site.url}/v1")


def docker_down(site: Site) -> None:
    """Stop and remove the gateway's container."""
    container.run(["down"], site.home, site.environ)


def logs(site: Site) -> None:
    """Follow the logs of everything."""
    _follow([str(path) for path in sorted(site.manager.log.parent.glob("*.log"))])


def logs_manager(site: Site) -> None:
    """Follow the manager's log."""
    _follow([str(site.manager.log)])


def logs_gateway(site: Site) -> None:
    """Follow the gateway's log."""
    installed = Installed.find(site)
    if installed and not site.gateway.log.exists():
        installed.logs_of_gateway()
    _follow([str(site.gateway.log)])


def logs_workers(site: Site) -> None:
    """Follow the logs of the workers that there are now."""
    ours = {site.manager.log, site.gateway.log}
    _follow([str(path) for path in sorted(site.manager.log.parent.glob("*.log")) if path not in ours])


COMMANDS: dict[str, Callable[[Site], None]] = {
    command.__name__.replace("_", "-"): command
    for command in (
        start, stop, restart, status, reload, install, uninstall, docker_up, docker_down,
        logs, logs_manager, logs_gateway, logs_workers,
    )
}  # fmt: skip


def _follow(paths: list[str]) -> None:
    if not paths:
        raise Trouble("there are no logs yet; `make start` starts the house")
    os.execvp("tail", ["tail", "-n", "50", "-F", *paths])


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 0, or 1 after a sentence that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m scripts.control", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    try:
        COMMANDS[parser.parse_args(arguments).command](Site())
    except Trouble as trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
