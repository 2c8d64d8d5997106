//! `pinport man`: manual pages from the definition of the commands, one for each.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::{cli::Cli, private};

/// Writes a page for each command into `folder`, such as `pinport-jobs-ls.1`.
pub(crate) fn run(folder: &Path) -> anyhow::Result<()> {
    // Everybody may read them.
    private::share_files();
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let written = fs::create_dir_all(folder).and_then(|()| write(&command, folder));
    written.with_context(|| format!("writing manual pages into {}", folder.display()))
}

fn write(command: &Command, folder: &Path) -> io::Result<()> {
    let mut inner = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    inner.try_for_each(|inner| write(inner, folder))?;
    let source = format!("pinport {}", command.get_version().unwrap_or_default());
    let page = Man::new(command.clone()).source(source).manual("pinport");
    let mut text = Vec::new();
    page.render(&mut text)?;
    fs::write(folder.join(page.get_filename()), keep_lines(&String::from_utf8_lossy(&text)))
}

/// The page with the lines of its examples as they are; clap_mangen would fill them up to paragraphs.
fn keep_lines(page: &str) -> String {
    match page.split_once(".SH EXTRA\n") {
        Some((before, after)) => {
            let (examples, rest) = after.split_at(after.find("\n.SH ").map_or(after.len(), |end| end + 1));
            format!("{before}.SH EXAMPLES AND NOTES\n.nf\n{examples}.fi\n{rest}")
        }
        None => page.to_owned(),
    }
}
