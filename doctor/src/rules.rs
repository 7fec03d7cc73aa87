//! nftables' rules, as `nft --json list ruleset` tells them: what they do to one UDP port.
//!
//! Promises: only what is plain is claimed. A rule with other conditions beside the port, or a chain that rules jump
//! to, is not followed: then nothing is known. Refuses text that is no such list.

use serde_json::Value;

/// What the rules do with datagrams to the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing forbids them.
    LetIn,
    /// A rule throws them away, in this chain.
    Dropped(String),
    /// A chain throws everything away that no rule lets in, and none names the port.
    NotNamed(String),
}

/// The fate of UDP datagrams to `port`; none where the text is something else.
pub(crate) fn fate(text: &str, port: u16) -> Option<Fate> {
    let list: Value = serde_json::from_str(text).ok()?;
    let items = list.get("nftables")?.as_array()?;
    let rules: Vec<_> = items.iter().filter_map(|item| item.get("rule")).collect();
    let inputs = items.iter().filter_map(|item| item.get("chain")).filter(|chain| chain["hook"] == "input");
    let mut unnamed = None;
    for chain in inputs {
        let name =
            || format!("{} {} {}", plain(&chain["family"]), plain(&chain["table"]), plain(&chain["name"]));
        let is_here = |rule: &&&Value| {
            rule["family"] == chain["family"]
                && rule["table"] == chain["table"]
                && rule["chain"] == chain["name"]
        };
        let verdict = rules.iter().filter(is_here).find_map(|rule| verdict(rule, port));
        match verdict {
            Some(Verb::Drop) => return Some(Fate::Dropped(name())),
            Some(Verb::Accept) => {}
            None if chain["policy"] == "drop" && !rules.iter().any(|rule| names_port(rule, port)) => {
                unnamed = Some(Fate::NotNamed(name()));
            }
            None => {}
        }
    }
    Some(unnamed.unwrap_or(Fate::LetIn))
}

enum Verb {
    Accept,
    Drop,
}

/// What a rule does with every datagram to the port; none where it has other conditions, or is about something else.
fn verdict(rule: &Value, port: u16) -> Option<Verb> {
    let mut is_about_it = false;
    for statement in rule["expr"].as_array()? {
        if let Some(condition) = statement.get("match") {
            let is_port = is_port_match(condition, port);
            let is_udp = condition["right"] == "udp" && condition["op"] == "==";
            if !is_port && !is_udp {
                return None;
            }
            is_about_it |= is_port;
        } else if statement.get("drop").is_some() || statement.get("reject").is_some() {
            return is_about_it.then_some(Verb::Drop);
        } else if statement.get("accept").is_some() {
            return is_about_it.then_some(Verb::Accept);
        } else if statement.get("counter").is_none() && statement.get("log").is_none() {
            return None;
        }
    }
    None
}

fn names_port(rule: &Value, port: u16) -> bool {
    let conditions =
        rule["expr"].as_array().into_iter().flatten().filter_map(|statement| statement.get("match"));
    conditions.into_iter().any(|condition| is_port_match(condition, port))
}

/// `udp dport 47800`, `th dport { 1-100, 47800 }` and their like.
fn is_port_match(condition: &Value, port: u16) -> bool {
    let payload = &condition["left"]["payload"];
    let is_ours = payload["field"] == "dport" && matches!(payload["protocol"].as_str(), Some("udp" | "th"));
    is_ours && matches!(condition["op"].as_str(), Some("==" | "in")) && has_port(&condition["right"], port)
}

fn has_port(right: &Value, port: u16) -> bool {
    if let Some(set) = right.get("set").and_then(Value::as_array) {
        return set.iter().any(|one| has_port(one, port));
    }
    if let Some([first, last]) = right.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        let port = u64::from(port);
        return first.as_u64().is_some_and(|first| first <= port)
            && last.as_u64().is_some_and(|last| port <= last);
    }
    right.as_u64() == Some(port.into())
}

/// A word of the list's, without what could move a terminal's cursor.
fn plain(word: &Value) -> String {
    word.as_str().unwrap_or("?").chars().filter(|it| !it.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(policy: &str, rules: &[&str]) -> String {
        let rules: Vec<_> = rules
            .iter()
            .map(|expr| format!(r#"{{"rule":{{"family":"inet","table":"t","chain":"c","expr":{expr}}}}}"#))
            .collect();
        let chain = format!(
            r#"{{"chain":{{"family":"inet","table":"t","name":"c","hook":"input","policy":"{policy}"}}}}"#
        );
        format!(
            r#"{{"nftables":[{{"metainfo":{{}}}},{chain}{}{}]}}"#,
            if rules.is_empty() { "" } else { "," },
            rules.join(",")
        )
    }

    fn about(right: &str, verb: &str) -> String {
        format!(
            r#"[{{"match":{{"op":"==","left":{{"payload":{{"protocol":"udp","field":"dport"}}}},"right":{right}}}}},{{"counter":{{}}}},{{"{verb}":null}}]"#
        )
    }

    #[test]
    fn a_rule_that_names_the_port_decides_and_the_first_one_counts() {
        let fate = |policy, rules: &[&str]| fate(&list(policy, rules), 47_800).unwrap();
        assert_eq!(fate("accept", &[]), Fate::LetIn);
        assert_eq!(fate("drop", &[]), Fate::NotNamed("inet t c".into()));
        for right in ["47800", r#"{"set":[1,{"range":[47000,48000]}]}"#, r#"{"range":[1,65535]}"#] {
            let (accepts, drops) = (about(right, "accept"), about(right, "reject"));
            assert_eq!(fate("accept", &[&drops]), Fate::Dropped("inet t c".into()), "{right}");
            assert_eq!(fate("drop", &[&accepts, &drops]), Fate::LetIn, "{right}");
        }
        let another = about("5353", "drop");
        assert_eq!(fate("accept", &[&another]), Fate::LetIn);
        let conditional = about("47800", "drop").replacen(
            '[',
            r#"[{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"eth9"}},"#,
            1,
        );
        assert_eq!(fate("accept", &[&conditional]), Fate::LetIn, "it is about another device");
        assert_eq!(fate("drop", &[&conditional]), Fate::LetIn, "nothing is known then");
    }

    #[test]
    fn what_is_no_list_tells_nothing() {
        for text in ["", "[]", "{}", r#"{"nftables":7}"#, "nft: permission denied"] {
            assert_eq!(fate(text, 1), None, "{text:?}");
        }
        assert_eq!(
            fate(r#"{"nftables":[{"rule":[]},{"chain":7},{"rule":{"expr":7}}]}"#, 1),
            Some(Fate::LetIn)
        );
    }
}
