//! nftables' rules, as `nft --json list ruleset` tells them: what they do to one UDP port.
//!
//! Promises: only what is plain is claimed. A rule with other conditions beside the port, or a chain that rules jump
//! to, is not followed: then nothing is known. Sets and maps are read, named ones in their table too; that no rule names
//! the port is said only where each could be read. A rule that throws all datagrams away ends its chain as the policy "drop"
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
    /// Such a chain, and rules in its table that tell of ports in another way: by a comparison, or by a set that is not
    /// listed.
    NotKnown(String),
    /// Such a chain, and rules of iptables' in its table that the list does not spell out.
    NotSpelt(String),
}

/// The fate of UDP datagrams to `port`; none where the text is something else.
pub(crate) fn fate(text: &str, port: u16) -> Option<Fate> {
    let list: Value = serde_json::from_str(text).ok()?;
    let items = list.get("nftables")?.as_array()?;
    let reader = Reader { items, port };
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
        let verdict = rules.iter().filter(is_here).find_map(|rule| reader.verdict(rule));
        let is_closed = match verdict {
            Some(Verb::Drop) => return Some(Fate::Dropped(name())),
            Some(Verb::Accept) => false,
            Some(Verb::Close) => true,
            None => chain["policy"] == "drop",
        };
        // What names it may be jumped to, from within the table alone.
        let in_table = || rules.iter().filter(is_in_table);
        let named = in_table().map(|rule| reader.named(rule)).max().unwrap_or(Named::No);
        if !is_closed || named == Named::Yes {
            continue;
        }
        let is_spelt =
            !in_table().any(|rule| statements(rule).any(|statement| statement.get("xt").is_some()));
        unnamed = Some(match (named, is_spelt) {
            (Named::No, true) => Fate::NotNamed(name()),
            (Named::No, false) => Fate::NotSpelt(name()),
            (Named::Perhaps | Named::Yes, _) => Fate::NotKnown(name()),
        });
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

/// Whether a rule tells of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    No,
    Perhaps,
    Yes,
}

/// A condition that datagrams to the port meet.
enum About {
    Port,
    Udp,
    UdpOfOneFamily,
}

/// Reads rules for one port.
struct Reader<'a> {
    items: &'a [Value],
    port: u16,
}

impl Reader<'_> {
    /// What a rule does with every datagram to the port; none where it has other conditions, or is about something else.
    fn verdict(&self, rule: &Value) -> Option<Verb> {
        let (mut names_it, mut is_of_one_family) = (false, false);
        for statement in rule["expr"].as_array()? {
            if let Some(condition) = statement.get("match") {
                match self.about(rule, condition)? {
                    About::Port => names_it = true,
                    About::Udp => {}
                    About::UdpOfOneFamily => is_of_one_family = true,
                }
            } else if let Some(map) = statement.get("vmap") {
                let verb = self.mapped(rule, map)?;
                return if verb.get("accept").is_some() {
                    Some(Verb::Accept)
                } else {
                    verb.get("drop").map(|_| Verb::Drop)
                };
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

    fn about(&self, rule: &Value, condition: &Value) -> Option<About> {
        let (left, right) = (&condition["left"], &condition["right"]);
        if !matches!(condition["op"].as_str(), Some("==" | "in")) {
            return None;
        }
        if is_port(left) {
            return (self.has_port(rule, right)?).then_some(About::Port);
        }
        let is_udp = |one: &Value| one == "udp" || one.as_u64() == Some(IPPROTO_UDP);
        let has_udp = is_udp(right) || right["set"].as_array().is_some_and(|set| set.iter().any(is_udp));
        let payload = (left["payload"]["protocol"].as_str(), left["payload"]["field"].as_str());
        match payload {
            _ if !has_udp => None,
            _ if left["meta"]["key"] == "l4proto" => Some(About::Udp),
            (Some("ip"), Some("protocol")) | (Some("ip6"), Some("nexthdr")) => Some(About::UdpOfOneFamily),
            _ => None,
        }
    }

    /// What a map of ports says of this one.
    fn mapped<'a>(&'a self, rule: &Value, map: &'a Value) -> Option<&'a Value> {
        let data = &map["data"];
        let pairs =
            data["set"].as_array().map(Vec::as_slice).or_else(|| self.listed(rule, data.as_str()?))?;
        let pairs = pairs.iter().filter_map(Value::as_array).filter(|_| is_port(&map["key"]));
        let is_ours =
            |pair: &&Vec<Value>| pair.first().and_then(|key| self.has_port(rule, key)) == Some(true);
        pairs.filter(is_ours).find_map(|pair| pair.get(1))
    }

    /// Whether a rule tells of the port, whatever else it asks for.
    fn named(&self, rule: &Value) -> Named {
        let named = |statement: &Value| {
            let (key, values, is_read) = if let Some(condition) = statement.get("match") {
                let is_read = matches!(condition["op"].as_str(), Some("==" | "in"));
                (&condition["left"], &condition["right"], is_read)
            } else if let Some(map) = statement.get("vmap") {
                (&map["key"], &map["data"], true)
            } else {
                return Named::No;
            };
            let parts = key.get("concat").and_then(Value::as_array);
            let is_read = is_read && (is_port(key) || parts.is_some_and(|parts| parts.iter().any(is_port)));
            match (is_read, self.has_port(rule, values)) {
                (true, Some(false)) => Named::No,
                (true, Some(true)) => Named::Yes,
                (true, None) => Named::Perhaps,
                (false, _) => {
                    if holds_port(key) {
                        Named::Perhaps
                    } else {
                        Named::No
                    }
                }
            }
        };
        statements(rule).map(named).max().unwrap_or(Named::No)
    }

    /// Whether the port is among these values; none where they cannot be read. Of values of several parts each counts.
    fn has_port(&self, rule: &Value, values: &Value) -> Option<bool> {
        let any = |all: &[Value]| {
            let mut sum = Some(false);
            for one in all {
                match self.has_port(rule, one) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => sum = None,
                }
            }
            sum
        };
        match values {
            Value::Number(number) => Some(number.as_u64() == Some(self.port.into())),
            Value::String(word) if word.starts_with('@') => any(self.listed(rule, word)?),
            Value::String(_) => Some(false),
            // A map's pair: the key, and what is done.
            Value::Array(pair) => self.has_port(rule, pair.first()?),
            Value::Object(_) => {
                if let Some([first, last]) = values["range"].as_array().map(Vec::as_slice) {
                    // Of other things than numbers, addresses say, it is of no port.
                    let (Some(first), Some(last)) = (first.as_u64(), last.as_u64()) else {
                        return Some(false);
                    };
                    return Some((first..=last).contains(&self.port.into()));
                }
                if let Some(element) = values.get("elem") {
                    return self.has_port(rule, &element["val"]);
                }
                let parts = values.get("set").or_else(|| values.get("concat")).and_then(Value::as_array);
                any(parts?)
            }
            Value::Null | Value::Bool(_) => None,
        }
    }

    /// What is in the named set or map (`@name`) of a rule's table.
    fn listed(&self, rule: &Value, word: &str) -> Option<&[Value]> {
        let name = word.strip_prefix('@')?;
        let all = self.items.iter().filter_map(|item| item.get("set").or_else(|| item.get("map")));
        let mut its = all.filter(|set| {
            set["family"] == rule["family"] && set["table"] == rule["table"] && set["name"] == name
        });
        // One that is empty has no such word.
        let elements = its.next()?.get("elem").and_then(Value::as_array);
        Some(elements.map_or(&[], Vec::as_slice))
    }
}

/// The port that UDP datagrams go to, or those of any protocol.
fn is_port(key: &Value) -> bool {
    let payload = &key["payload"];
    payload["field"] == "dport" && matches!(payload["protocol"].as_str(), Some("udp" | "th"))
}

/// Whether it is made of that port in whichever way.
fn holds_port(key: &Value) -> bool {
    match key {
        Value::Object(parts) => is_port(key) || parts.values().any(holds_port),
        Value::Array(parts) => parts.iter().any(holds_port),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn statements(rule: &Value) -> impl Iterator<Item = &Value> {
    rule["expr"].as_array().into_iter().flatten()
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

    /// As nft 1.0.6 lists them.
    const SETS: &str = r#"
        {"set":{"family":"inet","table":"t","name":"ports","elem":[{"range":[100,200]},47800]}},
        {"set":{"family":"inet","table":"t","name":"fresh","elem":[{"elem":{"val":47800,"timeout":3600}}]}},
        {"set":{"family":"inet","table":"t","name":"pairs","elem":[{"concat":["udp",{"range":[47000,48000]}]}]}},
        {"set":{"family":"inet","table":"t","name":"empty"}},
        {"set":{"family":"inet","table":"elsewhere","name":"theirs","elem":[47800]}},
        {"map":{"family":"inet","table":"t","name":"verdicts","map":"verdict",
            "elem":[[22,{"accept":null}],[47800,{"drop":null}]]}},"#;

    fn with_sets(policy: &str, rules: &[&str]) -> impl Fn(u16) -> Fate + use<> {
        let list = list(policy, rules).replacen('[', &format!("[{SETS}"), 1);
        move |port| fate(&list, port).expect("a list")
    }

    #[test]
    fn sets_and_maps_are_read() {
        let closed = || Fate::NotNamed("inet t c".into());
        for set in [r#""@ports""#, r#""@fresh""#, r#"{"set":[{"elem":{"val":47800,"comment":"x"}}]}"#] {
            let fate = with_sets("drop", &[&about(set, "accept")]);
            assert_eq!((fate(47_800), fate(47_801)), (Fate::LetIn, closed()), "{set}");
            let fate = with_sets("accept", &[&about(set, "drop")]);
            assert_eq!(
                (fate(47_800), fate(47_801)),
                (Fate::Dropped("inet t c".into()), Fate::LetIn),
                "{set}"
            );
        }
        let port = r#"{"payload":{"protocol":"udp","field":"dport"}}"#;
        let map = |key: &str, data: &str| format!(r#"[{{"vmap":{{"key":{key},"data":{data}}}}}]"#);
        let fate = with_sets(
            "drop",
            &[&map(port, r#"{"set":[[47801,{"accept":null}],[{"range":[1,9]},{"drop":null}]]}"#)],
        );
        assert_eq!((fate(47_801), fate(47_800)), (Fate::LetIn, closed()));
        assert_eq!(fate(5), Fate::Dropped("inet t c".into()));
        let fate = with_sets("drop", &[&map(port, r#""@verdicts""#)]);
        assert_eq!((fate(22), fate(23)), (Fate::LetIn, closed()));
        assert_eq!(fate(47_800), Fate::Dropped("inet t c".into()));
        let jumps = map(port, r#"{"set":[[47800,{"jump":{"target":"x"}}]]}"#);
        assert_eq!(with_sets("drop", &[&jumps])(47_800), Fate::LetIn, "nothing is known then");
        let both = r#"{"concat":[{"meta":{"key":"l4proto"}},{"payload":{"protocol":"th","field":"dport"}}]}"#;
        for rule in [
            of_protocol(
                both,
                r#"{"set":[{"concat":["udp",47802]},{"concat":["tcp",{"range":[1,9]}]}]}"#,
                "accept",
            ),
            of_protocol(both, r#""@pairs""#, "accept"),
            map(both, r#"{"set":[[{"concat":["udp",47802]},{"accept":null}]]}"#),
        ] {
            let fate = with_sets("drop", &[&rule]);
            assert_eq!((fate(47_802), fate(50_000)), (Fate::LetIn, closed()), "{rule}");
        }
    }

    #[test]
    fn what_tells_of_ports_in_another_way_may_let_it_in() {
        let compared = |op| about("22", "accept").replacen("==", op, 1);
        let masked =
            of_protocol(r#"{"&":[{"payload":{"protocol":"udp","field":"dport"}},65520]}"#, "47776", "accept");
        assert_eq!(
            with_sets("drop", &[&about("\"@empty\"", "accept")])(47_800),
            Fate::NotNamed("inet t c".into())
        );
        let unlisted = ["@nowhere", "@theirs"].map(|set| about(&format!("\"{set}\""), "accept"));
        for rule in [&compared("!="), &compared(">"), &masked].into_iter().chain(&unlisted) {
            let fate = with_sets("drop", &[rule, &about("5353", "accept")]);
            assert_eq!(fate(47_800), Fate::NotKnown("inet t c".into()), "{rule}");
            assert_eq!(fate(5_353), Fate::LetIn, "{rule}");
        }
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
