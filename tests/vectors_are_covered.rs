//! Every vector file, and every top-level key of one, is opened by a test.

use autonomys_test_support::{repository_root, vectors_directory};
use std::fs;
use std::path::Path;

/// Collects Rust sources below `directory`.
fn sources(directory: &Path, found: &mut String) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(&path).expect("readable source"));
        }
    }
}

#[test]
fn vectors_are_covered() {
    let mut code = String::new();
    for entry in fs::read_dir(repository_root().join("crates"))
        .expect("crates")
        .flatten()
    {
        if entry.file_name() != "autonomys-test-support" {
            sources(&entry.path(), &mut code);
        }
    }
    // Line breaks between the arguments are rustfmt's business.
    let code: String = code.split_whitespace().collect();

    let mut missing = Vec::new();
    let mut checked = 0;
    for entry in fs::read_dir(vectors_directory()).expect("vectors").flatten() {
        let file = entry.file_name().into_string().expect("ASCII name");
        let text = if file.ends_with(".json") {
            fs::read_to_string(entry.path()).expect("readable vector file")
        } else {
            String::new()
        };
        let opens_whole = code.contains(&format!("whole_file(\"{file}\")"))
            || code.contains(&format!("binary(\"{file}\")"));
        match file.as_str() {
            "README.md" => continue,
            // The reference string itself, when a set of vectors is complete.
            "eth-public-parameters.bin" => continue,
            _ if opens_whole => checked += 1,
            _ if file.ends_with(".json") => {
                let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                for key in value.as_object().expect("an object of sections").keys() {
                    if code.contains(&format!("section(\"{file}\",\"{key}\")")) {
                        checked += 1;
                    } else {
                        missing.push(format!("{file}: {key}"));
                    }
                }
            }
            _ => missing.push(file),
        }
    }
    assert!(missing.is_empty(), "no test opens: {missing:#?}");
    assert!(checked > 0, "no vectors were found");
    eprintln!("{checked} sections of vectors are opened by tests");
}
