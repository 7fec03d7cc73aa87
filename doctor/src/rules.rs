//! nftables' rules, as `nft --json list ruleset` tells them: what they do to one UDP port.
//!
//! Promises: only what is plain is claimed. A rule with other conditions beside the port, or a chain that rules jump
//! to, is not followed: then nothing is known. A rule that throws all datagrams away ends its chain as the policy "drop"
//! does (firewalld writes its own so). Refuses text that is no such list.

use serde_json::Value;

/// UDP's number among IP's protocols.
const IPPROTO_UDP: u64 = 17;

/// What the rules do with datagrams to the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing forbids them.
    LetIn,
    /// A rule throws them away, in this chain.
    Dropped(String),
    /// A chain throws everything away that no rule lets in, and none in its table names the port.
    NotNamed(String),
    /// Such a chain, and rules of iptables' in its table that the list does not spell out.
    NotSpelt(String),
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
        let is_in_table =
            |rule: &&&Value| rule["family"] == chain["family"] && rule["table"] == chain["table"];
        let verdict = rules.iter().filter(is_here).find_map(|rule| verdict(rule, port));
        let is_closed = match verdict {
            Some(Verb::Drop) => return Some(Fate::Dropped(name())),
            Some(Verb::Accept) => false,
            Some(Verb::Close) => true,
            None => chain["policy"] == "drop",
        };
        // What names it may be jumped to, from within the table alone.
        let mut in_table = rules.iter().filter(is_in_table);
        if !is_closed || in_table.clone().any(|rule| names_port(rule, port)) {
            continue;
        }
        let is_spelt = !in_table.any(|rule| statements(rule).any(|statement| statement.get("xt").is_some()));
        unnamed = Some(if is_spelt { Fate::NotNamed(name()) } else { Fate::NotSpelt(name()) });
    }
    Some(unnamed.unwrap_or(Fate::LetIn))
}

enum Verb {
    /// It lets them in.
    Accept,
    /// It throws them away by their port.
    Drop,
    /// It throws everything away that came so far.
    Close,
}

/// What a rule does with every datagram to the port; none where it has other conditions, or is about something else.
fn verdict(rule: &Value, port: u16) -> Option<Verb> {
    let (mut names_it, mut is_of_one_family) = (false, false);
    for statement in rule["expr"].as_array()? {
        if let Some(condition) = statement.get("match") {
            match about(condition, port)? {
                About::Port => names_it = true,
                About::Udp => {}
                About::UdpOfOneFamily => is_of_one_family = true,
            }
        } else if statement.get("drop").is_some() || statement.get("reject").is_some() {
            return Some(if names_it { Verb::Drop } else { Verb::Close });
        } else if statement.get("accept").is_some() {
            // The other family's are still on their way.
            return (names_it || !is_of_one_family).then_some(Verb::Accept);
        } else if statement.get("counter").is_none() && statement.get("log").is_none() {
            return None;
        }
    }
    None
}

/// A condition that datagrams to the port meet.
enum About {
    Port,
    Udp,
    UdpOfOneFamily,
}

fn about(condition: &Value, port: u16) -> Option<About> {
    if is_port_match(condition, port) {
        return Some(About::Port);
    }
    let (left, right) = (&condition["left"], &condition["right"]);
    let is_udp = |one: &Value| one == "udp" || one.as_u64() == Some(IPPROTO_UDP);
    let has_udp = is_udp(right) || right["set"].as_array().is_some_and(|set| set.iter().any(is_udp));
    if !has_udp || !matches!(condition["op"].as_str(), Some("==" | "in")) {
        return None;
    }
    let payload = (left["payload"]["protocol"].as_str(), left["payload"]["field"].as_str());
    match payload {
        _ if left["meta"]["key"] == "l4proto" => Some(About::Udp),
        (Some("ip"), Some("protocol")) | (Some("ip6"), Some("nexthdr")) => Some(About::UdpOfOneFamily),
        _ => None,
    }
}

fn names_port(rule: &Value, port: u16) -> bool {
    let mut conditions = statements(rule).filter_map(|statement| statement.get("match"));
    conditions.any(|condition| is_port_match(condition, port))
}

fn statements(rule: &Value) -> impl Iterator<Item = &Value> {
    rule["expr"].as_array().into_iter().flatten()
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

    fn of_protocol(left: &str, right: &str, verb: &str) -> String {
        format!(r#"[{{"match":{{"op":"==","left":{left},"right":{right}}}}},{{"{verb}":null}}]"#)
    }

    #[test]
    fn a_rule_that_closes_a_chain_is_its_policy() {
        let fate = |policy, rules: &[&str]| fate(&list(policy, rules), 47_800).unwrap();
        let closed = Fate::NotNamed("inet t c".into());
        let established =
            r#"[{"match":{"op":"in","left":{"ct":{"key":"state"}},"right":"established"}},{"accept":null}]"#;
        // firewalld's own end of a chain.
        let rejects = r#"[{"reject":{"type":"icmpx","expr":"admin-prohibited"}}]"#;
        let jumps = r#"[{"jump":{"target":"zones"}}]"#;
        let logs = r#"[{"log":{"prefix":"x"}},{"counter":{}},{"drop":null}]"#;
        let of_any = r#"{"meta":{"key":"l4proto"}}"#;
        let udp = of_protocol(of_any, r#""udp""#, "drop");
        let both = of_protocol(of_any, r#"{"set":["tcp",17]}"#, "reject");
        for closes in [rejects, logs, &udp, &both] {
            assert_eq!(fate("accept", &[established, jumps, closes]), closed, "{closes}");
            let named = about("47800", "accept");
            assert_eq!(fate("accept", &[&named, closes]), Fate::LetIn, "{closes}");
            let conditional = named.replacen('[', r#"[{"limit":{"rate":9}},"#, 1);
            assert_eq!(
                fate("accept", &[&conditional, closes]),
                Fate::LetIn,
                "nothing is known then: {closes}"
            );
            let opens = r#"[{"accept":null}]"#;
            assert_eq!(fate("drop", &[opens, closes]), Fate::LetIn, "{closes}");
        }
        let of_iptables = r#"[{"xt":null},{"accept":null}]"#;
        assert_eq!(fate("drop", &[of_iptables]), Fate::NotSpelt("inet t c".into()));
        let tcp = of_protocol(of_any, r#""tcp""#, "drop");
        assert_eq!(fate("accept", &[&tcp]), Fate::LetIn);
        let named_so = of_protocol(r#"{"meta":{"key":"iifname"}}"#, r#""udp""#, "drop");
        assert_eq!(fate("accept", &[&named_so]), Fate::LetIn, "it is about a device of that name");
        let of_ipv6 =
            of_protocol(r#"{"payload":{"protocol":"ip6","field":"nexthdr"}}"#, r#""udp""#, "accept");
        assert_eq!(fate("drop", &[&of_ipv6]), closed, "IPv4 is not let in");
    }

    #[test]
    fn another_tables_rule_opens_nothing_here() {
        let elsewhere = about("47800", "accept");
        let list = list("drop", &[&elsewhere])
            .replace(r#""rule":{"family":"inet","table":"t""#, r#""rule":{"family":"inet","table":"u""#);
        assert_eq!(fate(&list, 47_800), Some(Fate::NotNamed("inet t c".into())));
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
