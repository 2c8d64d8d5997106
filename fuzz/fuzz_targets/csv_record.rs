//! Records of one line are those of the csv crate.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pinport_fuzz::{Arrival, outcome};
use pinport_model::{Format, RecordLimits};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    // Lone carriage returns and lines of white space are read otherwise on purpose.
    if text.contains(['\r', ' ', '\t']) {
        return;
    }
    let input = format!("Id,RequestId,Foo\n{text}\n");
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input.as_bytes());
    let mut good = 0;
    for record in reader.byte_records() {
        let record = record.expect("bytes are always records");
        // So is what follows an open quote.
        if record.iter().any(|cell| cell.contains(&b'\n')) {
            return;
        }
        good += usize::from(record.len() == 3 && !record[0].is_empty() && record[0].len() <= 1024);
    }
    let limits = RecordLimits { max_endpoint: usize::MAX, ..RecordLimits::default() };
    let arrival = Arrival { chunk: usize::MAX, block: 1 << 16, cut: None };
    let said = outcome(Format::Csv, input.as_bytes(), arrival, limits).expect("the header is good");
    assert_eq!(said.good, good, "{said:?}");
});
