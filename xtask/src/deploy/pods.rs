//! What no schema knows of the Kubernetes base: what its pods may do, how they are watched, and what must not be in it.

use serde_json::{Value, json};

/// The kinds that the base consists of. A new one is added here once its schema is known to be checked.
const KINDS: [&str; 6] = ["ConfigMap", "Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service"];

/// What each container must have, by JSON pointer: the "restricted" Pod Security Standard, and nothing to write to.
fn contained() -> [(&'static str, Value); 3] {
    [
        ("/securityContext/allowPrivilegeEscalation", json!(false)),
        ("/securityContext/readOnlyRootFilesystem", json!(true)),
        ("/securityContext/capabilities/drop", json!(["ALL"])),
    ]
}

/// What each pod must have.
fn restricted() -> [(&'static str, Value); 4] {
    [
        ("/automountServiceAccountToken", json!(false)),
        ("/enableServiceLinks", json!(false)),
        ("/securityContext/runAsNonRoot", json!(true)),
        ("/securityContext/seccompProfile/type", json!("RuntimeDefault")),
    ]
}

/// What each service's container must have. The paths are those of the admin listener.
fn watched() -> [(&'static str, Value); 3] {
    [
        ("/startupProbe/httpGet/path", json!("/health/live")),
        ("/livenessProbe/httpGet/path", json!("/health/live")),
        ("/readinessProbe/httpGet/path", json!("/health/ready")),
    ]
}

/// Everything that is wrong with the rendered base.
pub(super) fn judge(manifests: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for kind in KINDS.iter().filter(|kind| !manifests.iter().any(|manifest| manifest["kind"] == **kind)) {
        found.push(format!("there is no {kind}"));
    }
    found.extend(each(manifests));
    found
}

/// What is wrong with single manifests.
pub(super) fn each(manifests: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    for manifest in manifests {
        let kind = manifest["kind"].as_str().unwrap_or_default();
        let name = format!("{kind} {}", manifest["metadata"]["name"].as_str().unwrap_or_default());
        if !KINDS.contains(&kind) {
            // Secrets above all.
            found.push(format!("{name}: a base has no such kind"));
        }
        if manifest["metadata"].get("namespace").is_some() {
            found.push(format!("{name}: which namespace it is in is for overlays to say"));
        }
        let Some(pod) = manifest.pointer("/spec/template/spec") else { continue };
        differ(&name, pod, &restricted(), &mut found);
        if !pod["volumes"].as_array().into_iter().flatten().all(|volume| volume.get("configMap").is_some()) {
            found.push(format!("{name}: it has a volume that is not a ConfigMap"));
        }
        for container in pod["containers"].as_array().into_iter().flatten() {
            differ(&name, container, &contained(), &mut found);
            if container.pointer("/resources/limits/memory").is_none() {
                found.push(format!("{name}: its memory has no limit"));
            }
            if kind == "Deployment" {
                differ(&name, container, &watched(), &mut found);
            }
        }
        if kind == "Deployment" {
            found.extend(disruption(&name, manifest, manifests));
        }
    }
    found
}

fn differ(name: &str, value: &Value, expected: &[(&str, Value)], found: &mut Vec<String>) {
    for (pointer, expected) in expected {
        let is = value.pointer(pointer).unwrap_or(&Value::Null);
        if is != expected {
            found.push(format!("{name}: {pointer} is {is}, but must be {expected}"));
        }
    }
}

/// A Deployment wants one budget, of its own pods, that keeps no node from being drained.
fn disruption(name: &str, deployment: &Value, manifests: &[Value]) -> Option<String> {
    let selector = deployment.pointer("/spec/selector");
    let is_its =
        |manifest: &&Value| manifest["kind"] == "PodDisruptionBudget" && manifest.pointer("/spec/selector") == selector;
    let budget = manifests.iter().find(is_its).map(|budget| &budget["spec"]);
    let is_right = budget
        .is_some_and(|budget| budget["maxUnavailable"] == 1 && budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow");
    (!is_right)
        .then(|| format!("{name}: it has no budget of maxUnavailable 1 and unhealthyPodEvictionPolicy AlwaysAllow"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Vec<Value> {
        let selector = json!({"matchLabels": {"app": "a"}});
        let context = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
        let probe = |path: &str| json!({"httpGet": {"path": path}});
        let pod = json!({"spec": {
            "automountServiceAccountToken": false, "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "securityContext": context, "resources": {"limits": {"memory": "1Gi"}},
                "startupProbe": probe("/health/live"), "livenessProbe": probe("/health/live"),
                "readinessProbe": probe("/health/ready"),
            }],
        }});
        let mut all = ["ConfigMap", "Job", "NetworkPolicy", "Service"]
            .map(|kind| json!({"kind": kind, "metadata": {"name": "x"}}))
            .to_vec();
        all.push(json!({"kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": {
            "maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": selector}}));
        all.push(
            json!({"kind": "Deployment", "metadata": {"name": "d"}, "spec": {"selector": selector, "template": pod}}),
        );
        all
    }

    /// What is found when one thing of the Deployment, or of the budget before it, is another.
    fn spoilt(back: usize, pointer: &str, value: Value) -> Vec<String> {
        let mut base = base();
        let at = base.len() - back;
        *base[at].pointer_mut(pointer).unwrap() = value;
        judge(&base)
    }

    #[test]
    fn each_thing_that_is_missing_is_found() {
        assert_eq!(judge(&base()), Vec::<String>::new());
        let container = "/spec/template/spec/containers/0";
        for (pointer, value) in [
            (String::from("/spec/template/spec/automountServiceAccountToken"), json!(true)),
            (String::from("/spec/template/spec/enableServiceLinks"), Value::Null),
            (String::from("/spec/template/spec/securityContext/runAsNonRoot"), json!(false)),
            (format!("{container}/securityContext/readOnlyRootFilesystem"), json!(false)),
            (format!("{container}/securityContext/capabilities"), json!({})),
            (format!("{container}/resources"), json!({"requests": {"memory": "1Gi"}})),
            (format!("{container}/livenessProbe/httpGet/path"), json!("/health/ready")),
            (String::from("/spec/selector"), json!({"matchLabels": {"app": "b"}})),
            (String::from("/metadata"), json!({"name": "d", "namespace": "n"})),
        ] {
            let found = spoilt(1, &pointer, value);
            assert!(found.len() == 1 && found[0].starts_with("Deployment d: "), "{pointer}: {found:?}");
        }
        assert_eq!(spoilt(2, "/spec/maxUnavailable", json!(0)).len(), 1);
        // Nothing of a kind any more, and one of a kind that has no place here.
        assert_eq!(spoilt(2, "/kind", json!("Secret")).len(), 3);
    }
}
