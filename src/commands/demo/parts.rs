//! The demo's sources, and how each is written: a table, and the files it describes.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};
use pinport_model::{Format, SourceLocation};
use pinport_tui::ImportRequest;
use tokio_util::sync::CancellationToken;

use crate::sample::{self, Share};

/// What becomes one job.
pub(super) struct Part {
    /// The file or, if there are several, the folder.
    pub(super) name: &'static str,
    format: Format,
    application: &'static str,
    segment: Option<&'static str>,
    /// Of the demo's rows, in percent.
    share: u64,
    files: u64,
    bad: Bad,
    /// Other seeds are other people; the same with another generation are the same people later.
    seed: u64,
    generation: u32,
    /// Of its rows, in percent: updates of endpoints that the job made before.
    updates: u8,
    packing: Packing,
}

/// Rows that fail.
enum Bad {
    /// As many as the caller wants.
    AsAsked,
    /// This share, in percent.
    Percent(u8),
}

enum Packing {
    Plain,
    Gzip,
    /// Gzip that ends in its middle, as an upload that broke leaves it.
    CutOff,
}

const PLAIN: Part = Part {
    name: "",
    format: Format::Json,
    application: "shop",
    segment: None,
    share: 0,
    files: 1,
    bad: Bad::AsAsked,
    seed: 1,
    generation: 1,
    updates: 0,
    packing: Packing::Plain,
};

/// In the order they are made: a small one first, so that something is there at once.
pub(super) const PARTS: [Part; 6] = [
    Part {
        name: "old-crm.csv",
        format: Format::Csv,
        segment: Some("old customers"),
        share: 10,
        bad: Bad::Percent(30),
        seed: 4,
        ..PLAIN
    },
    Part { name: "contacts", segment: Some("everyone"), share: 40, files: 4, ..PLAIN },
    Part {
        name: "cut-off.json.gz",
        application: "loyalty",
        share: 5,
        packing: Packing::CutOff,
        seed: 5,
        ..PLAIN
    },
    Part {
        name: "newsletter.csv",
        format: Format::Csv,
        application: "newsletter",
        segment: Some("subscribers"),
        share: 20,
        seed: 3,
        ..PLAIN
    },
    Part {
        name: "members.json.gz",
        application: "loyalty",
        share: 15,
        packing: Packing::Gzip,
        seed: 2,
        ..PLAIN
    },
    Part { name: "changes.json", share: 10, generation: 2, updates: 50, ..PLAIN },
];

/// Writes the files of a part below `folder`; gives the import to ask for.
pub(super) fn make(
    part: &Part,
    folder: &Path,
    rows: u64,
    bad: Share,
    stop: &CancellationToken,
) -> io::Result<ImportRequest> {
    let path = folder.join(part.name);
    // Never none: a part without rows shows nothing, and of a few packed rows the cut would leave nothing that can
    // be read, so that the server would refuse the job.
    let least = if matches!(part.packing, Packing::CutOff) { 2_000 } else { part.files };
    let rows = (rows.saturating_mul(part.share) / 100).max(least);
    let percent = |percent: u8| Share::percent(percent.into());
    let mut args = sample::Args {
        rows,
        format: part.format,
        bad: match part.bad {
            Bad::AsAsked => bad,
            Bad::Percent(share) => percent(share),
        },
        updates: percent(part.updates),
        seed: part.seed,
        generation: part.generation,
        start: 0,
        tally: false,
    };
    if part.files == 1 {
        write(&args, &path, &part.packing, stop)?;
    } else {
        fs::create_dir(&path)?;
        for file in 0..part.files {
            args.start = rows * file / part.files;
            args.rows = rows * (file + 1) / part.files - args.start;
            let name = format!("part-{}.{}", file + 1, part.format.suffix());
            write(&args, &path.join(name), &part.packing, stop)?;
        }
    }
    Ok(ImportRequest {
        source_text: format!("file://{}", path.display()),
        source: SourceLocation::Path(path),
        format: part.format,
        application: part.application.to_owned(),
        segment_name: part.segment.map(str::to_owned),
        register_endpoints: true,
        max_failures: None,
    })
}

fn write(args: &sample::Args, path: &Path, packing: &Packing, stop: &CancellationToken) -> io::Result<()> {
    let file = BufWriter::with_capacity(256 << 10, File::create_new(path)?);
    let mut out = UntilStopped { out: file, stop };
    let mut file = match packing {
        Packing::Plain => {
            sample::generate(args, &mut out)?;
            out.out
        }
        Packing::Gzip | Packing::CutOff => {
            let mut packed = GzEncoder::new(out, Compression::fast());
            sample::generate(args, &mut packed)?;
            packed.finish()?.out
        }
    };
    file.flush()?;
    if matches!(packing, Packing::CutOff) {
        let file = file.get_ref();
        file.set_len(file.metadata()?.len() * 3 / 5)?;
    }
    Ok(())
}

/// A file that takes no more once no one wants it.
struct UntilStopped<'a> {
    out: BufWriter<File>,
    stop: &'a CancellationToken,
}

impl Write for UntilStopped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other("the demo was left"));
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
