//! The ports' conformance suites as tables: their cases, and what each adapter makes of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::rust;

/// A port's suite.
struct Suite {
    package: &'static str,
    features: &'static str,
    /// Where the cases are written down.
    source: &'static str,
    adapters: &'static [Adapter],
}

/// An adapter, and what of its package runs the suite on it.
struct Adapter {
    name: &'static str,
    target: &'static [&'static str],
    /// Which tests of that: unit tests of an embedded adapter stand beside others.
    filter: &'static str,
}

const fn adapter(name: &'static str, target: &'static [&'static str], filter: &'static str) -> Adapter {
    Adapter { name, target, filter }
}

const SUITES: [Suite; 3] = [
    Suite {
        package: "ronda-queue",
        features: "nats,sqs,rabbitmq,conformance",
        source: "crates/queue/src/conformance/mod.rs",
        adapters: &[
            adapter("embedded", &["--lib"], "embedded::tests::"),
            adapter("NATS JetStream", &["--test", "nats"], ""),
            adapter("SQS (ElasticMQ)", &["--test", "sqs"], ""),
            adapter("RabbitMQ", &["--test", "rabbitmq"], ""),
        ],
    },
    Suite {
        package: "ronda-store",
        features: "cassandra,dynamodb",
        source: "crates/store/src/conformance/mod.rs",
        adapters: &[
            adapter("embedded", &["--test", "embedded"], ""),
            adapter("Apache Cassandra", &["--test", "cassandra"], ""),
            adapter("DynamoDB Local", &["--test", "dynamodb"], ""),
        ],
    },
    Suite {
        package: "ronda-notifier",
        features: "conformance",
        source: "notifier/src/channel/conformance.rs",
        adapters: &[
            adapter("Slack (stand-in)", &["--test", "channels"], "conformance::slack::"),
            adapter("webhook", &["--test", "channels"], "conformance::webhook::"),
            adapter("mail (aiosmtpd)", &["--test", "channels"], "conformance::mail::"),
        ],
    },
];

/// Runs the suites on every adapter and prints the tables, which go into the target folder, too. True when nothing failed, the
/// adapters' own tests included.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let (mut tables, mut good) = (String::new(), true);
    for suite in &SUITES {
        let cases = cases(&std::fs::read_to_string(root.join(suite.source))?);
        anyhow::ensure!(!cases.is_empty(), "no cases in {}", suite.source);
        let mut verdicts = Vec::new();
        for adapter in suite.adapters {
            println!("── {}, {}", suite.package, adapter.name);
            let (verdict, is_good) = judge(root, suite, adapter)?;
            verdicts.push(verdict);
            good &= is_good;
        }
        let _ = writeln!(tables, "{}", table(suite.adapters, &cases, &verdicts));
    }
    std::fs::write(rust::target_dir(root)?.join("conformance.md"), &tables)?;
    println!("{tables}");
    Ok(good)
}

/// How each case ended on an adapter, and whether all its tests passed.
fn judge(root: &Path, suite: &Suite, adapter: &Adapter) -> anyhow::Result<(BTreeMap<String, String>, bool)> {
    let output = rust::cargo(root)
        .args(["test", "--quiet", "-p", suite.package, "--features", suite.features])
        .args(adapter.target)
        .args(["--", "--format", "pretty", adapter.filter])
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    print!("{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        // What the adapter's own tests say, too.
        println!("{told}");
    }
    Ok((read(&told), output.status.success()))
}

/// The names in a suite's macros, in their order: what stands alone on a line after `@cases`.
fn cases(source: &str) -> Vec<String> {
    let lists = source.split("@cases $harness").skip(1).filter_map(|rest| rest.split_once(");")).map(|(list, _)| list);
    let is_name = |word: &&str| word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    lists
        .flat_map(|list| list.lines().map(|line| line.trim().trim_end_matches(',')).filter(is_name))
        .map(str::to_owned)
        .collect()
}

/// Cases by name, without their modules, and how they ended.
fn read(output: &str) -> BTreeMap<String, String> {
    let verdict = |line: &str| {
        let (name, verdict) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        Some((name.rsplit("::").next()?.to_owned(), verdict.to_owned()))
    };
    output.lines().filter_map(verdict).collect()
}

fn table(adapters: &[Adapter], cases: &[String], verdicts: &[BTreeMap<String, String>]) -> String {
    let mut table = String::from("| case |");
    for adapter in adapters {
        let _ = write!(table, " {} |", adapter.name);
    }
    let _ = write!(table, "\n|---|{}\n", "---|".repeat(adapters.len()));
    for case in cases {
        let _ = write!(table, "| {} |", case.replace('_', " "));
        for of_adapter in verdicts {
            // The second part of the queues' is about servers that can be killed and cut off.
            let _ = write!(table, " {} |", of_adapter.get(case).map_or("–", String::as_str));
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
                      $($case)*\n };\n}\nmacro b { (@cases $harness,\n commits: [\n it_returns,\n ]\n );\n}";
        let cases = cases(source);
        assert_eq!(cases, ["it_keeps", "it_orders", "it_returns"]);
        let embedded = read("running 2 tests\ntest embedded::tests::it_keeps ... ok\ntest it_orders ... FAILED\n");
        let adapters = [adapter("one", &[], ""), adapter("other", &[], "")];
        let table = table(&adapters, &cases, &[embedded, BTreeMap::new()]);
        assert!(table.contains("| it keeps | ok | – |\n| it orders | FAILED | – |\n| it returns | – | – |"), "{table}");
    }
}
