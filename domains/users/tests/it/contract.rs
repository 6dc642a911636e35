//! Holds every answer of every test against the API's own description: the status must be said there, and the body must fit its schema.

use serde_json::Value;

/// Panics when `answer` is none that the description of `method path` allows.
pub(crate) fn check(api: &Value, method: &str, path: &str, status: u16, kind: &str, answer: &Value) {
    let path = path.split('?').next().unwrap_or_default();
    let operation = operation(api, method, path);
    let Some(operation) = operation else {
        assert!(matches!(status, 404 | 405), "{method} {path} is described nowhere");
        return;
    };
    let response = &operation["responses"][status.to_string()];
    assert!(
        response.is_object(),
        "{method} {path} answered {status}, which is not described"
    );
    let content = &response["content"];
    if content.is_object() {
        let schema = &content[kind]["schema"];
        assert!(schema.is_object(), "{method} {path} {status}: {kind} is not described");
        fits(api, schema, answer, &format!("{method} {path} {status}"));
    } else {
        assert!(
            answer.is_null(),
            "{method} {path} {status} has a body that is not described"
        );
    }
}

/// The description of what `path` leads to: the way with the fewest parameters, as the router prefers it.
fn operation<'a>(api: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    let given: Vec<&str> = path.split('/').collect();
    let (_, item) = api["paths"]
        .as_object()?
        .iter()
        .filter(|(template, item)| {
            let parts: Vec<&str> = template.split('/').collect();
            let alike = parts
                .iter()
                .zip(&given)
                .all(|(part, given)| part.starts_with('{') || part == given);
            parts.len() == given.len() && alike && item.get(method.to_lowercase()).is_some()
        })
        .min_by_key(|(template, _)| template.matches('{').count())?;
    item.get(method.to_lowercase())
}

fn fits(api: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let known = api.pointer(name.trim_start_matches('#'));
        return fits(
            api,
            known.unwrap_or_else(|| panic!("{place}: {name} is nowhere")),
            value,
            place,
        );
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[key].as_array() {
            let one = choices
                .iter()
                .any(|choice| std::panic::catch_unwind(|| fits(api, choice, value, place)).is_ok());
            assert!(one, "{place}: {value} is none of {choices:?}");
            return;
        }
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fits(api, part, value, place);
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{place}: {value} is none of {words:?}");
    }
    let actual = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec![actual],
    };
    assert!(types.contains(&actual), "{place}: {value} is not of {types:?}");
    if let Some(most) = schema["maxLength"].as_u64() {
        assert!(
            value.as_str().is_none_or(|text| text.chars().count() as u64 <= most),
            "{place}: {value}"
        );
    }
    if let Some(least) = schema["minimum"].as_i64() {
        assert!(value.as_i64().is_none_or(|number| number >= least), "{place}: {value}");
    }
    if let Some(fields) = value.as_object() {
        for name in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            assert!(fields.contains_key(name), "{place}: {name} is missing");
        }
        for (name, field) in fields {
            let known = &schema["properties"][name];
            assert!(known.is_object(), "{place}: {name} is not described");
            fits(api, known, field, &format!("{place} {name}"));
        }
    }
    for item in value.as_array().into_iter().flatten() {
        fits(api, &schema["items"], item, place);
    }
}
