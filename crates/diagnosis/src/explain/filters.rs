//! Filters that format parameters for people.
use std::fmt::Write as _;

use super::ede::ede_name;
use crate::characters::{character_name, quotes_name};
use crate::rcode::rcode_name;

/// A parameter formatted by a filter; none where it is missing. A missing character is the end of the value.
pub(super) fn apply(filter: &str, parameter: Option<&str>) -> Option<String> {
    if filter == "char" && parameter.is_none() {
        return Some("the end of the value".to_owned());
    }
    let parameter = parameter?;
    match filter {
        "char" => character(parameter).map(character_name),
        "marks" => character(parameter).map(quotes_name),
        "ede" => parameter.parse().ok().map(ede_name),
        "rcode" => parameter.parse().ok().map(rcode_name),
        "often" => Some(if parameter == "2" { "twice".to_owned() } else { format!("{parameter} times") }),
        "span" => parameter.parse().ok().map(span),
        _ => None,
    }
}

/// A character in the form of a parameter: its code point in hexadecimal digits.
pub(crate) fn code_point(c: char) -> String {
    let mut digits = String::new();
    // Writing to a string cannot fail.
    let _ = write!(digits, "{:04X}", u32::from(c));
    digits
}

fn character(digits: &str) -> Option<char> {
    u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)
}

/// A span of time in words.
fn span(seconds: u32) -> String {
    match seconds {
        0 | 1 => "a second".to_owned(),
        2..=119 => format!("{seconds} seconds"),
        120..=7199 => format!("{} minutes", seconds.div_ceil(60)),
        7200..=172_799 => format!("{} hours", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}
