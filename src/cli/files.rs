//! The files that the program reads and writes: what cannot be read or written is told, and never half of it.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::escape::escaped;

/// What is wrong with a file. Paths and texts that come from a file are escaped.
pub fn wrong(path: &Path, what: &dyn Display) -> String {
    format!("{}: {}", escaped(&path.display().to_string()), escaped(&what.to_string()))
}

/// Reads a regular file of at most this many bytes: others, pipes and devices, may never end.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let at = |error: io::Error| wrong(path, &error);
    // Looked at before it is opened, which waits for a pipe's other end.
    let metadata = fs::metadata(path).map_err(at)?;
    if !metadata.is_file() {
        return Err(wrong(path, &"expected a regular file"));
    }
    let too_large = |bytes: String| wrong(path, &format!("expected at most {most} bytes, got {bytes}"));
    if metadata.len() > most {
        return Err(too_large(metadata.len().to_string()));
    }
    // A file may grow meanwhile, and those of the system tell no length.
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes)).map_err(at)?;
    if read as u64 > most { Err(too_large("more".into())) } else { Ok(bytes) }
}

/// Reads a regular file of text.
pub fn read_text(path: &Path, most: u64) -> Result<String, String> {
    String::from_utf8(read(path, most)?).map_err(|error| wrong(path, &error))
}

/// A file that is to be written. It comes into being whole, or what was there before stays.
pub struct Output {
    path: PathBuf,
    /// What is written first, beside it.
    temporary: PathBuf,
    file: File,
}

impl Output {
    /// Makes sure that the file can be written, before the work for it begins.
    pub fn new(path: &Path) -> Result<Self, String> {
        let at = |error: io::Error| wrong(path, &error);
        let is_there = fs::symlink_metadata(path).is_ok();
        // A link stays one.
        let target = if is_there { fs::canonicalize(path).map_err(at)? } else { path.to_owned() };
        if is_there && !target.is_file() {
            return Err(wrong(path, &"expected a regular file, or none"));
        }
        let Some(name) = target.file_name() else { return Err(wrong(path, &"expected the name of a file")) };
        let mut temporary_name = std::ffi::OsString::from(".");
        temporary_name.push(name);
        temporary_name.push(format!(".{}", std::process::id()));
        let temporary = target.with_file_name(temporary_name);
        let file = File::create(&temporary).map_err(at)?;
        let output = Output { path: target, temporary, file };
        if is_there {
            // Another user's file, or one that may not be written, is no less so for being replaced.
            File::options().append(true).open(&output.path).map_err(at)?;
            let permissions = fs::metadata(&output.path).map_err(at)?.permissions();
            output.file.set_permissions(permissions).map_err(at)?;
        }
        Ok(output)
    }

    /// Writes the file and waits until it is on the disk.
    pub fn write(mut self, bytes: &[u8]) -> Result<(), String> {
        let result = self.file.write_all(bytes).and_then(|()| self.file.sync_all());
        result.and_then(|()| fs::rename(&self.temporary, &self.path)).map_err(|error| wrong(&self.path, &error))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Gone already if it was written.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a file whole, or leaves what was there before.
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
