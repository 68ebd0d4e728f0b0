//! The repository is tidy, and every rule of tidy can fail.
//!
//! Each test below starts from a small tree in which nothing is wrong, breaks one thing, and
//! expects that one finding.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use xtask::tidy::{self, LINES_MAX, Rule};

#[test]
fn this_repository_is_tidy() {
    let findings = tidy::check(xtask::root()).expect("the tree can be read");
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
fn a_tidy_tree_has_no_findings() {
    Made::new().finds(&[]);
}

#[test]
fn no_crate_points_up_or_sideways() {
    let edges = [
        ("crates/core/model", "mainstay-wire"),
        ("crates/core/wire", "mainstay-pair"),
        ("crates/core/pair", "mainstay-http"),
        ("crates/core/pair", "mainstay-config"),
        ("crates/core/config", "mainstay-os"),
        ("crates/engine/os", "mainstay-ledger"),
        ("crates/engine/ledger", "mainstay-proxy"),
        ("crates/engine/proxy", "mainstay-worker"),
        ("crates/roles/worker", "mainstay-master"),
        ("crates/roles/quickstart", "mainstay-supervisor"),
        ("crates/testing/sim", "mainstay-os"),
        ("crates/testing/e2e", "mainstay-ledger"),
        ("crates/testing/e2e", "mainstay-worker"),
        ("xtask", "mainstay-os"),
    ];
    for (from, to) in edges {
        let made = Made::new();
        made.depends(from, "dependencies", to);
        made.finds(&[(Rule::Direction, &format!("{from}/Cargo.toml"))]);
    }
}

#[test]
fn the_direction_holds_for_tests_and_platforms_too() {
    for table in ["dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
        let made = Made::new();
        made.depends("crates/core/pair", table, "mainstay-config");
        made.finds(&[(Rule::Direction, "crates/core/pair/Cargo.toml")]);
    }
}

#[test]
fn edges_that_point_down_are_fine() {
    let made = Made::new();
    made.depends("crates/core/config", "dependencies", "mainstay-pair");
    made.depends("crates/engine/proxy", "dependencies", "mainstay-ledger");
    made.depends("crates/engine/ledger", "dependencies", "mainstay-os");
    made.depends("crates/roles/master", "dependencies", "mainstay-pair");
    made.depends("crates/mainstay", "dependencies", "mainstay-worker");
    made.depends("xtask", "dependencies", "mainstay-e2e");
    made.finds(&[]);
}

#[test]
fn no_client_byte_reaches_master_or_supervisor() {
    for role in ["master", "supervisor"] {
        for engine in ["mainstay-http", "mainstay-proxy"] {
            let (made, folder) = (Made::new(), format!("crates/roles/{role}"));
            made.depends(&folder, "dependencies", engine);
            made.finds(&[(Rule::Direction, &format!("{folder}/Cargo.toml"))]);
        }
    }
}

#[test]
fn a_renamed_dependency_is_still_one() {
    let made = Made::new();
    made.append(
        "crates/core/pair/Cargo.toml",
        "[dependencies.other]\npackage = \"mainstay-http\"\n",
    );
    made.finds(&[(Rule::Direction, "crates/core/pair/Cargo.toml")]);
}

#[test]
fn core_uses_few_crates_of_others() {
    let made = Made::new();
    made.depends("crates/core/pair", "dependencies", "thiserror");
    made.depends("crates/core/pair", "dev-dependencies", "proptest");
    made.depends("crates/roles/master", "dependencies", "rustix");
    made.finds(&[]);
    made.depends("crates/core/http", "dependencies", "proptest");
    made.finds(&[(Rule::ThirdParty, "crates/core/http/Cargo.toml")]);
}

#[test]
fn every_crate_has_its_place() {
    let made = Made::new();
    made.crate_at("crates/utilities/misc", "mainstay-misc");
    made.finds(&[(Rule::Place, "crates/utilities/misc/Cargo.toml")]);

    let made = Made::new();
    made.crate_at("crates/core/cache", "mainstay-store");
    made.finds(&[(Rule::Place, "crates/core/cache/Cargo.toml")]);
}

#[test]
fn every_crate_takes_the_lints() {
    let made = Made::new();
    made.write("xtask/Cargo.toml", "[package]\nname = \"xtask\"\n");
    made.finds(&[(Rule::Lints, "xtask/Cargo.toml")]);
}

#[test]
fn every_new_state_in_core_visits_every_match() {
    let made = Made::new();
    made.write(LIB, "//! Which worker serves.\n\n#![forbid(unsafe_code)]\n");
    made.finds(&[(Rule::Lints, LIB)]);
}

#[test]
fn every_crate_root_forbids_unsafe() {
    let path = "crates/engine/proxy/src/lib.rs";
    let made = Made::new();
    made.write(path, "//! The data path.\n// #![forbid(unsafe_code)]\n");
    made.finds(&[(Rule::Forbid, path)]);

    let made = Made::new();
    made.write("crates/mainstay/src/main.rs", "//! The one program.\n");
    made.finds(&[(Rule::Forbid, "crates/mainstay/src/main.rs")]);
}

#[test]
fn unsafe_is_a_word_of_engine_os_alone() {
    let made = Made::new();
    made.append("crates/engine/os/src/lib.rs", "fn a() { unsafe { b() } }\n");
    made.append(LIB, "// unsafe\n/* unsafe */\n");
    made.append(LIB, "const A: &str = \"unsafe\"; const B: &str = r#\"unsafe\"#;\n");
    made.finds(&[]);
    made.append(LIB, "fn a() { unsafe { b() } }\n");
    made.finds(&[(Rule::Unsafe, LIB)]);
}

#[test]
fn every_file_opens_with_why_it_exists() {
    let made = Made::new();
    made.write("crates/core/pair/src/select.rs", "// Choosing a worker.\nfn a() {}\n");
    made.finds(&[(Rule::Header, "crates/core/pair/src/select.rs")]);

    let made = Made::new();
    made.write("fuzz/fuzz_targets/lane.rs", "//!\nfn a() {}\n");
    made.finds(&[(Rule::Header, "fuzz/fuzz_targets/lane.rs")]);
}

#[test]
fn no_file_is_too_long() {
    let (made, path) = (Made::new(), "crates/core/pair/src/select.rs");
    let body = "fn a() {}\n".repeat(LINES_MAX - 1);
    let tests = "#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n".replace('b', "c");
    made.write(path, &format!("//! Choosing a worker.\n{body}"));
    made.finds(&[]);
    made.append(path, "fn one_more() {}\n");
    made.finds(&[(Rule::Length, path)]);
    // The mark of an inline test module counts, the module does not.
    let shorter = "fn a() {}\n".repeat(LINES_MAX - 2);
    made.write(path, &format!("//! Choosing a worker.\n{shorter}{tests}"));
    made.finds(&[]);
}

#[test]
fn a_note_for_later_names_who_and_when() {
    for note in ["// TODO: later", "/* FIXME */", "// TODO(ada): later", "fn a() { todo!() }"] {
        let made = Made::new();
        made.append(LIB, &format!("{note}\n"));
        made.finds(&[(Rule::Owner, LIB)]);
    }
    let made = Made::new();
    made.append(LIB, "// TODO(ada, when Linux 7 is the oldest): drop this.\n");
    made.append(LIB, "/// Reads `TODO` out of a comment.\nconst A: &str = \"TODO\";\n");
    made.finds(&[]);
}

#[test]
fn no_test_is_switched_off() {
    let made = Made::new();
    made.append(LIB, "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n");
    made.finds(&[(Rule::Ignore, LIB)]);
}

#[test]
fn nothing_sleeps() {
    let made = Made::new();
    made.append(LIB, "fn a() { std::thread::sleep(b()); }\n");
    made.finds(&[(Rule::Sleep, LIB)]);

    let made = Made::new();
    made.append(LIB, "use std::thread::{self, sleep};\n");
    made.finds(&[(Rule::Sleep, LIB)]);
}

#[test]
fn both_clippy_files_agree() {
    let breaks = [
        "too-many-lines-threshold = 90\ndisallowed-methods = [{ path = \"a::b\", reason = \"c\" }]\n",
        "too-many-lines-threshold = 70\ndisallowed-methods = []\n",
        "too-many-lines-threshold = 70\n",
    ];
    for text in breaks {
        let made = Made::new();
        made.write(CORE_CLIPPY, text);
        made.finds(&[(Rule::Clippy, CORE_CLIPPY)]);
    }
    let made = Made::new();
    made.append(CORE_CLIPPY, "allow-unwrap-in-tests = true\n");
    made.finds(&[(Rule::Clippy, CORE_CLIPPY)]);

    let made = Made::new();
    made.remove(CORE_CLIPPY);
    made.finds(&[(Rule::Clippy, CORE_CLIPPY)]);
}

#[test]
fn links_point_to_something() {
    let made = Made::new();
    made.write("docs/words.md", "# Words\n\n## One gateway, two workers\n");
    made.write("README.md", "[a](docs/words.md) [b](docs/words.md#one-gateway-two-workers)\n");
    made.append(
        "README.md",
        "[c](https://example.com/none) `crates/core/pair` `crates/none <x>`\n",
    );
    made.append("README.md", "```\n[d](none.md)\n```\n");
    made.finds(&[]);
    for text in ["[a](none.md)", "[b](docs/words.md#three)", "see `crates/core/none.rs`"] {
        made.write("README.md", text);
        made.finds(&[(Rule::Links, "README.md")]);
    }
}

#[test]
fn an_exception_excuses_exactly_what_it_says() {
    let made = Made::new();
    made.append(LIB, "fn a() { std::thread::sleep(b()); }\n");
    made.write(ALLOW, &format!("# Exceptions.\nsleep {LIB} 1: the clock of a test\n"));
    made.finds(&[]);

    // It grew.
    made.append(LIB, "fn c() { std::thread::sleep(b()); }\n");
    made.finds(&[(Rule::Sleep, LIB), (Rule::Sleep, LIB)]);

    // It shrank, and the list did not.
    made.write(ALLOW, &format!("sleep {LIB} 3: the clock of a test\n"));
    made.finds(&[(Rule::Allow, ALLOW)]);
}

#[test]
fn an_exception_needs_a_rule_and_a_reason() {
    for line in ["sleep a.rs 1", "sleep a.rs 1: ", "sleeping a.rs 1: tired", "sleep a.rs: tired"] {
        let made = Made::new();
        made.write(ALLOW, line);
        made.finds(&[(Rule::Allow, ALLOW)]);
    }
}

#[test]
fn a_long_file_on_the_list_may_not_grow() {
    let (made, path) = (Made::new(), "crates/core/pair/src/table.rs");
    let body = "fn a() {}\n".repeat(LINES_MAX);
    made.write(path, &format!("//! One long table.\n{body}"));
    made.write(ALLOW, &format!("length {path} {}: a table is better whole\n", LINES_MAX + 1));
    made.finds(&[]);
    made.append(path, "fn b() {}\n");
    made.finds(&[(Rule::Length, path)]);
}

const LIB: &str = "crates/core/pair/src/lib.rs";
const CORE_CLIPPY: &str = "crates/core/clippy.toml";
const ALLOW: &str = "xtask/tidy-allow.txt";

/// A made-up repository.
struct Made {
    folder: TempDir,
}

impl Made {
    /// A crate in every layer, and nothing wrong with any.
    fn new() -> Self {
        let made = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        for (layer, crates) in [
            ("core", &["model", "wire", "pair", "http", "config"][..]),
            ("engine", &["os", "ledger", "proxy"]),
            ("roles", &["supervisor", "master", "worker", "quickstart"]),
            ("testing", &["sim", "e2e"]),
        ] {
            for name in crates {
                made.crate_at(&format!("crates/{layer}/{name}"), &format!("mainstay-{name}"));
            }
        }
        made.crate_at("crates/mainstay", "mainstay");
        made.crate_at("xtask", "xtask");
        let clippy = "too-many-lines-threshold = 70\n\
                      disallowed-methods = [{ path = \"a::b\", reason = \"c\" }]\n";
        made.write("clippy.toml", clippy);
        made.write(CORE_CLIPPY, clippy);
        made
    }

    fn crate_at(&self, folder: &str, package: &str) {
        let manifest = format!("[package]\nname = \"{package}\"\n[lints]\nworkspace = true\n");
        self.write(&format!("{folder}/Cargo.toml"), &manifest);
        let lib = "//! A crate that was made up.\n\n\
                   #![forbid(unsafe_code)]\n\
                   #![warn(clippy::wildcard_enum_match_arm)]\n";
        self.write(&format!("{folder}/src/lib.rs"), lib);
    }

    fn depends(&self, folder: &str, table: &str, on: &str) {
        let text = format!("[{table}.{on}]\nworkspace = true\n");
        self.append(&format!("{folder}/Cargo.toml"), &text);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
    }

    fn append(&self, path: &str, text: &str) {
        let whole = self.folder.path().join(path);
        let before = fs::read_to_string(whole).unwrap_or_default();
        self.write(path, &(before + text));
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.folder.path().join(path)).expect("a file can be removed");
    }

    #[track_caller]
    fn finds(&self, expected: &[(Rule, &str)]) {
        let findings = tidy::check(self.folder.path()).expect("the tree can be read");
        let found: Vec<(Rule, &Path)> =
            findings.iter().map(|finding| (finding.rule, finding.path.as_path())).collect();
        let expected: Vec<(Rule, &Path)> =
            expected.iter().map(|(rule, path)| (*rule, Path::new(*path))).collect();
        assert_eq!(found, expected, "\n{findings:#?}");
    }
}
