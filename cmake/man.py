# SPDX-License-Identifier: Apache-2.0
"""Write the manual pages: what is generated cannot drift from what it describes.

    man.py command VERSION PARTS FOLDER LAUTER     lauter(1) and a page for each subcommand, from the command's own help
    man.py library VERSION PARTS FOLDER HEADER     lauter(3), from the header

PARTS has what is written by hand: `PAGE.mdoc`, its date first, then sections; the generated ones go where it says
`.\\" description`, `.\\" examples` and `.\\" functions`. A subcommand without such a file gets `command.mdoc`. Pages are mdoc(7).
"""

import json
import re
import subprocess
import sys
from pathlib import Path


def prose(text: str) -> str:
    """A line of text for roff: nothing in it is a request, and options keep their hyphens."""
    text = text.replace("\\", "\\e")
    text = re.sub(r"(?<![\w-])(-+)(?=\w)", lambda m: m[1].replace("-", "\\-"), text)
    text = re.sub(r"^(?=['.])", r"\\&", text, flags=re.M)
    return text.replace("`", "\\(ga")


def literal(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return re.sub(r"^(?=['.])", r"\\&", text, flags=re.M)


def sentences(text: str) -> str:
    """mdoc wants each sentence to begin a line."""
    return re.sub(r"(?<=[a-z)\"'][.:;])  *(?=[A-Z])", "\n", " ".join(text.split()))


def paragraphs(text: str):
    """Those of a discussion, as roff; indented ones are literal. What begins with "Example" and what follows it is apart."""
    description, examples = [], []
    into = description
    for block in filter(str.strip, re.split(r"\n\s*\n", text)):
        if re.match(r"Examples?\b", block):
            into = examples
            block = re.sub(r"^Examples?: *", "", block)
            block = block[:1].upper() + block[1:]
        if block.startswith("  "):
            lines = "\n".join(line[2:] for line in block.rstrip().splitlines())
            into.append(f".Bd -literal -offset indent\n{literal(lines)}\n.Ed")
        else:
            into.append(f".Pp\n{prose(sentences(block))}")
    return "\n".join(description), "\n".join(examples)


def names_of(argument: dict) -> str:
    spelled = {"long": "Fl -{}", "short": "Fl {}", "longWithSingleDash": "Fl {}"}
    if not argument.get("names"):
        return f"Ar {argument['valueName']}"
    value = f" Ar {argument['valueName']}" if argument["kind"] == "option" else ""
    return " , ".join(
        spelled[name["kind"]].format(name["name"].replace("-", "\\-")) + value for name in argument["names"]
    )


def item(argument: dict) -> str:
    """One option with what there is to say of it."""
    said = [prose(sentences(argument.get("abstract", "")))]
    if discussion := argument.get("discussion"):
        said.append(prose(sentences(discussion)))
    if values := argument.get("allValues"):
        said.append(f"One of {prose(', '.join(values))}.")
    if (default := argument.get("defaultValue")) is not None and argument["kind"] == "option":
        said.append(f"The default is {prose(str(default))}.")
    if argument.get("isRepeating") and argument["kind"] == "option":
        said.append("May be given more than once.")
    return "\n".join([f".It {names_of(argument)}", *filter(None, said)])


def options(command: dict) -> str:
    """The arguments by their groups, in the order of the help."""
    groups: dict = {}
    for argument in command.get("arguments", []):
        if argument.get("shouldDisplay", True):
            title = argument.get("sectionTitle") or ("Arguments" if not argument.get("names") else "Options")
            groups.setdefault(title, []).append(argument)
    order = sorted(groups, key=lambda title: {"Arguments": 0, "Options": 2}.get(title, 1))
    lines = []
    for title in order:
        lines += [f".Ss {title}", ".Bl -tag -width Ds", *map(item, groups[title]), ".El"]
    return "\n".join(lines)


def usage(lauter: str, path: list) -> str:
    """The usage line of the help, marked up."""
    shown = subprocess.run([lauter, *path, "--help"], stdout=subprocess.PIPE, check=True, text=True).stdout
    line = " ".join(re.search(r"^USAGE: (.*?)(?:\n\n|\Z)", shown, re.S | re.M)[1].split())
    def marked(word: str) -> str:
        if word == "--":
            return "Fl \\-"
        if word.startswith("-"):
            return "Fl " + word[1:].replace("-", "\\-")
        if re.fullmatch(r"<.*>", word):
            return f"Ar {word[1:-1]}"
        return "No ..." if word == "..." else f"Cm {prose(word)}"

    lines = []
    for group in re.findall(r"\[[^]]*\](?:\s*\.\.\.)?|\S+", line.split(maxsplit=1)[1]):
        optional = re.fullmatch(r"\[(.*)\](?:\s*(\.\.\.))?", group)
        words = optional[1].split() if optional else [group]
        lines.append(" ".join([*(["Op"] if optional else []), *map(marked, words)]))
        lines += ["No ..."] if optional and optional[2] else []
    return ".Nm lauter\n" + "\n".join("." + one for one in lines)


def page(name: str, section: int, version: str, parts: Path, summary: str, body: dict, synopsis: str) -> str:
    source = parts / f"{name}.{section}.mdoc"
    if not source.exists():
        source = parts / "command.mdoc"
    date, text = source.read_text().split("\n", 1)
    if not date.startswith(".Dd "):
        raise SystemExit(f"man: {source} does not begin with its date")
    for mark, generated in body.items():
        text = re.sub(rf'^\.\\" {mark}$', lambda _: generated, text, flags=re.M)
    text = re.sub(r'^\.\\" .*\n', "", text, flags=re.M)
    text = "\n".join(line for line in text.splitlines() if line)
    head = [
        f".\\\" Made from {source.name} and what it describes: do not edit.", date, f".Dt {name.upper()} {section}",
        f".Os lauter {version}", ".Sh NAME", f".Nm {name}", f".Nd {prose(summary)}", ".Sh SYNOPSIS", synopsis,
    ]  # fmt: skip
    # A paragraph break right after a heading or a list is no break.
    text = re.sub(r"(?<=\n)(\.S[hs] [^\n]*)\n\.Pp\n", r"\1\n", "\n" + text)[1:]
    return "\n".join([*head, text]) + "\n"


def summary_of(abstract: str) -> str:
    abstract = abstract.rstrip(".")
    return abstract[:1].lower() + abstract[1:]


def command_pages(version: str, parts: Path, folder: Path, lauter: str) -> None:
    dumped = subprocess.run([lauter, "--experimental-dump-help"], stdout=subprocess.PIPE, check=True, text=True)
    root = json.loads(dumped.stdout)["command"]
    subcommands = [
        each for each in root["subcommands"]
        if each["commandName"] != "help" and each.get("shouldDisplay", True)
    ]  # fmt: skip
    listed = [".Ss Commands", ".Bl -tag -width Ds"]
    for each in subcommands:
        name = f"lauter-{each['commandName']}"
        listed += [f".It Cm {each['commandName']}", prose(sentences(each["abstract"])), f"See\n.Xr {name} 1 ."]
    listed.append(".El")
    for each in [root, *subcommands]:
        path = [] if each is root else [each["commandName"]]
        description, examples = paragraphs(each.get("discussion", ""))
        lines = [f".Sh DESCRIPTION\n{prose(sentences(each['abstract']))}", description]
        lines += listed if each is root else []
        body = {
            "description": "\n".join(filter(None, [*lines, options(each)])),
            "examples": f".Sh EXAMPLES\n{examples}" if examples else "",
        }
        name = "-".join(["lauter", *path])
        text = page(name, 1, version, parts, summary_of(each["abstract"]), body, usage(lauter, path))
        (folder / f"{name}.1").write_text(text)


def library_page(version: str, parts: Path, folder: Path, header: Path) -> None:
    """Every function of the header, and of the worker's beside it: its prototype and the first sentence of its documentation."""
    text = header.read_text() + header.with_name("lauter_worker.h").read_text()
    found = re.findall(
        r"/\*\*((?:(?!\*/).)*?)\*/\s*LAUTER_(?:API|CHECKED) ([^;(]*?)(\blauter_\w+)\(([^;]*)\);", text, re.S
    )
    banners = [(m.start(), m[1]) for m in re.finditer(r"/\* -{20,} (.*?) -- \*/", text)]
    lines, group = [], None
    for comment, result, name, arguments in found:
        place = text.index(f"{name}(", text.index(comment))
        title = [banner for start, banner in banners if start < place][-1]
        if title != group:
            lines += [".El"] if group else []
            lines += [f".Ss {title.capitalize()}", ".Bl -tag -width Ds"]
            group = title
        said = re.sub(r"^\s*\* ?", "", comment, flags=re.M).strip().split("\n\n")[0]
        said = re.split(r"(?<=\.) (?=[A-Z`*])", " ".join(said.split()))[0].rstrip(".").replace("`", "")
        prototype = f"{result}{name}({' '.join(arguments.split())})".replace("\\", "\\e")
        lines += [f".It Li \"{prototype}\"", prose(said) + "."]
    if len(found) < 40:
        raise SystemExit(f"man: {header} has {len(found)} documented functions?")
    lines.append(".El")
    include = ".In lauter.h"
    body = {"functions": "\n".join(lines)}
    summary = "run other people's code in worker processes that cannot hurt their host"
    (folder / "lauter.3").write_text(page("lauter", 3, version, parts, summary, body, include))


def main(arguments: list) -> int:
    if len(arguments) != 5 or arguments[0] not in ("command", "library"):
        print(__doc__, file=sys.stderr)
        return 2
    kind, version, parts, folder, subject = arguments
    Path(folder).mkdir(parents=True, exist_ok=True)
    write = {"command": command_pages, "library": library_page}[kind]
    write(version, Path(parts), Path(folder), subject if kind == "command" else Path(subject))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
