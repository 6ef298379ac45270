//! JSON sections whose leaves remember whether a test has read them.

use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Write;
use std::rc::Rc;

/// One top-level key of one vector file (or a whole file, see [`whole_file`]).
pub struct Section {
    name: String,
    value: Value,
    visited: Rc<RefCell<BTreeSet<String>>>,
}

/// A place inside a [`Section`].
#[derive(Clone)]
pub struct Node<'a> {
    path: String,
    value: &'a Value,
    visited: Rc<RefCell<BTreeSet<String>>>,
}

fn load(file: &str) -> Value {
    let path = crate::vectors_directory().join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read the vector file {}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{} is not JSON: {error}", path.display()))
}

/// Opens the top-level key `key` of `file`.
pub fn section(file: &str, key: &str) -> Section {
    let mut value = load(file);
    let value = value
        .get_mut(key)
        .unwrap_or_else(|| panic!("{file} has no key {key}"))
        .take();
    Section::new(format!("{file}:{key}"), value)
}

/// Opens a whole file; for JSON lines the value is the array of lines.
pub fn whole_file(file: &str) -> Section {
    let value = if file.ends_with(".jsonl") {
        let bytes = binary(file);
        let text = String::from_utf8(bytes).expect("vector files are UTF-8");
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"))
            .collect()
    } else {
        load(file)
    };
    Section::new(file.to_string(), value)
}

/// Bytes of a file of the vectors directory.
pub fn binary(file: &str) -> Vec<u8> {
    let path = crate::vectors_directory().join(file);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("cannot read the vector file {}: {error}", path.display()))
}

impl Section {
    fn new(name: String, value: Value) -> Self {
        Self {
            name,
            value,
            visited: Rc::default(),
        }
    }

    /// The root of the section.
    pub fn root(&self) -> Node<'_> {
        Node {
            path: String::new(),
            value: &self.value,
            visited: Rc::clone(&self.visited),
        }
    }

    /// Fails when a leaf was never read; otherwise prints and returns how many were.
    pub fn finish(self) -> usize {
        let mut leaves = BTreeSet::new();
        collect_leaves("", &self.value, &mut leaves);
        let visited = self.visited.borrow();
        let missed: Vec<_> = leaves.difference(&visited).take(20).collect();
        assert!(
            missed.is_empty(),
            "{}: {} of {} fields were not checked, among them {missed:?}",
            self.name,
            leaves.difference(&visited).count(),
            leaves.len(),
        );
        // Straight to the descriptor so that it shows for passing tests too.
        let _ = writeln!(
            std::io::stderr(),
            "vectors {}: {} fields checked",
            self.name,
            leaves.len()
        );
        leaves.len()
    }
}

fn collect_leaves(path: &str, value: &Value, leaves: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                collect_leaves(&format!("{path}/{key}"), value, leaves);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                collect_leaves(&format!("{path}/{index}"), value, leaves);
            }
        }
        _ => {
            leaves.insert(path.to_string());
        }
    }
}

impl<'a> Node<'a> {
    /// Field `key` of an object; panics when it is not there.
    #[track_caller]
    pub fn get(&self, key: &str) -> Node<'a> {
        self.try_get(key)
            .unwrap_or_else(|| panic!("no field {key} at {}", self.path))
    }

    /// Field `key` of an object, if it is there.
    pub fn try_get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.value.get(key)?;
        Some(Node {
            path: format!("{}/{key}", self.path),
            value,
            visited: Rc::clone(&self.visited),
        })
    }

    /// Items of an array.
    #[track_caller]
    pub fn items(&self) -> Vec<Node<'a>> {
        let items = self
            .value
            .as_array()
            .unwrap_or_else(|| panic!("no array at {}", self.path));
        items
            .iter()
            .enumerate()
            .map(|(index, value)| Node {
                path: format!("{}/{index}", self.path),
                value,
                visited: Rc::clone(&self.visited),
            })
            .collect()
    }

    /// Fields of an object, by name.
    #[track_caller]
    pub fn fields(&self) -> Vec<(&'a str, Node<'a>)> {
        let fields = self
            .value
            .as_object()
            .unwrap_or_else(|| panic!("no object at {}", self.path));
        fields
            .iter()
            .map(|(key, value)| {
                let path = format!("{}/{key}", self.path);
                (
                    key.as_str(),
                    Node {
                        path,
                        value,
                        visited: Rc::clone(&self.visited),
                    },
                )
            })
            .collect()
    }

    /// The raw value; marks it and everything below it as read, so compare **all** of it.
    pub fn value(&self) -> &'a Value {
        let mut leaves = BTreeSet::new();
        collect_leaves(&self.path, self.value, &mut leaves);
        self.visited.borrow_mut().extend(leaves);
        self.value
    }

    /// Whether the value is `null` (marks it as read when it is).
    pub fn is_null(&self) -> bool {
        if self.value.is_null() {
            self.value();
        }
        self.value.is_null()
    }

    /// Text.
    #[track_caller]
    pub fn str(&self) -> &'a str {
        self.value()
            .as_str()
            .unwrap_or_else(|| panic!("no text at {}", self.path))
    }

    /// Truth value.
    #[track_caller]
    pub fn bool(&self) -> bool {
        self.value()
            .as_bool()
            .unwrap_or_else(|| panic!("no truth value at {}", self.path))
    }

    /// Whole number, given as a JSON number or as a decimal string.
    #[track_caller]
    pub fn u64(&self) -> u64 {
        u64::try_from(self.u128()).unwrap_or_else(|_| panic!("number over 64 bits at {}", self.path))
    }

    /// Whole number up to 128 bits, given as a JSON number or as a decimal string.
    #[track_caller]
    pub fn u128(&self) -> u128 {
        let value = self.value();
        value
            .as_u64()
            .map(u128::from)
            .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
            .unwrap_or_else(|| panic!("no whole number at {}: {value}", self.path))
    }

    /// Whole number that fits `usize`.
    #[track_caller]
    pub fn usize(&self) -> usize {
        usize::try_from(self.u64()).expect("fits")
    }

    /// Whole number that fits `u16`.
    #[track_caller]
    pub fn u16(&self) -> u16 {
        u16::try_from(self.u64()).unwrap_or_else(|_| panic!("number over 16 bits at {}", self.path))
    }

    /// Whole number that fits `u32`.
    #[track_caller]
    pub fn u32(&self) -> u32 {
        u32::try_from(self.u64()).unwrap_or_else(|_| panic!("number over 32 bits at {}", self.path))
    }

    /// Bytes given as hexadecimal text.
    #[track_caller]
    pub fn bytes(&self) -> Vec<u8> {
        hex::decode(self.str())
            .unwrap_or_else(|error| panic!("no hexadecimal text at {}: {error}", self.path))
    }

    /// Exactly `N` bytes given as hexadecimal text.
    #[track_caller]
    pub fn array<const N: usize>(&self) -> [u8; N] {
        let bytes = self.bytes();
        let length = bytes.len();
        bytes
            .try_into()
            .unwrap_or_else(|_| panic!("{length} bytes instead of {N} at {}", self.path))
    }

    /// Where this is, for messages.
    pub fn path(&self) -> &str {
        &self.path
    }
}
