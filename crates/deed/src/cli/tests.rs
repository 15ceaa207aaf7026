//! Snapshots of `--help`, and a check of the command definitions.
use clap::CommandFactory as _;

use super::Cli;

/// The long help of a command, at a fixed width.
fn help(path: &[&str]) -> String {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut at = &mut command;
    for name in path {
        at = at.find_subcommand_mut(name).unwrap_or_else(|| panic!("there is no {name}"));
    }
    at.render_long_help().to_string()
}

#[test]
fn command_line_is_valid() {
    Cli::command().debug_assert();
}

#[test]
fn help_of_every_command() {
    fn paths(command: &clap::Command, above: &[String], all: &mut Vec<Vec<String>>) {
        all.push(above.to_vec());
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            paths(sub, &[above, &[sub.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = vec![];
    paths(&Cli::command(), &[], &mut all);
    for path in all {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let name = if words.is_empty() { "deed".to_owned() } else { format!("deed_{}", words.join("_")) };
        insta::assert_snapshot!(name, help(&words));
    }
}
