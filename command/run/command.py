"""`enginehouse run MODEL`: a chat in the terminal, or any other task once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from client import Client
from command.models import ModelName
from command.run.conversation import Conversation, converse, is_image, looks_like_image
from command.run.question import Question
from command.run.tasks import TASKS
from command.session import CommandError, Session

Words = Annotated[list[str] | None, typer.Argument(help="Images (paths or URLs), and words of the prompt")]


def run(
    context: typer.Context,
    name: ModelName,
    words: Words = None,
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="What to ask, find or draw")] = None,
    task: Annotated[str | None, typer.Option(help="The task, for a model that does several")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the answer: an image, sound, .npz, .npy, .json, .txt")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-O", help="Another field of the API: -O box_threshold=0.4")
    ] = None,
) -> None:
    """Ask a model, or a task's default model: chat in the terminal, or find, read, measure or draw something once."""
    session = Session.of(context)
    if out and not out.absolute().parent.is_dir():
        raise CommandError(f"{out.absolute().parent} is no folder")
    with session.client() as client:
        model, doing = _choose(client, name, task)
        ending = out.suffix.lower() if out else ""
        question = _question(model, words or [], prompt, option or [], ending)
        if doing == "chat":
            _chat(session, client, question, out)
            return
        outcome = TASKS[doing](client, question)
    if out:
        outcome.save(out)
    session.show(outcome.document, outcome.said)


def _choose(client: Client, name: str, task: str | None) -> tuple[str | None, str]:
    """The model (None: the default one) and the task. Raises CommandError if the model does not do it."""
    known = [*TASKS, "chat"]
    if task is not None and task not in known:
        raise CommandError(f"There is no task {task!r}. Tasks: {', '.join(sorted(known))}.")
    listed = client.models()
    if name in known and not any(name in {model.id, *model.aliases} for model in listed):
        return None, task or name
    tasks = client.model(name).tasks
    if task is None:
        task = next((each for each in ("chat", *TASKS) if each in tasks), None)
    if task is None or task not in tasks:
        raise CommandError(f"{name} does not do {task or 'anything that can be run'}. It does: {', '.join(tasks)}.")
    return name, task


def _question(model: str | None, words: list[str], prompt: str | None, options: list[str], ending: str) -> Question:
    images = [word for word in words if is_image(word) or Path(word).is_file() or _is_url(word)]
    if missing := [word for word in words if word not in images and looks_like_image(word)]:
        raise CommandError(f"There is no file {missing[0]}")
    text = " ".join([*([prompt] if prompt else []), *(word for word in words if word not in images)])
    return Question(model, text or None, images, dict(map(_option, options)), ending)


def _is_url(word: str) -> bool:
    return word.lower().startswith(("http://", "https://"))


def _option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise CommandError(f"Write an option as NAME=VALUE, not as {text!r}")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        return name, value


def _chat(session: Session, client: Client, question: Question, out: Path | None) -> None:
    conversation = Conversation(client, question.model, question.options)
    text = question.prompt
    if text is None and not sys.stdin.isatty():
        text = sys.stdin.read().strip()
    if text is None:
        if session.as_json or out:
            raise CommandError("Say what to ask: --prompt TEXT")
        converse(conversation)
        return
    answer = ""
    for piece in conversation.say(text, question.images):
        answer += piece
        if not session.as_json:
            print(piece, end="", flush=True)
    if session.as_json:
        session.show({"text": answer})
    else:
        print()
    if out:
        out.write_text(answer + "\n", encoding="utf-8")
