//! Formats results as text.

use std::fmt::Write;

use platform::customers::Audit;
use serde_json::Value;

/// Formats a value: a string without quotation marks, null as "none", anything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn elements(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn joined(list: &Value, separator: &str) -> String {
    elements(list).iter().map(text).collect::<Vec<_>>().join(separator)
}

/// Formats the list of customers, one per line.
pub fn list(customers: &Value) -> String {
    let lines = elements(customers).iter().map(|customer| {
        let missing = match (customer["script"].is_null(), customer["record"] == false) {
            (true, _) => "  no script",
            (_, true) => "  no record",
            _ => "",
        };
        let changed = customer["modified_on"].as_str().unwrap_or_default();
        let line = format!("{:<24} {changed:<28} {}{missing}", text(&customer["id"]), joined(&customer["tags"], " "));
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Formats an audit: one line per crossing, and a summary.
pub fn audit(audit: &Audit) -> String {
    let mut lines = String::new();
    for crossing in &audit.crossings {
        let mark = if crossing.shared { " (marked as shared)" } else { "" };
        let others = crossing.others.join(", ");
        writeln!(
            lines,
            "{}: {} is {}, shared with {others}{mark}",
            crossing.script, crossing.binding, crossing.resource
        )
        .expect("writing to a String succeeds");
    }
    let marked = audit.crossings.len() - audit.unmarked();
    write!(
        lines,
        "{}, {}, {} marked as shared",
        count(audit.scripts, "script"),
        count(audit.unmarked(), "crossing"),
        count(marked, "binding")
    )
    .expect("writing to a String succeeds");
    lines
}

/// Formats a number with a noun in the singular or plural.
fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Formats the details of a customer.
pub fn customer(customer: &Value) -> String {
    let storage = &customer["storage"];
    let buckets = elements(&storage["r2"]).iter().map(|jurisdiction| match jurisdiction.as_str() {
        Some(jurisdiction) => format!("customer-{} ({jurisdiction})", text(&customer["id"])),
        None => format!("customer-{}", text(&customer["id"])),
    });
    let buckets = buckets.collect::<Vec<_>>().join(", ");
    let mut lines = String::new();
    for (name, value) in [
        ("customer", text(&customer["id"])),
        ("script", text(&customer["script"])),
        ("changed", text(&customer["modified_on"])),
        ("tags", joined(&customer["tags"], " ")),
        ("record", text(&customer["record"])),
        ("KV namespace", text(&storage["kv"])),
        ("R2 bucket", if buckets.is_empty() { "none".to_owned() } else { buckets }),
        ("D1 database", text(&storage["d1"])),
        ("bindings", String::new()),
    ] {
        writeln!(lines, "{}", format!("{name:<13} {value}").trim_end()).expect("writing to a String succeeds");
    }
    for binding in elements(&customer["bindings"]) {
        let members = binding.as_object().into_iter().flatten().filter(|(name, _)| *name != "name" && *name != "type");
        let members: Vec<String> = members.map(|(name, value)| format!("{name}={}", text(value))).collect();
        let line = format!("  {:<20} {:<22} {}", text(&binding["name"]), text(&binding["type"]), members.join(" "));
        writeln!(lines, "{}", line.trim_end()).expect("writing to a String succeeds");
    }
    for message in elements(&customer["messages"]) {
        writeln!(lines, "  {}", text(message)).expect("writing to a String succeeds");
    }
    lines.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use platform::customers::Crossing;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_audits_summary_has_singulars_and_plurals() {
        assert_eq!(audit(&Audit::default()), "0 scripts, 0 crossings, 0 bindings marked as shared");
        let crossing = |shared| Crossing {
            script: "user7".to_owned(),
            binding: "JOBS".to_owned(),
            resource: "the queue jobs".to_owned(),
            others: vec!["the script user3".to_owned()],
            shared,
        };
        let found = Audit { scripts: 1, crossings: vec![crossing(false), crossing(true)] };
        let expected = "user7: JOBS is the queue jobs, shared with the script user3\n\
            user7: JOBS is the queue jobs, shared with the script user3 (marked as shared)\n\
            1 script, 1 crossing, 1 binding marked as shared";
        assert_eq!(audit(&found), expected);
    }

    #[test]
    fn the_list_marks_incomplete_customers() {
        let customers = json!([
            {"id": "user1", "script": "user1", "tags": ["customer-worker", "eu"], "modified_on": "2026-11-22T00:00:00Z", "record": true},
            {"id": "user2", "script": "user2", "tags": [], "modified_on": null, "record": false},
            {"id": "user3", "script": null, "tags": [], "modified_on": null, "record": true},
            {"id": "user4", "script": "user4", "tags": [], "modified_on": null, "record": null},
        ]);
        let lines: Vec<String> =
            list(&customers).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let expected = ["user1 2026-11-22T00:00:00Z customer-worker eu", "user2 no record", "user3 no script", "user4"];
        assert_eq!(lines, expected);
        assert_eq!(list(&json!([])), "");
    }

    #[test]
    fn a_customer_is_shown_with_all_details() {
        let shown = customer(&json!({
            "id": "user1",
            "script": "user1",
            "tags": ["own-script"],
            "modified_on": null,
            "bindings": [
                {"name": "USER_KV", "type": "kv_namespace", "namespace_id": "kv1"},
                {"name": "API_KEY", "type": "secret_text"},
            ],
            "messages": ["env.AI is not there locally: no AI here"],
            "record": {"plan": "pro"},
            "storage": {"kv": "kv1", "r2": [null, "eu"], "d1": null},
        }));
        let expected = "\
customer      user1
script        user1
changed       none
tags          own-script
record        {\"plan\":\"pro\"}
KV namespace  kv1
R2 bucket     customer-user1, customer-user1 (eu)
D1 database   none
bindings
  USER_KV              kv_namespace           namespace_id=kv1
  API_KEY              secret_text
  env.AI is not there locally: no AI here";
        assert_eq!(shown, expected);
    }
}
