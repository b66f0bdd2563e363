//! The files that the program reads and writes. It reports a file that it cannot read or write, and never writes half
//! of one.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::escape::escaped;

/// An error about a file. Paths and texts from files are escaped.
pub fn wrong(path: &Path, what: &dyn Display) -> String {
    format!("{}: {}", escaped(&path.display().to_string()), escaped(&what.to_string()))
}

/// Reads a regular file of at most this many bytes. Others, such as pipes and devices, may never end.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let at = |error: io::Error| wrong(path, &error);
    // Checked before opening, since opening a pipe waits for its other end.
    let metadata = fs::metadata(path).map_err(at)?;
    if !metadata.is_file() {
        return Err(wrong(path, &"expected a regular file"));
    }
    let too_large = |bytes: String| wrong(path, &format!("expected at most {most} bytes, got {bytes}"));
    if metadata.len() > most {
        return Err(too_large(metadata.len().to_string()));
    }
    // A file may grow meanwhile, and system files report no length.
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes)).map_err(at)?;
    if read as u64 > most { Err(too_large("more".into())) } else { Ok(bytes) }
}

/// Reads a regular file of text.
pub fn read_text(path: &Path, most: u64) -> Result<String, String> {
    String::from_utf8(read(path, most)?).map_err(|error| wrong(path, &error))
}

/// A file to be written. It appears whole, or the old file stays.
pub struct Output {
    path: PathBuf,
    /// What is written first, beside it.
    temporary: PathBuf,
    /// Those of the file that is there already.
    permissions: Option<fs::Permissions>,
}

impl Output {
    /// Makes sure that the file can be written, before the work for it begins.
    pub fn new(path: &Path) -> Result<Self, String> {
        let at = |error: io::Error| wrong(path, &error);
        let is_there = fs::symlink_metadata(path).is_ok();
        // A link stays a link.
        let target = if is_there { fs::canonicalize(path).map_err(at)? } else { path.to_owned() };
        if is_there && !target.is_file() {
            return Err(wrong(path, &"expected a regular file, or none"));
        }
        // Nor is that the name of a file which ends like a folder's; `file_name` does not tell.
        let is_folder = path.as_os_str().to_string_lossy().ends_with(std::path::is_separator);
        if is_folder || target.file_name().is_none() {
            return Err(wrong(path, &"expected the name of a file"));
        }
        let permissions = if is_there {
            // A file of another user, or one that is read-only, must not be replaced either.
            File::options().append(true).open(&target).map_err(at)?;
            Some(fs::metadata(&target).map_err(at)?.permissions())
        } else {
            // Created for a moment, to learn whether the folder takes files and the name is valid.
            File::create_new(&target).and_then(|_| fs::remove_file(&target)).map_err(at)?;
            None
        };
        static OUTPUTS: AtomicUsize = AtomicUsize::new(0);
        let number = OUTPUTS.fetch_add(1, Ordering::Relaxed);
        let temporary = target.with_file_name(format!(".wgdnn-{}-{number}", std::process::id()));
        Ok(Output { path: target, temporary, permissions })
    }

    /// Writes the file and waits until it is on the disk.
    pub fn write(self, bytes: &[u8]) -> Result<(), String> {
        self.write_and_rename(bytes).map_err(|error| {
            let _ = fs::remove_file(&self.temporary);
            wrong(&self.path, &error)
        })
    }

    fn write_and_rename(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(&self.temporary)?;
        if let Some(permissions) = &self.permissions {
            file.set_permissions(permissions.clone())?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&self.temporary, &self.path)
    }
}

/// Writes a file whole, or leaves the old file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    Output::new(path)?.write(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_as_it_was() {
        let folder = std::env::temp_dir().join(format!("wgdnn-files-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        write(&path, b"first").unwrap();
        drop(Output::new(&path).unwrap());
        assert_eq!(read(&path, 5).unwrap(), b"first");
        assert!(read(&path, 4).unwrap_err().ends_with("file: expected at most 4 bytes, got 5"));
        write(&path, b"second").unwrap();
        assert_eq!(read_text(&path, 100).unwrap(), "second");
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert!(write(&folder, b"").unwrap_err().contains("expected a regular file, or none"));
        assert!(write(&folder.join("none/file"), b"").is_err());
        assert!(write(Path::new("/"), b"").is_err());
        assert!(write(&folder.join("new/"), b"").unwrap_err().contains("expected the name of a file"));
        let long = "x".repeat(250);
        write(&folder.join(&long), b"").unwrap();
        fs::remove_file(folder.join(&long)).unwrap();
        // Nothing is there while the work goes on.
        let output = Output::new(&folder.join("later")).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        output.write(b"late").unwrap();
        assert_eq!(fs::read(folder.join("later")).unwrap(), b"late");
        assert!(read(&folder, 100).unwrap_err().contains("expected a regular file"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_devices_are_refused() {
        let folder = std::env::temp_dir().join(format!("wgdnn-links-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, link) = (folder.join("file"), folder.join("link"));
        fs::write(&file, "first").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"second").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"second");
        fs::remove_file(&file).unwrap();
        assert!(write(&link, b"").is_err(), "a link to nothing");
        for device in ["/dev/full", "/dev/null", "/dev/zero"] {
            assert!(write(Path::new(device), b"x").unwrap_err().contains("expected a regular file"));
            assert!(read(Path::new(device), 100).unwrap_err().contains("expected a regular file"));
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
