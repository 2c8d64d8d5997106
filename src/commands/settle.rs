//! `pinport settle`: compacts what imports left, in a process that does nothing else.

use std::time::Instant;

use crate::{cli::DataArgs, data::Data};

/// Settles the store. It may be ended at any moment: what is compacted stays so.
pub(super) fn run(args: &DataArgs) -> anyhow::Result<()> {
    let begun = Instant::now();
    let data = Data::open_existing(args.place())?;
    data.store.settle()?;
    eprintln!("{} is settled after {:.1} s", args.place().shown()?, begun.elapsed().as_secs_f64());
    let left_out = data.store.left_out();
    if left_out > 0 {
        eprintln!("{left_out} members of records were left out: their endpoint or user has no room for them");
    }
    Ok(())
}
