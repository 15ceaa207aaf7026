//! Runs the walk-through of `deed dev` in a shell, unchanged.
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::harness::{deed, ended};

#[test]
fn printed_commands_work() {
    let mut command = deed();
    command.arg("dev");
    for place in ["--listen", "--ops-listen", "--dns-listen", "--control-listen"] {
        command.args([place, "127.0.0.1:0"]);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut script = String::new();
    // Commands start at the first comment and end with the loop that waits for the hostname.
    for line in lines.by_ref().skip_while(|line| !line.starts_with("# ")) {
        script.push_str(&line);
        script.push('\n');
        if line.contains("\"status\":\"active\"") {
            break;
        }
    }
    let shell = Command::new("timeout").args(["60", "sh", "-eu", "-c", &script]).output();
    let shell = shell.expect("needs a shell, `timeout` and `curl`: apt-get install coreutils curl");
    let shown = String::from_utf8_lossy(&shell.stdout);
    let said = String::from_utf8_lossy(&shell.stderr);
    assert!(shell.status.success(), "{script}\n{shown}\n{said}");
    let mut rest = &*shown;
    for wanted in [
        "_deed.acme.com",
        "record_not_found",
        "\n202",
        "\"isVerified\":true",
        "127.0.0.1",
        "DOMAIN_CLAIMABLE",
        "\n409",
        "\n200",
        "\"transferred\"",
        "app_id",
        "verification_token",
        "\"status\":\"verifying\"",
        "\"status\":\"active\"",
    ] {
        let at = rest
            .find(wanted)
            .unwrap_or_else(|| panic!("{wanted:?} is not in {rest}\nall of it: {shown}\n{said}"));
        rest = &rest[at..];
    }
    let killed = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let (status, errors) = ended(&mut child);
    assert_eq!(status.code(), Some(0), "{errors}");
}
