//! The names in the Dockerfile, against those of the workspace and of what uses the images.

use std::collections::BTreeSet;

use serde_json::Value;

use super::DOCKERFILE;
use super::settings::Container;

/// What the Dockerfile builds that the workspace does not have: programs and features.
pub(super) fn programs(dockerfile: &str, metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let binaries = packages
        .iter()
        .flat_map(|package| package["targets"].as_array().map(Vec::as_slice).unwrap_or_default())
        .filter(|target| target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "bin")))
        .filter_map(|target| target["name"].as_str())
        .collect::<BTreeSet<_>>();
    let features = packages.iter().filter_map(|package| package["features"].as_object()).flat_map(|all| all.keys());
    let features = features.map(String::as_str).collect::<BTreeSet<_>>();
    let built = after(dockerfile, "--bin");
    let copied =
        dockerfile.split_whitespace().filter_map(|word| word.strip_prefix("/out/bin/")).collect::<BTreeSet<_>>();
    let mut found = Vec::new();
    if built.is_empty() || copied.is_empty() {
        found.push(String::from("it builds nothing (--bin NAME), or copies nothing (/out/bin/NAME)"));
    }
    for program in built.iter().filter(|program| !binaries.contains(*program)) {
        found.push(format!("--bin {program}: no crate of the workspace has such a program"));
    }
    for feature in after(dockerfile, "--features").into_iter().filter(|feature| !features.contains(feature)) {
        found.push(format!("--features {feature}: no crate of the workspace has such a feature"));
    }
    for program in copied.into_iter().filter(|program| !built.contains(program)) {
        found.push(format!("/out/bin/{program} is copied, but not built"));
    }
    found
}

/// Crates of the workspace that .dockerignore keeps from the build.
pub(super) fn kept_away(dockerignore: &str, metadata: &Value) -> Vec<String> {
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifests = packages.filter_map(|package| package["manifest_path"].as_str()?.strip_prefix(root));
    let folders = manifests.filter_map(|path| path.trim_start_matches('/').split_once('/')).map(|(folder, _)| folder);
    let admitted = dockerignore.lines().filter_map(|line| line.strip_prefix('!')).collect::<BTreeSet<_>>();
    let missing = folders.filter(|folder| !admitted.contains(folder)).collect::<BTreeSet<_>>();
    missing.into_iter().map(|folder| format!("the folder {folder} has crates: write !{folder}")).collect()
}

/// The features that images are built with, those that `ronda` has.
pub(super) fn features(dockerfile: &str, metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let has =
        packages.filter(|package| package["name"] == "ronda").filter_map(|package| package["features"].as_object());
    let has = has.flat_map(|features| features.keys()).collect::<Vec<_>>();
    after(dockerfile, "--features").into_iter().map(str::to_owned).filter(|feature| has.contains(&feature)).collect()
}

/// What stands after a flag, each time, divided at commas.
fn after<'a>(dockerfile: &'a str, flag: &str) -> Vec<&'a str> {
    let words = dockerfile.split_whitespace().collect::<Vec<_>>();
    words.windows(2).filter(|pair| pair[0] == flag).flat_map(|pair| pair[1].split(',')).collect()
}

/// Images and build targets that are used somewhere and not made by the Dockerfile, or of another version than the workspace.
pub(super) fn names(dockerfile: &str, metadata: &Value, containers: &[Container]) -> Vec<String> {
    let stages = dockerfile.lines().filter(|line| line.starts_with("FROM "));
    let stages = stages.filter_map(|line| line.rsplit_once(" AS ")).map(|(_, name)| name).collect::<BTreeSet<_>>();
    let version = metadata["packages"][0]["version"].as_str().unwrap_or_default();
    let mut found = Vec::new();
    for container in containers {
        let Container { place, image, target, .. } = container;
        if !stages.contains(target.as_str()) {
            found.push(format!("{place}: {DOCKERFILE} has no target {target:?} for the image {image}"));
        }
        if image.split_once(':').map(|(_, tag)| tag) != Some(version) {
            found.push(format!("{place}: the image {image} should have the workspace's version, {version}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = "FROM rust AS build\nRUN cargo build --features brokers,stores \\\n --bin one --bin two\n\
                        FROM scratch AS one\nCOPY --from=build /out/bin/one /one\n";

    fn workspace() -> Value {
        json!({"packages": [{
            "version": "0.1.0", "features": {"brokers": [], "stores": []},
            "targets": [{"name": "one", "kind": ["bin"]}, {"name": "two", "kind": ["bin"]}, {"name": "three", "kind": ["lib"]}],
        }]})
    }

    #[test]
    fn what_the_workspace_does_not_have_is_told() {
        assert_eq!(programs(FILE, &workspace()), Vec::<String>::new());
        let wrong = programs(&FILE.replace("--bin two", "--bin three").replace("stores", "shops"), &workspace());
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].contains("--bin three") && wrong[1].contains("--features shops"), "{wrong:?}");
        assert_eq!(programs(&FILE.replace("/out/bin/one", "/out/bin/four"), &workspace()).len(), 1);
        assert_eq!(programs("FROM scratch\n", &workspace()).len(), 1);
    }

    #[test]
    fn every_crates_folder_goes_to_the_builder() {
        let packages = ["/w/ronda/Cargo.toml", "/w/crates/a/Cargo.toml", "/w/crates/b/Cargo.toml"]
            .map(|path| json!({"manifest_path": path}));
        let workspace = json!({"workspace_root": "/w", "packages": packages});
        assert_eq!(kept_away("*\n!ronda\n!crates\n", &workspace), Vec::<String>::new());
        let missing = kept_away("*\n!ronda\n!crate\n", &workspace);
        assert!(missing.len() == 1 && missing[0].contains("!crates"), "{missing:?}");
    }

    #[test]
    fn images_are_of_targets_and_of_the_workspaces_version() {
        let of = |image: &str, target: &str| {
            let container = Container { image: image.to_owned(), target: target.to_owned(), ..Container::default() };
            names(FILE, &workspace(), &[container]).len()
        };
        assert_eq!(of("ronda-one:0.1.0", "one"), 0);
        assert_eq!(of("ronda-one:0.2.0", "one"), 1);
        assert_eq!(of("ronda-one", "one"), 1);
        assert_eq!(of("ronda-two:0.1.0", "two"), 1);
    }
}
