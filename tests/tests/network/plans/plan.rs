//! Checks of an executed plan.

use serde_json::Value;

/// Tables that stay small: dead letters need an index only where there are many of them, and generations of rankings
/// are removed after minutes. All others grow with the chain.
const SMALL: [&str; 6] = [
    "cursor",
    "config",
    "collateral",
    "gap",
    "dead_letter",
    "ranking_generation",
];

/// What a query may read and sort.
#[derive(Clone, Copy)]
pub struct Allowance {
    /// Rows that one sort may get.
    pub sorted: u64,
    /// Rows that one node of the plan may read in all of its runs, whether it returns or drops them.
    pub read: u64,
}

/// A query that Postgres has run.
pub struct Plan {
    pub query: String,
    pub root: Value,
}

impl Plan {
    /// What the plan reads or sorts beyond the allowance.
    pub fn violations(&self, allowance: Allowance) -> Vec<String> {
        let mut violations = vec![];
        inspect(&self.root, allowance, &mut violations);
        violations
    }

    /// The tree of the plan, one node a line.
    pub fn tree(&self) -> String {
        let mut tree = String::new();
        print(&self.root, 1, &mut tree);
        tree
    }
}

fn inspect(node: &Value, allowance: Allowance, violations: &mut Vec<String>) {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let table = node["Relation Name"].as_str().unwrap_or_default();
    if kind == "Seq Scan" && !SMALL.contains(&table) {
        violations.push(format!("sequential scan on {table}"));
    }
    if kind.ends_with("Sort") {
        let sorted: u64 = children(node)
            .map(|child| number(child, "Actual Rows"))
            .sum();
        if allowance.sorted < sorted {
            violations.push(format!("sort of {sorted} rows"));
        }
    }
    let read = rows_read(node);
    if !SMALL.contains(&table) && allowance.read < read {
        let index = node["Index Name"].as_str().unwrap_or(table);
        violations.push(format!("{kind} {index} reads {read} rows"));
    }
    children(node).for_each(|child| inspect(child, allowance, violations));
}

/// Rows that the node has returned and dropped.
fn rows_read(node: &Value) -> u64 {
    let counters = [
        "Actual Rows",
        "Rows Removed by Filter",
        "Rows Removed by Join Filter",
        "Rows Removed by Index Recheck",
    ];
    let in_a_run: u64 = counters.iter().map(|name| number(node, name)).sum();
    in_a_run * number(node, "Actual Loops")
}

fn print(node: &Value, depth: usize, tree: &mut String) {
    let text = |name: &str| node[name].as_str().unwrap_or_default();
    *tree += &format!(
        "{}{} {} {}: {} rows read in {} runs\n",
        "  ".repeat(depth),
        text("Node Type"),
        text("Relation Name"),
        text("Index Name"),
        rows_read(node),
        number(node, "Actual Loops"),
    );
    children(node).for_each(|child| print(child, depth + 1, tree));
}

fn children(node: &Value) -> impl Iterator<Item = &Value> {
    node["Plans"].as_array().into_iter().flatten()
}

/// A counter of the node; 0 if the node has none. Averages over runs are rounded.
fn number(node: &Value, name: &str) -> u64 {
    node[name].as_f64().unwrap_or(0.0).round() as u64
}

#[test]
fn what_reads_or_sorts_too_much_is_reported() {
    let scan = |kind: &str, rows: u64, removed: u64| {
        serde_json::json!({
            "Node Type": kind, "Relation Name": "market", "Actual Rows": rows, "Actual Loops": 2,
            "Rows Removed by Filter": removed,
        })
    };
    let allowance = Allowance {
        sorted: 51,
        read: 200,
    };
    let violations = |root| {
        let query = String::new();
        Plan { query, root }.violations(allowance)
    };
    let sort = |child| serde_json::json!({ "Node Type": "Sort", "Plans": [child] });
    assert!(violations(sort(scan("Index Scan", 51, 49))).is_empty());
    assert_eq!(
        violations(sort(scan("Index Scan", 52, 0))),
        ["sort of 52 rows"]
    );
    assert_eq!(
        violations(scan("Index Scan", 1, 100)),
        ["Index Scan market reads 202 rows"]
    );
    assert_eq!(
        violations(scan("Seq Scan", 0, 0)),
        ["sequential scan on market"]
    );
}
