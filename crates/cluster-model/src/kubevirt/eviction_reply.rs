//! What KubeVirt's answers to the eviction of one of its pods mean. Its webhooks give neither a reason nor details, so
//! their sentences are all there is (OBSERVED, exact answers).

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde::Serialize;

use crate::eviction_reply::{self, EvictionReply};
use crate::identity::ObjectKey;

/// The webhook that answers the eviction of a launcher pod.
pub(super) const LAUNCHER_WEBHOOK: &str = "virt-launcher-eviction-interceptor.kubevirt.io";
/// The webhook that answers the eviction of a pod that attaches a disk.
pub(super) const HOTPLUG_WEBHOOK: &str = "hotplug-pod-eviction-interceptor.kubevirt.io";

/// The meaning of an answer other than "granted".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "reply", content = "detail")]
pub enum VirtualMachineReply {
    /// This eviction has marked the instance: its evacuation begins.
    EvacuationStarted {
        /// The instance.
        instance: ObjectKey,
    },
    /// It was marked before; also the answer for the pod that it is migrating to.
    EvacuationInProgress {
        /// The instance.
        instance: ObjectKey,
    },
    /// Its strategy says to migrate and it cannot, or not yet: no mark, and the same answer for ever.
    NotMigratable {
        /// The instance's name.
        instance: String,
    },
    /// The pod is not on the guest's node: a target, a source that was left running, or a guest that has no node yet.
    NotTheGuestsPod,
    /// The pod names an instance that does not exist.
    InstanceMissing {
        /// KubeVirt's words.
        message: String,
    },
    /// virt-api could not read or could not mark the instance: worth another try.
    LookupFailed {
        /// KubeVirt's words.
        message: String,
    },
    /// It attaches a disk to a guest that runs; it goes with that guest's pod.
    DiskAttached {
        /// KubeVirt's words.
        message: String,
    },
    /// virt-api does not answer, so no launcher pod can be evicted, whatever its strategy: worth another try.
    WebhookDown {
        /// The server's words.
        message: String,
    },
    /// Nothing of KubeVirt's: a budget, a right that is missing, a pod that is gone.
    #[serde(untagged)]
    Other(EvictionReply),
}

impl fmt::Display for VirtualMachineReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EvacuationStarted { .. } => f.write_str("KubeVirt would evacuate it"),
            Self::EvacuationInProgress { .. } => f.write_str("KubeVirt is evacuating it"),
            Self::NotMigratable { .. } => f.write_str("it is to migrate and cannot"),
            Self::NotTheGuestsPod => f.write_str("its pod is not where the guest is"),
            Self::InstanceMissing { message }
            | Self::LookupFailed { message }
            | Self::DiskAttached { message }
            | Self::WebhookDown { message } => f.write_str(message),
            Self::Other(reply) => write!(f, "{reply:?}"),
        }
    }
}

/// Gives a refusal its meaning; `status` is the body of the answer. Only what comes from KubeVirt's own webhooks is read
/// as such: the sentences of another webhook may be alike.
pub fn classify_reply(status: &Status) -> VirtualMachineReply {
    let message = status.message.as_deref().unwrap_or_default();
    let other = || VirtualMachineReply::Other(eviction_reply::classify(status));
    let is_down = [LAUNCHER_WEBHOOK, HOTPLUG_WEBHOOK]
        .into_iter()
        .any(|webhook| message.contains(&format!("failed calling webhook \"{webhook}\"")));
    if is_down {
        return VirtualMachineReply::WebhookDown { message: message.to_owned() };
    }
    // A server of another version may put words before this, so it is looked for anywhere.
    let after = |webhook: &str| {
        let prefix = format!("admission webhook \"{webhook}\" denied the request: ");
        message.split_once(&prefix).map(|(_, words)| words)
    };
    if let Some(words) = after(HOTPLUG_WEBHOOK) {
        let is_known = words.starts_with("cannot evict hotplug pod");
        return if is_known { VirtualMachineReply::DiskAttached { message: words.to_owned() } } else { other() };
    }
    after(LAUNCHER_WEBHOOK).and_then(read_launcher_answer).unwrap_or_else(other)
}

fn read_launcher_answer(words: &str) -> Option<VirtualMachineReply> {
    const TRIGGERED: &str = "Eviction triggered evacuation of VMI \"";
    let instance = |words: &str| {
        let (namespace, name) = words.strip_prefix(TRIGGERED)?.strip_suffix('"')?.split_once('/')?;
        Some(ObjectKey::new(namespace, name))
    };
    if let Some(instance) = instance(words) {
        return Some(VirtualMachineReply::EvacuationStarted { instance });
    }
    if let Some(instance) = words.strip_prefix("Evacuation in progress: ").and_then(instance) {
        return Some(VirtualMachineReply::EvacuationInProgress { instance });
    }
    let not_migratable = words
        .strip_prefix("VMI ")
        .and_then(|words| words.strip_suffix(" is configured with an eviction strategy but is not live-migratable"));
    if let Some(instance) = not_migratable {
        return Some(VirtualMachineReply::NotMigratable { instance: instance.to_owned() });
    }
    if words == "Eviction request for target Pod" {
        return Some(VirtualMachineReply::NotTheGuestsPod);
    }
    let message = words.to_owned();
    if words.starts_with("kubevirt failed getting the vmi: ") && words.ends_with(" not found") {
        return Some(VirtualMachineReply::InstanceMissing { message });
    }
    let has_failed = words.starts_with("kubevirt failed getting the vmi: ")
        || words.starts_with("kubevirt failed marking the vmi for eviction: ");
    has_failed.then_some(VirtualMachineReply::LookupFailed { message })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The envelope of every webhook refusal (OBSERVED, exact answers): no reason, no details.
    fn refusal(webhook: &str, words: &str) -> Value {
        json!({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",
               "message": format!("admission webhook \"{webhook}\" denied the request: {words}"),"code":429})
    }

    fn read(body: &Value) -> VirtualMachineReply {
        classify_reply(&serde_json::from_value(body.clone()).unwrap())
    }

    #[test]
    fn each_body_that_was_seen_has_its_own_meaning() {
        let launcher = "virt-launcher-eviction-interceptor.kubevirt.io";
        let hotplug = "hotplug-pod-eviction-interceptor.kubevirt.io";
        let down = r#"Internal error occurred: failed calling webhook "virt-launcher-eviction-interceptor.kubevirt.io": failed to call webhook: Post "https://127.0.0.1:35919/pod-eviction-validate?timeout=10s": dial tcp 127.0.0.1:35919: connect: connection refused"#;
        let missing = r#"kubevirt failed getting the vmi: virtualmachineinstances.kubevirt.io "ghost" not found"#;
        let attached = "cannot evict hotplug pod: hp-volume-abc associated with running vmi: vm-f in namespace default";
        let cases = [
            // OBSERVED (a), (d2), (e): first POST.
            (
                refusal(launcher, r#"Eviction triggered evacuation of VMI "default/vm-a""#),
                VirtualMachineReply::EvacuationStarted { instance: ObjectKey::new("default", "vm-a") },
            ),
            // OBSERVED (a), marked; also the target pod.
            (
                refusal(launcher, r#"Evacuation in progress: Eviction triggered evacuation of VMI "default/vm-a""#),
                VirtualMachineReply::EvacuationInProgress { instance: ObjectKey::new("default", "vm-a") },
            ),
            // OBSERVED (b).
            (
                refusal(launcher, "VMI vm-b is configured with an eviction strategy but is not live-migratable"),
                VirtualMachineReply::NotMigratable { instance: "vm-b".into() },
            ),
            // OBSERVED, pod not on the VMI's node.
            (refusal(launcher, "Eviction request for target Pod"), VirtualMachineReply::NotTheGuestsPod),
            // OBSERVED, VMI object missing.
            (refusal(launcher, missing), VirtualMachineReply::InstanceMissing { message: missing.into() }),
            // OBSERVED, hotplug pod.
            (refusal(hotplug, attached), VirtualMachineReply::DiskAttached { message: attached.into() }),
            // OBSERVED, user PDB exhausted (strategy None).
            (
                json!({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Cannot evict pod as it would violate the pod's disruption budget.","reason":"TooManyRequests","details":{"causes":[{"reason":"DisruptionBudget","message":"The disruption budget user1 needs 2 healthy pods and has 2 currently"}]},"code":429}),
                VirtualMachineReply::Other(EvictionReply::BudgetBlocked {
                    message: "The disruption budget user1 needs 2 healthy pods and has 2 currently".into(),
                }),
            ),
            // OBSERVED, two PDBs (strategy None): no reason.
            (
                json!({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.","code":500}),
                VirtualMachineReply::Other(EvictionReply::ManyBudgets),
            ),
            // OBSERVED, virt-api down.
            (
                json!({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":down,"reason":"InternalError","details":{"causes":[{"message":"failed calling webhook ..."}]},"code":500}),
                VirtualMachineReply::WebhookDown { message: down.into() },
            ),
            // OBSERVED, pod gone.
            (
                json!({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"virt-launcher-does-not-exist\" not found","reason":"NotFound","code":404}),
                VirtualMachineReply::Other(EvictionReply::Gone),
            ),
            // OBSERVED, Eviction.metadata.name differs.
            (
                json!({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"name in URL does not match name in Eviction object","reason":"BadRequest","code":400}),
                VirtualMachineReply::Other(EvictionReply::Unexpected {
                    code: 400,
                    message: "name in URL does not match name in Eviction object".into(),
                }),
            ),
            // Reference 2, case 8.
            (
                refusal(launcher, "kubevirt failed marking the vmi for eviction: timeout"),
                VirtualMachineReply::LookupFailed {
                    message: "kubevirt failed marking the vmi for eviction: timeout".into(),
                },
            ),
            // Reference 2, case 2, for another cause than a missing object.
            (
                refusal(launcher, "kubevirt failed getting the vmi: context deadline exceeded"),
                VirtualMachineReply::LookupFailed {
                    message: "kubevirt failed getting the vmi: context deadline exceeded".into(),
                },
            ),
        ];
        for (body, expected) in cases {
            assert_eq!(read(&body), expected, "{body}");
        }
    }

    /// Reference 2, envelope: older servers put words before the webhook's name, or say `Forbidden`.
    #[test]
    fn the_envelope_does_not_matter() {
        let mut body = refusal("virt-launcher-eviction-interceptor.kubevirt.io", "Eviction request for target Pod");
        body["message"] = json!(format!("Error trying to evict: {}", body["message"].as_str().unwrap()));
        body["reason"] = json!("Forbidden");
        assert_eq!(read(&body), VirtualMachineReply::NotTheGuestsPod);
    }

    #[test]
    fn words_that_nobody_has_seen_are_a_webhooks_refusal_and_no_more() {
        for webhook in ["virt-launcher-eviction-interceptor.kubevirt.io", "drain.example.com"] {
            let body = refusal(webhook, r#"Eviction triggered something "else""#);
            let reply = read(&body);
            assert!(matches!(reply, VirtualMachineReply::Other(EvictionReply::WebhookDenied { .. })), "{reply:?}");
        }
        let copycat = refusal("drain.example.com", "Eviction request for target Pod");
        assert!(matches!(read(&copycat), VirtualMachineReply::Other(EvictionReply::WebhookDenied { .. })));
    }
}
