//! The file and its mapping.

use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, OnceLock};

use bytes::Bytes;
use range_alloc::RangeAllocator;
use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::Resource;

/// `IOV_MAX` of Linux: pieces that one system call takes.
const PIECES: usize = 1024;

/// One file without a name, mapped for reading as a whole. Only what is in use takes memory.
#[derive(Debug)]
pub(crate) struct Arena {
    file: OwnedFd,
    /// Address of the mapping's first byte.
    base: *const u8,
    /// Bytes, whole pages.
    size: usize,
    page: usize,
    /// Which offsets are free.
    free: Mutex<RangeAllocator<u64>>,
}

// SAFETY: the mapping at `base` lives as long as the process and is only read through it; the list of free ranges has a lock.
#[expect(unsafe_code, reason = "a pointer is neither Send nor Sync by itself")]
unsafe impl Send for Arena {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a pointer is neither Send nor Sync by itself")]
unsafe impl Sync for Arena {}

/// The arena of this process, made when first asked for; `None` where it cannot be had.
pub(crate) fn arena() -> Option<&'static Arena> {
    static ARENA: OnceLock<Option<Arena>> = OnceLock::new();
    ARENA.get_or_init(|| Arena::open().ok()).as_ref()
}

impl Arena {
    /// As large as half of the machine's memory: other bounds are reached long before, this one is only for addresses.
    fn open() -> Result<Self, Errno> {
        let page = rustix::param::page_size();
        let system = rustix::system::sysinfo();
        let memory = system.totalram.saturating_mul(u64::from(system.mem_unit)) / 2;
        let size = usize::try_from(memory).map_err(|_huge| Errno::NOMEM)? / page * page;
        // A file longer than RLIMIT_FSIZE would be answered with a signal that ends the process.
        let longest = rustix::process::getrlimit(Resource::Fsize).current;
        if size == 0 || longest.is_some_and(|longest| longest < size as u64) {
            return Err(Errno::FBIG);
        }
        if huge_pages() {
            return Err(Errno::NOTSUP);
        }
        let file = rustix::fs::memfd_create("nova-media", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, size as u64)?;
        // SAFETY: a new mapping at an address of the kernel's choosing touches no memory that is in use.
        #[expect(unsafe_code, reason = "mapping a file has no safe form")]
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                size,
                ProtFlags::READ,
                MapFlags::SHARED | MapFlags::NORESERVE,
                &file,
                0,
            )
        }?;
        Ok(Self {
            file,
            base: base.cast::<u8>().cast_const(),
            size,
            page,
            free: Mutex::new(RangeAllocator::new(0..size as u64)),
        })
    }

    /// The concatenation of `pieces`, `length` bytes; `None` when there is no room.
    pub(crate) fn gather(&'static self, pieces: &[IoSlice<'_>], length: usize) -> Option<Bytes> {
        let reserved = length.checked_next_multiple_of(self.page)? as u64;
        let pages = self.free().allocate_range(reserved).ok()?;
        let offset = pages.start;
        // From here on it goes back by itself, whatever happens.
        let taken = Taken {
            arena: self,
            pages,
            length,
        };
        write(self.file.as_fd(), offset, pieces).ok()?;
        Some(Bytes::from_owner(taken))
    }

    /// Where in the file `bytes` lie, if they do.
    pub(crate) fn locate(&'static self, bytes: &[u8]) -> Option<(BorrowedFd<'static>, u64)> {
        let offset = bytes.as_ptr().addr().checked_sub(self.base.addr())?;
        (offset < self.size).then(|| (self.file.as_fd(), offset as u64))
    }

    pub(crate) const fn capacity(&self) -> u64 {
        self.size as u64
    }

    pub(crate) fn in_use(&self) -> u64 {
        self.size as u64 - self.free().total_available()
    }

    fn free(&self) -> MutexGuard<'_, RangeAllocator<u64>> {
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Pages of the arena that nobody writes to until this is dropped.
#[derive(Debug)]
struct Taken {
    arena: &'static Arena,
    pages: Range<u64>,
    /// Bytes of them that mean something.
    length: usize,
}

impl AsRef<[u8]> for Taken {
    fn as_ref(&self) -> &[u8] {
        let offset = usize::try_from(self.pages.start).unwrap_or_default();
        // SAFETY: the pages were free in a mapping that is never unmapped, so they lie inside it and are nobody else's until they are given
        // back in `drop`. They were written, through the file, before this value was shared; the file is never made shorter, and no
        // other process has it.
        #[expect(unsafe_code, reason = "a slice of a mapping has no safe form")]
        unsafe {
            std::slice::from_raw_parts(self.arena.base.add(offset), self.length)
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // The pages leave the file and live on for as long as a socket refers to them; what is written here next gets new ones. Without that, a
        // slow viewer would be sent somebody else's part: better lose the range.
        let punched = rustix::fs::fallocate(
            &self.arena.file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            self.pages.start,
            self.pages.end - self.pages.start,
        );
        if punched.is_ok() {
            self.arena.free().free_range(self.pages.clone());
        }
    }
}

/// Writes all of `pieces` at `offset`.
fn write(file: BorrowedFd<'_>, mut offset: u64, pieces: &[IoSlice<'_>]) -> Result<(), Errno> {
    let mut pieces = pieces.to_vec();
    let mut left = pieces.as_mut_slice();
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        let written = match rustix::io::pwritev(file, &left[..left.len().min(PIECES)], offset) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => written,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        };
        IoSlice::advance_slices(&mut left, written);
        offset += written as u64;
    }
    Ok(())
}

/// Whether files in memory may get pages larger than the usual. Of one that is cut in two while a socket refers to it, the kernel may clear the half
/// that left the file, under the socket.
fn huge_pages() -> bool {
    let folder = std::path::Path::new("/sys/kernel/mm/transparent_hugepage");
    let sizes = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let settings = sizes.map(|size| size.path().join("shmem_enabled"));
    settings
        .chain([folder.join("shmem_enabled")])
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .any(|setting| {
            ["[always]", "[within_size]", "[force]"]
                .iter()
                .any(|on| setting.contains(on))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(length: usize, seed: u8) -> Vec<u8> {
        (0..length).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect()
    }

    fn here(bytes: &Bytes) -> bool {
        arena().unwrap().locate(bytes).is_some()
    }

    #[test]
    fn what_is_gathered_reads_as_it_was_written() {
        let pieces: Vec<Vec<u8>> = (0..2500).map(|seed| pattern(seed % 97, seed as u8)).collect();
        let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let bytes = crate::gather(&slices);
        assert!(here(&bytes));
        assert_eq!(bytes, pieces.concat());
        assert_eq!(bytes.slice(1000..1003), pieces.concat()[1000..1003]);
    }

    #[test]
    fn small_things_are_ordinary_memory() {
        let small = pattern(crate::WORTH_IT - 1, 3);
        let bytes = crate::gather(&[IoSlice::new(&small)]);
        assert!(!here(&bytes));
        assert_eq!(bytes, small);
    }

    #[test]
    fn a_range_is_given_back_when_its_last_slice_is_gone() {
        let arena = Box::leak(Box::new(Arena::open().unwrap()));
        let data = pattern(100_000, 1);
        let gather = |data: &[u8]| arena.gather(&[IoSlice::new(data)], data.len()).unwrap();
        let first = gather(&data);
        let (_, offset) = arena.locate(&first).unwrap();
        let slice = first.slice(50_000..);
        drop(first);
        assert_eq!(arena.in_use(), 100_000u64.next_multiple_of(arena.page as u64));
        drop(slice);
        assert_eq!(arena.in_use(), 0);
        let other = pattern(100_000, 2);
        let second = gather(&other);
        assert_eq!(arena.locate(&second).unwrap().1, offset);
        assert_eq!(second, other);
    }
}
