//! The bytes of a failed record in the dashboard, with a mark under the fault.

use serde_json::json;

use crate::{
    dashboard::{ESC, top},
    pty::OnTerminal,
    serving::Serving,
    support::*,
};

/// A CSV file whose third row has lines in it, a control and an unknown channel.
const ROWS: &str = "Id,ChannelType,Address,Attributes.note\n1,EMAIL,a@example.com,fine\n\
     2,PIGEON,b@example.com,\"two\nlines \x1b[2J\"\n3,SMS,+4915112345678,fine\n";

/// Whether the line under the one with `text` marks its beginning.
fn is_marked(screen: &str, text: &str) -> bool {
    let lines: Vec<Vec<char>> = screen.lines().map(|line| line.chars().collect()).collect();
    let text: Vec<char> = text.chars().collect();
    lines.windows(2).any(|pair| {
        let at = pair[0].windows(text.len()).position(|part| part == text);
        at.is_some_and(|at| pair[1].get(at) == Some(&'^'))
    })
}

/// Opens the only failed record of the selected job and looks at its bytes.
fn look_at_the_record(top: &OnTerminal) {
    top.keys("f");
    top.wait_for("all reasons");
    top.keys("\r");
    let one_line = "2,PIGEON,b@example.com,\"two\\nlines \\u{1b}[2J\"";
    let right = "right: ChannelType is one of PUSH, GCM";
    top.wait_until("the record", |screen| {
        screen.contains(one_line) && is_marked(screen, "PIGEON,b@") && screen.contains(right)
    });
    // The whole of it has its own lines.
    top.keys("\r");
    top.wait_until("the whole record", |screen| {
        let has_lines = screen.lines().any(|line| line.contains("\"two\\n ") && !line.contains("lines"));
        has_lines && screen.contains("failed record") && is_marked(screen, "PIGEON,b@")
    });
    top.keys(ESC);
    top.wait_until("the list", |screen| !screen.contains("failed record"));
}

#[test]
fn the_bytes_of_a_failed_record_are_shown_with_a_mark_under_the_fault() {
    let lab = Lab::new();
    lab.write("in/rows.csv", ROWS);
    let server = Serving::start(&lab);
    let app = server.app("shop");
    let url = format!("file://{}", lab.path("in/rows.csv").display());
    let body = json!({ "Format": "CSV", "S3Url": url, "RoleArn": "role" });
    let job = server.post(&format!("/v1/apps/{app}/jobs/import"), &body)["Id"].as_str().unwrap().to_owned();
    server.ended(&app, &job);
    let top = OnTerminal::start(top(&lab, &server), 110, 30);
    top.wait_for("✓ completed");
    look_at_the_record(&top);
    top.keys("q");
    top.end();

    // The same bytes through the API, by the place that the failure names.
    let path = format!("/pinport/v1/jobs/{job}");
    let failure = &lines(&server.get(&format!("{path}/failures")).body)[0];
    let place = &failure["reject"];
    let range = |byte: &serde_json::Value, bytes: &serde_json::Value| {
        server.get(&format!("{path}/rejects?part={}&byte={byte}&bytes={bytes}", place["part"]))
    };
    assert_eq!(range(&place["byte"], &place["bytes"]).body, b"2,PIGEON,b@example.com,\"two\nlines \x1b[2J\"");
    assert_eq!(range(&json!(0), &place["byte"]).body, b"Id,ChannelType,Address,Attributes.note\n");
    assert_eq!(range(&json!(100_000), &json!(5)).body, b"");
    for wrong in ["byte=-1", "bytes=x", "byte=1&byte=2", "part=1&byte="] {
        assert_eq!(server.get(&format!("{path}/rejects?{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn an_import_of_this_process_shows_its_failed_records_too() {
    let lab = Lab::new();
    lab.write("in/rows.csv", ROWS);
    let import = lab.pinport(&["import", "in/rows.csv", "--format", "csv", "--top"]);
    let import = OnTerminal::start(import, 110, 30);
    import.wait_for("✓ completed");
    look_at_the_record(&import);
    import.keys("q");
    assert_eq!(import.end().status.code(), Some(3));

    // Under a mapping the mark is at the value that the member is made of.
    lab.write("in/crm.csv", ROWS.replace("ChannelType,Address", "Kind,Mail"));
    lab.write("crm.toml", "[rename]\nKind = \"ChannelType\"\nMail = \"Address\"\n");
    let import = ["import", "in/crm.csv", "--format", "csv", "--map", "crm.toml", "--top"];
    let import = OnTerminal::start(lab.pinport(&import), 110, 30);
    import.wait_for("✓ completed");
    look_at_the_record(&import);
    import.keys("q");
    assert_eq!(import.end().status.code(), Some(3));
}
