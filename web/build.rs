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
    let mut files = Vec::new();
    collect(&dist, &dist, &mut files);
    files.sort();
    let mut table = String::from("pub(super) static FILES: &[File] = &[\n");
    for (name, path) in files.iter().filter(|(name, _)| !name.ends_with(".gz")) {
        let content = std::fs::read(path).unwrap_or_default();
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let gzip = path.with_file_name(format!("{}.gz", path.file_name().unwrap_or_default().to_string_lossy()));
        let gzip = if gzip.exists() {
            format!("Some(include_bytes!({gzip:?}))")
        } else {
            "None".into()
        };
        let _infallible = writeln!(
            table,
            "    File {{ name: {name:?}, plain: include_bytes!({path:?}), gzip: {gzip}, etag: \"\\\"{:016x}\\\"\" }},",
            hasher.finish()
        );
    }
    table.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    if let Err(error) = std::fs::write(out.join("files.rs"), table) {
        println!("cargo:warning=cannot write the table of web files: {error}");
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
