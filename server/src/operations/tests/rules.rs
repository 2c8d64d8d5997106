//! Rules of Pinpoint's API beside its shapes: what is there when it is empty, what order lists have, and what is
//! answered for an operation that pinport does not have.

use super::*;

/// Programs create what a 404 says is missing.
#[tokio::test]
async fn an_operation_that_pinport_does_not_have_is_a_405_with_its_name() {
    let house = House::new(2).await;
    let mut count = 0;
    for (pattern, methods) in absent::ABSENT {
        let path = pattern.split('/').map(|part| if part.starts_with('{') { APP } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        for (method, name) in *methods {
            let message = house.fails(method, &path, &Value::Null, 405, "MethodNotAllowedException").await;
            let begin = format!("pinport does not have the operation {name} ({method} {path}). ");
            assert!(message.starts_with(&begin), "{message}");
            assert!(message.contains("import jobs"), "{message}");
            count += 1;
        }
    }
    // The service model (version 2016-12-01) has 122 operations.
    let covered = house.shapes.operations().filter(|(name, _)| !is_absent(name)).count();
    assert_eq!(count + covered, 122);
}

fn is_absent(operation: &str) -> bool {
    absent::ABSENT.iter().any(|(_, methods)| methods.iter().any(|(_, name)| *name == operation))
}
