//! The power goes: a store on a disk of its own, of which a copy is taken after the back of the page cache. What was
//! not synced is not in the copy. Needs root, loop devices and ext4; elsewhere it says so and does nothing.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Way, check, child};

/// A file system in a file, whose kernel writes nothing back unless it is asked to.
struct Disk {
    image: PathBuf,
    mounted: PathBuf,
}

impl Disk {
    fn make(folder: &Path) -> Result<Self, String> {
        let image = folder.join("disk");
        let file = fs::File::create(&image).and_then(|file| file.set_len(96 << 20));
        file.map_err(|error| error.to_string())?;
        done(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=0"]).arg(&image))?;
        Self::mount(image, folder.join("mounted"))
    }

    fn mount(image: PathBuf, mounted: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&mounted).map_err(|error| error.to_string())?;
        // The journal is written when it is synced and at no other time; renames do not sync by themselves.
        let options = "loop,commit=3600,noauto_da_alloc";
        done(Command::new("mount").args(["-o", options]).arg(&image).arg(&mounted))?;
        Ok(Self { image, mounted })
    }

    /// The disk as it is found when power comes back.
    fn after_the_cut(&self, folder: &Path) -> Self {
        let image = folder.join("after");
        done(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&image)).unwrap();
        Self::mount(image, folder.join("again")).unwrap()
    }

    fn store(&self) -> PathBuf {
        self.mounted.join("store")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A process that was killed may still be closing its files.
        let unmounted = (0..500).any(|_| done(Command::new("umount").arg(&self.mounted)).is_ok());
        assert!(std::thread::panicking() || unmounted, "{} stays mounted", self.mounted.display());
    }
}

fn done(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(format!("{:?}: {error}", command.get_program())),
    }
}

/// Cuts the power after the `acknowledged`-th line of a child run by `program`; the store's folder on the disk that is
/// left, and the last piece that was acknowledged. `None` where there can be no such disk.
fn cut(folder: &Path, mut program: Command, way: Way, acknowledged: u64) -> Option<(Disk, Option<u64>)> {
    let disk = match Disk::make(folder) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: {reason}");
            return None;
        }
    };
    // In a group of its own, so that what a tracer runs dies with it.
    let mut running = child(&mut program, &disk.store(), u64::MAX, way).process_group(0).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut last = None;
    let mut heard = 0;
    while heard < acknowledged {
        let line = lines.next().unwrap().unwrap();
        if let Some(piece) = line.strip_prefix("acknowledged ") {
            last = Some(piece.parse().unwrap());
            heard += 1;
        }
    }
    done(Command::new("kill").args(["-KILL", "--", &format!("-{}", running.id())])).unwrap();
    running.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        last = line.strip_prefix("acknowledged ").map(|piece| piece.parse().unwrap()).or(last);
    }
    Some((disk.after_the_cut(folder), last))
}

#[test]
fn acknowledged_pieces_survive_a_power_cut() {
    let mut cuts = 0;
    let cases = [0, 1, 2, 7, 40].map(|acknowledged| (acknowledged, Way::Runs));
    let small = [1, 7, 40].map(|acknowledged| (acknowledged, Way::Log));
    for (acknowledged, way) in cases.into_iter().chain(small) {
        let folder = tempfile::tempdir().unwrap();
        let program = Command::new(std::env::current_exe().unwrap());
        let Some((disk, last)) = cut(folder.path(), program, way, acknowledged) else { return };
        let found = check(&disk.store(), last);
        println!("acknowledged {last:?}, found {found:?}");
        cuts += 1;
    }
    println!("{cuts} cuts");
}

#[test]
fn a_power_cut_shows_syncs_that_are_not_done() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: strace is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new("strace");
    // Each call says that it worked, and did nothing.
    program.args(["-f", "-qq", "-o", "/dev/null"]);
    program.args(["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:retval=0"]);
    program.arg(std::env::current_exe().unwrap());
    let Some((disk, last)) = cut(folder.path(), program, Way::Runs, 7) else { return };
    assert!(last >= Some(6));
    let store = disk.store();
    let looked = std::panic::catch_unwind(|| check(&store, last));
    let said = looked.expect_err("what was never synced cannot be there");
    let said = said.downcast_ref::<String>().map_or("", String::as_str);
    println!("without syncs, {last:?} acknowledged: {said}");
}
