"""The dashboard `service`: whether users get what they were promised, then every hop of a claim in the order of its way."""
from panels import board, lines, number, rows_of, states

# What was promised over 30 days, as deploy/prometheus/rules/indicators.yaml measures it: its name there, what of all may go
# wrong, and words.
PROMISES = {
    "Requests answered": ("availability", "DeedApiErrors", "99.9 % of requests are answered with anything but a 5xx"),
    "Requests answered fast": ("latency", "DeedApiSlow", "99 % of requests are answered within 250 ms, those that wait for a look at the DNS aside"),
    "Due work asked for": ("punctuality", "DeedDueWorkLate", "99.9 % of due work is asked for within 10 s of falling due"),
    "Checks without trouble of ours": ("soundness", "DeedChecksInternal", "99.5 % of checks do not fail for reasons of our own"),
}


def budget(title):
    """What is left of what may go wrong in 30 days."""
    slo, alert, words = PROMISES[title]
    spent = " / ".join(f'sum(sum_over_time(deed:slo_{part}:rate5m{{slo="{slo}"}}[30d]))' for part in ("bad", "all"))
    says = f"{words}, over 30 days. Shown is what is left of what may go wrong; below 0 the promise is broken."
    return number(f"{title}: budget left", says, "percentunit", f'1 - {spent} / scalar(deed:slo_budget:ratio{{slo="{slo}"}})', (0.25, 0), decimals=1, runbooks=(alert,))


def quantiles(histogram, by="", label=""):
    """Median, 99th percentile."""
    labels = f"le, {by}" if by else "le"
    suffix = f" {{{{{by}}}}}" if by else ""
    return [
        (f"{words}{label}{suffix}", f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket[$__rate_interval])))")
        for share, words in ((0.5, "median"), (0.99, "99 %"))
    ]


PROMISED = [
    *(budget(name) for name in PROMISES),
    lines(
        "How fast budgets burn",
        "What goes wrong as a multiple of what may, over the last hour. At 1 the budget lasts 30 days, at 14.4 two days: that pages.",
        "none",
        [(title, f'max(deed:slo_burn:ratio_rate1h{{slo="{slo}"}})') for title, (slo, _, _) in PROMISES.items()],
        width=12,
        limits=(1, 6, 14.4),
    ),
    states(
        "Alerts",
        "Every alert of Deed that fires or waits to. Each has a runbook.",
        [("{{alertname}} {{job}}", 'max by (alertname, job) (ALERTS{alertname=~"Deed.*",alertstate="firing"} * 2 or ALERTS{alertname=~"Deed.*",alertstate="pending"})')],
        {"1": ("pending", "yellow"), "2": ("firing", "red")},
    ),
]

HTTP = [
    lines("Requests", "Answers a second, by class of status. 4xx are the clients' own.", "reqps",
          [("{{status_class}}", "sum by (status_class) (rate(deed_http_requests_total[$__rate_interval]))")], stacked=True),
    lines("Requests that failed", "The share of 5xx among all answers, for each operation that has any.", "percentunit",
          [("{{operation}}", 'sum by (operation) (rate(deed_http_requests_total{status_class="5xx"}[$__rate_interval])) '
            "/ sum by (operation) (rate(deed_http_requests_total[$__rate_interval])) > 0 or "
            'sum(rate(deed_http_requests_total{status_class="5xx"}[$__rate_interval])) / sum(rate(deed_http_requests_total[$__rate_interval]))')],
          limits=(0.001, 0.0144)),
    lines("Time to answer", "Over all operations. `verify` waits for the first check and is slow by nature.",
          "s", quantiles("deed_http_request_duration_seconds"), limits=(0.25,)),
    lines("Requests by operation", "Answers a second.", "reqps",
          [("{{operation}}", "sum by (operation) (rate(deed_http_requests_total[$__rate_interval]))")], width=12, stacked=True),
    lines("Time to answer by operation", "The 99th percentile.", "s",
          quantiles("deed_http_request_duration_seconds", "operation")[1:], width=8),
    lines("Requests in hand", "Taken and not answered, by process.", "short",
          [("{{instance}}", "sum by (instance) (deed_http_requests_in_flight)")], width=4),
]

APPEND = [
    lines("Appends", "Appends a second. A conflict was lost against another writer of the same name and is tried again; "
          "`unavailable` means that the database gave no answer.", "ops",
          [("{{result}}", "sum by (result) (rate(deed_appends_total[$__rate_interval]))")], stacked=True),
    lines("Time to append", "From asking to the durable answer, the wait for a place in a transaction included.", "s",
          quantiles("deed_append_duration_seconds")),
    lines("Appends in a transaction", "How many are written as one: more while the database is busy.", "short",
          [("mean", "sum(rate(deed_append_batch_size_sum[$__rate_interval])) / sum(rate(deed_append_batch_size_count[$__rate_interval]))"),
           ("99 %", "histogram_quantile(0.99, sum by (le) (rate(deed_append_batch_size_bucket[$__rate_interval])))")]),
    lines("Events appended", "Events a second, by type.", "ops",
          [("{{event}}", "sum by (event) (rate(deed_appended_events_total[$__rate_interval])) > 0")], width=12, stacked=True),
    lines("Connections to the database in use", "The share of the pool of each process. At 100 % everybody waits for a connection.", "percentunit",
          [("{{instance}}", 'sum by (instance) (deed_store_connections{state="used"}) / sum by (instance) (deed_store_connections_max)')],
          width=12, limits=(0.8, 1), top=1),
]

PUBLISH = [
    lines("The relay is behind by", "Age of the oldest event of the log that is not on the broker. Near 0.", "s",
          [("seconds", 'max(deed_subscription_lag_seconds{subscription="relay"})')], limits=(10, 60), runbooks=("DeedSubscriptionLagging",)),
    lines("Events the relay has yet to publish", "Those beyond its checkpoint.", "short",
          [("events", 'max(deed_subscription_lag_events{subscription="relay"})')]),
    lines("Events relayed", "Events a second that the relay has passed.", "ops",
          [("{{instance}}", 'sum by (instance) (rate(deed_subscription_events_total{subscription="relay"}[$__rate_interval]))')], stacked=True),
    lines("Messages published", "Messages a second. Only `confirmed` is success: `returned` found no queue, `refused` was not taken, `failed` had no connection.",
          "ops", [("{{destination}} {{result}}", "sum by (destination, result) (rate(deed_publishes_total[$__rate_interval])) > 0")], width=12, stacked=True),
    lines("Time to publish", "A window of messages, to the last confirm.", "s", quantiles("deed_publish_duration_seconds", "destination"), width=12),
]

BROKER = [
    states("Connection to the broker", "Of each process. Without it requests still work and checks wait.",
           [("{{instance}}", "min by (instance) (deed_bus_connected)")], {"0": ("away", "red"), "1": ("connected", "green")},
           width=8, runbooks=("DeedBrokerUnreachable",)),
    states("Blocked by the broker", "An alarm of memory or disk at the broker keeps everybody from publishing.",
           [("{{instance}}", "max by (instance) (deed_bus_blocked)")], {"0": ("no", "green"), "1": ("blocked", "red")},
           width=8, runbooks=("DeedBrokerBlocked",)),
    states("Verifiers that the broker sends to", "Each has one subscription, which is made anew within seconds when it is lost.",
           [("{{instance}}", "min by (instance) (deed_bus_consumers and on (instance) deed_verifier_paused)")],
           {"0": ("nothing comes", "red"), "1": ("consumes", "green")}, width=8, runbooks=("DeedNothingConsumed",)),
    lines("Messages that wait", "In the queue of the verifiers. It grows while they are too few, too slow, or paused.", "short",
          [("verification", 'max(deed_queue_messages{queue="verification"})')], runbooks=("DeedQueueBacklog",)),
    lines("Dead letters", "Messages that could not be processed; `deed dead list` shows them.", "short",
          [("dead", 'max(deed_queue_messages{queue="dead"})')], limits=(1,), runbooks=("DeedDeadLetters",)),
    lines("Connections made", "To the broker, by process: at a start, and again after each loss.", "short",
          [("{{instance}}", "sum by (instance) (increase(deed_bus_connections_total[$__rate_interval]))")]),
]

CHECKS = [
    lines("Messages of work", "A second, by what became of them.", "ops",
          [("{{result}}", "sum by (result) (rate(deed_verification_messages_total[$__rate_interval]))")], stacked=True),
    lines("Time for a message", "From taking it to having settled it: the look at the DNS and the append.", "s",
          quantiles("deed_verification_message_duration_seconds")),
    lines("Hands in use", "The share of the pieces of work that each verifier may have in hand. At 100 % others wait.", "percentunit",
          [("{{instance}}", "sum by (instance) (deed_checks_in_flight) / sum by (instance) (deed_verification_hands)")],
          limits=(0.8, 1), top=1, runbooks=("DeedVerifiersSaturated",)),
    lines("Checks", "A second, by class: `none` proved the claim, `internal` failed for our own reasons.", "ops",
          [("{{class}}", "sum by (class) (rate(deed_checks_total[$__rate_interval]))")], stacked=True),
    lines("Time to look", "At the DNS, over all servers of a name and the second look.", "s",
          quantiles("deed_check_duration_seconds"), limits=(20,)),
    states("Verifiers", "They pause while not even names that have to exist can be asked for.",
           [("{{instance}}", "max by (instance) (deed_verifier_paused)")], {"0": ("works", "green"), "1": ("paused", "red")}, width=8,
           runbooks=("DeedVerifierPaused",)),
]

DNS = [
    lines("Questions", "A second, by transport.", "ops",
          [("{{transport}}", "sum by (transport) (rate(deed_dns_queries_total[$__rate_interval]))")], stacked=True),
    lines("Questions without a good answer", "The share of all questions, by transport and reason. Strangers' dead servers are always some.", "percentunit",
          [("{{transport}} {{result}}", 'sum by (transport, result) (rate(deed_dns_queries_total{result!="answered"}[$__rate_interval])) '
            "/ ignoring (transport, result) group_left () sum(rate(deed_dns_queries_total[$__rate_interval])) > 0 or "
            'sum(rate(deed_dns_queries_total{result!="answered"}[$__rate_interval])) / sum(rate(deed_dns_queries_total[$__rate_interval]))')],
          limits=(0.2, 0.5), runbooks=("DeedDnsServersSilent",)),
    lines("Time to an answer", "Of name servers.", "s", quantiles("deed_dns_query_duration_seconds", "transport")),
    lines("Sockets in use", "The share of those that a process may open towards name servers: a quarter of its descriptors.", "percentunit",
          [("{{instance}}", "sum by (instance) (deed_dns_sockets) / sum by (instance) (deed_dns_sockets_max)")],
          limits=(0.8, 1), top=1, runbooks=("DeedDnsSocketsExhausted",)),
    lines("Servers left alone", "Addresses that stayed silent and are not asked for a while.", "short",
          [("{{instance}}", "sum by (instance) (deed_dns_servers_spared)")]),
    lines("Addresses refused", "A second: name servers at addresses that are not public.", "ops",
          [("refused", "sum(rate(deed_dns_addresses_refused_total[$__rate_interval]))")]),
]

LISTS = [
    lines("Lists are behind by", "Age of the oldest event that is not in the lists. Single claims are read from the log and are never behind.", "s",
          [("seconds", 'max(deed_subscription_lag_seconds{subscription="projector"})')], limits=(10, 60), runbooks=("DeedSubscriptionLagging",)),
    lines("Events not in the lists", "Those beyond the checkpoint of the projector.", "short",
          [("events", 'max(deed_subscription_lag_events{subscription="projector"})')]),
    lines("Events folded", "A second, by who does it.", "ops",
          [("{{instance}}", 'sum by (instance) (rate(deed_subscription_events_total{subscription="projector"}[$__rate_interval]))')], width=6, stacked=True),
    number("Rebuilds", "Begun within the time shown.", "short", "sum(increase(deed_projection_rebuilds_total[$__range]))", (), width=2, decimals=0),
]

DUE = [
    lines("Overdue work", "Due checks and deadlines that nobody has been asked to do.", "short",
          [("pieces", "max(deed_due_work_overdue)")], runbooks=("DeedDueWorkOverdue",)),
    lines("The oldest is late by", "Age of the oldest of them. Near 0.", "s",
          [("seconds", "max(deed_due_work_overdue_seconds)")], limits=(10, 60), runbooks=("DeedDueWorkOverdue",)),
    lines("Lateness of what was asked for", "From falling due to being on the bus.", "s", quantiles("deed_dispatch_lateness_seconds"), limits=(10,)),
    lines("Work asked for", "Pieces a second, by kind.", "ops",
          [("{{kind}}", "sum by (kind) (rate(deed_dispatched_total[$__rate_interval]))")], width=12, stacked=True),
    lines("Work given back", "A second: the bus did not take it, and it is tried again.", "ops",
          [("given back", "sum(rate(deed_dispatch_given_back_total[$__rate_interval]))")], width=12),
]

LEASES = [
    states("Who leads", "For each lease the process that has it; the others stand by.",
           [("{{lease}} {{instance}}", "max by (lease, instance) (deed_lease_held)")], {"0": ("stands by", "text"), "1": ("leads", "green")}, width=16,
           runbooks=("DeedNoLeader", "DeedLeaderFlapping")),
    lines("Changes of leaders", "Leases gained and lost, within each interval. Some at a roll-out, otherwise none.", "short",
          [("{{lease}} {{change}}", "sum by (lease, change) (increase(deed_lease_changes_total[$__rate_interval]))")]),
]

PROCESSES = [
    states("Ready", "Whether each process has its store and all its parts. White: not scraped.",
           [("{{job}} {{instance}}", "min by (job, instance) (deed_ready)")], {"0": ("not ready", "red"), "1": ("ready", "green")},
           runbooks=("DeedDown", "DeedNotReady")),
    rows_of("Versions", "Processes by the version that they run.", ("", "count by (version, job) (deed_build_info)"),
            {"job": "job", "version": "version", "Value": "processes"}, width=6, runbooks=("DeedVersionsMixed",)),
    lines("Time since start", "Of each process; a saw is one that does not stay up.", "s",
          [("{{instance}}", "time() - max by (instance) (process_start_time_seconds)")], width=6, runbooks=("DeedRestarting",)),
    lines("Processor", "Cores in use, by process.", "short",
          [("{{instance}}", "sum by (instance) (rate(process_cpu_seconds_total[$__rate_interval]))")], width=6),
    lines("Memory", "Resident, by process.", "bytes", [("{{instance}}", "sum by (instance) (process_resident_memory_bytes)")], width=6),
    lines("File descriptors", "The share of its limit that each process has open.", "percentunit",
          [("{{instance}}", "max by (instance) (process_open_fds / process_max_fds)")], width=6, limits=(0.7, 0.9), top=1, runbooks=("DeedFileDescriptors",)),
    lines("Threads", "By process.", "short", [("{{instance}}", "sum by (instance) (process_threads)")], width=6),
]


def made():
    return board(
        "deed-service",
        "Deed: service",
        "Whether users get what they were promised, then every hop of a claim: request, append, relay, queue, check, lists, due work.",
        [
            ("What was promised", PROMISED),
            ("Requests", HTTP),
            ("Appending to the log", APPEND),
            ("From the log to the broker", PUBLISH),
            ("The broker", BROKER),
            ("Checks", CHECKS),
            ("The DNS", DNS),
            ("Lists", LISTS),
            ("Due work", DUE),
            ("Leases", LEASES),
            ("Processes", PROCESSES),
        ],
    )
