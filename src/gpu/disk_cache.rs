//! Compiled pipelines on disk. The only module with `unsafe`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::gpu::Gpu;

/// The first bytes of a file. The number changes with the format.
const MAGIC: &[u8; 8] = b"wgdnnpc1";

const OPERATION: &str = "pipeline cache";

/// A driver's compiled pipelines, and the file that holds them.
#[derive(Debug)]
pub(super) struct DiskCache {
    pub cache: wgpu::PipelineCache,
    file: PathBuf,
    /// The driver that the file is for.
    key: String,
}

impl Gpu {
    /// Reuses the pipelines that an earlier run left in `folder`, and creates the folder if it does not exist. Call it
    /// before the first operator; [`Gpu::save_pipeline_cache`] writes what this run compiled. Only the first call
    /// counts.
    ///
    /// The file is named for the adapter and the driver. A file that is damaged or of another driver is ignored. It
    /// holds machine code, so protect the folder from others as you protect the program itself.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] without `PIPELINE_CACHE`, which so far only Vulkan has; [`Error::File`] if the folder
    /// cannot be made.
    pub fn open_pipeline_cache(&self, folder: &Path) -> Result<()> {
        self.expect_feature(OPERATION, wgpu::Features::PIPELINE_CACHE, "PIPELINE_CACHE")?;
        std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, &error))?;
        let info = self.adapter_info();
        let key = format!(
            "{} {:08x} {:08x} {} {} {}",
            info.backend, info.vendor, info.device, info.name, info.driver, info.driver_info
        );
        let file = folder.join(format!("wgdnn-{:016x}.pipelines", checksum(key.as_bytes())));
        let data = match std::fs::read(&file) {
            Ok(bytes) => {
                let data = unpack(&bytes, &key).map(<[u8]>::to_vec);
                if data.is_none() {
                    log::warn!("{} is damaged or of another driver: ignored", file.display());
                }
                data
            }
            Err(error) => {
                log::debug!("{}: {error}", file.display());
                None
            }
        };
        let cache = self.scoped(|device| create(device, data.as_deref()))?;
        let _ = self.inner.disk_cache.set(DiskCache { cache, file, key });
        Ok(())
    }

    /// Writes what was compiled since [`Gpu::open_pipeline_cache`], atomically: another program sees either the old
    /// file or the new one.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] without an open pipeline cache, [`Error::File`] if it cannot be written.
    pub fn save_pipeline_cache(&self) -> Result<()> {
        let Some(DiskCache { cache, file, key }) = self.inner.disk_cache.get() else {
            return Err(Error::invalid(OPERATION, "folder", "one that open_pipeline_cache was given", "none"));
        };
        let data = self.scoped(|_| cache.get_data())?.unwrap_or_default();
        // A name for this process and this call alone.
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let temporary = file.with_extension(format!("{}-{call}.tmp", std::process::id()));
        let written = std::fs::write(&temporary, pack(&data, key)).and_then(|()| std::fs::rename(&temporary, file));
        written.map_err(|error| {
            let _ = std::fs::remove_file(&temporary);
            Error::file(file, &error)
        })
    }
}

/// SAFETY: `create_pipeline_cache` needs data that `PipelineCache::get_data` returned. `pack` wrote exactly that, on
/// the driver of the same name and version, and `unpack` passes only data whose checksum still matches. wgpu then
/// compares its own header with the adapter, and `fallback` makes it drop what does not fit. A forged file remains
/// possible, so the folder must be safe from others; its documentation says so.
#[allow(unsafe_code)]
fn create(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("wgdnn"), data, fallback: true };
    unsafe { device.create_pipeline_cache(&descriptor) }
}

/// FNV-1a, which is the same with every compiler.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Writes the magic number, the checksum of all that follows, the key's length, the key, and the data.
fn pack(data: &[u8], key: &str) -> Vec<u8> {
    let body = [&(key.len() as u64).to_le_bytes(), key.as_bytes(), data].concat();
    [MAGIC, &checksum(&body).to_le_bytes()[..], &body].concat()
}

/// The data of a file that [`pack`] wrote for this key.
fn unpack<'a>(bytes: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (sum, body) = rest.split_first_chunk::<8>()?;
    if u64::from_le_bytes(*sum) != checksum(body) {
        return None;
    }
    let (length, rest) = body.split_first_chunk::<8>()?;
    let (found, data) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    (found == key.as_bytes()).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_file_of_the_same_driver_is_taken() {
        let data: Vec<u8> = (0..200).collect();
        let file = pack(&data, "driver 1");
        assert_eq!(unpack(&file, "driver 1"), Some(&data[..]));
        assert_eq!(unpack(&file, "driver 2"), None);
        for length in 0..file.len() {
            assert_eq!(unpack(&file[..length], "driver 1"), None, "cut to {length}");
        }
        for index in 0..file.len() {
            let mut damaged = file.clone();
            damaged[index] ^= 1;
            assert_eq!(unpack(&damaged, "driver 1"), None, "byte {index}");
        }
        assert_eq!(unpack(&[file, vec![0]].concat(), "driver 1"), None);
    }
}
