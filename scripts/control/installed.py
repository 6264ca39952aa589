"""Installs the house for good: the manager as a service of the system, the gateway in a container or beside it."""

from __future__ import annotations

from contract.config import Settings
from scripts.control import background, container, service
from scripts.control.service import Service
from scripts.control.site import Site
from scripts.control.trouble import Trouble


class Installed:
    """The services of one house, on a machine that has a service manager."""

    def __init__(self, site: Site, system: Service) -> None:
        self._site = site
        self._system = system

    @classmethod
    def find(cls, site: Site) -> Installed | None:
        """What is installed for this house, if anything is."""
        system = service.of_this_machine()
        return cls(site, system) if system and system.belongs_to(site.home) else None

    @classmethod
    def install(cls, site: Site) -> Installed:
        """Install and start. Raises Trouble where the machine has no service manager."""
        system = service.of_this_machine()
        if system is None:
            raise Trouble("neither systemd nor launchd runs here; `make start` runs the house without services")
        _check_ports_are_fixed(site.settings)  # a wrong configuration is not installed
        background.stop(site)
        installed = cls(site, system)
        if not system.belongs_to(site.home):
            site.check_ports()
        contained = container.docker_answers()
        programs = ["manager"] if contained else ["manager", "gateway"]
        listen = _addresses(site.settings, container.bridge_address() if contained else None)
        system.install(programs, site.home, service.environment(site.home, listen, site.environ))
        container.mark(site.home).unlink(missing_ok=True)
        if contained:
            site.wait_for_manager()  # its token must be there before the container mounts it
            container.mark(site.home).parent.mkdir(parents=True, exist_ok=True)
            container.mark(site.home).touch()
            installed._compose("up", "--detach", "--build")
        return installed

    def uninstall(self) -> None:
        """Stop everything and remove the services; configuration, models and logs stay."""
        if self._contained:
            self._compose("down")
            container.mark(self._site.home).unlink()
        self._system.uninstall()

    def start(self) -> None:
        """Start the services, and the container."""
        self._system.start()
        if self._contained:
            self._compose("up", "--detach")

    def stop(self) -> None:
        """Stop them again, the gateway first."""
        if self._contained:
            self._compose("stop")
        self._system.stop()

    def logs_of_gateway(self) -> None:
        """Follow the container's log."""
        self._compose("logs", "--follow", "--tail", "50", "gateway")

    @property
    def _contained(self) -> bool:
        return container.mark(self._site.home).exists()

    def _compose(self, *arguments: str) -> None:
        container.run(arguments, self._site.home, self._site.environ)


def _addresses(settings: Settings, bridge: str | None) -> list[str]:
    """Where the manager listens: as configured, and where containers reach it."""
    listen = list(settings.manager.listen)
    return listen if bridge is None or {bridge, "0.0.0.0", "::"} & set(listen) else [*listen, bridge]


def _check_ports_are_fixed(settings: Settings) -> None:
    if 0 in {settings.gateway.port, settings.manager.port}:
        raise Trouble("services need fixed ports; write some into `gateway.port` and `manager.port`")
