//! The page that long-lived keys are kept in: memory that nobody looks into but this process.
//!
//! `memfd_secret` takes a page out of the kernel's own map of memory, so that neither a debugger, nor root
//! with `/proc/PID/mem`, nor a core file, nor swap has it (Linux 5.14; at boot it has to be allowed before
//! 6.5). Where the kernel gives none, a page is locked, left out of core files, and not handed to children:
//! root still reads that. Where even this is refused, a key stays on the heap, and is wiped when dropped.
//!
//! It is for the few keys that open all others: the root key, the installation's own, the organisations'.
//! There are as many keys of owners as owners, and a data key lives as long as one opening: those stay on
//! the heap. Who uses a key, HKDF above all, copies it to registers and to the stack; what they leave there is
//! written over before anybody else goes on.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use memfd_secret::MemfdSecret;
use memmap2::{Advice, MmapMut};
use zeroize::Zeroize;

/// How well the keys are kept from those who look into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelter {
    /// Nobody else reads them, root included.
    Secret,
    /// They are in no swap, no core file and no child. Root reads them.
    Locked,
    /// They are where everything else is.
    None,
}

/// Room for one key. Written by whoever took it off the list of free ones, which nobody else has then.
type Room = RwLock<&'static mut [u8; 32]>;

struct Page {
    kind: Shelter,
    /// How many there are, free or not.
    rooms: usize,
    free: Mutex<Vec<&'static Room>>,
}

/// The most that is asked for first: a container may allow little memory to be locked.
const SIZES: [usize; 4] = [256 << 10, 64 << 10, 16 << 10, 4 << 10];

/// Sees to it that the page is there, and says what it is. To be called before the process gives up the
/// system calls that make one.
#[must_use]
pub fn shelter() -> Shelter {
    page().kind
}

fn page() -> &'static Page {
    static PAGE: OnceLock<Page> = OnceLock::new();
    PAGE.get_or_init(|| {
        let first = |make: fn(usize) -> Option<&'static mut [u8]>| SIZES.into_iter().find_map(make);
        if let Some(memory) = first(secret) {
            return Page::of(Shelter::Secret, memory);
        }
        match first(locked) {
            Some(memory) => Page::of(Shelter::Locked, memory),
            None => Page::of(Shelter::None, &mut []),
        }
    })
}

fn secret(size: usize) -> Option<&'static mut [u8]> {
    let memory = MemfdSecret::new(size).ok()?;
    Some(Box::leak(Box::new(memory)).as_mut_slice())
}

fn locked(size: usize) -> Option<&'static mut [u8]> {
    let memory = MmapMut::map_anon(size).ok()?;
    memory.lock().ok()?;
    memory.advise(Advice::DontDump).ok()?;
    memory.advise(Advice::DontFork).ok()?;
    Some(&mut **Box::leak(Box::new(memory)))
}

impl Page {
    /// It is there as long as the process, and so are the rooms in it.
    fn of(kind: Shelter, memory: &'static mut [u8]) -> Self {
        let (rooms, _) = memory.as_chunks_mut();
        let rooms: Vec<Room> = rooms.iter_mut().map(RwLock::new).collect();
        let (count, free) = (rooms.len(), Mutex::new(rooms.leak().iter().collect()));
        let rooms = count;
        Self { kind, rooms, free }
    }

    fn free(&self) -> MutexGuard<'_, Vec<&'static Room>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&'static self, bytes: &[u8; 32]) -> Option<Sheltered> {
        let room = self.free().pop()?;
        Some(self.keep(room, bytes))
    }

    /// The same where more than half is free.
    fn take_in_if_spare(&'static self, bytes: &[u8; 32]) -> Option<Sheltered> {
        let mut free = self.free();
        let room = if free.len() > self.rooms / 2 {
            free.pop()?
        } else {
            return None;
        };
        drop(free);
        Some(self.keep(room, bytes))
    }

    fn keep(&'static self, room: &'static Room, bytes: &[u8; 32]) -> Sheltered {
        let mut inside = room.write().unwrap_or_else(PoisonError::into_inner);
        inside.copy_from_slice(bytes);
        drop(inside);
        Sheltered { page: self, room }
    }
}

/// 32 bytes on the page. Wiped when dropped, and their room given back.
pub(super) struct Sheltered {
    page: &'static Page,
    room: &'static Room,
}

impl Sheltered {
    /// A copy of `bytes` on the page; `None` when no room is left.
    pub(super) fn copy_of(bytes: &[u8; 32]) -> Option<Self> {
        page().take_in(bytes)
    }

    /// The same; `None` as well when no more than half of the rooms are left.
    pub(super) fn spare_copy_of(bytes: &[u8; 32]) -> Option<Self> {
        page().take_in_if_spare(bytes)
    }

    /// Lends them, and wipes what whoever used them has left on the stack.
    pub(super) fn expose<R>(&self, read: impl FnOnce(&[u8; 32]) -> R) -> R {
        let out = self.lend(read);
        wipe_stack();
        out
    }

    /// Never a part of who calls it, so that what is used in it is below them on the stack.
    #[inline(never)]
    fn lend<R>(&self, read: impl FnOnce(&[u8; 32]) -> R) -> R {
        read(&self.room.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes over the part of the stack that those have used who were called before, from the same place.
#[inline(never)]
pub(super) fn wipe_stack() {
    // Used, as far as the compiler can tell: so it is written.
    std::hint::black_box(&mut [0_u8; 16 << 10]);
}

/// The same of what a cipher alone uses.
#[inline(never)]
pub(super) fn wipe_little_stack() {
    std::hint::black_box(&mut [0_u8; 8 << 10]);
}

impl Drop for Sheltered {
    fn drop(&mut self) {
        let mut bytes = self.room.write().unwrap_or_else(PoisonError::into_inner);
        bytes.zeroize();
        drop(bytes);
        self.page.free().push(self.room);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    use super::{Page, Shelter, locked, secret, shelter};

    /// What the kernel says of the memory at `address`, and what reading it there comes to.
    fn seen(address: *const u8) -> (String, std::io::Result<[u8; 4]>) {
        let address = address.addr();
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut flags = None;
        let mut inside = false;
        for line in maps.lines() {
            let range = line
                .split_once(' ')
                .and_then(|(range, _)| range.split_once('-'));
            let number = |text| usize::from_str_radix(text, 16).ok();
            if let Some((Some(from), Some(to))) = range.map(|(a, b)| (number(a), number(b))) {
                inside = (from..to).contains(&address);
            } else if inside && line.starts_with("VmFlags:") {
                flags = Some(line.to_owned());
            }
        }
        let mut read = [0; 4];
        let memory = File::open("/proc/self/mem").unwrap();
        let outcome = memory.read_exact_at(&mut read, u64::try_from(address).unwrap());
        (flags.unwrap(), outcome.map(|()| read))
    }

    #[test]
    fn a_secret_page_is_read_by_nobody_who_looks_from_outside() {
        let heap = Box::new(*b"heap");
        assert_eq!(seen(heap.as_ptr()).1.unwrap(), *b"heap", "looking works");
        // Before Linux 6.5 it has to be allowed at boot. Then nobody says that there is any.
        let Some(memory) = secret(4096) else {
            return assert_ne!(shelter(), Shelter::Secret);
        };
        memory[..4].copy_from_slice(b"page");
        let (_, read) = seen(memory.as_ptr());
        assert!(read.is_err(), "{read:?}");
        assert_eq!(memory[..4], *b"page");
        assert_eq!(shelter(), Shelter::Secret);
    }

    #[test]
    fn a_locked_page_is_in_no_swap_no_core_file_and_no_child() {
        let memory = locked(4096).unwrap();
        memory[..4].copy_from_slice(b"page");
        let (flags, _) = seen(memory.as_ptr());
        for flag in [" lo", " dd", " dc"] {
            assert!(flags.contains(flag), "{flag} of {flags}");
        }
    }

    #[test]
    fn a_room_is_wiped_and_given_to_the_next() {
        let page: &Page = Box::leak(Box::new(Page::of(Shelter::None, vec![0; 64].leak())));
        let one = page.take_in(&[1; 32]).unwrap();
        let other = page.take_in(&[2; 32]).unwrap();
        assert!(page.take_in(&[3; 32]).is_none(), "there are two rooms");
        assert!(one.expose(|bytes| *bytes == [1; 32]) && other.expose(|bytes| *bytes == [2; 32]));
        let room = one.room;
        drop(one);
        assert_eq!(**room.read().unwrap(), [0; 32]);
        let next = page.take_in(&[3; 32]).unwrap();
        assert!(next.expose(|bytes| *bytes == [3; 32]) && std::ptr::eq(next.room, room));
        assert!(other.expose(|bytes| *bytes == [2; 32]));
    }

    #[test]
    fn of_what_there_may_be_ever_more_no_more_is_taken_in_than_fills_half() {
        let page: &Page = Box::leak(Box::new(Page::of(Shelter::None, vec![0; 128].leak())));
        let spare: Vec<_> = (0..9)
            .filter_map(|it| page.take_in_if_spare(&[it; 32]))
            .collect();
        assert_eq!(spare.len(), 2, "of four rooms");
        assert!(
            page.take_in(&[9; 32]).is_some(),
            "there is room for what has to be kept"
        );
    }
}
