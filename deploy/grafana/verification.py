"""The dashboard `verification`: whether domains get verified, how long it takes, and what keeps them from it."""
from panels import board, lines, number, ranking

DIAGNOSES = ("What ${__field.labels.code} means", "${runbooks}/../DIAGNOSES.md#${__field.labels.code}")


def within(share, window):
    """The time within which this share of claims was verified, of those that were."""
    return f"histogram_quantile({share}, sum by (le) (increase(deed_time_to_verify_seconds_bucket[{window}])))"


OUTCOMES = [
    number("Initiated", "Claims begun within the time shown.", "short", "sum(increase(deed_claims_initiated_total[$__range]))", (), width=4, decimals=0),
    number("Verified", "Claims verified within the time shown.", "short", "sum(increase(deed_claims_verified_total[$__range]))", (), width=4, decimals=0),
    number("Expired", "Claims whose deadline passed without proof, within the time shown.", "short",
           'sum(increase(deed_claims_ended_total{end="expired"}[$__range]))', (), width=4, decimals=0),
    number("Verified, of those decided", "Of the claims that were verified or expired within the time shown, the share that was verified.", "percentunit",
           "sum(increase(deed_claims_verified_total[$__range])) / (sum(increase(deed_claims_verified_total[$__range])) "
           '+ sum(increase(deed_claims_ended_total{end="expired"}[$__range])))', (0.7, 0.4), width=4, none="none decided"),
    number("Half are verified within", "Median, from the first request to verify to proof.", "s", within(0.5, "$__range"), (), width=4, none="none verified"),
    number("Verified within 5 minutes", "Of the claims that were verified, the share that took no longer than 5 minutes.", "percentunit",
           'sum(increase(deed_time_to_verify_seconds_bucket{le=~"300(\\\\.0)?"}[$__range])) / sum(increase(deed_time_to_verify_seconds_count[$__range]))',
           (0.5, 0.2), width=4, none="none verified"),
    lines("Claims", "Begun, verified, expired; within each hour.", "short",
          [("initiated", "sum(increase(deed_claims_initiated_total[1h]))"), ("verified", "sum(increase(deed_claims_verified_total[1h]))"),
           ("expired", 'sum(increase(deed_claims_ended_total{end="expired"}[1h]))')], width=12),
    lines("Time to verify", "From the first request to verify to proof, of the claims verified in the last hour. It is mostly the time that people take to publish.", "s",
          [(f"{words} {{{{scope}}}}", f"histogram_quantile({share}, sum by (le, scope) (increase(deed_time_to_verify_seconds_bucket[1h])))")
           for share, words in ((0.5, "median"), (0.9, "90 %"))], width=12),
]

ENDS = [
    ranking("Why claims expired", "By the code of their last check, within the time shown; `none` were never checked. A click leads to what a code means.", "short",
            ("{{code}}", 'sort_desc(sum by (code) (increase(deed_claims_ended_total{end="expired"}[$__range])) > 0)'), links=[DIAGNOSES]),
    ranking("Why claims were cancelled", "Their owners gave up: by the code of the last check.", "short",
            ("{{code}}", 'sort_desc(sum by (code) (increase(deed_claims_ended_total{end="cancelled"}[$__range])) > 0)'), links=[DIAGNOSES]),
    lines("Ends of claims", "Within each hour. Held names end as `transferred`, `released`, `lapsed` or `revoked`.", "short",
          [("{{end}}", "sum by (end) (increase(deed_claims_ended_total[1h]))")], stacked=True, width=12),
    lines("Names lost", "Held names that ended, within each hour, by the code of the last check.", "short",
          [("{{end}} {{code}}", 'sum by (end, code) (increase(deed_claims_ended_total{end=~"lapsed|transferred|revoked"}[1h])) > 0')], width=12),
]

CHECKS = [
    ranking("What checks find", "Checks without proof, by cause, within the time shown. A click leads to what a code means, and what its owner is told.", "short",
            ("{{code}}", 'sort_desc(sum by (code) (increase(deed_checks_total{outcome="not_proven"}[$__range])) > 0)'), links=[DIAGNOSES]),
    lines("Checks by class", "A second. `none`: proven; `waiting`: for whoever runs the DNS; `transient`: network or servers fail for now; "
          "`permanent`: nothing can mend it; `internal`: our own trouble, which touches no claim.", "ops",
          [("{{class}}", "sum by (class) (rate(deed_checks_total[$__rate_interval]))")], stacked=True, width=12),
    lines("Checks by cause", "A second: the ten most frequent now.", "ops",
          [("{{code}}", 'topk(10, sum by (code) (rate(deed_checks_total{outcome="not_proven"}[$__rate_interval]))) > 0')], width=12),
    lines("Checks that prove", "The share of all checks that found what they looked for.", "percentunit",
          [("proven", 'sum(rate(deed_checks_total{outcome="proven"}[$__rate_interval])) / sum(rate(deed_checks_total[$__rate_interval]))')], width=12, top=1),
]

CONTESTS = [
    lines("Contests opened", "Within each hour: a claim was proven while another has the name and its record still stands.", "short",
          [("opened", "sum(increase(deed_contests_opened_total[1h]))")], width=12),
    lines("Contests resolved", "Within each hour, by how.", "short",
          [("{{resolution}}", "sum by (resolution) (increase(deed_contests_resolved_total[1h]))")], stacked=True, width=12),
]

DNS = [
    lines("What became of questions", "To strangers' name servers, a second.", "ops",
          [("{{result}}", "sum by (result) (rate(deed_dns_queries_total[$__rate_interval]))")], stacked=True),
    lines("Time to look", "At everything that a check looks at.", "s",
          [(words, f"histogram_quantile({share}, sum by (le) (rate(deed_check_duration_seconds_bucket[$__rate_interval])))")
           for share, words in ((0.5, "median"), (0.99, "99 %"))], limits=(20,)),
    lines("Servers left alone", "Silent addresses that are not asked for a while; checks of their zones are told that they timed out.", "short",
          [("spared", "sum(deed_dns_servers_spared)")], runbooks=("DeedDnsServersSilent",)),
]


def made():
    return board(
        "deed-verification",
        "Deed: verification",
        "Whether domains get verified, how long it takes, and what keeps them from it.",
        [
            ("What becomes of claims", OUTCOMES),
            ("How claims end", ENDS),
            ("What checks find", CHECKS),
            ("Contests", CONTESTS),
            ("The DNS", DNS),
        ],
    )
