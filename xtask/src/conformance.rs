//! The queue port's conformance suite as a table: its cases, and what each queue makes of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::rust;

/// Each queue, and what of the package runs the suite on it. The embedded one's cases are unit tests in a module of this name.
const QUEUES: [(&str, &[&str]); 4] = [
    ("embedded", &["--lib", "--", "embedded::tests::"]),
    ("NATS JetStream", &["--test", "nats"]),
    ("SQS (ElasticMQ)", &["--test", "sqs"]),
    ("RabbitMQ", &["--test", "rabbitmq"]),
];
/// Where the cases are written down.
const SUITE: &str = "crates/queue/src/conformance/mod.rs";

/// Runs the suite on every queue and prints the table, which goes into the target folder, too. True when nothing failed, the
/// adapters' own tests included.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let cases = cases(&std::fs::read_to_string(root.join(SUITE))?);
    anyhow::ensure!(!cases.is_empty(), "no cases in {SUITE}");
    let (mut verdicts, mut good) = (Vec::new(), true);
    for (queue, arguments) in QUEUES {
        println!("── {queue}");
        let output = rust::cargo(root)
            .args(["test", "--quiet", "-p", "ronda-queue", "--features", "nats,sqs,rabbitmq,conformance"])
            .args(arguments.iter().take_while(|argument| **argument != "--"))
            .args(["--", "--format", "pretty"])
            .args(arguments.iter().skip_while(|argument| **argument != "--").skip(1))
            .output()?;
        let told = String::from_utf8_lossy(&output.stdout);
        print!("{}", String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            // What the adapter's own tests say, too.
            println!("{told}");
            good = false;
        }
        verdicts.push(read(&told));
    }
    let table = table(&cases, &verdicts);
    std::fs::write(rust::target_dir(root)?.join("conformance.md"), &table)?;
    println!("{table}");
    Ok(good)
}

/// The names in the suite's macros, in their order: what stands alone on a line after `@cases`.
fn cases(source: &str) -> Vec<String> {
    let lists = source.split("@cases $harness:").skip(1).filter_map(|rest| rest.split_once(");")).map(|(list, _)| list);
    let is_name = |word: &&str| word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    lists.flat_map(|list| list.lines().map(str::trim).filter(is_name)).map(str::to_owned).collect()
}

/// Cases by name, without their modules, and how they ended.
fn read(output: &str) -> BTreeMap<String, String> {
    let verdict = |line: &str| {
        let (name, verdict) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        Some((name.rsplit("::").next()?.to_owned(), verdict.to_owned()))
    };
    output.lines().filter_map(verdict).collect()
}

fn table(cases: &[String], verdicts: &[BTreeMap<String, String>]) -> String {
    let mut table = String::from("| case |");
    for (queue, _) in QUEUES {
        let _ = write!(table, " {queue} |");
    }
    let _ = write!(table, "\n|---|{}\n", "---|".repeat(QUEUES.len()));
    for case in cases {
        let _ = write!(table, "| {} |", case.replace('_', " "));
        for of_queue in verdicts {
            // The second part is about servers that can be killed and cut off.
            let _ = write!(table, " {} |", of_queue.get(case).map_or("–", String::as_str));
        }
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_case_of_both_lists() {
        let source = "macro a {\n (@cases $harness:\n  it_keeps\n  it_orders\n );\n (@cases $harness:ty: $($case:ident)*) => {\n \
                      $($case)*\n };\n}\nmacro b { (@cases $harness:\n it_returns\n );\n}";
        let cases = cases(source);
        assert_eq!(cases, ["it_keeps", "it_orders", "it_returns"]);
        let embedded = read("running 2 tests\ntest embedded::tests::it_keeps ... ok\ntest it_orders ... FAILED\n");
        let table = table(&cases, &[embedded, BTreeMap::new()]);
        assert!(table.contains("| it keeps | ok | – |\n| it orders | FAILED | – |\n| it returns | – | – |"), "{table}");
    }
}
