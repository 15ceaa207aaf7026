//! The sentences by their keys. See [`super::render`] for how parameters are put in.

/// The template of a sentence; none for a key that this version does not know.
pub(super) fn template(key: &str) -> Option<&'static str> {
    SENTENCES.iter().find(|(of, _)| *of == key).map(|(_, template)| *template)
}

/// Keys and templates.
const SENTENCES: &[(&str, &str)] = &[
    // A sentence that an older version stored as such.
    ("text", "{text}"),
    // Items of lists.
    ("value", "`{text}`"),
    ("name", "{text}"),
    ("server", "{server}"),
    ("server_at", "{server} ({address}[, serial {serial}])"),
    ("server_serial", "{server} (serial {serial})"),
    ("result_not_asked", "{server} (not asked)"),
    ("result_no_address", "{server} (no address found)"),
    ("result_timeout", "{server} (no answer in {ms} ms)"),
    ("result_unreachable", "{server} (unreachable)"),
    ("result_malformed", "{server} (malformed answer)"),
    ("result_no_tcp", "{server} (truncated, no TCP)"),
    ("result_no_edns", "{server} (no answer to EDNS)"),
    ("result_truncated", "{server} (truncated)"),
    ("result_rcode", "{server} ({rcode:rcode}[, {ede:ede}])"),
    ("result_without_authority", "{server} ({rcode:rcode} without authority[, {ede:ede}])"),
    // Which name servers say it.
    (
        "said_by",
        "[Name servers that say so: {with}.][ Name servers that do not: {without}.][ No usable answer: {unfit}.]",
    ),
    // A value at the name that is nearly right.
    ("value_is", "The TXT record at {place} has the value `{found}`, expected is {value}."),
    (
        "halves",
        "Two TXT records at {place} have a part of the value each, `{first}` and `{rest}`. Expected is one record with the value {value}.",
    ),
    (
        "difference",
        "The first difference is at character {at}: found {found:char}, expected {expected:char}.",
    ),
    (
        "difference_alike",
        "The first difference is at character {at}: found {found:char}, expected {expected:char}; these two look alike.",
    ),
    ("flaw_quoted", "It has {mark:marks} in it, which are not part of the value."),
    ("flaw_space", "It has {what:char} in it[ at character {at}], which does not belong there."),
    ("flaw_space_missing", "A space is missing at character {at}."),
    ("flaw_case", "Only upper and lower case differ."),
    ("flaw_doubled", "It has the expected value {times:often} in one record."),
    ("flaw_token_doubled", "It has the random part of the value {times:often} in one record."),
    ("flaw_only_token", "The beginning `{prefix}` is missing."),
    ("flaw_prefix_twice", "It begins with `{prefix}` more than once."),
    ("flaw_other_prefix", "It has the right random part, but not the beginning `{prefix}`."),
    ("flaw_name_pasted", "It begins with the record's name, which is not part of the value."),
    (
        "flaw_earlier",
        "It is the value of an earlier claim of yours, issued on {issued}, and does not count for this one.",
    ),
    ("flaw_cut_end", "It is cut off: only the first {kept} of {length} characters are there."),
    (
        "flaw_cut",
        "It is cut off: only {kept} of {length} characters are there, and the beginning is missing.",
    ),
    ("flaw_url_codes", "Some of its characters are written as URL codes, such as `{code}`."),
    ("flaw_html_codes", "Some of its characters are written as HTML codes, such as `{code}`."),
    (
        "flaw_mail_codes",
        "Some of its characters are written as the codes of e-mail source text, such as `{code}`.",
    ),
    ("flaw_zone_file_codes", "Some of its characters are written as zone file codes, such as `{code}`."),
    ("flaw_around", "It has the expected value in it, but also `{before}` before and `{after}` behind it."),
    ("flaw_before", "It has the expected value in it, but also `{before}` before it."),
    ("flaw_behind", "It has the expected value in it, but also `{after}` behind it."),
    ("flaw_changed", "One character is wrong."),
    ("flaw_missing", "One character is missing."),
    ("flaw_extra", "One character is too many."),
    ("flaw_swapped", "Two characters next to each other are swapped."),
    (
        "flaw_one_edit",
        "One character is wrong, missing or too many, besides marks, white space or upper and lower case.",
    ),
    ("flaw_edits", "{edits} characters are wrong, missing or too many."),
    (
        "flaw_other_token",
        "It begins in the same way, but has another random part: it looks like the value of another claim.",
    ),
    ("flaw_other_rest", "It begins in the same way, but the part behind that is another."),
    ("change", "Change the value of this TXT record to exactly {value}."),
    (
        "change_unquoted",
        "Change the value of this TXT record to exactly {value}, without {mark:marks}. If your editor shows {mark:marks} around every value, delete the record, and add it again without typing any.",
    ),
    (
        "change_bare",
        "Change the value of this TXT record to exactly {value}, with nothing before or behind it.",
    ),
    (
        "change_case",
        "Change the value of this TXT record to exactly {value}, with upper and lower case as they are here.",
    ),
    ("enter_without_blank", "Edit this TXT record: empty its value, and paste {value} without any blank."),
    ("enter_again", "Edit this TXT record: empty its value, and paste {value}."),
    (
        "join_halves",
        "Delete one of these two TXT records, and change the value of the other to exactly {value}.",
    ),
    // The record at another place.
    (
        "elsewhere_exact",
        "The expected value {value} stands at `{found}`, but it has to stand at {record}, where it does not.",
    ),
    (
        "elsewhere_near",
        "A value that is nearly right stands at `{found}`: {values}. Expected is {value}, at {record}, where it does not stand.",
    ),
    (
        "elsewhere_other",
        "A TXT record stands at `{found}`: {values}. Expected is {value}, at {record}, which has no TXT record.",
    ),
    (
        "first_unalias",
        "Ask who set up the CNAME record at {record} whether it is needed, and do not delete it before you know. If it is not needed: delete this CNAME record, and no other. Then continue.",
    ),
    (
        "rename_doubled",
        "Change the name of the TXT record with the value {values} to `{label}`: your editor appends {zone} by itself. If you cannot change the name, add a record with that name, type TXT and value {value}, and delete the one with the long name.",
    ),
    (
        "rename_doubled_whole",
        "Change the name of the TXT record with the value {values} so that it becomes {record}: your editor appends the domain's own name by itself. If you cannot change the name, add a record with that name, type TXT and value {value}, and delete the one with the long name.",
    ),
    ("set_value", "Change its value to exactly {value}."),
    ("then_delete", "You can then remove the value {values} at `{found}`. Leave everything else there."),
    (
        "leave_apex",
        "Leave the records at `{found}` (shown as `@` or as empty) as they are: the value there does no harm.",
    ),
    // No value, or others.
    ("add", "At your DNS provider, add a record: type TXT, name {entry}, value {value}."),
    (
        "if_added",
        "If you have added it already, wait some minutes. If this goes on for an hour, ask your registrar which company runs the name servers in this message, and add the record there. Do not change the name servers.",
    ),
    ("others_may_stay", "The other TXT records may stay."),
    ("this_may_stay", "The record that is there may stay."),
    ("wildcard_may_stay", "The wildcard record may stay."),
    ("keep_wildcard", "Do not change the wildcard record."),
    ("no_record", "No record exists at {place}."),
    ("no_txt", "There is no TXT record at {place}."),
    ("no_txt_but", "{place} exists, but has no TXT record (it has: {types})."),
    ("one_value", "The TXT record at {place} has the value {values}, expected is {value}."),
    (
        "other_values",
        "{count} TXT records stand at {place}, and none has the expected value {value}: {values}.",
    ),
    (
        "large_set",
        "There are {count} TXT records at {place}. None has the expected value {value}. Some of them: {values}.",
    ),
    (
        "wildcard_values",
        "{record} has the same TXT values as a random name beside it: {values}. They come from a wildcard record such as `{wildcard}`.",
    ),
    (
        "value_among_them",
        "The expected value {value} is among them, but it needs a record of its own at this name.",
    ),
    (
        "value_not_among_them",
        "None of them is the expected value {value}, which needs a record of its own at this name.",
    ),
    (
        "wildcard_alias",
        "{record} is an alias of {end}, as a random name beside it is: that comes from a wildcard record such as `{wildcard}`.",
    ),
    (
        "value_behind_wildcard",
        "The expected value {value} stands at {end}, but it needs a record of its own at this name.",
    ),
    // Aliases.
    (
        "alias_dangling",
        "{record} is a CNAME record (an alias) that points to {target}, and no such name exists.",
    ),
    ("alias", "{record} is a CNAME record (an alias) that points to {target}."),
    ("alias_loop", "The CNAME records (aliases) from {record} on lead in a circle: {record}[ -> {chain}]."),
    (
        "alias_long",
        "Too many CNAME records (aliases) follow each other from {record} on, {length}: {record}[ -> {chain}].",
    ),
    ("there_none", "No TXT record stands there."),
    ("there_one", "The TXT record there has the value {values}, expected is {value}."),
    ("there_others", "None of the {count} TXT records there has the expected value {value}: {values}."),
    (
        "beside_alias",
        "{record} has a CNAME record (an alias) and beside it a TXT record: {values}. Expected is {value}. Beside a CNAME record no other record counts: {record} leads to {target}.",
    ),
    (
        "beside_alias_somewhere",
        "{record}, or a name that it is an alias of, has a CNAME record (an alias) and beside it a TXT record: {values}. Expected is {value}. Beside a CNAME record no other record counts: {record} leads to {target}.",
    ),
    (
        "typed_target",
        "The CNAME record at `{owner}` points to `{typed}`. This is the value: publish it as TXT. Expected is a TXT record at `{owner}` with the value {value}.",
    ),
    (
        "dname",
        "A DNAME record at {above} moves every name below it to {target}, so that {record} is looked up at {last}.",
    ),
    (
        "replace_alias",
        "Delete the CNAME record at {record}, and no other. Then add a record: type TXT, name {entry}, value {value}.",
    ),
    (
        "replace_alias_at",
        "Delete the CNAME record at `{owner}`, and no other. Then add a record: type TXT, name `{owner}`, value {value}.",
    ),
    (
        "replace_or_publish",
        "Ask who set up the CNAME record at {record} whether it is needed, and do not delete it before you know. If it is not needed: delete this CNAME record, and no other. Then add a record: type TXT, name {entry}, value {value}. If it is needed: keep it, and ask the people who manage {target} to add a TXT record there with the same value.",
    ),
    ("keep_txt", "Keep the TXT record with the value {value}."),
    ("change_txt", "Change the value of the TXT record to exactly {value}."),
    (
        "ask_about_alias",
        "Ask who set up the CNAME record that points to {target} whether it is needed, and do not delete it before you know. If it is not needed: delete this CNAME record, and no other. If it is needed: keep it, and ask the people who manage {target} to add a TXT record there with the value {value}.",
    ),
    (
        "publish_behind_dname",
        "In the DNS zone of {target}, add a record: type TXT, name {last} (without {target} in an editor that appends it), value {value}. If other people manage {target}, send them this message and this fix. Do not change the DNAME record.",
    ),
    // The zone.
    (
        "not_delegated",
        "`{missing}` is not in {parent}. Usually such a domain is not registered, has expired, or is on hold.",
    ),
    (
        "check_spelling",
        "Check the spelling of `{missing}`. If it is wrong, claim the right name. If it is right, register or renew the domain, or ask its registrar why it is not in the DNS.",
    ),
    (
        "blocked",
        "The name servers of {zone} have only addresses that are not public: {servers}. Such addresses are not asked.",
    ),
    (
        "list_public_servers",
        "Ask the people who run the DNS of {zone} which name servers with public addresses the registrar has to list, and whether all records, also those for web and mail, are on them. Only then change the list at the registrar to exactly those.",
    ),
    ("bogus", "DNSSEC validation fails at {place}: the signatures are broken or missing."),
    ("bogus_ede", "DNSSEC validation fails at {place}: {ede:ede}[ (\"{text}\")]."),
    ("bogus_servers", "Name servers with such signatures: {servers}."),
    ("bogus_record", "The record stands there, but does not count before this is repaired."),
    ("bogus_nothing", "No answer counts before this is repaired."),
    ("checked_by", "Checked by the resolver {by}."),
    (
        "repair_dnssec",
        "Ask the DNS provider of {zone} to repair DNSSEC: to sign the zone again, and to check that all of its name servers have the new signatures.",
    ),
    ("keep_ds", "Delete the DS record at the registrar only if your DNS provider tells you to."),
    // Servers and networks.
    ("again", "The check is repeated automatically."),
    ("later_send", "If this goes on for an hour, send this message to your DNS provider."),
    (
        "later_send_everywhere",
        "If this goes on for an hour, send this message to your DNS provider: its name servers have to answer questions from everywhere.",
    ),
    (
        "later_send_tcp",
        "If this goes on for an hour, send this message to your DNS provider: its name servers have to answer over TCP, port 53 (RFC 7766).",
    ),
    (
        "later_send_slow",
        "If this goes on for an hour, send this message to your DNS provider, and ask whether all of its name servers answer without delay.",
    ),
    (
        "later_send_all",
        "If this goes on for an hour, send this message to your DNS provider: all name servers that are listed for the domain have to answer for it.",
    ),
    (
        "later_ask_listed",
        "If this goes on for an hour, send this message to your DNS provider, and ask whether these name servers are right for the domain: {servers}. Remove a name server at the registrar only if the provider says so.",
    ),
    (
        "later_ask_registrar",
        "If this goes on for hours, ask the domain's registrar whether the domain works.",
    ),
    (
        "later_ask_places",
        "If this goes on for an hour, ask your DNS provider whether its name servers give the same answer everywhere.",
    ),
    (
        "later_ask_differing",
        "If this goes on for an hour, send this message to your DNS provider, and ask whether all name servers that the registrar lists are right. Remove one there only if the provider says which.",
    ),
    (
        "send_edns",
        "Send this message to your DNS provider: its name servers, or a firewall before them, have to answer questions with EDNS (RFC 6891).",
    ),
    (
        "send_tcp",
        "Send this message to your DNS provider: its name servers have to answer over TCP, port 53 (RFC 7766).",
    ),
    (
        "list_servers",
        "Ask the people who run the DNS of {zone} which name servers, with which addresses, the registrar has to list, and whether all records, also those for web and mail, are on them. Only then change the list at the registrar to exactly those.",
    ),
    (
        "is_it_active",
        "Ask the people who run the DNS of {zone} whether it is active there, which name servers the registrar has to list, and whether all records, also those for web and mail, are on them. Only then change the list at the registrar to exactly those.",
    ),
    (
        "why_refused",
        "Send this message to the people who run the DNS of {zone}, and ask whether it is active there, and why its name servers refuse questions about it.",
    ),
    (
        "wait_servers",
        "Leave the record in place, and wait: a change takes time to reach all name servers, and the check is repeated automatically.",
    ),
    (
        "wait_places",
        "Leave the records as they are, and wait: a change takes time to be seen everywhere, and the check is repeated automatically.",
    ),
    ("wait", "Leave the record in place, and wait."),
    (
        "parents_rcode",
        "The name servers of {place} could not be found: the servers of a zone above answered only {rcode:rcode}.",
    ),
    (
        "parents_edns",
        "The name servers of {place} could not be found: the servers of a zone above do not answer questions with EDNS.",
    ),
    (
        "parents_tcp",
        "The name servers of {place} could not be found: the servers of a zone above do not answer over TCP.",
    ),
    (
        "parents_malformed",
        "The name servers of {place} could not be found: the servers of a zone above sent no valid answer.",
    ),
    (
        "parents_silent",
        "The name servers of {place} could not be found: the servers of a zone above did not answer.",
    ),
    (
        "no_address",
        "No address was found for the name servers of {zone}[: {servers}][. No usable answer either: {others}].",
    ),
    (
        "lame",
        "Name servers are listed for {zone} that do not serve it[: {servers}][. No usable answer either: {others}].",
    ),
    (
        "refused",
        "The name servers of {zone} refuse to answer for {place}[: {servers}][. No usable answer either: {others}].",
    ),
    (
        "servfail",
        "The name servers of {zone} fail to answer for {place}[: {servers}][. No usable answer either: {others}].",
    ),
    (
        "edns",
        "The name servers of {zone} do not answer questions with EDNS for {place}[: {servers}][. No usable answer either: {others}].",
    ),
    (
        "no_tcp",
        "The answer for {place} is too long for UDP, and the name servers of {zone} do not answer over TCP[: {servers}][. No usable answer either: {others}].",
    ),
    (
        "silent",
        "No answer came from the name servers of {zone} for {place}[: {servers}][. No usable answer either: {others}].",
    ),
    (
        "unvalidated_edns_found",
        "The record was found at {place}, but whether {zone} is signed by DNSSEC could not be found out: its name servers answer only questions without EDNS.",
    ),
    (
        "unvalidated_edns_absent",
        "The record was not found at {place}, but whether {zone} is signed by DNSSEC could not be found out: its name servers answer only questions without EDNS.",
    ),
    (
        "unvalidated_by_found",
        "The record was found at {place}, but whether {zone} is signed by DNSSEC could not be found out: the resolver {by} could not validate it.",
    ),
    (
        "unvalidated_by_absent",
        "The record was not found at {place}, but whether {zone} is signed by DNSSEC could not be found out: the resolver {by} could not validate it.",
    ),
    (
        "unvalidated_found",
        "The record was found at {place}, but whether {zone} is signed by DNSSEC could not be found out: no usable answer came for its DS and DNSKEY records.",
    ),
    (
        "unvalidated_absent",
        "The record was not found at {place}, but whether {zone} is signed by DNSSEC could not be found out: no usable answer came for its DS and DNSKEY records.",
    ),
    (
        "unknown_origin",
        "The record was found at {record}, an alias of {end}, but whether that alias stands at this very name or comes from a wildcard record could not be found out: no answer came for a random name beside it.",
    ),
    (
        "unrepeated_found",
        "The record was found at {place}, but the second look, over TCP, got no usable answer: {servers}[. No usable answer either: {others}].",
    ),
    (
        "unrepeated_absent",
        "The record was not found at {place}, but the second look, over TCP, got no usable answer: {servers}[. No usable answer either: {others}].",
    ),
    (
        "disagree",
        "The name servers do not agree about {place}: the record with the value {value} is {sides}.",
    ),
    (
        "disagree_again",
        "The name servers gave different answers about {place} when they were asked twice. The second time the record with the value {value} was {sides}.",
    ),
    (
        "signed_without",
        "The signed answer about {place}[ that the resolver {by} has] does not show the record with the value {value}, and the name servers show it.",
    ),
    (
        "signed_with",
        "The signed answer about {place}[ that the resolver {by} has] shows the record with the value {value}, and the name servers do not show it.",
    ),
    ("disagree_somehow", "The name servers do not agree about the record at {place} with the value {value}."),
    (
        "dissent",
        "On the way to {place} some name servers contradict the others, with another alias, none, or other name servers of the zone: {servers}.",
    ),
    (
        "too_few_show",
        "Too few name servers show {place}: the record with the value {value} is {sides}.[ Listed for {zone}, but without a usable answer: {unfit}.]",
    ),
    (
        "too_few_answer",
        "Too few name servers answer for {place}: the record with the value {value} is {sides}.[ Listed for {zone}, but without a usable answer: {unfit}.]",
    ),
    (
        "stale",
        "The name servers show the record at {place}, but the resolver {by} does not show it yet: it may keep an older answer[, for up to {left:span}].",
    ),
    (
        "stale_somewhere",
        "The name servers show the record at {place}, but the trusted resolver does not show it yet: it may keep an older answer[, for up to {left:span}].",
    ),
    (
        "places_see",
        "The record at {place} is seen from {count} of {all} places, and {quorum} are needed.[ Not from: {others}.]",
    ),
    (
        "places_miss",
        "The record at {place} is seen to be gone from {count} of {all} places, and {quorum} are needed.[ Not from: {others}.]",
    ),
    (
        "limits",
        "The check of {place} reached its limits after {queries} questions and {ms} ms, because name servers are slow or many names have to be followed.",
    ),
    // Our rules, and ourselves.
    ("name_refused", "The domain name of {record} may not be claimed any more: {why}."),
    ("claim_another", "Claim another name, or ask the people who run this service."),
    ("internal", "{record} could not be checked because of a problem on our side."),
    ("nothing_to_change", "Nothing to change: the check is repeated as soon as the problem is solved."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_key_has_one_template() {
        let keys: BTreeSet<&str> = SENTENCES.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys.len(), SENTENCES.len());
    }

    #[test]
    fn brackets_and_braces_are_paired() {
        for (key, template) in SENTENCES {
            for (open, close) in [('[', ']'), ('{', '}')] {
                assert_eq!(template.matches(open).count(), template.matches(close).count(), "{key}");
            }
        }
    }
}
