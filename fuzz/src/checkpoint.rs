//! What a job goes on by: the record of its last piece, its own record and its plan are read as they were written,
//! and damaged ones end in an error.

use pinport_model::{
    FailureClass, FailureCode, ImportJob, ObjectTally, PieceRecord, PlannedObject, Position, Tally,
    job::PlanSummary,
};
use pinport_pipeline::fuzzing::{read_plan, write_plan};
use serde::{Serialize, de::DeserializeOwned};

use super::input::Input;

/// Checks stored text, or what it is made from.
pub fn check(data: &[u8]) {
    let mut data = Input(data);
    match data.number(4) {
        0 => stored::<PieceRecord>(data.0),
        1 => stored::<ImportJob>(data.0),
        2 => {
            let objects = read_plan(data.0).unwrap_or_default();
            assert!(objects.iter().all(|object| object.skipped.is_none()));
        }
        3 => plan(data),
        _ => piece(data),
    }
}

/// Any bytes are an error or a value that is written and read the same.
fn stored<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(bytes) {
        again(&value);
    }
}

fn again<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).expect("it has strings and numbers");
    assert!(!text.contains('\n'), "a line of its own");
    assert_eq!(&serde_json::from_str::<T>(&text).expect("what was written"), value);
}

fn plan(mut data: Input<'_>) {
    let harm = data.number(511);
    let mut objects = Vec::new();
    while !data.is_empty() && objects.len() < 8 {
        let key = data.text(40);
        let (size, etag, skipped) = (data.number(65_535) as u64, data.text(9), data.text(9));
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        objects.push(PlannedObject {
            key,
            size: size << 40 | size,
            etag: some(etag),
            skipped: some(skipped),
        });
    }
    let summary = PlanSummary { objects: objects.len() as u64, ..PlanSummary::default() };
    let text = write_plan(objects.clone(), summary).expect("memory");
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), objects.len() + 1);
    objects.retain(|object| object.skipped.is_none());
    assert_eq!(read_plan(&text).expect("what was written"), objects);
    // Cut off anywhere it is an error, or the objects before the cut.
    let cut = read_plan(&text[..harm % (text.len() + 1)]);
    assert!(cut.is_err() || objects.starts_with(&cut.unwrap_or_default()));
}

fn piece(mut data: Input<'_>) {
    let mut number = || u64::from(data.byte()) << (data.byte() % 57);
    let mut tally =
        Tally { read: number(), registered: number(), failed: number(), bytes: number(), ..Tally::default() };
    tally.channels.fill_with(&mut number);
    let objects = (0..number() % 3)
        .map(|object| ObjectTally {
            object,
            read: number(),
            failed: number(),
            bytes: number(),
            complete: number() > 9,
        })
        .collect();
    let end = Position { object: number(), byte: number(), line: number(), stream: number() };
    let mut record = PieceRecord {
        piece: number(),
        end,
        tally: tally.clone(),
        objects,
        failures_len: number(),
        rejects_file: number() as u32,
        rejects_len: number(),
        failed_pieces: number(),
        ..PieceRecord::default()
    };
    for _ in 0..data.number(3) {
        let (code, count) = (data.of(FailureCode::ALL), u64::from(data.byte()));
        let (member, example) = (data.text(20), data.text(40));
        tally.classes.push(FailureClass {
            code,
            member: Some(member).filter(|member| !member.is_empty()),
            count,
            example,
        });
    }
    record.total = tally;
    record.error = Some(data.text(40)).filter(|error| !error.is_empty());
    again(&record);
}
