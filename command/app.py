"""The commands, and the options that all of them have."""

from __future__ import annotations

from typing import Annotated

import typer

from command import bench, import_config, jobs, keys, models, pull, requests, serve, status, watch
from command.doctor import command as doctor_command
from command.run import command as run_command
from command.session import Session, guarded, hoisted
from contract import __version__

app = typer.Typer(
    name="enginehouse",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Runs Enginehouse, shows it, and uses it. `--url` and `--key` name another machine.",
)
for command in (
    serve.serve,
    status.status,
    models.models,
    models.load,
    models.evict,
    pull.pull,
    pull.add,
    pull.pin,
    pull.unpin,
    watch.logs,
    requests.requests,
    watch.events,
    run_command.run,
    bench.bench,
    doctor_command.doctor,
    import_config.import_config,
):
    app.command()(guarded(command))

app.command("rm")(guarded(pull.remove))
key_commands = typer.Typer(no_args_is_help=True, help="API keys in this machine's configuration.")
for name, key_command in (("new", keys.new), ("list", keys.list_keys), ("revoke", keys.revoke)):
    key_commands.command(name)(guarded(key_command))
app.add_typer(key_commands, name="keys")
job_commands = typer.Typer(no_args_is_help=True, help="Requests that are stored now and run later.")
for name, job_command in (
    ("submit", jobs.submit),
    ("list", jobs.list_jobs),
    ("show", jobs.show),
    ("wait", jobs.wait),
    ("cancel", jobs.cancel),
    ("batches", jobs.list_batches),
    ("cancel-batch", jobs.cancel_batch),
):
    job_commands.command(name)(guarded(job_command))
app.add_typer(job_commands, name="jobs")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"enginehouse {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(envvar="ENGINEHOUSE_URL", help="The server's address [default: http://localhost:8000]")
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="ENGINEHOUSE_KEY", help="The API key, if the server needs one")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts; errors too")] = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version")
    ] = False,
) -> None:
    context.obj = Session(url, key, as_json)


def run(arguments: list[str]) -> int:
    """Run one command. Returns its exit code."""
    try:
        app(args=hoisted(arguments), prog_name="enginehouse")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0
