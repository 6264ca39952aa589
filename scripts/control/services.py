"""Installs Enginehouse: the manager as a service of the system, the gateway in a container or as a service too."""

from __future__ import annotations

import sys
from pathlib import Path

from contract.config import Settings
from scripts.control import background, container, service_manager
from scripts.control.errors import ControlError
from scripts.control.installation import Installation
from scripts.control.launchd import Launchd
from scripts.control.service_manager import ServiceManager
from scripts.control.systemd import Systemd


class InstalledServices:
    """The services of one installation."""

    def __init__(self, installation: Installation, manager: ServiceManager) -> None:
        self._installation = installation
        self._manager = manager

    @classmethod
    def find(cls, installation: Installation) -> InstalledServices | None:
        """The services of this installation; None if it has none."""
        manager = _service_manager()
        return cls(installation, manager) if manager and manager.belongs_to(installation.home) else None

    @classmethod
    def install(cls, installation: Installation) -> InstalledServices:
        """Install the services and start them. Raises ControlError if the machine has no service manager."""
        manager = _service_manager()
        if manager is None:
            raise ControlError(
                "Neither systemd nor launchd is running here. `make start` starts Enginehouse without services."
            )
        _check_ports_are_fixed(installation.settings)  # before anything is stopped: an invalid configuration raises
        background.stop(installation)
        services = cls(installation, manager)
        if not manager.belongs_to(installation.home):
            installation.check_ports()
        services._install(in_container=container.docker_is_available())
        return services

    def _install(self, *, in_container: bool) -> None:
        installation, marker = self._installation, container.marker_file(self._installation.home)
        programs = ["manager"] if in_container else ["manager", "gateway"]
        listen = _addresses(installation.settings, container.bridge_address() if in_container else None)
        environ = service_manager.service_environment(installation.home, listen, installation.environ)
        self._manager.install(programs, installation.home, environ)
        marker.unlink(missing_ok=True)
        if in_container:
            installation.wait_for_manager()  # the container mounts its token, which must exist by then
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
            self._compose("up", "--detach", "--build")

    def uninstall(self) -> None:
        """Stop everything and remove the services; configuration, models and logs stay."""
        if self._in_container:
            self._compose("down")
            container.marker_file(self._installation.home).unlink()
        self._manager.uninstall()

    def start(self) -> None:
        """Start the services and the container."""
        self._manager.start()
        if self._in_container:
            self._compose("up", "--detach")

    def stop(self) -> None:
        """Stop the services and the container, the gateway first."""
        if self._in_container:
            self._compose("stop")
        self._manager.stop()

    def follow_gateway_log(self) -> None:
        """Follow the log of the gateway's container."""
        self._compose("logs", "--follow", "--tail", "50", "gateway")

    @property
    def _in_container(self) -> bool:
        return container.marker_file(self._installation.home).exists()

    def _compose(self, *arguments: str) -> None:
        container.run_compose(arguments, self._installation.home, self._installation.environ)


def _service_manager() -> ServiceManager | None:
    """The machine's service manager; None if it has none, as in most containers."""
    if sys.platform == "darwin":
        return Launchd()
    return Systemd() if Path("/run/systemd/system").is_dir() else None


def _addresses(settings: Settings, bridge: str | None) -> list[str]:
    """The manager's addresses: those of the configuration, and the one that containers can reach."""
    listen = list(settings.manager.listen)
    return listen if bridge is None or {bridge, "0.0.0.0", "::"} & set(listen) else [*listen, bridge]


def _check_ports_are_fixed(settings: Settings) -> None:
    if 0 in {settings.gateway.port, settings.manager.port}:
        raise ControlError("Services need fixed ports. Set `gateway.port` and `manager.port`.")
