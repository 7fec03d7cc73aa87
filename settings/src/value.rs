//! Values, as a file, a variable and a flag write them.

use std::fmt;

use toml::de::DeValue;

use crate::fault::quoted;
use crate::table::Form;

/// One setting's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// On or off.
    Switch(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
    /// Several texts, in their order.
    List(Vec<String>),
}

impl Value {
    /// Reads what a variable says: switches are on and off (1, true; 0, false), lists have semicolons between.
    ///
    /// # Errors
    /// What it would have to be.
    pub fn of_variable(form: Form, text: &str) -> Result<Self, String> {
        match form {
            Form::Switch => match text.trim() {
                "on" | "1" | "true" => Ok(Value::Switch(true)),
                "off" | "0" | "false" => Ok(Value::Switch(false)),
                other => Err(format!("must be on or off, got {}", quoted(other))),
            },
            Form::Number => {
                let number = text.trim().parse();
                number.map(Value::Number).map_err(|_| format!("must be a whole number, got {}", quoted(text)))
            }
            Form::Text => Ok(Value::Text(text.to_owned())),
            Form::List => {
                let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
                Ok(Value::List(parts.map(str::to_owned).collect()))
            }
        }
    }

    /// Reads what the file says.
    ///
    /// # Errors
    /// What it would have to be.
    pub(crate) fn of_toml(form: Form, value: &DeValue<'_>) -> Result<Self, String> {
        let wrong = || format!("must be {}, and is {}", form.in_toml(), article(value.type_str()));
        match (form, value) {
            (Form::Switch, DeValue::Boolean(on)) => Ok(Value::Switch(*on)),
            (Form::Number, DeValue::Integer(number)) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                parsed
                    .map(Value::Number)
                    .map_err(|_| format!("{} is too large a number", quoted(number.as_str())))
            }
            (Form::Text, DeValue::String(text)) => Ok(Value::Text(text.as_ref().to_owned())),
            (Form::List, DeValue::Array(items)) => {
                let text = |item: &toml::Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
                let texts: Option<Vec<String>> = items.iter().map(text).collect();
                texts.map(Value::List).ok_or_else(|| format!("must be {}", form.in_toml()))
            }
            // One is a list of one.
            (Form::List, DeValue::String(text)) => Ok(Value::List(vec![text.as_ref().to_owned()])),
            (Form::Switch | Form::Number | Form::Text | Form::List, _) => Err(wrong()),
        }
    }

    /// Its texts, as flags and variables have them.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Value::Switch(on) => vec![if *on { "on" } else { "off" }.to_owned()],
            Value::Number(number) => vec![number.to_string()],
            Value::Text(text) => vec![text.clone()],
            Value::List(texts) => texts.clone(),
        }
    }

    /// As the file has it.
    pub(crate) fn to_toml(&self) -> toml_edit::Value {
        match self {
            Value::Switch(on) => (*on).into(),
            Value::Number(number) => (*number).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(texts) => toml_edit::Value::Array(texts.iter().map(String::as_str).collect()),
        }
    }
}

/// As the file has it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_toml().to_string().trim())
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_by_their_form() {
        let read = |form, text| Value::of_variable(form, text);
        for (text, on) in
            [("on", true), ("1", true), ("true", true), ("off", false), ("0", false), (" false ", false)]
        {
            assert_eq!(read(Form::Switch, text), Ok(Value::Switch(on)), "{text}");
        }
        assert!(read(Form::Switch, "maybe").unwrap_err().contains("on or off"));
        assert_eq!(read(Form::Number, " 7 "), Ok(Value::Number(7)));
        assert!(read(Form::Number, "7k").unwrap_err().contains("whole number"));
        assert_eq!(read(Form::List, "a; b,c ;;"), Ok(Value::List(vec!["a".into(), "b,c".into()])));
    }

    #[test]
    fn values_are_written_as_the_file_has_them() {
        for (value, text) in [
            (Value::Switch(true), "true"),
            (Value::Number(-3), "-3"),
            (Value::Text("a \"b\"".into()), "'a \"b\"'"),
            (Value::List(vec!["a".into(), "b".into()]), r#"["a", "b"]"#),
            (Value::List(Vec::new()), "[]"),
        ] {
            assert_eq!(value.to_string(), text);
        }
    }
}
