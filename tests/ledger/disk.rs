//! The disk under an SQLite file, which fails when a test says so: `tests/faults/shim.c` preloaded into the child.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// As the shim writes it.
const PATH: usize = 256;
const PAGE: usize = 4096;

/// What is wrong with it.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Full,
    SyncFails,
    SyncTakes { milliseconds: u64 },
}

/// The disk of one child.
pub struct Disk {
    library: String,
    control: String,
    files: String,
}

impl Disk {
    /// Under this file and those that SQLite keeps beside it.
    pub fn under(file: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/build");
        let output = Command::new(script).output().expect("the script runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let library = String::from_utf8(output.stdout).expect("a path");
        Self {
            library: library.trim().to_owned(),
            control: file.with_extension("fault").display().to_string(),
            files: format!("{}*", file.display()),
        }
    }

    /// For the child to be started with.
    pub fn environment(&self) -> [(&str, &str); 3] {
        [
            ("LD_PRELOAD", &self.library),
            ("NEURALOPS_FAULTS_CONTROL", &self.control),
            ("NEURALOPS_FAULTS_FILES", &self.files),
        ]
    }

    /// From now on this is wrong, or nothing.
    pub fn set(&self, fault: Option<Fault>) {
        let said = match fault {
            None => String::new(),
            Some(Fault::Full) => "enospc".to_owned(),
            Some(Fault::SyncFails) => "eio".to_owned(),
            Some(Fault::SyncTakes { milliseconds }) => format!("delay {milliseconds}"),
        };
        // Renamed into place: the child must not read half of it.
        let next = self.beside("next");
        fs::write(&next, said).expect("written");
        fs::rename(&next, &self.control).expect("renamed");
    }

    /// How many faults the child has met.
    pub fn met(&self) -> u64 {
        fs::metadata(self.beside("met")).map_or(0, |met| met.len())
    }

    fn beside(&self, ending: &str) -> PathBuf {
        PathBuf::from(format!("{}.{ending}", self.control))
    }

    /// What a power cut does: the files are what the disk has, not what the kernel took for written. How many pages differ.
    pub fn lose_power(&self) -> usize {
        let lost = fs::read(self.beside("lost")).unwrap_or_default();
        let pages = lost.chunks_exact(PATH + 8 + PAGE);
        let count = pages.len();
        for page in pages {
            let (path, rest) = page.split_at(PATH);
            let (number, content) = rest.split_at(8);
            let path = path.split(|byte| *byte == 0).next().expect("a path");
            let number = i64::from_ne_bytes(number.try_into().expect("eight bytes"));
            let path = std::str::from_utf8(path).expect("a path of ours");
            let file = File::options().write(true).open(path).expect("the file");
            let at = u64::try_from(number).expect("no page before the first") * PAGE as u64;
            // What was beyond the end of the file stays beyond it.
            let end = file.metadata().expect("its size").len();
            let length =
                usize::try_from(end.saturating_sub(at)).map_or(PAGE, |left| left.min(PAGE));
            file.write_all_at(&content[..length], at).expect("written");
        }
        count
    }
}
