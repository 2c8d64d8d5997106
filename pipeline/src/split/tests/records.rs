//! Where lines and records end, and what one that is too long or not closed costs.

use super::*;

#[test]
fn lines_end_at_newlines() {
    for input in ["", "\n", "{}", "{}\n", "{}\n{}", "\n \n{}\n\t\n{\"a\":1}\n\n", "{}\n\0\n"] {
        both_ends(Format::Json, input, 100);
    }
}

#[test]
fn long_lines_are_dropped_alone() {
    for input in [
        "aaaaaaaaaa",
        "aaaaaaaaaa\n{}\n",
        "{}\naaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbbb\n{}",
        "12345\n123456\n1234567\n12345678\n",
        // Without its line feed it fills a block of 7.
        "123456\n{}\n",
        "123456\r",
    ] {
        both_ends(Format::Json, input, 6);
    }
}

/// A cut that a dropped line reached, by its bytes or by its lines alone, takes nothing of what is after the line.
#[test]
fn a_dropped_line_that_reaches_a_cut_ends_the_block() {
    let input = b"{}\naaaaaaaaaaaaaaaa\n{}\n{}\n";
    for cut in [
        Cut { byte: 10, line: 9, records: u64::MAX },
        Cut { byte: u64::MAX, line: 3, records: u64::MAX },
        Cut { byte: 23, line: 3, records: u64::MAX },
    ] {
        let splitter = Splitter::new(Format::Json, options(10, 8), 3);
        let (items, ends) = drive(splitter, input, &[1], Some(cut)).unwrap();
        assert_eq!(items, naive_lines(input, 8));
        let reached = ends.iter().find(|end| end.byte >= cut.byte || end.line >= cut.line);
        assert_eq!(reached.map(|end| (end.byte, end.line)), Some((20, 3)), "{cut:?}");
    }
}

#[test]
fn csv_records_end_outside_quotes() {
    for rows in [
        "",
        "1,2,3",
        "1,2,3\n4,5,6\n",
        "1,\"2\n2\",3\n4,5,6\n",
        "\"1\",\"\n\n\",\"\"\"\"\n\n \n4,5,6\n",
        "1,2\n1,2,3,4\n1,2,3\n",
        "1,a\"b,\"c\"\n2,\"a\"b,c\n",
        "\"\",\"\"\"\",\"\"\"\n\"\"\"\n1,2,3",
        // The second line begins a good record within one that has a cell too many.
        "1,\"2\na\",\"b\nc\",5\n7,8,9\n",
    ] {
        both_ends(Format::Csv, &format!("{HEADER}{rows}"), 1000);
    }
}

#[test]
fn a_header_may_span_lines() {
    both_ends(Format::Csv, "Id,\"A\nB\",\"C\"\n1,2,3\n\"4\n\",5,6\n", 1000);
}

/// Found by fuzzing: the naive reader took a blank last line over the limit for nothing.
#[test]
fn a_blank_line_over_the_limit_is_too_long() {
    let blank = " ".repeat(20);
    for rows in ["", "1,2,3\n", "1,\"2\n", "1,2,3\n\n \n"] {
        for end in ["", "\n", "\n1,2,3\n"] {
            both_ends(Format::Csv, &format!("{HEADER}{rows}{blank}{end}"), 10);
            both_ends(Format::Json, &format!("{rows}{blank}{end}"), 10);
        }
    }
}

/// An opened quote, and then no line of the header's width: all of it is one failed record, which is not held.
#[test]
fn a_failed_record_takes_no_more_memory_than_a_long_one() {
    let input = format!("{HEADER}1,\"2\n{}", "x\n".repeat(200_000));
    let mut splitter = Splitter::new(Format::Csv, options(4096, 1000), 0);
    let (mut rest, mut lost) = (input.as_bytes(), 0);
    loop {
        match splitter.next(None).unwrap() {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => {
                assert!(splitter.space().len() <= 32 << 10, "the window grew to twice that or more");
                rest = &rest[splitter.push(rest)..];
            }
            Split::Block(block) => {
                lost += usize::from(block.lost.is_some());
                splitter.give_back(block.into_buffer());
            }
            Split::End => break,
        }
    }
    assert_eq!(lost, 1);
}

#[test]
fn one_bad_record_costs_one_record() {
    for rows in [
        // An unterminated quote: at the end, before good records, closed by a later record's quote.
        "1,\"2,3",
        "1,\"2,3\n4,5,6\n7,8,9\n",
        "1,\"2,3\n4,5,6\n7,\"8\",9\n1,2,3\n",
        "1,\"2,3\n4,\"5\n5\",6\n7,8,9\n",
        "1,\"2,3\n4,\"\n5\",6\n7,8,9\n",
        // The lines after belong to the failure until one has the width.
        "1,\"2,3\nx\ny,z\n\n4,5,6\n",
        "1,\"2\n2\",3,4\n5,6,7\n",
        "1,\"2\n2\"x,3\n5,6,7\n",
        "\"\n\"\n\"\n1,2,3\n\"\n",
        "x\",\"y\nx\",\"y\nx\",\"y\nx\",\"y\n1,2,3\nx\",\"y\n",
        "1,x\",\"y\n1,x\",\"y\n1,2,3\n\",\n1,2,\"3\n3\"\n",
    ] {
        for max_line in [1000, 30, 12] {
            both_ends(Format::Csv, &format!("{HEADER}{rows}"), max_line);
        }
    }
}
