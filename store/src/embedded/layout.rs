//! The file `layout` of a store: the number of the layout that what lies in it has.

use std::{fs, io, path::Path};

use crate::{Result, StoreError, durable::write_file, record::LAYOUT};

/// The layout of a store that is being brought to the newest one.
const UPGRADING: &str = "upgrading to 3";

/// Refuses a newer layout, before the engine sees (and perhaps compacts) anything of it. Whether it is an older one.
pub(super) fn check(folder: &Path) -> Result<bool> {
    let path = folder.join("layout");
    let error = |action| {
        let path = path.clone();
        move |source| StoreError::Io { action, path, source }
    };
    match fs::read_to_string(&path) {
        // An earlier opening was ended before it had brought everything to this layout.
        Ok(text) if text.trim() == UPGRADING => Ok(true),
        Ok(text) => {
            let found: u32 = text.trim().parse().map_err(|_| {
                StoreError::Corrupt(format!("{} does not hold the number of a layout", path.display()))
            })?;
            if found > LAYOUT {
                return Err(StoreError::NewerLayout { path: folder.into(), found, known: LAYOUT });
            }
            if found < LAYOUT {
                // Older programs refuse this text: they must not open what is half of one layout and half of another.
                write(folder, UPGRADING)?;
            }
            Ok(found < LAYOUT)
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            write(folder, &LAYOUT.to_string()).map(|()| false)
        }
        Err(source) => Err(error("read")(source)),
    }
}

/// Notes the layout, durably.
pub(super) fn write(folder: &Path, layout: &str) -> Result<()> {
    Ok(write_file(folder, "layout", format!("{layout}\n").as_bytes())?)
}
