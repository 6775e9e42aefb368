//! The system calls that a serving process keeps (seccomp).
//!
//! Two filters, one on the other, of which the kernel obeys the stricter. The first ends the process at
//! what a broker never does and an intruder would: running a program, looking into another process,
//! mounting, namespaces, loading code into the kernel, memory that can be written and run. The second knows what
//! serving needs, and answers ENOSYS to everything else, so that a C library that tries a newer call
//! takes its older one instead of dying with the next upgrade.
//!
//! They are installed last, on every thread at once, when the store is open and all threads run: what
//! only a start needs is denied too. `tests/confined.rs` runs journeys under `strace` and finds a call
//! that the list is missing, and one that it has for no reason that anybody gave.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::confinement::{Confined, Confinement};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What ends the process.
pub(super) const NEVER: &[i64] = &[
    // Running a program.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Looking into another process.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Ways around this list, and wide surfaces of the kernel.
    libc::SYS_bpf,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    // Keys of the kernel's.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Other views of the system.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // The machine itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_acct,
];

/// What serving needs, on every architecture.
pub(super) const SERVING: &[i64] = &[
    // Threads, time, signals.
    // clone3 is left out: a filter cannot read its flags, and the C library falls back to this one.
    libc::SYS_clone,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    // Long work gives way.
    libc::SYS_setpriority,
    libc::SYS_membarrier,
    libc::SYS_getcpu,
    libc::SYS_prctl,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_kill,
    libc::SYS_tgkill,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_getrandom,
    // What the process is, and what it may take.
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrusage,
    libc::SYS_prlimit64,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    // Files.
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_ioctl,
    // A new key file takes its place by a link, which fails where there is one.
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_sync_file_range,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    // The network.
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socketpair,
];

/// The older spellings that x86-64 still has.
#[cfg(target_arch = "x86_64")]
pub(super) const OLDER: &[i64] = &[
    libc::SYS_access,
    libc::SYS_chmod,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const OLDER: &[i64] = &[];

/// The families of sockets: the machine's own and the internet's. The C library also asks for a netlink
/// socket when it looks up a host, and without one takes the machine to have addresses of both kinds.
const FAMILIES: [i32; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// The flags of `clone` that make a namespace.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The requests to a terminal that put words into it: `TIOCSTI` and `TIOCLINUX` (`asm-generic/ioctls.h`).
const TYPING: [i32; 2] = [0x5412, 0x541C];

/// Denies every thread of the process what serving needs not.
pub fn deny_calls(confined: &mut Confined) {
    let filters = [never(), serving()];
    let applied = filters.into_iter().all(|filter| {
        filter.is_ok_and(|program| seccompiler::apply_filter_all_threads(&program).is_ok())
    });
    confined.note(Confinement::Calls, applied && every_task_is_filtered());
}

/// The filter belongs to a thread, so each one is asked.
fn every_task_is_filtered() -> bool {
    super::every_task_says("Seccomp:\t2")
}

/// Ends the process at what a broker never does.
pub(super) fn never() -> Result<BpfProgram, seccompiler::Error> {
    let mut rules: Rules = NEVER.iter().map(|call| (*call, Vec::new())).collect();
    // Memory that can be written and run.
    let both = libc::PROT_WRITE | libc::PROT_EXEC;
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![argument_has(2, both)?]);
    }
    // Namespaces of one's own, in which one has every right.
    let namespaces: Result<Vec<_>, _> =
        NAMESPACES.iter().map(|bit| argument_has(0, *bit)).collect();
    rules.insert(libc::SYS_clone, namespaces?);
    // Typing into the terminal that the broker was started from.
    let typing: Result<Vec<_>, _> = TYPING
        .iter()
        .map(|request| argument_is(1, *request))
        .collect();
    rules.insert(libc::SYS_ioctl, typing?);
    program(rules, SeccompAction::Allow, SeccompAction::KillProcess)
}

/// Knows what serving needs, and nothing else.
pub(super) fn serving() -> Result<BpfProgram, seccompiler::Error> {
    let known = SERVING.iter().chain(OLDER);
    let mut rules: Rules = known.map(|call| (*call, Vec::new())).collect();
    let families: Result<Vec<_>, _> = FAMILIES
        .iter()
        .map(|family| argument_is(0, *family))
        .collect();
    rules.insert(libc::SYS_socket, families?);
    let unknown = u32::try_from(libc::ENOSYS).unwrap_or_default();
    program(rules, SeccompAction::Errno(unknown), SeccompAction::Allow)
}

fn argument_has(index: u8, bits: i32) -> Result<SeccompRule, seccompiler::Error> {
    let bits = u64::from(bits.unsigned_abs());
    let masked = SeccompCmpOp::MaskedEq(bits);
    rule(SeccompCondition::new(
        index,
        SeccompCmpArgLen::Qword,
        masked,
        bits,
    )?)
}

/// Of an argument that the kernel takes as 32 bits.
fn argument_is(index: u8, value: i32) -> Result<SeccompRule, seccompiler::Error> {
    let value = u64::from(value.unsigned_abs());
    let (length, equal) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
    rule(SeccompCondition::new(index, length, equal, value)?)
}

fn rule(condition: SeccompCondition) -> Result<SeccompRule, seccompiler::Error> {
    Ok(SeccompRule::new(vec![condition])?)
}

fn program(
    rules: Rules,
    unmatched: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, seccompiler::Error> {
    let here = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, unmatched, matched, here)?;
    Ok(filter.try_into()?)
}
