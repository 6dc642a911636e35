//! What Linux lets a process give up without being root. Each step is taken as far as the kernel knows it; none is needed for the work.

/// Gives way to other processes, bounds memory, and gains no privileges from any program it might start.
#[cfg(target_os = "linux")]
pub(crate) fn limit(nice: i32, memory_mb: u32) {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let _ = rustix::process::nice(nice);
    let _ = rustix::thread::set_no_new_privs(true);
    if memory_mb > 0 {
        let bytes = Some(u64::from(memory_mb) << 20);
        let limit = Rlimit {
            current: bytes,
            maximum: bytes,
        };
        // Address space would count what is only reserved: arenas of the allocator, mapped plug-ins.
        let _ = setrlimit(Resource::Data, limit);
    }
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
}

/// Leaves a file system that can only be read where libraries and plug-ins are, and `file`, and no TCP. For threads started from now on.
#[cfg(target_os = "linux")]
pub(crate) fn confine(file: Option<&String>) {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
        path_beneath_rules,
    };

    const READ: [&str; 10] = [
        "/usr", "/lib", "/lib32", "/lib64", "/opt", "/etc", "/proc", "/sys", "/nix", "/dev",
    ];
    // Devices of encoders are opened for writing.
    const WRITE: [&str; 9] = [
        "/dev/null",
        "/dev/dri",
        "/dev/shm",
        "/dev/video10",
        "/dev/video11",
        "/dev/nvidia0",
        "/dev/nvidiactl",
        "/dev/nvidia-uvm",
        "/dev/nvidia-modeset",
    ];
    let abi = ABI::V5;
    let paths: Vec<std::path::PathBuf> = ["GST_PLUGIN_PATH", "GST_PLUGIN_SYSTEM_PATH", "LD_LIBRARY_PATH"]
        .iter()
        .filter_map(std::env::var_os)
        .flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>())
        .collect();
    let confined = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(READ, AccessFs::from_read(abi))))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(file, AccessFs::ReadFile)))
        .and_then(|ruleset| ruleset.add_rules(path_beneath_rules(&paths, AccessFs::from_read(abi))))
        .and_then(|ruleset| {
            ruleset.add_rules(path_beneath_rules(
                WRITE,
                AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::ReadDir | AccessFs::IoctlDev,
            ))
        })
        .and_then(landlock::RulesetCreated::restrict_self);
    if let Err(error) = confined {
        eprintln!("no sandbox: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn limit(_nice: i32, _memory_mb: u32) {}

#[cfg(not(target_os = "linux"))]
pub(crate) fn confine(_file: Option<&String>) {}
