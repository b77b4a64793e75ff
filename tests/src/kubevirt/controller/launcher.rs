//! What a launcher pod looks like (reference 1.2, 5).

use serde_json::{Value, json};

use super::hotplug::is_hotplugged;
use super::object::{Object, merge, overlay, text_of};

/// What every launcher needs beside its guest's memory: the fixed part of KubeVirt's overhead, roughly (reference 5).
const OVERHEAD_MEBIBYTES: u64 = 260;

/// The two pads of 15 s around the guest's own grace period (reference 4).
const GRACE_PADS: u64 = 30;

/// KubeVirt's default of terminationGracePeriodSeconds (reference 4).
const DEFAULT_GRACE: u64 = 30;

/// The directories that a launcher shares among its containers; because of them kubectl wants --delete-emptydir-data.
const SCRATCH: [&str; 5] = ["private", "public", "sockets", "ephemeral-disks", "container-disks"];

/// The labels of a VMI that its own launcher must not take over: they tell where it was.
const LABELS_OF_PLACES: [&str; 1] = ["kubevirt.io/migrationTargetNodeName"];

/// Returns a guest's grace period in seconds.
pub(super) fn grace(vmi: &Object) -> u64 {
    vmi.at("/spec/terminationGracePeriodSeconds").as_u64().unwrap_or(DEFAULT_GRACE)
}

/// Returns the launcher of a VMI that starts.
pub(super) fn render(vmi: &Object) -> Value {
    let mut labels = vmi.at("/metadata/labels").clone();
    if let Value::Object(labels) = &mut labels {
        labels.retain(|label, _| !LABELS_OF_PLACES.contains(&label.as_str()));
    }
    merge(
        &mut labels,
        &json!({
            "kubevirt.io": "virt-launcher",
            "kubevirt.io/created-by": vmi.uid(),
            "vm.kubevirt.io/name": vmi.name(),
            "vmi.kubevirt.io/id": vmi.name(),
        }),
    );
    let mut annotations = vmi.at("/metadata/annotations").clone();
    merge(
        &mut annotations,
        &json!({
            "kubevirt.io/domain": vmi.name(),
            "descheduler.alpha.kubernetes.io/request-evict-only": "",
            // Its end is the guest's, not kwok's: see the module `kubelet`.
            "handover.test/exit-after": "never",
        }),
    );
    let mut selector = json!({ "kubevirt.io/schedulable": "true", "kubernetes.io/arch": "amd64" });
    overlay(&mut selector, vmi.at("/spec/nodeSelector"));
    match vmi.text("/spec/domain/cpu/model") {
        "" | "host-model" | "host-passthrough" => {}
        model => merge(&mut selector, &json!({ format!("cpu-model.node.kubevirt.io/{model}"): "true" })),
    }
    let scratch = SCRATCH.iter().map(|name| json!({ "name": name, "emptyDir": {} }));
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": format!("virt-launcher-{}-", vmi.name()),
            "namespace": vmi.namespace(),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [vmi.as_controller()],
        },
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace(vmi) + GRACE_PADS,
            "nodeSelector": selector,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "containers": [{
                "name": "compute",
                "image": "virt-launcher:stand-in",
                "resources": { "requests": requests(vmi) },
            }],
            "volumes": scratch.chain(claims(vmi)).collect::<Vec<_>>(),
        },
    });
    for field in ["affinity", "tolerations", "topologySpreadConstraints", "schedulerName", "priorityClassName"] {
        let value = vmi.at(&format!("/spec/{field}"));
        if !value.is_null() {
            merge(&mut pod, &json!({ "spec": { field: value } }));
        }
    }
    pod
}

/// Why a target pod cannot be made.
#[derive(Debug)]
pub(super) struct NoHostModel;

/// Returns the launcher on the other side of a migration: as `render`, away from the VMI's own launchers, and where the
/// processor of the source can be shown to the guest (reference 5; `source` is the current launcher's node).
pub(super) fn render_target(
    vmi: &Object,
    migration: &Object,
    current: &Object,
    source: &Object,
) -> Result<Value, NoHostModel> {
    let mut pod = render(vmi);
    merge(
        &mut pod,
        &json!({ "metadata": {
            "labels": { "kubevirt.io/migrationJobUID": migration.uid() },
            "annotations": { "kubevirt.io/migrationJobName": migration.name() },
        } }),
    );
    let term = json!({
        "labelSelector": { "matchLabels": { "kubevirt.io/created-by": vmi.uid() } },
        "topologyKey": "kubernetes.io/hostname",
    });
    let pointer = "/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    let terms: Vec<Value> = vmi.list(&format!("/spec{pointer}")).iter().cloned().chain([term]).collect();
    merge(
        &mut pod,
        &json!({ "spec": { "affinity": { "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": terms,
        } } } }),
    );
    let mut selector = migration.at("/spec/addedNodeSelector").clone();
    overlay(&mut selector, pod.pointer("/spec/nodeSelector").unwrap_or(&Value::Null));
    if matches!(vmi.text("/spec/domain/cpu/model"), "" | "host-model") {
        merge(&mut selector, &host_model(current, source).ok_or(NoHostModel)?);
    }
    merge(&mut pod, &json!({ "spec": { "nodeSelector": selector } }));
    Ok(pod)
}

/// A guest that sees its host's processor can only move to where the same can be shown. The first migration takes the
/// host's model, later ones what the launcher already asks for. The vendor stays in any case.
fn host_model(current: &Object, source: &Object) -> Option<Value> {
    const MODEL: &str = "cpu-model-migration.node.kubevirt.io/";
    const FEATURE: &str = "cpu-feature.node.kubevirt.io/";
    const VENDOR: &str = "cpu-vendor.node.kubevirt.io/";
    let labels = |object: &Object, pointer: &str, prefix: &str, new_prefix: &str| -> Vec<(String, Value)> {
        object
            .at(pointer)
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| *value == "true")
            .filter_map(|(label, _)| Some((format!("{new_prefix}{}", label.strip_prefix(prefix)?), json!("true"))))
            .collect()
    };
    let mut wanted = labels(current, "/spec/nodeSelector", MODEL, MODEL);
    if wanted.is_empty() {
        wanted = labels(source, "/metadata/labels", "host-model-cpu.node.kubevirt.io/", MODEL);
        wanted.truncate(1);
        if wanted.is_empty() {
            return None;
        }
        wanted.extend(labels(source, "/metadata/labels", "host-model-required-features.node.kubevirt.io/", FEATURE));
    } else {
        wanted.extend(labels(current, "/spec/nodeSelector", FEATURE, FEATURE));
    }
    wanted.extend(labels(source, "/metadata/labels", VENDOR, VENDOR));
    Some(Value::Object(wanted.into_iter().collect()))
}

fn requests(vmi: &Object) -> Value {
    let part = |part: &str| vmi.at(&format!("/spec/domain/cpu/{part}")).as_u64().unwrap_or(1);
    // cpuAllocationRatio is 10.
    let millis = 100 * part("cores") * part("sockets") * part("threads");
    let guest = match vmi.text("/spec/domain/memory/guest") {
        "" => vmi.text("/spec/domain/resources/requests/memory"),
        guest => guest,
    };
    let memory = mebibytes(guest).unwrap_or(0) + OVERHEAD_MEBIBYTES;
    json!({ "cpu": format!("{millis}m"), "memory": format!("{memory}Mi") })
}

/// Reads a quantity of memory as tests write it: "512Mi" or "2Gi".
fn mebibytes(quantity: &str) -> Option<u64> {
    if let Some(number) = quantity.strip_suffix("Mi") {
        return number.parse().ok();
    }
    Some(1024 * quantity.strip_suffix("Gi")?.parse::<u64>().ok()?)
}

/// Claims are volumes of the launcher too, so the scheduler knows where they can be used; hotplugged ones are held by pods
/// of their own (reference 1.2).
fn claims(vmi: &Object) -> impl Iterator<Item = Value> {
    vmi.list("/spec/volumes").iter().filter(|volume| !is_hotplugged(volume)).filter_map(|volume| {
        let claim = claim_of(volume)?;
        Some(json!({ "name": text_of(volume, "name"), "persistentVolumeClaim": { "claimName": claim } }))
    })
}

/// Returns the claim behind a volume of a VMI; a DataVolume's has the DataVolume's name.
pub(super) fn claim_of(volume: &Value) -> Option<&str> {
    let own = volume.pointer("/persistentVolumeClaim/claimName").or_else(|| volume.pointer("/dataVolume/name"));
    own.and_then(Value::as_str)
}
