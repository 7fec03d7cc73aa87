//! JSON Schema as far as the document uses it: whether a value fits, and values that do.
//!
//! Refuses a word of the language that it does not know: the document would promise what nobody looks at.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

const KNOWN: &[&str] = &[
    "$ref",
    "additionalProperties",
    "description",
    "enum",
    "format",
    "items",
    "maxLength",
    "maximum",
    "minLength",
    "minimum",
    "oneOf",
    "properties",
    "required",
    "type",
];

/// The document.
pub struct Document(pub Value);

impl Document {
    /// The schema itself, where this is a name of one.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        for word in schema.as_object().expect("a schema").keys() {
            assert!(KNOWN.contains(&word.as_str()), "{word} is not looked at");
        }
        match schema["$ref"].as_str() {
            Some(name) => {
                self.resolve(self.0.pointer(name.trim_start_matches('#')).expect("a schema of that name"))
            }
            None => schema,
        }
    }

    /// Why a value does not fit; `at` is where it stands.
    pub fn misfit(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        let schema = self.resolve(schema);
        if let Some(ways) = schema["oneOf"].as_array() {
            let fitting = ways.iter().filter(|way| self.misfit(way, value, at).is_none()).count();
            return (fitting != 1).then(|| format!("{at} fits {fitting} of the ways"));
        }
        if let Some(all) = schema["enum"].as_array() {
            return (!all.contains(value)).then(|| format!("{at} is {value}, none of {all:?}"));
        }
        if !types(schema).iter().any(|name| is_of_type(value, name)) {
            return Some(format!("{at} is {value:.60}, no {:?}", types(schema)));
        }
        match value {
            Value::Null | Value::Bool(_) => None,
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or(f64::NAN);
                let least = schema["minimum"].as_f64().unwrap_or(f64::MIN);
                let most = schema["maximum"].as_f64().unwrap_or(f64::MAX);
                (!(least..=most).contains(&number))
                    .then(|| format!("{at} is {number}, not {least} to {most}"))
            }
            Value::String(text) => {
                let length = text.chars().count() as u64;
                let least = schema["minLength"].as_u64().unwrap_or(0);
                let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
                (!(least..=most).contains(&length)).then(|| format!("{at} has {length} characters"))
            }
            Value::Array(all) => {
                let mut each = all.iter().enumerate();
                each.find_map(|(index, one)| self.misfit(&schema["items"], one, &format!("{at}[{index}]")))
            }
            Value::Object(map) => self.misfit_of_map(schema, map, at),
        }
    }

    fn misfit_of_map(&self, schema: &Value, map: &Map<String, Value>, at: &str) -> Option<String> {
        let missing = strings(&schema["required"]).into_iter().find(|key| !map.contains_key(*key));
        if let Some(key) = missing {
            return Some(format!("{at} has no {key}"));
        }
        map.iter().find_map(|(key, value)| match schema["properties"].get(key) {
            Some(inner) => self.misfit(inner, value, &format!("{at}.{key}")),
            None if schema["additionalProperties"] == false => Some(format!("{at} has a {key}")),
            None => None,
        })
    }

    /// A value that fits.
    pub fn make(&self, schema: &Value, chance: &mut Chance) -> Value {
        let schema = self.resolve(schema);
        if let Some(ways) = schema["oneOf"].as_array() {
            return self.make(&ways[chance.below(ways.len() as u64) as usize], chance);
        }
        if let Some(all) = schema["enum"].as_array() {
            return all[chance.below(all.len() as u64) as usize].clone();
        }
        let types = types(schema);
        match types[chance.below(types.len() as u64) as usize] {
            "null" => Value::Null,
            "boolean" => json!(chance.below(2) == 0),
            "integer" => {
                let (least, most) = (schema["minimum"].as_u64().unwrap_or(0), schema["maximum"].as_u64());
                json!(chance.between(
                    least,
                    most.unwrap_or(if schema["format"] == "int64" { u64::MAX } else { 0x7fff_ffff })
                ))
            }
            "number" => json!(chance.below(1_000_000) as f64 / 1_000.0),
            "string" => {
                let least = schema["minLength"].as_u64().unwrap_or(0);
                let most = schema["maxLength"].as_u64().unwrap_or(200);
                let length = chance.between(least, most) as usize;
                let text: String = chance.oddity().chars().cycle().take(length).collect();
                json!(if text.is_empty() { "x".repeat(length) } else { text })
            }
            "array" => (0..chance.below(4)).map(|_| self.make(&schema["items"], chance)).collect(),
            "object" => {
                let required = strings(&schema["required"]);
                let mut map = Map::new();
                for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
                    if required.contains(&key.as_str()) || chance.below(2) == 0 {
                        map.insert(key.clone(), self.make(inner, chance));
                    }
                }
                Value::Object(map)
            }
            other => panic!("{other} is no type that is made here"),
        }
    }
}

fn types(schema: &Value) -> Vec<&str> {
    schema["type"].as_str().map_or_else(|| strings(&schema["type"]), |one| vec![one])
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type that is known here"),
    }
}

/// What happens by chance, the same for the same seed.
pub struct Chance {
    seed: u64,
    state: u64,
}

impl Chance {
    pub fn of_this_run() -> Self {
        let given = std::env::var("PUNKTFUNK_SEED").ok().and_then(|text| text.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = given.unwrap_or_else(now);
        Self { seed, state: seed }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    pub fn below(&mut self, count: u64) -> u64 {
        self.next() % count
    }

    /// An end of the range as often as anything else in it.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        match (self.below(4), (most - least).checked_add(1)) {
            (0, _) => least,
            (1, _) => most,
            (_, Some(span)) => least + self.below(span),
            (_, None) => self.next(),
        }
    }

    /// 0 in three of four cases, else anything below `count`.
    pub fn mostly_first(&mut self, count: u64) -> usize {
        if self.below(4) > 0 { 0 } else { self.below(count) as usize }
    }

    /// A text that somebody may not have thought of.
    pub fn oddity(&mut self) -> String {
        let all = [
            "",
            " ",
            "0",
            "-1",
            "18446744073709551615",
            "18446744073709551616",
            "1e3",
            "NaN",
            "null",
            "true",
            "..",
            "../../etc/passwd",
            "%00",
            "\0",
            "\n",
            "\r\nX-Evil: 1",
            "\u{202e}gnp.exe",
            "\u{feff}",
            "ß\u{301}🙂",
            "<script>alert(1)</script>",
            "'; DROP TABLE devices; --",
            "${jndi:ldap://x}",
            "{{7*7}}",
            "\\",
            "\"",
            "port",
            "sessions_max",
            "listen",
        ];
        match self.below(all.len() as u64 + 2) as usize {
            index if index < all.len() => all[index].to_owned(),
            index if index == all.len() => "a".repeat(4_000),
            _ => (0..self.below(40)).filter_map(|_| char::from_u32(self.below(0x11_0000) as u32)).collect(),
        }
    }

    /// Breaks something of a value, or does not by luck.
    pub fn break_something(&mut self, value: &mut Value) {
        if let Value::Object(map) = value
            && self.below(5) > 0
            && !map.is_empty()
        {
            let key = map.keys().nth(self.below(map.len() as u64) as usize).cloned().unwrap_or_default();
            match self.below(4) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(self.oddity(), json!(1))),
                _ => self.break_something(map.entry(key).or_insert(Value::Null)),
            }
            return;
        }
        if let (Value::Object(map), 0) = (&*value, self.below(3)) {
            // What some readers take for the same.
            *value = map.values().cloned().collect();
            return;
        }
        *value = match self.below(9) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(u64::MAX),
            4 => json!(0.5),
            5 => json!(1e308),
            6 => json!([[], {}]),
            7 => json!({"a": {"b": [1]}}),
            _ => json!(self.oddity()),
        };
    }
}
