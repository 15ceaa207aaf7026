"""The house's kinds of panels, on Grafana's own builders: what they share is said here once.

Expressions are written without the selectors of the dashboard's variables; `scoped` adds them to every metric.
"""
import pathlib
import re

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models

SCOPE = 'namespace=~"$namespace",job=~"$job"'
SOURCE = models.DataSourceRef(type_val="prometheus", uid="$datasource")
# Constants of the rules, which belong to nobody.
CONSTANT = "deed:slo_budget:ratio"
METRIC = re.compile(r"\b((?:deed[_:][\w:]+|process_\w+)\b)(\{([^}]*)\})?")
RULES = pathlib.Path(__file__).resolve().parent.parent / "prometheus" / "rules"

GREEN, YELLOW, RED = "green", "yellow", "red"


def scoped(expression):
    """With the dashboard's variables in every selector."""
    def chosen(found):
        return found[0] if found[1] == CONSTANT else f"{found[1]}{{{SCOPE}{',' + found[3] if found[3] else ''}}}"

    return METRIC.sub(chosen, expression)


def lines(title, says, unit, queries, *, width=8, stacked=False, limits=(), top=None, runbooks=(), links=()):
    """Values over time. `queries` are pairs of legend and expression; `limits` are drawn, worst last."""
    panel = timeseries.Panel().legend(legend()).tooltip(tooltip()).line_width(1).fill_opacity(40 if stacked else 8).show_points(shapes.VisibilityMode.NEVER)
    if stacked:
        panel.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL))
    if top is not None:
        panel.max(top)
    if limits:
        panel.thresholds(steps(limits)).thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED))
    return finished(panel.min(0), title, says, unit, queries, width, 8, runbooks, links)


def number(title, says, unit, expression, limits, *, width=6, decimals=None, none="no traffic", runbooks=()):
    """One value as it is now, coloured by limits."""
    panel = stat.Panel().graph_mode(shapes.BigValueGraphMode.AREA).color_mode(shapes.BigValueColorMode.VALUE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).no_value(none).thresholds(steps(limits))
    if decimals is not None:
        panel.decimals(decimals)
    return finished(panel, title, says, unit, [("", expression)], width, 5, runbooks)


def ranking(title, says, unit, query, *, width=12, links=(), runbooks=()):
    """One bar for each series, over the whole time shown."""
    panel = bargauge.Panel().orientation(shapes.VizOrientation.HORIZONTAL).display_mode(shapes.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).min(0).thresholds(steps([]))
    if links:
        panel.data_links([link(*each) for each in links])
    return finished(panel, title, says, unit, [query], width, 10, runbooks, instant=True)


def states(title, says, queries, words, *, width=12, height=8, runbooks=()):
    """What holds when, one row for each series; `words` maps values to text and colour."""
    panel = statetimeline.Panel().show_value(shapes.VisibilityMode.AUTO).merge_values(True).legend(common.VizLegendOptions().show_legend(False))
    results = {value: models.ValueMappingResult(text=text, color=colour, index=n) for n, (value, (text, colour)) in enumerate(words.items())}
    return finished(panel.mappings([models.ValueMap(results)]), title, says, "short", queries, width, height, runbooks)


def rows_of(title, says, query, columns, *, unit="short", width=12, height=8, links=(), runbooks=()):
    """A table of labels and a value; `columns` maps what Prometheus calls them to what people read, in order."""
    hidden = {name: True for name in ("Time", "__name__") if name not in columns}
    order = {name: place for place, name in enumerate(columns)}
    only = models.DataTransformerConfig("filterFieldsByName", options={"include": {"names": list(columns)}})
    renamed = models.DataTransformerConfig("organize", options={"excludeByName": hidden, "indexByName": order, "renameByName": columns})
    panel = table.Panel().with_transformation(only).with_transformation(renamed)
    panel.sort_by([common.TableSortByFieldState().display_name(list(columns.values())[-1]).desc(True)])
    if links:
        panel.data_links([link(*each) for each in links])
    return finished(panel, title, says, unit, [query], width, height, runbooks, instant=True, tabular=True)


def finished(panel, title, says, unit, queries, width, height, runbooks=(), links=(), instant=False, tabular=False):
    """What every panel has."""
    for place, (legend_format, expression) in enumerate(queries):
        query = prometheus.Dataquery().expr(scoped(expression)).legend_format(legend_format).ref_id(chr(ord("A") + place)).datasource(SOURCE)
        query = query.instant() if instant else query.range()
        if tabular:
            query.format("table")
        panel.with_target(query)
    if runbooks or links:
        panel.links([runbook(alert) for alert in runbooks] + [link(*each) for each in links])
    return panel.title(title).description(says).unit(unit).datasource(SOURCE).span(width).height(height)


def steps(limits):
    """Green below the first limit, yellow from it, red from the last; a falling series of limits is red below the last."""
    if not limits:
        found = [models.Threshold(None, GREEN)]
    elif len(limits) > 1 and limits[0] > limits[-1]:
        found = [models.Threshold(None, RED), models.Threshold(limits[-1], YELLOW), models.Threshold(limits[0], GREEN)]
    else:
        colours = [RED] if len(limits) == 1 else [YELLOW] * (len(limits) - 1) + [RED]
        found = [models.Threshold(None, GREEN)] + [models.Threshold(limit, colour) for limit, colour in zip(limits, colours)]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def legend():
    return common.VizLegendOptions().display_mode(shapes.LegendDisplayMode.LIST).placement(shapes.LegendPlacement.BOTTOM).show_legend(True)


def tooltip():
    return common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING)


def link(title, url):
    return dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).target_blank(True)


def runbook(alert):
    """To where the rules say that it is."""
    text = "\n".join(file.read_text() for file in sorted(RULES.glob("*.yaml")))
    page = re.search(rf"\}}\}}/([\w.-]+#{alert.lower()})\b", text)
    if page is None:
        raise SystemExit(f"no rule has an alert {alert} with a runbook")
    return link(f"Runbook: {alert}", "${runbooks}/" + page[1])


def board(uid, title, says, rows):
    """A dashboard of rows, each a title and panels; every panel gets a number of its own."""
    made = dashboard.Dashboard(title).uid(uid).description(says).tags(["deed"]).refresh("1m").time("now-6h", "now").timezone("browser")
    made.readonly().tooltip(models.DashboardCursorSync.CROSSHAIR)
    for variable in variables():
        made.with_variable(variable)
    made.link(dashboard.DashboardLink("Deed").type(models.DashboardLinkType.DASHBOARDS).tags(["deed"]).include_vars(True).keep_time(True))
    made.link(link("Runbooks", "${runbooks}"))
    made.annotation(annotation("Alerts", 'ALERTS{alertname=~"Deed.*",alertstate="firing"}', RED))
    made.annotation(annotation("Starts of processes", "changes(process_start_time_seconds[$__rate_interval]) > 0", "blue"))
    number_of = iter(range(1, 1000))
    for called, panels in rows:
        made.with_row(dashboard.Row(called).id(next(number_of)))
        for panel in panels:
            made.with_panel(panel.id(next(number_of)))
    return made.build()


def annotation(name, expression, colour):
    return dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(colour).expr(scoped(expression))


def variables():
    """Where the figures are, whose they are, and where the runbooks are read."""
    everything = models.VariableOption(selected=True, text="All", value="$__all")

    def label(name, query):
        chosen = dashboard.QueryVariable(name).label(name.capitalize()).datasource(SOURCE).query(query)
        chosen.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
        return chosen.multi(True).include_all(True).current(everything)

    yield dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    # All of them is `.*`, which takes series without such a label as well: one machine has no namespaces. All jobs are
    # Deed's alone, since `process_…` is there of everybody.
    yield label("namespace", "label_values(deed_build_info, namespace)").all_value(".*")
    yield label("job", 'label_values(deed_build_info{namespace=~"$namespace"}, job)')
    # As the rules of this site say (deploy/prometheus/rules/site.yaml); the other documents stand a folder above.
    where = dashboard.QueryVariable("runbooks").hide(models.VariableHide.HIDE_VARIABLE).datasource(SOURCE)
    yield where.query("label_values(deed:runbooks:info, base)").refresh(models.VariableRefresh.ON_DASHBOARD_LOAD)
