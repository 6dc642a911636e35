//! Turns `ui/dist` into a table of embedded files. Without a built web app, one page says how to build it, so that the server itself can be
//! worked on without Node.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let dist = root.join("ui/dist");
    println!("cargo:rerun-if-changed={}", dist.display());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let mut files = Vec::new();
    collect(&dist, &dist, &mut files);
    files.sort();
    let mut table = String::from("pub(super) static FILES: &[File] = &[\n");
    for (number, (name, path)) in files.iter().filter(|(name, _)| !name.ends_with(".gz")).enumerate() {
        // Copied, so that the web app may be built again while the server compiles.
        let Ok(content) = std::fs::read(path) else { continue };
        let plain = out.join(format!("ui-{number}"));
        write(&plain, &content);
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let compressed = path.with_file_name(format!("{}.gz", path.file_name().unwrap_or_default().to_string_lossy()));
        let gzip = match std::fs::read(compressed) {
            Ok(content) => {
                let copy = out.join(format!("ui-{number}.gz"));
                write(&copy, &content);
                format!("Some(include_bytes!({copy:?}))")
            }
            Err(_) => "None".into(),
        };
        let _infallible = writeln!(
            table,
            "    File {{ name: {name:?}, plain: include_bytes!({plain:?}), gzip: {gzip}, etag: \"\\\"{:016x}\\\"\" }},",
            hasher.finish()
        );
    }
    table.push_str("];\n");
    write(&out.join("files.rs"), table.as_bytes());
}

fn write(path: &Path, content: &[u8]) {
    if let Err(error) = std::fs::write(path, content) {
        println!("cargo:warning=cannot write {}: {error}", path.display());
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            println!("cargo:rerun-if-changed={}", path.display());
            collect(root, &path, files);
        } else if let Ok(name) = path.strip_prefix(root) {
            files.push((name.to_string_lossy().into_owned(), path.clone()));
        }
    }
}
