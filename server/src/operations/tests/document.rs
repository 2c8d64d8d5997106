//! `/openapi.json` as a judge of answers: status, type and every member of the body. A member that the document does
//! not have is as wrong as one that it promises.

use std::{collections::BTreeSet, sync::Mutex};

use serde_json::Value;

use super::Answer;

pub(super) struct Document {
    document: Value,
    seen: Mutex<BTreeSet<String>>,
}

impl Document {
    pub(super) fn new(document: Value) -> Self {
        Self { document, seen: Mutex::default() }
    }

    /// Every operation it has.
    pub(super) fn operations(&self) -> BTreeSet<String> {
        let methods = self.document["paths"].as_object().unwrap().values();
        let all = methods.flat_map(|methods| methods.as_object().unwrap().values());
        all.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect()
    }

    /// The operations whose success has been checked.
    pub(super) fn seen(&self) -> BTreeSet<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Panics unless the answer is as the document says.
    pub(super) fn check(&self, method: &str, path: &str, answer: &Answer) {
        let path = path.split('?').next().unwrap();
        let Some(operation) = self.operation(method, path) else {
            assert!(answer.status >= 400 || method == "OPTIONS", "{method} {path} is in no document");
            return;
        };
        let at = operation["operationId"].as_str().unwrap();
        let responses = &operation["responses"];
        let mut told = &responses[answer.status.to_string()];
        if told.is_null() {
            assert!(answer.status >= 400, "{at}: the status {} is not told", answer.status);
            assert_eq!(responses["default"]["$ref"], "#/components/responses/Error", "{at}");
            told = &self.document["components"]["responses"]["Error"];
        } else {
            self.seen.lock().unwrap().insert(at.to_owned());
        }
        let Some(content) = told["content"].as_object() else {
            assert!(answer.body.is_empty(), "{at}: a body is not told");
            return;
        };
        let kind = answer.header("content-type").unwrap_or_default();
        let told = content.iter().find(|(told, _)| *told == "*/*" || kind.starts_with(told.as_str()));
        let (_, told) = told.unwrap_or_else(|| panic!("{at} is {kind}, not {content:?}"));
        let text = String::from_utf8_lossy(&answer.body);
        if let Some(schema) = told.get("schema") {
            self.conforms(schema, &serde_json::from_str(&text).unwrap(), at);
        } else if let Some(schema) = told.get("x-item-schema") {
            let events = kind.starts_with("text/event-stream");
            let items =
                text.lines().filter_map(|line| if events { line.strip_prefix("data: ") } else { Some(line) });
            items.for_each(|item| self.conforms(schema, &serde_json::from_str(item).unwrap(), at));
        }
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let parts: Vec<&str> = path.split('/').collect();
        // A pattern with fewer names in it is nearer.
        let matching = self.document["paths"].as_object().unwrap().iter().filter(|(pattern, _)| {
            let pattern: Vec<&str> = pattern.split('/').collect();
            pattern.len() == parts.len()
                && pattern
                    .iter()
                    .zip(&parts)
                    .all(|(told, part)| told == part || told.starts_with('{') && !part.is_empty())
        });
        let nearest = matching.min_by_key(|(pattern, _)| pattern.matches('{').count())?.1;
        nearest.get(method.to_ascii_lowercase())
    }

    fn conforms(&self, schema: &Value, value: &Value, at: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.strip_prefix("#/components/schemas/").unwrap();
            let named = &self.document["components"]["schemas"][name];
            assert!(named.is_object(), "{at}: there is no schema {name}");
            return self.conforms(named, value, at);
        }
        if let Some(either) = schema["anyOf"].as_array() {
            let other = if value.is_null() { either.last() } else { either.first() };
            return self.conforms(other.unwrap(), value, at);
        }
        let is = match schema["type"].as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            "integer" if schema["format"] == "int32" => {
                value.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
            }
            "integer" => value.is_u64(),
            other => panic!("{at}: {other} is not known"),
        };
        assert!(is, "{at}: {value} is not {schema}");
        if let Some(words) = schema["enum"].as_array() {
            assert!(words.contains(value), "{at}: {value} is none of {words:?}");
        }
        for item in value.as_array().into_iter().flatten() {
            self.conforms(&schema["items"], item, &format!("{at}[]"));
        }
        let Some(object) = value.as_object() else { return };
        for required in schema["required"].as_array().into_iter().flatten() {
            let name = required.as_str().unwrap();
            assert!(object.contains_key(name), "{at}: {name} is missing in {value}");
        }
        for (name, member) in object {
            let told = schema["properties"].get(name).or(schema.get("additionalProperties"));
            let told = told.unwrap_or_else(|| panic!("{at}: {name} is not told"));
            self.conforms(told, member, &format!("{at}.{name}"));
        }
    }
}

fn judge(body: &str) {
    let content =
        serde_json::json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } });
    let document = Document::new(serde_json::json!({
        "paths": { "/things/{id}": { "get": { "operationId": "Get", "responses": { "200": { "content": content } } } } },
        "components": { "schemas": { "Thing": {
            "type": "object", "required": ["a"],
            "properties": { "a": { "type": "integer", "format": "int32" }, "b": { "type": "string", "enum": ["x"] } },
        } } },
    }));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json".into();
    document.check("GET", "/things/1?c=d", &Answer { status: 200, head, body: body.into() });
    assert_eq!(document.seen(), document.operations());
}

#[test]
fn the_judge_sees() {
    judge("{\"a\":1,\"b\":\"x\"}");
    for (body, said) in [
        ("{\"a\":1,\"c\":1}", "c is not told"),
        ("{\"b\":\"x\"}", "a is missing"),
        ("{\"a\":2147483648}", "is not"),
        ("{\"a\":1,\"b\":\"y\"}", "is none of"),
        ("[]", "is not"),
    ] {
        let panic = std::panic::catch_unwind(|| judge(body)).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains(said), "{body}: {text}");
    }
}
