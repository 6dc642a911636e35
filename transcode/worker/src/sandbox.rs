//! What Linux lets a process give up without being root: landlock for files, TCP and signals, seccomp for sockets, programs and what else a
//! decoder has no use for. Each step is taken as far as the kernel knows it; none is needed for the work, and `nova doctor` tells what holds.

use std::io::Write;

use anyhow::Context;
use nova_transcode::Attempt;

/// Gives way to other processes, bounds memory and open files, and gains no privileges from any program it might start.
#[cfg(target_os = "linux")]
pub(crate) fn limit(nice: i32, memory_mb: u32) {
    use rustix::process::{Resource, Rlimit, setrlimit};

    /// A ladder of eight rungs has about a hundred.
    const FILES: u64 = 1024;
    let _ = rustix::process::nice(nice);
    let _ = rustix::thread::set_no_new_privs(true);
    let most = |resource, most| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        let _ = setrlimit(resource, limit);
    };
    if memory_mb > 0 {
        // Address space would count what is only reserved: arenas of the allocator, mapped plug-ins.
        most(Resource::Data, u64::from(memory_mb) << 20);
    }
    most(Resource::Core, 0);
    most(Resource::Nofile, FILES);
}

/// Leaves a file system that can only be read where libraries and plug-ins are, and `file`; no network, no programs, no other processes.
#[cfg(target_os = "linux")]
pub(crate) fn confine(file: Option<&String>) {
    if let Err(error) = confine_files(file) {
        eprintln!("files and network are not closed off: {error}");
    }
    if let Err(error) = refuse_calls() {
        eprintln!("system calls are not closed off: {error}");
    }
}

#[cfg(target_os = "linux")]
fn confine_files(file: Option<&String>) -> Result<(), landlock::RulesetError> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, RestrictSelfAttr, Ruleset, RulesetAttr,
        RulesetCreatedAttr, Scope, path_beneath_rules,
    };

    /// Libraries, plug-ins, drivers and what these read about themselves and the machine. Not `/etc`, `/opt` and `/proc` as a whole: the
    /// server's configuration and the environments of other processes are there.
    const READ: [&str; 30] = [
        "/usr",
        "/lib",
        "/lib32",
        "/lib64",
        "/nix/store",
        "/gnu/store",
        "/run/opengl-driver",
        "/opt/amdgpu",
        "/opt/cuda",
        "/opt/intel",
        "/opt/rocm",
        "/etc/OpenCL",
        "/etc/alternatives",
        "/etc/drirc",
        "/etc/fonts",
        "/etc/glvnd",
        "/etc/ld.so.cache",
        "/etc/libva.conf",
        "/etc/localtime",
        "/etc/nvidia",
        "/etc/vulkan",
        "/proc/cpuinfo",
        "/proc/driver/nvidia",
        "/proc/meminfo",
        "/proc/self",
        "/proc/stat",
        "/proc/sys",
        "/sys",
        "/dev/random",
        "/dev/urandom",
    ];
    // Devices of encoders are opened for writing.
    const WRITE: [&str; 10] = [
        "/dev/null",
        "/dev/zero",
        "/dev/dri",
        "/dev/video10",
        "/dev/video11",
        "/dev/nvidia0",
        "/dev/nvidiactl",
        "/dev/nvidia-caps",
        "/dev/nvidia-uvm",
        "/dev/nvidia-modeset",
    ];
    let abi = ABI::V6;
    let paths: Vec<std::path::PathBuf> = ["GST_PLUGIN_PATH", "GST_PLUGIN_SYSTEM_PATH", "LD_LIBRARY_PATH"]
        .iter()
        .filter_map(std::env::var_os)
        .flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>())
        .collect();
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(READ, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(file, AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(&paths, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(
            WRITE,
            AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::ReadDir | AccessFs::IoctlDev,
        ))?
        // Threads that a library has started already as well, where the kernel can.
        .all_threads(true)?
        .restrict_self()?;
    Ok(())
}

/// Makes system calls fail that no decoder or encoder needs: new sockets, programs, other processes, and the parts of the kernel whose faults
/// have most often been a way out.
#[cfg(target_os = "linux")]
fn refuse_calls() -> anyhow::Result<()> {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

    const REFUSED: [libc::c_long; 50] = [
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_kcmp,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_open_by_handle_at,
        libc::SYS_quotactl,
        libc::SYS_acct,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_sethostname,
        libc::SYS_personality,
    ];
    let rules = REFUSED.into_iter().map(|call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    // Threads that a library has started already as well.
    seccompiler::apply_filter_all_threads(&program)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn limit(_nice: i32, _memory_mb: u32) {}

#[cfg(not(target_os = "linux"))]
pub(crate) fn confine(_file: Option<&String>) {}

/// Tries what a decoder in somebody else's hands would try, and prints what came of it, a line of JSON each. A target is `read:PATH`,
/// `write:PATH`, `tcp:ADDRESS`, `udp:ADDRESS`, `unix:NAME` (abstract) or `run:PROGRAM`.
pub(crate) fn print(targets: &[String]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for target in targets {
        let (kind, at) = target.split_once(':').context("a target is kind:what")?;
        let tried = attempt(kind, at).with_context(|| target.clone())?;
        let attempt = Attempt {
            target: target.clone(),
            refused: tried.is_err(),
        };
        serde_json::to_writer(&mut out, &attempt)?;
        out.write_all(b"\n")?;
    }
    out.flush().context("standard output")
}

fn attempt(kind: &str, at: &str) -> anyhow::Result<std::io::Result<()>> {
    Ok(match kind {
        "read" => std::fs::File::open(at).map(|_| ()),
        "write" => std::fs::File::create(at).map(|_| ()),
        "tcp" => std::net::TcpStream::connect(at).map(|_| ()),
        "udp" => std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", at).map(|_| ())),
        #[cfg(target_os = "linux")]
        "unix" => {
            use std::os::linux::net::SocketAddrExt;
            std::os::unix::net::SocketAddr::from_abstract_name(at)
                .and_then(|name| std::os::unix::net::UnixStream::connect_addr(&name).map(|_| ()))
        }
        "run" => std::process::Command::new(at).status().map(|_| ()),
        _ => anyhow::bail!("an unknown kind"),
    })
}
