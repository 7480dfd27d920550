"""Writes the generated pages of the reference: `python docs/generate.py`. A test compares them with the code.

reference/cli/VERB.md         from the commands' own help texts
reference/configuration.md    from the dataclasses of a training recipe and their comments
"""

from __future__ import annotations

import inspect
import io
import re
import sys
import tokenize
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from alanet.cli import app
from alanet.data.augment import Degradation, ExposureMix
from alanet.data.cutting import ClipOptions
from alanet.data.editing import Editing
from alanet.data.synthetic.scenes import SceneOptions
from alanet.training.config import Stage, TrainConfig
from alanet.training.recipe import Recipe

HERE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py. Change the help texts in the code instead. -->\n\n"
TABLES: tuple[tuple[str, type[Any], str], ...] = (
    ("Recipe", Recipe, "The top level of a recipe file."),
    ("[train]", TrainConfig, "Budget, optimizer, loss and bookkeeping."),
    ("[[train.stages]]", Stage, "Growing crops."),
    ("[clips]", ClipOptions, "What a training clip is."),
    ("[clips.mix]", ExposureMix, "How exposures are drawn."),
    ("[clips.degradation]", Degradation, "Faults of real files."),
    ("[clips.editing]", Editing, "What film editing adds to inputs and ground truth."),
    ("Scenes", SceneOptions, "Options of `alanet data scenes` and of photographs that are rendered during training."),
)


def pages() -> dict[Path, str]:
    """Every generated page."""
    found = {HERE / "cli" / f"{page}.md": command_page(*page.split("-", 1)) for page in command_pages()}
    found[HERE / "cli" / "index.md"] = command_index()
    found[HERE / "configuration.md"] = configuration_page()
    return found


def verbs() -> list[str]:
    """The commands of the first level, in the order of `alanet --help`."""
    return [name for name in app if not name.startswith("-")]


def command_pages() -> list[str]:
    """The names of the commands' pages: a page a command, and one more for each below `evaluate`, which has many."""
    below = [f"evaluate-{name}" for name in app["evaluate"] if not name.startswith("-")]
    return [page for verb in verbs() for page in (verb, *(below if verb == "evaluate" else ()))]


def command_page(verb: str, below: str = "") -> str:
    """The help of a command and of the commands below it."""
    command = app[verb][below] if below else app[verb]
    text = command.generate_docs(output_format="markdown", recursive=verb != "evaluate", heading_level=1)
    name = f"{verb} {below}".strip()
    text = re.sub(rf"^```console\n(?:alanet )?(?:{verb} )?", f"```console\nalanet {verb} ", text, flags=re.M)
    text = re.sub(rf"^(#+) (?:{verb} )?{below or verb}\b", rf"\1 alanet {name}", text, flags=re.M)
    text = re.sub(rf"\(#{verb}-", "(evaluate-" if verb == "evaluate" else f"(#alanet-{verb}-", text)
    text = re.sub(r"\((evaluate-\w+)\)", r"(\1.md)", text)
    text = re.sub(r"## Table of Contents\n.*?(?=\n\*\*|\n## )", "", text, flags=re.S)
    return NOTE + text.strip() + "\n"


def command_index() -> str:
    """Links to the pages of all commands."""
    lines = ["# Command line", "", "`alanet VERB --help` prints the same.", ""]
    for verb in verbs():
        help_text = inspect.cleandoc(str(app[verb].help)).splitlines()[0]
        lines.append(f"- [alanet {verb}]({verb}.md): {help_text}")
    lines += ["", "```{toctree}", ":hidden:", "", *command_pages(), "```"]
    return NOTE + "\n".join(lines) + "\n"


def configuration_page() -> str:
    """Every key of a recipe with its type, default and meaning."""
    lines = [
        "# Configuration of training",
        "",
        "A recipe is a TOML file; `recipes/` has examples. A key that is left out has",
    ]
    lines += ["its default. On the command line, `--set clips.mix.sharp=0.1` overrides one.", ""]
    for title, kind, about in TABLES:
        lines += [f"## {title}", "", about, "", "| key | type | default | meaning |", "|---|---|---|---|"]
        comments = comments_of(kind)
        for field in fields(kind):
            default = "" if field.default is MISSING else repr(field.default)
            if field.default_factory is not MISSING:
                default = "see its table" if is_dataclass(field.default_factory) else repr(field.default_factory())
            cells = (
                f"`{field.name}`",
                f"`{field.type}`",
                f"`{default}`" if default else "",
                comments.get(field.name, ""),
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return NOTE + "\n".join(lines).rstrip() + "\n"


def comments_of(kind: type[Any]) -> dict[str, str]:
    """The comment of each field of a dataclass: behind its line, and on the lines below that hold nothing else."""
    found: dict[str, str] = {}
    name = ""
    for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(kind)).readline):
        if (declared := re.match(r"    (\w+): ", token.line)) and declared[1] != name:
            name = declared[1]
        if token.type == tokenize.COMMENT and name:
            found[name] = f"{found.get(name, '')} {token.string.lstrip('# ')}".strip()
        if token.type == tokenize.NAME and token.string == "def":
            break
    return found


def main() -> int:
    """Write the pages that have changed; with --check, say which ones would change."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(path.relative_to(HERE.parents[1]))
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[path])
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
