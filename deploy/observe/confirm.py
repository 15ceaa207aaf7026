"""What the runbook of an alert has one ask, asked while the alert fires; and its statements, for mending."""
import pathlib
import re

from children import Failed
from prometheus import faster

FOLDER = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "runbooks"


def part(page, title):
    """The text under a heading of a page."""
    text = (FOLDER / page).read_text()
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.S | re.M | re.I)
    if found is None:
        raise Failed(f"docs/runbooks/{page} has no part {title}")
    return found[1]


def of(rule):
    """The part that a rule's `runbook_url` leads to."""
    page, _, title = rule["annotations"]["runbook_url"].rsplit("/", 1)[-1].partition("#")
    return part(page, title)


def blocks(text, kind):
    """Code of one kind; in a block, empty lines stand between expressions."""
    return [block.strip() for block in re.findall(rf"^ *```{kind}\n(.*?)^ *```", text, re.S | re.M)]


def expressions(text):
    return [" ".join(each.split()) for block in blocks(text, "promql") for each in re.split(r"\n\s*\n", block) if each.strip()]


def questions(text):
    """Statements that change nothing."""
    statements = [each.strip() for block in blocks(text, "sql") for each in block.split(";") if each.strip()]
    return [each for each in statements if each.upper().startswith("SELECT") and "pg_terminate" not in each]


def confirmed(rule, prometheus, services, scale):
    """How many expressions and statements there are, and those that answer nothing or not at all. A database that is away is
    asked nothing."""
    text = of(rule)
    asked, dumb = 0, []
    for expression in expressions(text):
        asked += 1
        if not prometheus.values(faster(expression, scale)):
            dumb.append(expression)
    for question in questions(text) if services.is_up() else []:
        asked += 1
        try:
            services.sql(question)
        except Failed as trouble:
            dumb.append(str(trouble))
    return asked, dumb


def end_long_transactions(services):
    """As store.md has it: looks for who has been in a transaction for long, and ends what is not ours."""
    text = part("store.md", "Long transactions")
    shown, ending = questions(text)[0], next(block for block in blocks(text, "sql") if "pg_terminate_backend" in block)
    strangers = [pid for pid, application, *_ in services.sql(shown) if not application.startswith("deed")]
    for pid in strangers:
        services.sql(re.sub(r"\d+", pid, ending))
    return len(strangers)
