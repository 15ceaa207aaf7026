"""What the runbooks tell people to do: expressions, commands and words of logs that there are."""
import functools
import re
import subprocess

import catalogue
import executable
import promql
from manifests import ROOT, environment


def problems(folder, names):
    """Whatever would not work when somebody follows it. `names` has the labels of every metric."""
    for file in sorted(folder.glob("*.md")):
        text = file.read_text()
        for expression in expressions(text):
            try:
                promql.labels(expression, names)
            except (promql.Unknown, ValueError) as problem:
                yield f"runbooks/{file.name}: {expression}: {problem}"
        for metric in sorted(set(re.findall(r"\bdeed_[a-z_]+\b", text)) - set(names) - set(catalogue.families())):
            yield f"runbooks/{file.name}: there is no metric {metric}"
        for command in commands(text):
            if not understood(command):
                yield f"runbooks/{file.name}: there is no `deed {' '.join(command)}`"
        for words in re.findall(r'log: "([^"]+)"', text):
            if " ".join(words.split()) not in sources():
                yield f"runbooks/{file.name}: nothing logs {words}"
        yield from (f"runbooks/{file.name}: {problem}" for problem in of_links(file, text))


@functools.cache
def sources():
    """The text of all our sources."""
    return "\n".join(path.read_text() for path in sorted(ROOT.glob("crates/*/src/**/*.rs")))


def expressions(text):
    """Every expression, of which a block may have several with empty lines between."""
    for block in re.findall(r"^ *```promql\n(.*?)^ *```", text, re.S | re.M):
        yield from (" ".join(part.split()) for part in re.split(r"\n\s*\n", block) if part.strip())


def commands(text):
    """The commands of ours, each as its words up to the first that cannot be a command's name."""
    for words in re.findall(r"(?:^ *|`|-- )deed((?:\s+[a-z]+\b)+)", text, re.M):
        yield tuple(words.split())


@functools.cache
def understood(command):
    """Whether the executable has such a command, of which the last words may be arguments: a domain's first label."""
    for length in range(len(command), 0, -1):
        asked = [executable.DEED, *command[:length], "--help"]
        done = subprocess.run(asked, capture_output=True, text=True, env=environment())
        if done.returncode == 0:
            # A command that has commands of its own wants one of them.
            return "Commands:" not in done.stdout
    return False


def of_links(file, text):
    """Links within the documentation lead somewhere, to a heading where they name one."""
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        linked = (file.parent / target).resolve() if target else file
        if not linked.exists():
            yield f"leads to {target}, which is not there"
        elif anchor and anchor not in anchors(linked.read_text()):
            yield f"leads to {target}#{anchor}, which is not there"


def anchors(text):
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)}
