//! Finds circles between the modules of a crate, by their `use` lines. A circle means that none of its
//! modules can be read or changed without the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// The source folders of the crates.
const CRATES: &[&str] = &["model/src", "store/src", "pipeline/src", "server/src", "tui/src", "src"];

/// Circles that are still there: the module that holds them, and their members. Do not add to this list:
/// move what both sides need into a module of its own. Remove what is untied.
const KNOWN: &[(&str, &[&str])] = &[];

type Modules = BTreeMap<Vec<String>, String>;

/// The modules below `folder` with their sources, without tests.
fn modules(folder: &Path) -> Modules {
    let mut found = Modules::new();
    let mut folders = vec![(folder.to_owned(), Vec::new())];
    while let Some((folder, at)) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let below: Vec<String> = at.iter().cloned().chain([stem.clone()]).collect();
            if stem == "tests" {
                continue;
            } else if path.is_dir() {
                folders.push((path, below));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
                let is_folder = ["mod", "lib", "main"].contains(&stem.as_str());
                found.insert(if is_folder { at.clone() } else { below }, text);
            }
        }
    }
    found
}

/// The paths of all `use` declarations in a source, one for each name.
fn uses(source: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        let Some(declared) = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "]
            .iter()
            .find_map(|how| line.strip_prefix(how))
        else {
            continue;
        };
        let mut tree = declared.to_owned();
        while !tree.contains(';') {
            tree.push_str(lines.next().expect("a use declaration ends with ;"));
        }
        expand(tree.split(';').next().unwrap(), &[], &mut found);
    }
    found
}

/// Adds the paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(tree: &str, before: &[String], found: &mut Vec<Vec<String>>) {
    let (path, group) = match tree.split_once('{') {
        Some((path, group)) => (path, Some(group.trim_end().strip_suffix('}').unwrap_or(group))),
        None => (tree.split(" as ").next().unwrap(), None),
    };
    let names = path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    let path: Vec<String> = before.iter().cloned().chain(names).collect();
    let Some(group) = group else {
        if path.len() > before.len() {
            found.push(path);
        }
        return;
    };
    let (mut depth, mut from) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&group[from..at], &path, found);
                from = at + 1;
            }
            _ => {}
        }
    }
    expand(&group[from..], &path, found);
}

/// The module of this crate that a path in `module` names or reaches into.
fn resolve(path: &[String], module: &[String], modules: &Modules) -> Option<Vec<String>> {
    let mut at = module.to_vec();
    let mut names = path;
    match names.first()?.as_str() {
        "crate" => at.clear(),
        "self" => {}
        "super" => {
            at.pop();
        }
        // A name without a prefix is another crate, or a module below this one.
        _ => return None,
    }
    names = &names[1..];
    while let Some(name) = names.first() {
        if name == "super" {
            at.pop();
        } else {
            at.push(name.clone());
            if !modules.contains_key(&at) {
                at.pop();
                break;
            }
        }
        names = &names[1..];
    }
    Some(at)
}

/// Who uses whom among the children of each module. What a module below a child uses counts for the child.
fn edges(modules: &Modules) -> BTreeMap<Vec<String>, BTreeSet<(String, String)>> {
    let mut edges: BTreeMap<Vec<String>, BTreeSet<(String, String)>> = BTreeMap::new();
    for (module, source) in modules {
        for path in uses(source) {
            let Some(used) = resolve(&path, module, modules) else { continue };
            let shared = module.iter().zip(&used).take_while(|(one, other)| one == other).count();
            if let (Some(from), Some(to)) = (module.get(shared), used.get(shared)) {
                edges.entry(module[..shared].to_vec()).or_default().insert((from.clone(), to.clone()));
            }
        }
    }
    edges
}

/// The circles of a graph: sets of nodes that all reach each other.
fn circles(edges: &BTreeSet<(String, String)>) -> BTreeSet<BTreeSet<String>> {
    let reach = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut next = vec![from.to_owned()];
        while let Some(node) = next.pop() {
            for (_, to) in edges.iter().filter(|(from, _)| *from == node) {
                if reached.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&str, BTreeSet<String>> =
        edges.iter().map(|(from, _)| (from.as_str(), reach(from))).collect();
    let all = reached.iter().filter(|(node, far)| far.contains(**node)).map(|(node, far)| {
        far.iter()
            .filter(|other| reached.get(other.as_str()).is_some_and(|back| back.contains(*node)))
            .cloned()
            .collect()
    });
    all.collect()
}

#[test]
fn modules_have_no_new_circles() {
    let mut new = Vec::new();
    for krate in CRATES {
        let modules = modules(&Path::new(TOP).join(krate));
        assert!(modules.len() > 5, "{krate} has only {} modules", modules.len());
        for (module, edges) in edges(&modules) {
            let place = [&[krate.to_string()], &module[..]].concat().join("/");
            for circle in circles(&edges) {
                let is_known = KNOWN.iter().any(|(known, members)| {
                    *known == place && circle.iter().all(|member| members.contains(&member.as_str()))
                });
                if !is_known {
                    new.push(format!("(\"{place}\", &{:?}),", circle.iter().collect::<Vec<_>>()));
                }
            }
        }
    }
    assert!(new.is_empty(), "these modules use each other in a circle:\n{}", new.join("\n"));
}

#[test]
fn circles_are_found() {
    let source = |text: &str| text.to_owned();
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Vec<_>>();
    let modules = Modules::from([
        (Vec::new(), source("mod a; mod b; mod c;")),
        (module("a"), source("use std::{fmt, io};\nuse crate::{\n    b::{self, Thing},\n    c,\n};\n")),
        (module("b"), source("pub(crate) use inner::Thing;\n")),
        (module("b::inner"), source("use super::super::a::Other;\n")),
        (module("c"), source("use super::Root;\n")),
    ]);
    let edges = edges(&modules);
    let pairs: Vec<(&str, &str)> =
        edges[&Vec::new()].iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    assert_eq!(pairs, [("a", "b"), ("a", "c"), ("b", "a")]);
    assert_eq!(
        circles(&edges[&Vec::new()]),
        BTreeSet::from([BTreeSet::from(["a".to_owned(), "b".to_owned()])])
    );
}
